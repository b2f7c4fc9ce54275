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

from .edge import Body, Edge, Spec
from .forks import Forks, variable
from .invariants import broken, judge_log
from .model import Ctx, Model, Push, Stacks
from .places import Outcome, Place, ThreadPlace, attempt
from .resources import Acts, flat
from .system import Demijohn, System
from .tasks import HandTask, Tasks
from .watch import Broken, Running, Watch

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
        self.moves = 0
        self.looks_for = 0
        self.signalling: Any = None
        self.model = Model(False)
        self.acts = Acts(self.system)
        self.forks = self.acts.forks = Forks(self.system, self.watch, self.acts)
        self.tasks = Tasks(self.system, self.watch, self.acts, Broken)
        self.edge = Edge(self.system, self.watch, self.acts, False)
        self.edge.threads = [place for place in PLACES if isinstance(place, ThreadPlace)]
        self.sound = False
        for place in PLACES:
            place.run(lambda place=place: variable.set(place.name))

    @initialize(signals=st.booleans())
    def choose(self, signals: bool) -> None:
        """With signal receivers everywhere, or with none, so that the short ways are gone too."""
        self.model = Model(signals)
        self.edge.signals = self.acts.signals = signals
        if signals:
            self.signalling = self.system.connected()
            self.signalling.__enter__()

    def act(
        self, at: Stacks, move: Callable[[], Any], foreign: bool = False, number: int = 0
    ) -> Outcome:
        """Make a move in a place: what it returned and raised. Then everything is looked at.

        `number` is the invariant that is broken where what is current has changed.
        """
        self.sound = False
        self.moves += 1
        self.edge.here = at.place
        self.watch.look_for_remains()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result, raised = attempt(lambda: at.place.run(move))
        pops = [warning for warning in warned if "popped in" in str(warning.message)]
        if len(pops) != foreign:
            self.watch.say(7, f"{len(pops)} warnings of a foreign pop")
        # What another thread sees, only its own moves change: it is looked at now and then.
        self.looks_for = number
        self.look_around([at] if self.moves % 8 else self.stacks)
        self.looks_for = 0
        if any("different Context" in str(error) for error in [raised, *self.watch.logged]):
            self.watch.say(14, f"{[raised, *self.watch.logged]}")
        try:
            return result, raised
        finally:
            # The error's traceback leads to this frame.
            del result, raised

    def look_around(self, places: list[Stacks]) -> None:
        """These places see what was pushed there, and nothing else."""
        for stacks in places:
            seen = stacks.place.run(lambda: self.system.see(self.watch))
            app, request = stacks.app, stacks.request
            for name, found, due in (
                ("current_app", seen.app, app and app.app),
                ("request", seen.request, request and request.request),
            ):
                if found is not due:
                    number = self.looks_for or (1 if due is None else 5)
                    self.watch.say(number, f"{name} in {stacks.place} is {found!r}, not {due!r}")
            if app is not None:
                self.watch.bind(app.slot, seen.g, f"g in {stacks.place}")
                mark = getattr(seen.g, "mark", None)
                if mark != app.slot.mark:
                    self.watch.say(16, f"mark in {stacks.place} is {mark}, not {app.slot.mark}")
            if stacks.place.run(variable.get) != stacks.place.name:
                self.watch.say(19, f"the variable of {stacks.place} was changed")

    def check(self) -> None:
        """Nothing that was seen in this move was wrong."""
        assert not self.watch.wrong, "\n".join(self.watch.wrong)

    @invariant()
    def move_was_right(self) -> None:
        """Reached only when a move did what it must."""
        self.check()
        self.sound = True

    def fail_with(
        self, points: list[tuple[str, type[BaseException]]], late: bool = False
    ) -> dict[str, BaseException]:
        """Errors for hooks, each with an identity; the model and the hooks get the same."""
        made = {point: error(point) for point, error in points}
        self.model.begin(made, late)
        return made

    def work_of(self, ctx: Ctx, outer: Ctx | None) -> Running:
        """What the hooks of a context must see."""
        app_ctx = self.model.failed or (ctx if ctx.kind == "app" else ctx.app_ctx)
        request = None if ctx.kind == "app" else ctx.request
        below = None if outer is None else outer.request
        work = Running(ctx.app, app_ctx.slot if app_ctx else None, request, below)
        work.late = self.model.late
        return work

    def judge(
        self, work: Running, wanted: list[BaseException], raised: BaseException | None
    ) -> None:
        """The hooks ran as the model says, and what they raised was raised, wholly."""
        say = self.watch.say
        if problem := judge_log(work.log, self.model.expected, "here", bool(wanted)):
            self.watch.wrong.append(problem)
        if flat(raised) != wanted or (len(wanted) == 1 and raised is not wanted[0]):
            say(10, f"raised {raised!r}, not {wanted}")
        self.check()

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

        _, raised = self.act(at, move, number=6 if wanted else 0)
        self.judge(work, wanted, raised)

    def pop(
        self,
        ctx: Ctx,
        at: Stacks,
        error: type[BaseException] | None,
        points: list[Any],
        late: bool = False,
    ) -> None:
        """Pop, and compare with the model."""
        if self.is_no_ones(ctx, at):
            return
        failing = self.fail_with(points, late)
        exc = error("ends it") if error else None
        slot = ctx.app_ctx
        outcome, wanted = self.model.pop(ctx, at, exc)
        work = self.work_of(ctx, at.request)
        assert slot is ctx.app_ctx

        def move() -> None:
            with self.watch.running(work, failing):
                ctx.real.pop(exc)

        refused = 7 if outcome == "wrong" else 0
        _, raised = self.act(at, move, outcome == "foreign", refused)
        if outcome == "wrong":
            both = isinstance(raised, RuntimeError) and isinstance(raised, AssertionError)
            if not both or "Popped wrong" not in str(raised):
                self.watch.say(7, f"a wrong pop raised {raised!r}")
            raised = None
        self.judge(work, wanted, raised)

    def advance(self, stream: Stream, at: Stacks, points: list[Any], how: str, late: bool) -> None:
        """Step, close or drop a body in a place, and compare with what it is made to do."""
        body = stream.body
        over = how != "step" or body.position in (body.fails_in_step, body.count)
        error = body.error if how == "step" and body.position == body.fails_in_step else None
        failing = self.fail_with(points if over and how != "drop" else [], late and over)
        work = body.work
        if not work.edge:
            work.outer = at.request.request if at.request else None
        work.log, work.late = [], self.model.late

        def move() -> Any:
            with self.watch.running(work, failing):
                if how == "step":
                    return next(body.iterator, "over")
                close, body.iterator, body.iterable = body.iterable.close, None, None
                if how == "close":
                    close()
                del close
            return "over"

        item, raised = self.act(at, move, number=2)
        wanted = self._expect_end(stream, error, how == "step") if over else []
        if over:
            self.streams.remove(stream)
            wanted = self._judge_end(stream, wanted)
        if error is not None and not wanted:
            wanted = [error]
        elif raised is None and item != ("over" if over else b"%d" % body.position):
            self.watch.say(2, f"step {body.position} gave {item!r}")
        if not over and work.log:
            self.watch.say(12, f"{work.log} before the last byte")
        body.position += 1
        self.judge(work, wanted, raised)
        if over and stream.spec is not None:
            self._forget(body, error is not None)
        # An error's traceback leads to this frame.
        failing.clear()
        self.model.begin({})
        del error, raised, wanted

    def _forget(self, body: Body, failed: bool) -> None:
        """A request's body is over: nothing may keep what belonged to it."""
        body.drop()
        self.watch.failed = self.watch.failed or failed
        self.watch.is_over(body.work)

    def _expect_end(
        self, stream: Stream, error: BaseException | None, read: bool
    ) -> list[BaseException]:
        """What the hooks raise at the end of a body; it is no success when it was not `read`."""
        if stream.held is not None:
            return self.model.release(stream.held, error)
        spec, spot = stream.spec, stream.body.work.spot
        assert spec is not None and spot.app is not None and spot.request is not None
        model, hooks, good = self.model, spec.app != 2, read and error is None
        wanted = model.end_of("request", hooks, spec.blueprint, spot.request, spot.app, error, good)
        return wanted + model.end_of("app", hooks, False, spot.app, spot.app, error, good)

    def _judge_end(self, stream: Stream, wanted: list[BaseException]) -> list[BaseException]:
        """A body is over: what of its end's errors is raised where it was stepped or closed."""
        if stream.body.closings != stream.body.started:
            self.watch.say(8, f"a body was closed {stream.body.closings} times")
        if stream.spec is None:
            return wanted
        for error in wanted:
            if isinstance(error, Exception) and error not in self.watch.logged:
                self.watch.say(10, f"{error!r} was not reported")
        return [error for error in wanted if not isinstance(error, Exception)]

    def move_task(self, task: HandTask, at: Stacks, points: list[Any], how: str) -> None:
        """Move a task on, and compare with its script."""
        last = task.is_last or how == "cancel"
        failing = self.fail_with(points if last else [])
        if self.model.signals and not task.begun and task.script.kind != "bare":
            self.model.reach("appcontext_pushed")

        def step() -> None:
            with self.watch.running(task.work, failing):
                self.tasks.move(task, how)

        _, raised = self.act(at, step)
        if raised is not None:
            self.watch.say(10, f"a loop was left by {raised!r}")
        self.tasks.judge(task, how, self.model)
        failing.clear()
        self.check()

    def teardown(self) -> None:
        """All bodies closed and everything popped in order: no place sees anything any more."""
        try:
            if self.sound:
                self.wind_up()
                self.sound = True
        finally:
            self.forks.stop()
            self.tasks.stop()
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
        while self.tasks.all:
            self.move_task(self.tasks.all[0], self.stacks[self.made % 4], [], "cancel")
        while self.streams:
            self.advance(self.streams[0], self.stacks[self.made % 4], [], "close", False)
        for at in self.stacks:
            while at.apps or at.requests:
                tops = [stack[-1] for stack in (at.requests, at.apps) if stack]
                right = [top.ctx for top in tops if self.is_right(top)]
                assert right, broken(7, f"nothing can be popped in {at}")
                self.pop(right[0], at, None, [])
        for app in self.system.apps[:3]:
            self.close_app(app, self.stacks[0], [])
        self.look_around(self.stacks)
        self.watch.look_for_remains()
        self.check()
        self.forks.all.clear()
        for ctx in self.contexts:
            assert ctx.state in ("new", "ended"), broken(8, f"{ctx} is {ctx.state}")

    def close_app(self, app: Any, at: Stacks, points: list[Any]) -> None:
        """`app.close()`: what the application holds is closed, in a context of its own."""
        life = self.acts.shared.get(app)
        failing = self.fail_with(points)
        wanted: list[BaseException] = []
        if life is not None and life.held:
            wanted = self.acts.around_shared(self.model.reach, app, "close shared")
            life.held.clear()
        work = Running(app, shared=True)

        def move() -> None:
            with self.watch.running(work, failing):
                app.close()

        if self.system.name == "demijohn":
            _, raised = self.act(at, move)
            self.judge(work, wanted, raised)
