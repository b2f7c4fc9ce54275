"""Requests at a server edge, and bodies: what they are asked to do, doing it, and judging it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from .drawn import Bits, brief
from .invariants import judge_log
from .lives import Life, Spot, auto_release
from .model import Model
from .places import Place, ThreadPlace, attempt
from .resources import Act, Acts, draw_act
from .system import System
from .watch import Broken, Fatal, Handled, Running, Watch

ERRORS: list[type[BaseException]] = [Broken, Fatal, Handled]


@dataclass(frozen=True, repr=False)
class Spec:
    """A request at an edge: what it does and where it fails."""

    app: int = 0
    blueprint: bool = False
    streams: bool = False
    after_this: bool = False
    late: bool = False
    fails_at: str | None = None
    error: type[BaseException] = Broken
    acts: tuple[Act, ...] = ()
    inner: tuple[Spec, ...] = ()
    # Of a streamed body:
    count: int = 0
    fails_in_step: int = -1
    keeps_context: bool = False
    steps_itself: bool = False

    __repr__ = brief


BEGIN_POINTS = ["appcontext_pushed", "open_session"]
WAY_POINTS = ["request_started", "before", "view", "after", "save_session", "request_finished"]
END_POINTS = [
    *("teardown_request bp", "teardown_request 2", "teardown_request 1", "request_tearing_down"),
    *("teardown_appcontext 2", "teardown_appcontext 1"),
    *("appcontext_tearing_down", "appcontext_popped"),
]
CLOSE_POINTS = [
    *("close plain", "close manager", "close nested", "close pooled", "close txn", "close body"),
    "open plain",
]
POINTS = [*BEGIN_POINTS, *WAY_POINTS, *END_POINTS, *CLOSE_POINTS, "release pooled", "release txn"]


def draw_spec(bits: Bits, streams: bool = False, depth: int = 0) -> Spec:
    """A request, with requests in it down to `depth`."""
    fails = bits.flag()
    return Spec(
        app=bits.below(3),
        blueprint=bits.flag(),
        streams=streams,
        after_this=bits.flag(),
        late=bits.rarely(),
        fails_at=bits.one(POINTS) if fails else None,
        error=bits.one(ERRORS),
        acts=tuple(bits.some(4, draw_act)),
        count=bits.below(4) if streams else 0,
        fails_in_step=bits.below(6) - 2 if streams else -1,
        keeps_context=streams and bits.rarely(),
        steps_itself=streams and bits.rarely(),
        inner=tuple(bits.some(2, lambda bits: draw_spec(bits, depth=depth - 1))) if depth else (),
    )


def draw_hand_spec(bits: Bits) -> Spec:
    """A body that is made by hand."""
    return Spec(
        streams=True,
        error=bits.one([Broken, Fatal]),
        acts=tuple(bits.some(2, draw_act)),
        count=bits.below(4),
        fails_in_step=bits.below(6) - 2,
        steps_itself=bits.rarely(),
    )


class Body:
    """A streamed body: stepped, closed and dropped by the machine."""

    def __init__(self, work: Running, spec: Spec) -> None:
        self.work = work
        self.count = spec.count
        self.error: BaseException | None = None
        if 0 <= spec.fails_in_step <= spec.count:
            self.error = spec.error(f"step {spec.fails_in_step}")
        self.fails_in_step = spec.fails_in_step
        self.position = 0
        self.started = False
        self.closings = 0
        self.iterable: Any = None
        self.iterator: Any = None
        self.inside: Callable[[int, ExitStack], None] = lambda step, kept: None

    def generate(self, watch: Watch) -> Iterator[bytes]:
        """The generator that a view gives back."""
        self.started = True
        try:
            with ExitStack() as kept:
                for step in range(self.count + 1):
                    watch.look(self.work, "step")
                    if step == self.fails_in_step and self.error is not None:
                        raise self.error
                    if step == self.count:
                        break
                    self.inside(step, kept)
                    yield b"%d" % step
        finally:
            self.closings += 1
            watch.look(self.work, "step, closing")

    def drop(self) -> None:
        """It is over: nothing of it is kept."""
        self.iterable = self.iterator = self.error = None
        self.inside = lambda step, kept: None


class Edge:
    """Calls applications as a server does, and judges each answer and what the hooks logged."""

    def __init__(self, system: System, watch: Watch, acts: Acts, signals: bool) -> None:
        self.system = system
        self.watch = watch
        self.acts = acts
        self.signals = signals
        self.here: Place | None = None
        self.threads: list[ThreadPlace] = []

    # -- one request --------------------------------------------------------------------------

    def call(self, spec: Spec) -> Body | None:
        """Make a request here; a streamed body is given back unread."""
        app = self.system.apps[spec.app]
        work = Running(app, edge=True, late=spec.late, spot=Spot(Life(), Life()))
        work.spot.around = work.spot.request
        work.spot.path = "/bp/plain" if spec.blueprint else "/plain"
        body = self.body(spec, work) if spec.streams else None
        work.view = lambda: self._view(spec, work, body)
        error = None if spec.fails_at is None else spec.error(spec.fails_at)
        fails = {spec.fails_at: error} if spec.fails_at and error else {}
        environ = self.system.environ("/bp/plain" if spec.blueprint else "/plain")
        statuses: list[str] = []
        before, wrong = self.system.see(self.watch), len(self.watch.wrong)
        with self.watch.running(work, fails):
            given, raised = attempt(
                lambda: app(environ, lambda status, *rest: statuses.append(status))
            )
        if self.system.see(self.watch) != before:
            self.watch.say(20, f"{spec}: the caller's contexts changed")
        way = Way(self, spec, work, error)
        way.judge(statuses, raised, self.watch.logged)
        status, ended = way.status, way.ended
        if len(self.watch.wrong) > wrong and before.app is not None:
            self.watch.say(20, f"{spec}, with {before.app!r} current around it")
        # The error's traceback leads to this frame.
        fails.clear()
        del raised, error, way
        if body is not None and not ended:
            body.iterable, body.iterator = given, iter(given)
            # An error of a request within this one, which is kept, leads to this frame.
            del given
            return body
        if body is not None:
            body.drop()
        if given is not None:
            if status == "200" and b"".join(given) != b"plain":
                self.watch.say(20, f"{spec}: another body")
            getattr(given, "close", lambda: None)()
        self.watch.is_over(work)
        return None

    def body(self, spec: Spec, work: Running) -> Body:
        """A body that does what `spec` says, inside the context of `work`."""
        body = Body(work, spec)
        body.inside = lambda step, kept: self._inside(spec, body, step, kept)
        return body

    def _view(self, spec: Spec, work: Running, body: Body | None) -> Any:
        watch, fw = self.watch, self.system.module
        if spec.after_this:
            fw.after_this_request(self._after_this)
        watch.reach("view")
        watch.bind_session(work, "view")
        for act in spec.acts:
            self.acts.do(act, work, work.app)
        for inner in spec.inner:
            self.call(inner)
            watch.look(work, "after an inner request")
            watch.bind_session(work, "after an inner request")
        if body is None:
            return "plain"
        return fw.Response(fw.stream_with_context(body.generate(watch)))

    def _after_this(self, response: Any) -> Any:
        self.watch.reach("after this")
        return response

    def _inside(self, spec: Spec, body: Body, step: int, kept: ExitStack) -> None:
        """What a step does besides: a context that is kept over steps, a step of itself."""
        if body.work.edge:
            self.watch.bind_session(body.work, "step")
        if spec.keeps_context and step == 0:
            kept.enter_context(self._aside(body.work))
        elif not spec.keeps_context:
            for act in spec.acts[step : step + 2]:
                self.acts.do(act, body.work, body.work.app)
        if spec.steps_itself and step == 1:
            self._step_itself(body)

    @contextmanager
    def _aside(self, work: Running) -> Iterator[None]:
        """Another application's context, pushed in one step and popped in a later one."""
        app, slot = work.app, work.slot
        with self.system.apps[3].app_context():
            work.app, work.slot = self.system.apps[3], None
            try:
                yield
            finally:
                work.app, work.slot = app, slot

    def _step_itself(self, body: Body) -> None:
        """A body must not be stepped or closed while it is stepped, by anybody."""
        others = [place for place in self.threads if place is not self.here]
        for place in [Place("itself"), *others]:
            for act in (lambda: next(body.iterator), lambda: body.iterable.close()):
                try:
                    place.run(act)
                except (RuntimeError, ValueError):
                    continue
                self.watch.say(15, "a body was stepped or closed in its own step")


class Way:
    """What a request at an edge must do: its hooks in order, its answer, and what it raises."""

    def __init__(self, edge: Edge, spec: Spec, work: Running, error: BaseException | None) -> None:
        self.spec = spec
        self.work = work
        self.watch = edge.watch
        self.error = error
        self.status = "200"
        self.good = True
        self.exc: BaseException | None = None
        self.ended = True
        self.model = model = Model(edge.signals)
        model.begin({spec.fails_at: error} if spec.fails_at and error else {})
        self.early = self._reach(begin_points(spec.app == 1, edge.signals)) is not None
        if not self.early:
            self._go(way_points(spec.app, spec.after_this, edge.signals))
        self.reached = error is not None and spec.fails_at not in model.fails
        if not (spec.streams and self.status == "200" and self.exc is None and self.good):
            self.end()
            return
        released = auto_release(work.spot, model.reach)
        self.reached = self.reached or bool(released)
        if any(not isinstance(each, Exception) for each in released):
            self.exc, self.good = error, False
            self.end()
        else:
            self.ended = False

    def _reach(self, points: list[str]) -> str | None:
        for point in points:
            if self.model.reach(point):
                self._fail()
                return point
        return None

    def _fail(self) -> None:
        self.exc, self.good = self.error, False
        self.status = "500" if isinstance(self.error, Exception) else ""

    def _go(self, way: list[str]) -> None:
        failed = self._reach(way)
        if failed is None or not isinstance(self.error, Exception):
            return
        at, view = way.index(failed), way.index("view")
        if at <= view and isinstance(self.error, Handled):
            self.status, self.exc = "409", None
        for point in way[view + 1 :]:
            if at >= view or point != "after this":
                self.model.reach(point)

    def end(self) -> None:
        """The end, in the model."""
        spec, spot = self.spec, self.work.spot
        assert spot.app is not None and spot.request is not None
        blueprint = spec.blueprint and not self.early
        model, hooks = self.model, spec.app != 2
        model.end_of("request", hooks, blueprint, spot.request, spot.app, self.exc, self.good)
        model.late = spec.late
        model.end_of("app", hooks, False, spot.app, spot.app, self.exc, self.good)
        self.reached = self.error is not None and spec.fails_at not in model.fails

    def judge(
        self,
        statuses: list[str],
        raised: BaseException | None,
        logged: list[BaseException | None],
    ) -> None:
        """Compare what happened."""
        spec, watch, error = self.spec, self.watch, self.error
        wanted = error if self.reached and not isinstance(error, Exception) else None
        if raised is not wanted:
            watch.say(10, f"{spec}: raised {raised!r}, not {wanted!r}")
        if raised is None and [status[:3] for status in statuses] != [self.status]:
            watch.say(13, f"{spec}: status {statuses}, not {self.status}")
        got, due = self.work.log, self.model.expected
        if self.early:
            # The answer to an error before matching is Flask's; no blueprint is known by then.
            due = [entry for entry in due if entry[0] not in BEGIN_POINTS]
            got = [entry for entry in got if entry[0] not in BEGIN_POINTS + WAY_POINTS]
            got = [entry for entry in got if entry[0] != "after this"]
        if not self.ended and [entry for entry in got if entry not in due]:
            watch.say(12, f"{spec}: ran {got}, not {due}, before its body")
        if problem := judge_log(got, due, str(spec), self.reached):
            watch.wrong.append(problem)
        self.work.log.clear()
        of_end = isinstance(error, Exception) and self.reached and self.exc is None and self.good
        if of_end and not any(each is error for each in logged):
            watch.say(10, f"{error!r} of an end was not reported")
        self.model.begin({})


def begin_points(opens_session: bool, signals: bool) -> list[str]:
    """The hooks of a request at an edge before its URL is matched."""
    return ["appcontext_pushed"] * signals + ["open_session"] * opens_session


def way_points(app: int, after_this: bool, signals: bool) -> list[str]:
    """The hooks of its way to a response: of "one", of "two", whose session is watched, of none."""
    hooks = app != 2
    way = ["request_started"] * signals + ["before"] * hooks + ["view"]
    way += ["after this"] * after_this + ["after"] * hooks + ["save_session"] * (app == 1)
    return way + ["request_finished"] * signals
