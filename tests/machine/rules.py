"""The state machine: moves on contexts, requests and bodies in several places, in any order.

What it asserts after every move are the invariants of contexts: nobody sees what is not theirs,
every end runs once, wholly, in order and where it belongs, and a refused move changes nothing.
"""

from __future__ import annotations

import contextvars
import gc
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from .edge import (
    LATE,
    POINTS,
    Body,
    Broken,
    Edge,
    Fatal,
    Spec,
    hand_specs,
    plain_specs,
    stream_specs,
)
from .model import Ctx, Model, Push, Stacks, end_points
from .places import Place, ThreadPlace
from .system import Demijohn, Flask, Running, System, Watch

PLACES: list[Place] = []
SYSTEMS: dict[type[System], System] = {}

MOST = 6
"""How many contexts, and how many bodies, there are at once."""

places = st.integers(0, 3)
picks = st.integers(0, MOST - 1)
BEGIN_POINTS = ["appcontext_pushed", "open_session"]
END_POINTS = [point for point in POINTS if point.startswith(LATE)]


def failing(points: list[str], most: int) -> st.SearchStrategy[list[Any]]:
    """Which hooks fail, and with what; in half of the moves none does."""
    one = st.tuples(st.sampled_from(points), st.sampled_from([Broken, Fatal]))
    return st.just([]) | st.lists(one, min_size=1, max_size=most)


begin_fails = failing([*BEGIN_POINTS, *BEGIN_POINTS, *END_POINTS], 2)
end_fails = failing(END_POINTS, 4)
errors = st.none() | st.sampled_from([LookupError, KeyboardInterrupt])


def all_places() -> list[Place]:
    """Two Contexts on the calling thread and two threads; made once."""
    if not PLACES:
        PLACES.extend([Place("main"), Place("task"), ThreadPlace("thread"), ThreadPlace("pool")])
    return PLACES


class Stream:
    """A body that is not over: made at an edge, or by hand in a pushed request context."""

    def __init__(self, body: Body, spec: Spec | None, held: tuple[Ctx, Ctx] | None) -> None:
        self.body = body
        self.spec = spec
        self.held = held


class ContextMachine(RuleBasedStateMachine):
    """Any program of moves, on Demijohn's contexts."""

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

    # -- carrying out a move ------------------------------------------------------------------

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

    # -- by hand ------------------------------------------------------------------------------

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

    @precondition(has_room)
    @rule(where=places, app=st.integers(0, 2), points=begin_fails)
    def push_app(self, where: int, app: int, points: list[Any]) -> None:
        """`app.app_context().push()`."""
        real = self.system.apps[app].app_context()
        ctx = Ctx(f"app context {self.made}", "app", self.system.apps[app], app != 2, real)
        self.push(self.add(ctx), self.stacks[where], points)

    @precondition(has_room)
    @rule(where=places, app=st.integers(0, 2), blueprint=st.booleans(), points=begin_fails)
    def push_request(self, where: int, app: int, blueprint: bool, points: list[Any]) -> None:
        """`app.test_request_context(path).push()`."""
        path = "/bp/plain" if blueprint else "/plain"
        at = self.stacks[where]
        real = at.place.run(lambda: self.system.apps[app].test_request_context(path))
        ctx = Ctx(f"request {self.made}", "request", self.system.apps[app], app != 2, real)
        ctx.request, ctx.blueprint, ctx.opens_session = real.request, blueprint, app == 1
        self.watch.know_request(real.request)
        self.push(self.add(ctx), at, points)

    @precondition(lambda self: self.contexts)
    @rule(where=places, pick=picks, points=begin_fails)
    def push_again(self, where: int, pick: int, points: list[Any]) -> None:
        """A push of a context that exists: it borrows, or begins a successor."""
        self.push(self.contexts[pick % len(self.contexts)], self.stacks[where], points)

    @precondition(lambda self: self.has_room() and any(c.kind != "app" for c in self.contexts))
    @rule(pick=picks)
    def copy(self, pick: int) -> None:
        """`ctx.copy()` of a request's context; it is pushed by a later move."""
        requests = [ctx for ctx in self.contexts if ctx.kind != "app"]
        origin = requests[pick % len(requests)]
        if origin.state == "new":
            return
        ctx = Ctx(f"copy {self.made}", "copy", origin.app, origin.hooks, origin.real.copy())
        ctx.request, ctx.blueprint = origin.request, origin.blueprint
        ctx.parent = origin.parent or origin
        self.add(ctx)

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

    @precondition(lambda self: any(s.apps or s.requests for s in self.stacks))
    @rule(where=places, of_app=st.booleans(), error=errors, points=end_fails)
    def pop_top(self, where: int, of_app: bool, error: Any, points: list[Any]) -> None:
        """A pop of what is current."""
        used = [stacks for stacks in self.stacks if stacks.apps or stacks.requests]
        at = used[where % len(used)]
        stack = (at.apps if of_app else at.requests) or at.apps or at.requests
        ctx = stack[-1].ctx
        if ctx.real is not None:
            self.pop(ctx, at, error, points)

    @precondition(lambda self: self.contexts)
    @rule(where=places, pick=picks, error=errors, points=end_fails)
    def pop_any(self, where: int, pick: int, error: Any, points: list[Any]) -> None:
        """A pop of any context in any place: right, wrong, foreign or of nothing."""
        self.pop(self.contexts[pick % len(self.contexts)], self.stacks[where], error, points)

    # -- at edges -----------------------------------------------------------------------------

    @rule(where=places, spec=plain_specs)
    def request(self, where: int, spec: Spec) -> None:
        """A request at a server edge, with requests inside, whatever is current around it."""
        _, raised = self.act(self.stacks[where], lambda: self.edge.call(spec))
        assert raised is None, repr(raised)

    @rule(where=places, app=st.integers(0, 2))
    def isolated_request(self, where: int, app: int) -> None:
        """A request of the test client that starts clean."""
        work = Running(self.system.apps[app], edge=True)
        work.view = lambda: self._isolated_view(work)

        def move() -> int:
            with self.watch.running(work):
                return self.system.isolated_get(work.app, "/plain")

        status, raised = self.act(self.stacks[where], move)
        assert raised is None and status == 200, repr(raised)

    def _isolated_view(self, work: Running) -> str:
        self.watch.reach("view")
        self.watch.bind_session(work, "view")
        return "plain"

    @precondition(lambda self: len(self.streams) < MOST)
    @rule(where=places, spec=stream_specs)
    def open_stream(self, where: int, spec: Spec) -> None:
        """A request whose body is streamed; nothing of it is read yet."""
        body, raised = self.act(self.stacks[where], lambda: self.edge.call(spec))
        assert raised is None, repr(raised)
        if body is not None:
            self.streams.append(Stream(body, spec, None))

    # -- bodies -------------------------------------------------------------------------------

    @precondition(
        lambda self: (
            len(self.streams) < MOST
            and any(s.request and s.request.state == "current" for s in self.stacks)
        )
    )
    @rule(where=places, spec=hand_specs)
    def open_stream_by_hand(self, where: int, spec: Spec) -> None:
        """`stream_with_context` in a request context that was pushed by hand."""
        used = [s for s in self.stacks if s.request and s.request.state == "current"]
        at = used[where % len(used)]
        ctx = at.request
        assert ctx is not None
        if ctx.app_ctx is None or at.app is not ctx.app_ctx or ctx.app_ctx.state != "current":
            return
        self.model.begin({})
        work = self.work_of(ctx, None)
        body = self.edge.body(spec, work)

        def move() -> None:
            generate = self.system.module.stream_with_context(body.generate(self.watch))
            body.iterable = body.iterator = generate

        _, raised = self.act(at, move)
        assert raised is None
        self.streams.append(Stream(body, None, self.model.hold(ctx)))

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
            wanted += self.model._reach(point, None if point == "appcontext_popped" else error)
        return wanted

    @precondition(lambda self: self.streams)
    @rule(turns=st.lists(st.tuples(picks, places), min_size=1, max_size=10), points=end_fails)
    def step(self, turns: list[tuple[int, int]], points: list[Any]) -> None:
        """Steps of bodies in turn, each in any place; a last one ends its context."""
        for pick, where in turns:
            if self.streams:
                self.advance(self.streams[pick % len(self.streams)], where, points, "step")

    @precondition(lambda self: self.streams)
    @rule(where=places, pick=picks, points=end_fails, how=st.sampled_from(["close", "drop"]))
    def give_up(self, where: int, pick: int, points: list[Any], how: str) -> None:
        """A body is closed, or nobody keeps it any more; started or not."""
        self.advance(self.streams[pick % len(self.streams)], where, points, how)

    # -- work beside a request ----------------------------------------------------------------

    @precondition(lambda self: any(s.request and s.request.state == "current" for s in self.stacks))
    @rule(where=places, pick=picks)
    def call_copied(self, where: int, pick: int) -> None:
        """A function wrapped in `copy_current_request_context`, called in any place."""
        used = [s for s in self.stacks if s.request and s.request.state == "current"]
        origin = used[pick % len(used)]
        ctx, at = origin.request, self.stacks[where]
        assert ctx is not None
        self.model.begin({})
        work = Running(ctx.app, None, ctx.request, at.request.request if at.request else None)
        with self.watch.running(self.work_of(ctx, None)):
            session = self.system.module.session
            work.session = origin.place.run(lambda: session._get_current_object())
        # A copy opens its parent's session, where that was not open.
        (ctx.parent or ctx).opens_session = False

        def inside() -> str:
            self.watch.look(work, "copied function")
            self.watch.bind_session(work, "copied function")
            return "done"

        copy = self.system.module.copy_current_request_context
        wrapped = origin.place.run(lambda: copy(inside))

        def move() -> Any:
            with self.watch.running(work):
                return wrapped()

        result, raised = self.act(at, move)
        assert (result, raised) == ("done", None)
        begin = ["appcontext_pushed"] * self.model.signals
        end = end_points("app", ctx.hooks, False, self.model.signals)
        assert work.log == [(point, None) for point in begin + end]

    # -- the end of an example ----------------------------------------------------------------

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
        """Whether a pop would take a push that another one made, which nobody is told of today.

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
        """Whether that pop is the right one now."""
        return self.model.judge(push.ctx, push.at) == "done"

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
                right = [top.ctx for top in tops if self.may_pop(top) and self.is_right(top)]
                assert right, f"nothing can be popped in {at}"
                self.pop(right[0], at, None, [])
        for ctx in self.contexts:
            assert ctx.state in ("new", "ended"), f"{ctx} is {ctx.state}"


def machine_on(name: str) -> type[ContextMachine]:
    """The machine for a framework: "demijohn", or "flask", the known-bad control."""
    system = {"demijohn": Demijohn, "flask": Flask}[name]
    return type(f"On{system.__name__}", (ContextMachine,), {"system_class": system})


def stop_places() -> None:
    """End the threads; the next machine starts others."""
    for place in PLACES:
        place.stop()
    PLACES.clear()


def flat(group: BaseException) -> list[BaseException]:
    """The errors of a group, in order, whatever groups it is made of."""
    if isinstance(group, BaseExceptionGroup):
        return [error for inner in group.exceptions for error in flat(inner)]
    return [group]
