"""The state machine: moves on contexts, requests and bodies in several places, in any order.

What it asserts after every move are the invariants of contexts: nobody sees what is not theirs,
every end runs once, wholly, in order and where it belongs, and a refused move changes nothing.
"""

from __future__ import annotations

from typing import Any

from hypothesis.stateful import precondition, rule

from .base import MOST, Machine, Stream
from .drawn import Bits, move
from .edge import (
    BEGIN_POINTS,
    CLOSE_POINTS,
    END_POINTS,
    draw_act,
    draw_hand_spec,
    draw_spec,
)
from .forks import Forked
from .model import Ctx, Stacks, end_points
from .system import Demijohn, Flask
from .tasks import draw_script
from .watch import Broken, Fatal, Running

ENDS = END_POINTS + CLOSE_POINTS + ["call"]


def failing(points: list[str], most: int) -> Any:
    """Which hooks fail, and with what; in half of the moves none does."""

    def draw(bits: Bits) -> list[Any]:
        if not bits.flag():
            return []
        return bits.some(most, lambda bits: (bits.one(points), bits.one([Broken, Fatal])), 1)

    return draw


def where(bits: Bits) -> int:
    """One of the places."""
    return bits.below(4)


def pick(bits: Bits) -> int:
    """One of the contexts, or of the bodies."""
    return bits.below(MOST)


def app(bits: Bits) -> int:
    """One of the applications."""
    return bits.below(3)


def error(bits: Bits) -> Any:
    """What ends a context."""
    return bits.one([None, None, LookupError, KeyboardInterrupt])


def has_app(at: Stacks) -> bool:
    """Whether an app context is current there, and not over."""
    return at.app is not None and at.app.state == "current"


begin_fails = failing([*BEGIN_POINTS, *BEGIN_POINTS, *END_POINTS], 2)
end_fails = failing(ENDS, 4)


class ContextMachine(Machine):
    """Any program of moves, on Demijohn's contexts."""

    # -- by hand ------------------------------------------------------------------------------

    @precondition(Machine.has_room)
    @rule(to=move(8, where=where, app=app, points=begin_fails))
    def push_app(self, to: Any) -> None:
        """`app.app_context().push()`."""
        real = self.system.apps[to.app].app_context()
        app = self.system.apps[to.app]
        ctx = Ctx(f"app context {self.made}", "app", app, to.app != 2, real)
        self.push(self.add(ctx), self.stacks[to.where], to.points)

    @precondition(Machine.has_room)
    @rule(to=move(9, where=where, app=app, blueprint=Bits.flag, points=begin_fails))
    def push_request(self, to: Any) -> None:
        """`app.test_request_context(path).push()`."""
        path = "/bp/plain" if to.blueprint else "/plain"
        at, app = self.stacks[to.where], self.system.apps[to.app]
        real = at.place.run(lambda: app.test_request_context(path))
        ctx = Ctx(f"request {self.made}", "request", app, to.app != 2, real)
        ctx.request, ctx.blueprint, ctx.opens_session = real.request, to.blueprint, to.app == 1
        self.watch.know("request", real.request, "by hand")
        self.push(self.add(ctx), at, to.points)

    @precondition(lambda self: self.contexts)
    @rule(to=move(8, where=where, pick=pick, points=begin_fails))
    def push_again(self, to: Any) -> None:
        """A push of a context that exists: it borrows, or begins a successor."""
        ctx = self.contexts[to.pick % len(self.contexts)]
        self.push(ctx, self.stacks[to.where], to.points)

    @precondition(lambda self: self.has_room() and any(c.kind != "app" for c in self.contexts))
    @rule(to=move(1, pick=pick))
    def copy(self, to: Any) -> None:
        """`ctx.copy()` of a request's context; it is pushed by a later move."""
        requests = [ctx for ctx in self.contexts if ctx.kind != "app"]
        origin = requests[to.pick % len(requests)]
        if origin.state == "new":
            return
        ctx = Ctx(f"copy {self.made}", "copy", origin.app, origin.hooks, origin.real.copy())
        ctx.request, ctx.blueprint = origin.request, origin.blueprint
        ctx.parent = origin.parent or origin
        self.add(ctx)

    @precondition(lambda self: any(s.apps or s.requests for s in self.stacks))
    @rule(
        to=move(14, where=where, of_app=Bits.flag, error=error, late=Bits.rarely, points=end_fails)
    )
    def pop_top(self, to: Any) -> None:
        """A pop of what is current."""
        used = [stacks for stacks in self.stacks if stacks.apps or stacks.requests]
        at = used[to.where % len(used)]
        stack = (at.apps if to.of_app else at.requests) or at.apps or at.requests
        ctx = stack[-1].ctx
        if ctx.real is not None:
            self.pop(ctx, at, to.error, to.points, to.late)

    @precondition(lambda self: self.contexts)
    @rule(to=move(14, where=where, pick=pick, error=error, late=Bits.rarely, points=end_fails))
    def pop_any(self, to: Any) -> None:
        """A pop of any context in any place: right, wrong, foreign or of nothing."""
        ctx = self.contexts[to.pick % len(self.contexts)]
        self.pop(ctx, self.stacks[to.where], to.error, to.points, to.late)

    @rule(to=move(24, where=where, acts=lambda bits: bits.some(5, draw_act, 1)))
    def act_by_hand(self, to: Any) -> None:
        """Resources are used and released, callbacks registered, with whatever is current."""
        used = [stacks for stacks in self.stacks if stacks.apps]
        at = used[to.where % len(used)] if used and to.where else self.stacks[to.where]
        app, request = at.app, at.request
        self.model.begin({})
        work = Running(app and app.app, app and app.slot, request and request.request)
        work.spot = at.spot()

        def do() -> None:
            for act in to.acts:
                self.acts.do(act, work, work.app)

        _, raised = self.act(at, do)
        self.judge(work, [], raised)

    @rule(to=move(6, where=where, app=app, points=failing(["close shared"], 1)))
    def close_an_app(self, to: Any) -> None:
        """`app.close()`, in the midst of everything."""
        self.close_app(self.system.apps[to.app], self.stacks[to.where], to.points)

    # -- at edges -----------------------------------------------------------------------------

    @rule(to=move(64, where=where, spec=lambda bits: draw_spec(bits, depth=2)))
    def request(self, to: Any) -> None:
        """A request at a server edge, with requests inside, whatever is current around it."""
        _, raised = self.act(self.stacks[to.where], lambda: self.edge.call(to.spec))
        assert raised is None, repr(raised)

    @rule(to=move(2, where=where, app=app))
    def isolated_request(self, to: Any) -> None:
        """A request of the test client that starts clean."""
        work = Running(self.system.apps[to.app], edge=True)
        work.view = lambda: self._isolated_view(work)

        def isolated() -> int:
            with self.watch.running(work):
                return self.system.isolated_get(work.app, "/plain")

        status, raised = self.act(self.stacks[to.where], isolated)
        assert raised is None and status == 200, repr(raised)

    def _isolated_view(self, work: Running) -> str:
        self.watch.reach("view")
        self.watch.bind_session(work, "view")
        return "plain"

    @precondition(lambda self: len(self.streams) < MOST)
    @rule(to=move(64, where=where, spec=lambda bits: draw_spec(bits, True, 1)))
    def open_stream(self, to: Any) -> None:
        """A request whose body is streamed; nothing of it is read yet."""
        body, raised = self.act(self.stacks[to.where], lambda: self.edge.call(to.spec))
        assert raised is None, repr(raised)
        if body is not None:
            self.streams.append(Stream(body, to.spec, None))

    # -- bodies -------------------------------------------------------------------------------

    @precondition(
        lambda self: (
            len(self.streams) < MOST
            and any(s.request and s.request.state == "current" for s in self.stacks)
        )
    )
    @rule(to=move(16, where=where, spec=draw_hand_spec))
    def open_stream_by_hand(self, to: Any) -> None:
        """`stream_with_context` in a request context that was pushed by hand."""
        used = [s for s in self.stacks if s.request and s.request.state == "current"]
        at = used[to.where % len(used)]
        ctx = at.request
        assert ctx is not None
        if ctx.app_ctx is None or at.app is not ctx.app_ctx or ctx.app_ctx.state != "current":
            return
        self.model.begin({})
        work = self.work_of(ctx, None)
        work.spot = at.spot()
        body = self.edge.body(to.spec, work)

        def make() -> None:
            generate = self.system.module.stream_with_context(body.generate(self.watch))
            body.iterable = body.iterator = generate

        _, raised = self.act(at, make)
        assert raised is None
        self.streams.append(Stream(body, None, self.model.hold(ctx)))

    @precondition(lambda self: self.streams)
    @rule(
        to=move(
            30,
            turns=lambda bits: bits.some(10, lambda bits: (pick(bits), where(bits)), 1),
            late=Bits.rarely,
            points=end_fails,
        )
    )
    def step(self, to: Any) -> None:
        """Steps of bodies in turn, each in any place; a last one ends its context."""
        for pick, where in to.turns:
            if self.streams:
                stream = self.streams[pick % len(self.streams)]
                self.advance(stream, self.stacks[where], to.points, "step", to.late)
                del stream

    @precondition(lambda self: self.streams)
    @rule(
        to=move(
            13,
            where=where,
            pick=pick,
            how=lambda bits: bits.one(["close", "drop"]),
            late=Bits.rarely,
            points=end_fails,
        )
    )
    def give_up(self, to: Any) -> None:
        """A body is closed, or nobody keeps it any more; started or not."""
        stream = self.streams[to.pick % len(self.streams)]
        self.advance(stream, self.stacks[to.where], to.points, to.how, to.late)

    # -- work beside a request ----------------------------------------------------------------

    @precondition(lambda self: any(s.request and s.request.state == "current" for s in self.stacks))
    @rule(to=move(2, where=where, pick=pick))
    def call_copied(self, to: Any) -> None:
        """A function wrapped in `copy_current_request_context`, called in any place."""
        used = [s for s in self.stacks if s.request and s.request.state == "current"]
        origin = used[to.pick % len(used)]
        ctx, at = origin.request, self.stacks[to.where]
        assert ctx is not None
        self.model.begin({})
        if origin.spot().request is None or (ctx.app_ctx and ctx.app_ctx.state == "ended"):
            return
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
                if work.request is ctx.request:
                    self.watch.say(4, "a child has its parent's request")
            self.watch.look(work, "copied function")
            self.watch.bind_session(work, "copied function")
            return "done"

        copy = self.system.module.copy_current_request_context
        wrapped = origin.place.run(lambda: copy(inside))

        def call() -> Any:
            with self.watch.running(work):
                return wrapped()

        result, raised = self.act(at, call)
        assert (result, raised) == ("done", None)
        begin = ["appcontext_pushed"] * self.model.signals
        end = end_points("app", ctx.hooks, False, self.model.signals)
        end += ["appcontext_popped"] * self.model.signals
        self.model.expected = [(point, None) for point in begin + end]
        self.judge(work, [], None)

    # -- children -----------------------------------------------------------------------------

    @precondition(lambda self: self.forks.all)
    @rule(
        to=move(
            40,
            where=where,
            pick=pick,
            again=Bits.flag,
            new_thread=Bits.rarely,
            error=lambda bits: bits.one([None, None, Broken, KeyboardInterrupt]),
            acts=lambda bits: bits.some(3, draw_act),
            late=Bits.rarely,
            points=failing(["appcontext_pushed", *ENDS], 3),
        )
    )
    def run_child(self, to: Any) -> None:
        """What was started somewhere runs in any place, or on a new thread there, once or twice."""
        forked = self.forks.all[to.pick % len(self.forks.all)]
        for _ in range(1 + to.again):
            self.child(forked, to, self.stacks[to.where], to.new_thread)

    def child(self, forked: Forked, to: Any, at: Stacks, new_thread: bool) -> None:
        """One run of a child."""
        to.error = to.error and (to.error if isinstance(to.error, BaseException) else to.error("x"))
        fails = {point: error(point) for point, error in to.points}

        def run(call: Any) -> Any:
            if new_thread:
                return self.act(at, lambda: self.forks.in_new_thread(call))
            return self.act(at, call)

        self.forks.run(forked, to, fails, to.late, self.model.signals, run)
        self.check()

    @precondition(lambda self: self.system.detaches and any(map(has_app, self.stacks)))
    @rule(
        to=move(
            40,
            where=where,
            how=lambda bits: bits.one(["thread", "pool", "parallel", "share"]),
            error=lambda bits: bits.one([None, None, Broken]),
            acts=lambda bits: bits.some(3, draw_act),
            late=Bits.rarely,
            points=failing(["appcontext_pushed", *ENDS], 3),
        )
    )
    def start_child(self, to: Any) -> None:
        """A child started and run at once: on a `ContextThread`, in a pool, as a branch."""
        used = [*filter(has_app, self.stacks)]
        at = used[to.where % len(used)]
        app, spot = at.app, at.spot()
        assert app is not None
        if spot.around is not None and spot.around.over:
            return
        shares = to.how == "share"
        if shares and (spot.request is None or spot.request.over):
            return
        forked = self.forks.start(app.app, app.slot, spot.path)
        if to.how == "thread":
            # What a thread raises is nobody's.
            to.error, to.points = None, []
        to.error = to.error and to.error("child")
        fails = {point: error(point) for point, error in to.points}

        def run(call: Any) -> Any:
            # `forked.call` is what starts it; what it does is `forked.inside`.
            forked.call = lambda: self.forks.start_now(to.how, lambda: forked.inside())
            return self.act(at, call)

        self.forks.run(forked, to, fails, to.late, self.model.signals, run, shares)
        self.check()

    # -- tasks --------------------------------------------------------------------------------

    @precondition(lambda self: self.system.detaches and len(self.tasks.all) < MOST)
    @rule(to=move(28, where=where, script=draw_script))
    def start_task(self, to: Any) -> None:
        """An asyncio task; it runs until it waits, in a step of its own."""
        at, script = self.stacks[to.where], to.script
        forked, seen = None, None
        app, request, spot = at.app, at.request, at.spot()
        if script.kind in ("child", "bare") and not has_app(at):
            return
        if script.kind == "child" and spot.around is not None and spot.around.over:
            return
        if script.kind == "child" and app is not None:
            forked = self.forks.start(app.app, app.slot, spot.path)
            forked.call = at.place.run(lambda: self.tasks.in_child(forked))
        elif script.kind == "bare" and app is not None:
            seen = Running(app.app, app.slot, request and request.request)

        def spot_now() -> Any:
            belongs = request is not None and app is not None and request.app_ctx is app
            now = type(spot)(app and app.life, request.life if belongs and request else None)
            now.around, now.path = request and spot.path and request.life, spot.path
            return now

        at.place.run(lambda: self.tasks.start(script, forked, spot_now, seen))
        self.move_task(self.tasks.all[-1], at, [], "step")

    @precondition(lambda self: self.tasks.all)
    @rule(
        to=move(
            24,
            turns=lambda bits: bits.some(6, lambda bits: (pick(bits), where(bits)), 1),
            cancels=Bits.rarely,
            points=end_fails,
        )
    )
    def move_tasks(self, to: Any) -> None:
        """Steps of tasks in turn, wherever the loop runs; the last move may be a cancel."""
        for number, (pick, where) in enumerate(to.turns, 1):
            if self.tasks.all:
                task = self.tasks.all[pick % len(self.tasks.all)]
                how = "cancel" if to.cancels and number == len(to.turns) else "step"
                self.move_task(task, self.stacks[where], to.points, how)

    @rule(to=move(1, where=where))
    def new_thread(self, to: Any) -> None:
        """A plain thread, started with whatever is current."""
        look = self.forks.nothing_seen
        _, raised = self.act(self.stacks[to.where], lambda: self.forks.in_new_thread(look))
        self.watch.say(19, repr(raised)) if raised else None
        self.check()


def machine_on(name: str) -> type[ContextMachine]:
    """The machine for a framework: "demijohn", or "flask", the known-bad control."""
    system = {"demijohn": Demijohn, "flask": Flask}[name]
    return type(f"On{system.__name__}", (ContextMachine,), {"system_class": system})
