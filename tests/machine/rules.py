"""The state machine: moves on contexts, requests and bodies in several places, in any order.

What it asserts after every move are the invariants of contexts: nobody sees what is not theirs,
every end runs once, wholly, in order and where it belongs, and a refused move changes nothing.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from .base import MOST, Machine, Stream
from .edge import (
    LATE,
    POINTS,
    Broken,
    Fatal,
    Spec,
    hand_specs,
    plain_specs,
    stream_specs,
)
from .model import Ctx, end_points
from .system import Demijohn, Flask, Running

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


class ContextMachine(Machine):
    """Any program of moves, on Demijohn's contexts."""

    # -- by hand ------------------------------------------------------------------------------

    @precondition(Machine.has_room)
    @rule(where=places, app=st.integers(0, 2), points=begin_fails)
    def push_app(self, where: int, app: int, points: list[Any]) -> None:
        """`app.app_context().push()`."""
        real = self.system.apps[app].app_context()
        ctx = Ctx(f"app context {self.made}", "app", self.system.apps[app], app != 2, real)
        self.push(self.add(ctx), self.stacks[where], points)

    @precondition(Machine.has_room)
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
        below = at.request.request if at.request and not self.system.detaches else None
        work = Running(ctx.app, None, ctx.request, below)
        with self.watch.running(self.work_of(ctx, None)):
            session = self.system.module.session
            work.session = origin.place.run(lambda: session._get_current_object())
        # A copy opens its parent's session, where that was not open.
        (ctx.parent or ctx).opens_session = False

        def inside() -> str:
            if self.system.detaches:
                work.request = self.system.module.request._get_current_object()
                assert work.request is not ctx.request
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


def machine_on(name: str) -> type[ContextMachine]:
    """The machine for a framework: "demijohn", or "flask", the known-bad control."""
    system = {"demijohn": Demijohn, "flask": Flask}[name]
    return type(f"On{system.__name__}", (ContextMachine,), {"system_class": system})
