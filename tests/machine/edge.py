"""Requests at a server edge, and bodies: what they are asked to do, doing it, and judging it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from .model import edge_points
from .places import Place, ThreadPlace
from .system import Running, System, Watch

LATE = ("teardown", "appcontext_tearing_down", "appcontext_popped", "request_tearing_down")


class Broken(Exception):
    """What a hook raises when the machine makes it fail."""


class Fatal(BaseException):
    """The same, as no `Exception`."""


@dataclass(frozen=True)
class Spec:
    """A request at an edge: what it does and where it fails."""

    app: int = 0
    blueprint: bool = False
    streams: bool = False
    after_this: bool = False
    fails_at: str | None = None
    fatal: bool = False
    inner: tuple[Spec, ...] = ()
    # Of a streamed body:
    count: int = 0
    fails_in_step: int = -1
    keeps_context: bool = False
    steps_itself: bool = False


POINTS = [
    "appcontext_pushed",
    "open_session",
    "request_started",
    "before",
    "view",
    "after",
    "request_finished",
    "teardown_request bp",
    "teardown_request 2",
    "teardown_request 1",
    "request_tearing_down",
    "teardown_appcontext 2",
    "teardown_appcontext 1",
    "appcontext_tearing_down",
    "appcontext_popped",
]


def _spec(streams: bool, inner: st.SearchStrategy[tuple[Spec, ...]]) -> st.SearchStrategy[Spec]:
    return st.builds(
        Spec,
        app=st.integers(0, 2),
        blueprint=st.booleans(),
        streams=st.just(streams),
        after_this=st.booleans(),
        fails_at=st.none() | st.sampled_from(POINTS),
        fatal=st.booleans(),
        inner=inner,
        count=st.integers(0, 3) if streams else st.just(0),
        fails_in_step=st.integers(-2, 3) if streams else st.just(-1),
        keeps_context=st.booleans() if streams else st.just(False),
        steps_itself=st.booleans() if streams else st.just(False),
    )


_leaves = _spec(False, st.just(()))
_nested = _spec(False, st.lists(_leaves, max_size=2).map(tuple))
hand_specs = st.builds(
    Spec,
    streams=st.just(True),
    fatal=st.booleans(),
    count=st.integers(0, 3),
    fails_in_step=st.integers(-2, 3),
    steps_itself=st.booleans(),
)
plain_specs = _spec(False, st.lists(_nested, max_size=2).map(tuple))
stream_specs = _spec(True, st.lists(_leaves, max_size=1).map(tuple))


class Body:
    """A streamed body: stepped, closed and dropped by the machine."""

    def __init__(self, work: Running, count: int, fails_in_step: int, fatal: bool) -> None:
        self.work = work
        self.count = count
        self.error: BaseException | None = None
        if 0 <= fails_in_step <= count:
            self.error = (Fatal if fatal else Broken)(f"step {fails_in_step}")
        self.fails_in_step = fails_in_step
        self.position = 0
        self.started = False
        self.over = False
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
            watch.look(self.work, "close")


class Edge:
    """Calls applications as a server does, and judges each answer and what the hooks logged."""

    def __init__(self, system: System, watch: Watch, signals: bool) -> None:
        self.system = system
        self.watch = watch
        self.signals = signals
        self.here: Place | None = None
        self.threads: list[ThreadPlace] = []

    # -- one request --------------------------------------------------------------------------

    def call(self, spec: Spec) -> Body | None:
        """Make a request here; a streamed body is given back unread."""
        app = self.system.apps[spec.app]
        work = Running(app, edge=True)
        body = self.body(spec, work) if spec.streams else None
        work.view = lambda: self._view(spec, work, body)
        points = self._points(spec)
        failing = spec.fails_at if any(spec.fails_at in part for part in points) else None
        error = (Fatal if spec.fatal else Broken)(spec.fails_at) if failing else None
        late = failing is not None and failing.startswith(LATE) and failing in points[2]
        fails = {failing: error} if failing and error and not (late and body) else {}
        logged = len(self.watch.logged)
        before = self.system.see(self.watch.wrong)
        statuses: list[str] = []
        raised: BaseException | None = None
        given: Any = None
        with self.watch.running(work, fails):
            try:
                given = app(self._environ(spec), lambda status, *rest: statuses.append(status))
            except BaseException as caught:
                raised = caught
        if self.system.see(self.watch.wrong) != before:
            self.watch.wrong.append(f"{spec}: the caller's contexts changed")
        works = not fails or late
        self._judge_answer(spec, statuses, raised, error if fails else None, works)
        self._judge_log(spec, work, failing if fails else None, error if fails else None, body)
        if late and fails and not spec.fatal:
            self._judge_logged(logged, error)
        if body is not None and works and raised is None:
            body.iterable, body.iterator = given, iter(given)
            # An error of a request within this one, which is kept, leads to this frame.
            del given
            return body
        if given is not None:
            if works and b"".join(given) != b"plain":
                self.watch.wrong.append(f"{spec}: another body")
            getattr(given, "close", lambda: None)()
        return None

    def body(self, spec: Spec, work: Running) -> Body:
        """A body that does what `spec` says, inside the context of `work`."""
        body = Body(work, spec.count, spec.fails_in_step, spec.fatal)
        body.inside = lambda step, kept: self._inside(spec, body, step, kept)
        return body

    def _environ(self, spec: Spec) -> dict[str, Any]:
        return self.system.environ("/bp/plain" if spec.blueprint else "/plain")

    def _points(self, spec: Spec) -> tuple[list[str], list[str], list[str]]:
        hooks = spec.app != 2
        after_this = spec.after_this
        blueprint = spec.blueprint
        return edge_points(hooks, spec.app == 1, blueprint, after_this, self.signals)

    def _view(self, spec: Spec, work: Running, body: Body | None) -> Any:
        watch, fw = self.watch, self.system.module
        if spec.after_this:
            fw.after_this_request(self._after_this)
        watch.reach("view")
        watch.bind_session(work, "view")
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
                self.watch.wrong.append("a body was stepped or closed in its own step")

    # -- judging ------------------------------------------------------------------------------

    def _judge_answer(
        self,
        spec: Spec,
        statuses: list[str],
        raised: BaseException | None,
        error: BaseException | None,
        works: bool,
    ) -> None:
        wanted = error if error is not None and spec.fatal else None
        if raised is not wanted:
            self.watch.wrong.append(f"{spec}: raised {raised!r}, not {wanted!r}")
        if raised is None and [status[:3] for status in statuses] != ["200" if works else "500"]:
            self.watch.wrong.append(f"{spec}: status {statuses}")

    def _judge_log(
        self,
        spec: Spec,
        work: Running,
        failing: str | None,
        error: BaseException | None,
        body: Body | None,
    ) -> None:
        begin, way, end = self._points(spec)
        got = list(work.log)
        exc = None if failing is None or failing in end else error
        wanted: list[tuple[str, BaseException | None]] = []
        if failing in begin:
            # The answer to an error before matching is Flask's; no blueprint is known by then.
            end = [point for point in end if point != "teardown_request bp"]
            got = [entry for entry in got if entry[0] in end]
        else:
            wanted += [(point, None) for point in begin]
            for point in way:
                wanted.append((point, None))
                if point == failing:
                    if not spec.fatal:
                        again = way[way.index("view") + 1 :]
                        reached = way.index(point) >= way.index("view")
                        wanted += [(p, None) for p in again if reached or p != "after this"]
                    break
        if body is None or exc is not None:
            wanted += [(point, None if point == "appcontext_popped" else exc) for point in end]
        if got != wanted:
            self.watch.wrong.append(f"{spec}: hooks ran as {got}, not {wanted}")

    def _judge_logged(self, since: int, error: BaseException | None) -> None:
        if [found for found in self.watch.logged[since:] if found is error] == []:
            self.watch.wrong.append(f"{error!r} of an end was not reported")

    def end_of(self, body: Body, spec: Spec) -> list[str]:
        """The hooks that run at the end of a streamed body."""
        return self._points(spec)[2]
