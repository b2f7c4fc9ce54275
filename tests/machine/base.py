"""What every move of the machine does: run somewhere, be compared with the model, leave nothing.

The rules themselves, which choose the moves, are in `rules`.
"""

from __future__ import annotations

import contextvars
import gc
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from .edge import Body, Edge, Fatal, Spec
from .model import Ctx, Model, Push, Stacks
from .places import Place, ThreadPlace
from .system import Demijohn, Running, System, Watch

PLACES: list[Place] = []
SYSTEMS: dict[type[System], System] = {}

MOST = 6
"""How many contexts, and how many bodies, there are at once."""


def all_places() -> list[Place]:
    """Two Contexts on the calling thread and two threads; made once."""
    if not PLACES:
        PLACES.extend([Place("main"), Place("task"), ThreadPlace("thread"), ThreadPlace("pool")])
    return PLACES


def stop_places() -> None:
    """End the threads; the next machine starts others."""
    for place in PLACES:
        place.stop()
    PLACES.clear()


class Stream:
    """A body that is not over: made at an edge, or by hand in a pushed request context."""

    def __init__(self, body: Body, spec: Spec | None, held: tuple[Ctx, Ctx] | None) -> None:
        self.body = body
        self.spec = spec
        self.held = held


class Machine(RuleBasedStateMachine):
    """Makes moves on a system's contexts and asserts, after each, what must hold."""

    system_class: ClassVar[type[System]] = Demijohn

    def __init__(self) -> None:
        super().__init__()
        self.system = SYSTEMS.get(self.system_class) or self.system_class()
        SYSTEMS[self.system_class] = self.system
        self.watch = self.system.watch = Watch(self.system)
        self.stacks = [Stacks(place) for place in all_places()]
        self.contexts: list[Ctx] = []
        self.streams: list[Stream] = []
        self.made = 0
        self.signalling: Any = None
        self.model = Model(False)
        self.edge = Edge(self.system, self.watch, False)
        self.edge.threads = [place for place in PLACES if isinstance(place, ThreadPlace)]
        self.sound = False

    @initialize(signals=st.booleans())
    def choose(self, signals: bool) -> None:
        """With signal receivers everywhere, or with none, so that the short ways are gone too."""
        self.model = Model(signals)
        self.edge.signals = signals
        if signals:
            self.signalling = self.system.connected()
            self.signalling.__enter__()

    def act(
        self, at: Stacks, move: Callable[[], Any], foreign: bool = False
    ) -> tuple[Any, BaseException | None]:
        """Make a move in a place: what it returned and raised. Then everything is looked at."""
        self.sound = False
        self.edge.here = at.place
        result: Any = None
        raised: BaseException | None = None
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                result = at.place.run(move)
            except (Exception, KeyboardInterrupt, Fatal, BaseExceptionGroup) as error:
                raised = error
        pops = [warning for warning in warned if "popped in" in str(warning.message)]
        assert len(pops) == foreign, f"{len(pops)} warnings of a foreign pop"
        self.look_around()
        for error in [raised, *self.watch.logged]:
            assert "different Context" not in str(error), repr(error)
        return result, raised

    def look_around(self) -> None:
        """Every place sees what was pushed there, and nothing else."""
        for stacks in self.stacks:
            seen = stacks.place.run(lambda: self.system.see(self.watch.wrong))
            app, request = stacks.app, stacks.request
            assert seen.app is (app and app.app), f"{stacks.place}: current_app {seen.app}"
            assert seen.request is (request and request.request), f"{stacks.place}: {seen.request}"
            if app is not None:
                self.watch.bind(app.slot, seen.g, f"g in {stacks.place}")
        assert not self.watch.wrong, "\n".join(self.watch.wrong)

    @invariant()
    def move_was_right(self) -> None:
        """Reached only when a move did what it must."""
        self.sound = True

    def fail_with(self, points: list[tuple[str, type[BaseException]]]) -> dict[str, BaseException]:
        """Errors for hooks, each with an identity; the model and the hooks get the same."""
        made = {point: error(point) for point, error in points}
        self.model.begin(made)
        return made

    def work_of(self, ctx: Ctx, outer: Ctx | None) -> Running:
        """What the hooks of a context must see."""
        app_ctx = self.model.failed or (ctx if ctx.kind == "app" else ctx.app_ctx)
        request = None if ctx.kind == "app" else ctx.request
        below = None if outer is None else outer.request
        work = Running(ctx.app, app_ctx.slot if app_ctx else None, request, below)
        return work

    def judge(
        self, work: Running, wanted: list[BaseException], raised: BaseException | None
    ) -> None:
        """The hooks ran as the model says, and what they raised was raised, wholly."""
        assert work.log == self.model.expected, f"{work.log}, not {self.model.expected}"
        if len(wanted) > 1:
            assert isinstance(raised, BaseExceptionGroup), repr(raised)
            assert flat(raised) == wanted
        else:
            assert raised is (wanted[0] if wanted else None), repr(raised)

    def add(self, ctx: Ctx) -> Ctx:
        """A new context; the oldest that is over goes."""
        if len(self.contexts) >= MOST:
            over = [c for c in self.contexts if not c.pushes and c.state in ("new", "ended")]
            self.contexts.remove(over[0])
        self.contexts.append(ctx)
        self.made += 1
        return ctx

    def has_room(self) -> bool:
        """Whether another context can be made."""
        return len(self.contexts) < MOST or any(
            not c.pushes and c.state in ("new", "ended") for c in self.contexts
        )

    def push(self, ctx: Ctx, at: Stacks, points: list[tuple[str, type[BaseException]]]) -> None:
        """Push, and compare with the model."""
        failing = self.fail_with(points)
        outer = at.request
        wanted = self.model.push(ctx, at)
        work = self.work_of(ctx, outer)

        def move() -> None:
            with self.watch.running(work, failing):
                ctx.real.push()

        _, raised = self.act(at, move)
        self.judge(work, wanted, raised)

    def pop(
        self, ctx: Ctx, at: Stacks, error: type[BaseException] | None, points: list[Any]
    ) -> None:
        """Pop, and compare with the model."""
        if self.is_no_ones(ctx, at):
            return
        failing = self.fail_with(points)
        exc = error("ends it") if error else None
        slot = ctx.app_ctx
        outcome, wanted = self.model.pop(ctx, at, exc)
        work = self.work_of(ctx, at.request)
        assert slot is ctx.app_ctx

        def move() -> None:
            with self.watch.running(work, failing):
                ctx.real.pop(exc)

        _, raised = self.act(at, move, foreign=outcome == "foreign")
        if outcome == "wrong":
            assert isinstance(raised, RuntimeError) and isinstance(raised, AssertionError)
            assert "Popped wrong" in str(raised)
            raised = None
        self.judge(work, wanted, raised)

    def advance(self, stream: Stream, where: int, points: list[Any], how: str) -> None:
        """Step, close or drop a body in a place, and compare with what it is made to do."""
        body, at = stream.body, self.stacks[where]
        over = how != "step" or body.position in (body.fails_in_step, body.count)
        failing = self.fail_with(points if over and how != "drop" else [])
        error = body.error if how == "step" and body.position == body.fails_in_step else None
        wanted = self._expect_end(stream, error) if over else []
        work = body.work
        if not work.edge:
            work.outer = at.request.request if at.request else None
        work.log, logged = [], len(self.watch.logged)

        def move() -> Any:
            with self.watch.running(work, failing):
                if how == "step":
                    return next(body.iterator, "over")
                close, body.iterator, body.iterable = body.iterable.close, None, None
                if how == "close":
                    close()
                del close
            return "over"

        item, raised = self.act(at, move)
        if over:
            self.streams.remove(stream)
            assert body.closings == body.started
        if over and stream.spec is not None:
            reported = self.watch.logged[logged:]
            missing = [e for e in wanted if isinstance(e, Exception) and e not in reported]
            assert not missing, f"not reported: {missing}"
            wanted = [e for e in wanted if not isinstance(e, Exception)]
        if error is not None and not wanted:
            wanted = [error]
        elif raised is None:
            assert item == ("over" if over else b"%d" % body.position)
        body.position += 1
        self.judge(work, wanted, raised)

    def _expect_end(self, stream: Stream, error: BaseException | None) -> list[BaseException]:
        """What the hooks raise at the end of a body."""
        if stream.held is not None:
            return self.model.release(stream.held, error)
        assert stream.spec is not None
        wanted: list[BaseException] = []
        for point in self.edge.end_of(stream.body, stream.spec):
            wanted += self.model.reach(point, None if point == "appcontext_popped" else error)
        return wanted

    def teardown(self) -> None:
        """All bodies closed and everything popped in order: no place sees anything any more."""
        try:
            if self.sound:
                self.wind_up()
                self.sound = True
        finally:
            if self.signalling is not None:
                self.signalling.__exit__(None, None, None)
            if not self.sound:
                self.clear_away()

    def is_no_ones(self, ctx: Ctx, at: Stacks) -> bool:
        """Whether a pop would take a push that another one made: no program means to.

        That is what a request has pushed first, its own; and for a request, another push of the
        same app context on top of its own.
        """
        if not at.apps:
            return False
        top = at.apps[-1]
        if top.ctx is ctx:
            return not self.may_pop(top)
        here = [push for push in at.of(ctx) if push.ctx is ctx]
        return bool(here) and here[-1].needed is top.ctx and not top.inner

    def may_pop(self, push: Push) -> bool:
        """Whether a push is anybody's to pop: not what a request has pushed first, its own."""
        return push.ctx.real is not None and not push.inner

    def is_right(self, push: Push) -> bool:
        """Whether a pop of it would be done, and is anybody's to do."""
        mine = self.may_pop(push) and not self.is_no_ones(push.ctx, push.at)
        return mine and self.model.judge(push.ctx, push.at) == "done"

    def clear_away(self) -> None:
        """What a failed example leaves behind must not be found by the next one."""
        SYSTEMS.pop(self.system_class, None)
        for place in PLACES:
            place.renew()

        def drop() -> None:
            for stream in self.streams:
                stream.body.iterable = stream.body.iterator = None
            self.streams.clear()
            self.contexts.clear()
            self.stacks.clear()
            gc.collect()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            contextvars.Context().run(drop)

    def wind_up(self) -> None:
        """Close and pop all that is left, and see that nothing is."""
        while self.streams:
            self.advance(self.streams[0], self.made % 4, [], "close")
        for at in self.stacks:
            while at.apps or at.requests:
                tops = [stack[-1] for stack in (at.requests, at.apps) if stack]
                right = [top.ctx for top in tops if self.is_right(top)]
                assert right, f"nothing can be popped in {at}"
                self.pop(right[0], at, None, [])
        for ctx in self.contexts:
            assert ctx.state in ("new", "ended"), f"{ctx} is {ctx.state}"


def flat(group: BaseException) -> list[BaseException]:
    """The errors of a group, in order, whatever groups it is made of."""
    if isinstance(group, BaseExceptionGroup):
        return [error for inner in group.exceptions for error in flat(inner)]
    return [group]
