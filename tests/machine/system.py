"""A framework's contexts as the machine drives them, by the names that Flask and Demijohn share.

`System` has the applications, whose hooks report to the `Watch` of the example that runs. What
should happen is the model's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from werkzeug.test import EnvironBuilder

REQUEST_SIGNALS = ["request_started", "request_finished", "request_tearing_down"]
APP_SIGNALS = ["appcontext_pushed", "appcontext_tearing_down", "appcontext_popped"]


class Slot:
    """An app context's `g`: unknown until somebody looks, and then always the same object."""

    def __init__(self) -> None:
        self.g: object | None = None


@dataclass
class Running:
    """The work that runs now: what its hooks must see, and what they logged."""

    app: Any
    slot: Slot | None = None
    request: object | None = None
    outer: object | None = None
    """The request that hooks of the app context see: none at an edge, the one below by hand."""
    session: object | None = None
    edge: bool = False
    view: Callable[[], Any] | None = None
    log: list[tuple[str, BaseException | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """What the proxies stand for in some place."""

    app: object | None
    g: object | None
    request: object | None


class Watch:
    """What one example's hooks report: who runs, what fails next, what was wrong."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.active: list[Running] = []
        self.fails: dict[str, BaseException] = {}
        self.wrong: list[str] = []
        self.logged: list[BaseException | None] = []
        self._slots: list[Slot] = []
        self._requests: list[object] = []
        self._sessions: list[object] = []

    @contextmanager
    def running(
        self, work: Running, fails: dict[str, BaseException] | None = None
    ) -> Iterator[None]:
        """Attribute to `work` what the hooks report; `fails` are the errors they raise, once
        each."""
        outer, self.fails = self.fails, dict(fails or {})
        self.active.append(work)
        try:
            yield
        finally:
            self.active.pop()
            self.fails = outer

    def reach(self, point: str, exc: BaseException | None = None) -> None:
        """A hook was called. Looks at what it sees, and raises what is to fail here."""
        if not self.active:
            self.wrong.append(f"{point} ran while nothing did")
            return
        work = self.active[-1]
        work.log.append((point, exc))
        if point != "appcontext_popped":
            self.look(work, point)
        error = self.fails.pop(point, None)
        if error is not None:
            raise error

    def look(self, work: Running, point: str) -> None:
        """Compare what the proxies show inside `work` with what belongs to it."""
        seen = self.system.see(self.wrong)
        of_app = point.startswith(("appcontext", "teardown_appcontext"))
        if seen.app is not work.app:
            self.wrong.append(f"{point}: current_app is {seen.app!r}, not {work.app!r}")
        self.bind_g(work, seen.g, point)
        if of_app:
            if seen.request is not work.outer:
                self.wrong.append(f"{point}: request is {seen.request!r}, not {work.outer!r}")
        elif work.request is None and seen.request is not None:
            if any(seen.request is other for other in self._requests):
                self.wrong.append(f"{point}: a new request sees the request of another")
            work.request = seen.request
            self._requests.append(seen.request)
        elif seen.request is not work.request:
            self.wrong.append(f"{point}: request is {seen.request!r}, not {work.request!r}")

    def know_request(self, request: object) -> None:
        """A request that was made by hand."""
        self._requests.append(request)

    def bind_g(self, work: Running, g: object, point: str) -> None:
        """`g` must be the one that `work` had before; a new one must be nobody else's."""
        if work.slot is None:
            work.slot = Slot()
        self.bind(work.slot, g, point)

    def bind(self, slot: Slot, g: object, point: str) -> None:
        """The same for a slot."""
        if g is None:
            self.wrong.append(f"{point}: no g")
        elif slot.g is None:
            if any(g is other.g for other in self._slots):
                self.wrong.append(f"{point}: a new context has the g of another")
            slot.g = g
            self._slots.append(slot)
        elif slot.g is not g:
            self.wrong.append(f"{point}: not the g that this context had before")

    def bind_session(self, work: Running, point: str) -> None:
        """The same for the session."""
        session = self.system.module.session._get_current_object()
        if work.session is None:
            if any(session is other for other in self._sessions):
                self.wrong.append(f"{point}: a new request has the session of another")
            work.session = session
            self._sessions.append(session)
        elif work.session is not session:
            self.wrong.append(f"{point}: not the session that this request had before")


class _Log(logging.Handler):
    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.system.watch.logged.append(error)


class System:
    """Applications of one framework: "one" and "two" with hooks everywhere, "bare" with none.

    "aside" is for contexts that requests push inside: what it signals is not looked at.
    """

    detaches = True
    """Whether a copied function has a request of its own, and sees no other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module = import_module(name)
        self.signals = import_module(f"{name}.signals")
        self.watch = Watch(self)
        self.apps = [self._with_hooks("one"), self._with_hooks("two")]
        self.apps += [self._app("bare"), self._app("aside")]
        self._open_session_here(self.apps[1])

    # -- applications -------------------------------------------------------------------------

    def _app(self, name: str) -> Any:
        app = self.module.Flask(f"{self.name}_{name}", static_folder=None)
        app.secret_key = "machine"
        app.logger.handlers = [_Log(self)]
        app.logger.propagate = False
        bp = self.module.Blueprint("bp", self.name)
        for registrar in (app, bp):
            registrar.add_url_rule("/plain", "plain", lambda: self.watch.active[-1].view())
        if name in ("one", "two"):
            bp.teardown_request(lambda exc: self.watch.reach("teardown_request bp", exc))
        app.register_blueprint(bp, url_prefix="/bp")
        return app

    def _with_hooks(self, name: str) -> Any:
        app = self._app(name)
        app.before_request(lambda: self.watch.reach("before"))
        app.after_request(self._after)
        for number in (1, 2):
            for kind in ("teardown_request", "teardown_appcontext"):
                point = f"{kind} {number}"
                getattr(app, kind)(lambda exc, point=point: self.watch.reach(point, exc))
        return app

    def _after(self, response: Any) -> Any:
        self.watch.reach("after")
        return response

    def _open_session_here(self, app: Any) -> None:
        system = self
        base = import_module(f"{self.name}.sessions").SecureCookieSessionInterface

        class Watched(base):  # type: ignore[misc, valid-type]
            def open_session(self, app: Any, request: Any) -> Any:
                system.watch.reach("open_session")
                return super().open_session(app, request)

        app.session_interface = Watched()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Let every signal report, too."""
        receivers = []
        for name in REQUEST_SIGNALS + APP_SIGNALS:

            def receive(sender: Any, name: str = name, exc: Any = None, **rest: Any) -> None:
                if sender in self.apps[:3]:
                    self.watch.reach(name, exc)

            receivers.append((getattr(self.signals, name), receive))
        for signal, receiver in receivers:
            signal.connect(receiver)
        try:
            yield
        finally:
            for signal, receiver in receivers:
                signal.disconnect(receiver)

    # -- what the machine asks ----------------------------------------------------------------

    def see(self, wrong: list[str]) -> Seen:
        """What the proxies stand for here; adds to `wrong` what does not fit together."""
        fw = self.module
        seen: list[object | None] = []
        for has, proxies in (
            (fw.has_app_context(), (fw.current_app, fw.g)),
            (fw.has_request_context(), (fw.request,)),
        ):
            for proxy in proxies:
                if has:
                    found = proxy._get_current_object()
                    if found is not proxy._get_current_object():
                        wrong.append(f"{found!r} is not the same twice")
                    seen.append(found)
                    continue
                seen.append(None)
                if bool(proxy):
                    wrong.append("a proxy is true outside its context")
                try:
                    proxy.anything  # noqa: B018
                except RuntimeError:
                    continue
                wrong.append("a proxy works outside its context")
        return Seen(*seen)

    def environ(self, path: str) -> dict[str, Any]:
        """A request's environ."""
        return EnvironBuilder(path).get_environ()

    def isolated_get(self, app: Any, path: str) -> int:
        """Ask with the framework's own test client, from clean; the answer's status."""
        return int(app.test_client().get(path).status_code)


class Demijohn(System):
    """Ours."""

    def __init__(self) -> None:
        super().__init__("demijohn")

    def isolated_get(self, app: Any, path: str) -> int:
        return int(app.test_client(isolated=True).get(path).status_code)


class Flask(System):
    """The known-bad control."""

    detaches = False

    def __init__(self) -> None:
        super().__init__("flask")
