"""A framework's contexts as the machine drives them, by the names that Flask and Demijohn share.

`System` has the applications, whose hooks report to the `Watch` of the example that runs. What
should happen is the model's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from werkzeug.test import EnvironBuilder

from .places import attempt
from .resources import NoResources, Resources
from .watch import LAST, Handled, Seen, Watch

REQUEST_SIGNALS = ["request_started", "request_finished", "request_tearing_down"]
APP_SIGNALS = ["appcontext_pushed", "appcontext_tearing_down", "appcontext_popped"]


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
        self.looks = 0
        self.resources = self.make_resources()
        self.apps = [self._with_hooks("one"), self._with_hooks("two")]
        self.apps += [self._app("bare"), self._app("aside")]
        self._open_session_here(self.apps[1])

    # -- applications -------------------------------------------------------------------------

    def _app(self, name: str) -> Any:
        app = self.module.Flask(f"{self.name}_{name}", static_folder=None)
        app.secret_key = "machine"
        app.logger.handlers = [_Log(self)]
        app.logger.propagate = False
        if hasattr(app, "carry"):
            app.carry("mark")
        app.register_error_handler(Handled, lambda error: ("handled", 409))
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
                getattr(app, kind)(lambda exc, point=point: self._end(point, exc))
        return app

    def _end(self, point: str, exc: BaseException | None) -> None:
        self.watch.reach(point, exc)
        del exc
        if point == LAST and self.watch.active and self.watch.active[-1].late:
            self.resources.use("plain")

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

            def save_session(self, app: Any, session: Any, response: Any) -> None:
                system.watch.reach("save_session")
                super().save_session(app, session, response)

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

    def see(self, watch: Watch) -> Seen:
        """What the proxies stand for here; says what does not fit together."""
        fw = self.module
        app = g = request = None
        if fw.has_app_context():
            app, g = self._stable(fw.current_app, watch), self._stable(fw.g, watch)
        else:
            self._nothing(fw.current_app, watch)
            self._nothing(fw.g, watch)
        if fw.has_request_context():
            request = self._stable(fw.request, watch)
        else:
            self._nothing(fw.request, watch)
        return Seen(app, g, request)

    def _stable(self, proxy: Any, watch: Watch) -> object:
        found: object = proxy._get_current_object()
        if found is not proxy._get_current_object():
            watch.say(21, f"{found!r} is not the same twice")
        return found

    def _nothing(self, proxy: Any, watch: Watch) -> None:
        if bool(proxy):
            watch.say(21, "a proxy is true outside its context")
        # An explained error takes 20 microseconds: each proxy is asked now and then.
        self.looks += 1
        if self.looks % 7:
            return
        kind = type(attempt(lambda: proxy.anything)[1])
        if not issubclass(kind, RuntimeError):
            watch.say(21, f"outside its context a proxy raises {kind}")

    def environ(self, path: str) -> dict[str, Any]:
        """A request's environ."""
        return EnvironBuilder(path).get_environ()

    def isolated_get(self, app: Any, path: str) -> int:
        """Ask with the framework's own test client, from clean; the answer's status."""
        return int(app.test_client().get(path).status_code)

    def make_resources(self) -> Any:
        """What the framework has of resources; nothing."""
        return NoResources()


class Demijohn(System):
    """Ours."""

    def __init__(self) -> None:
        super().__init__("demijohn")

    def make_resources(self) -> Any:
        return Resources(self)

    def isolated_get(self, app: Any, path: str) -> int:
        return int(app.test_client(isolated=True).get(path).status_code)


class Flask(System):
    """The known-bad control."""

    detaches = False

    def __init__(self) -> None:
        super().__init__("flask")
