"""What the tests of resources share: an application whose whole end is logged, and ways to call it.

Every step of a request's end writes a line to `Site.log`, so that a test can compare the whole
order. The resources are named after their lifetimes.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

from edges import called
from elsewhere import in_thread
from werkzeug.test import EnvironBuilder

import demijohn
from demijohn import on_commit, on_end, resource
from demijohn.signals import appcontext_popped, appcontext_tearing_down, request_tearing_down

LIFETIMES = ("context", "view", "body")


class Value:
    """What a resource gives: something with a name, and a number that tells instances apart."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.open = True
        self.dirty = False


class Boom(Exception):
    """An error that nobody handles."""


class Handled(Exception):
    """An error that a handler answers."""


def logged(log: list[str], name: str, declare: Any = resource, **options: Any) -> Any:
    """Declare a resource that writes its steps to `log`."""
    made: list[Value] = []

    def function() -> Iterator[Value]:
        value = Value(name, len(made))
        made.append(value)
        log.append(f"open {name}")
        try:
            yield value
        except GeneratorExit:
            log.append(f"left {name}")
            raise
        except BaseException as error:
            log.append(f"{type(error).__name__} in {name}")
            raise
        else:
            log.append(f"good {name}")
        finally:
            value.open = False
            log.append(f"close {name}")

    function.__name__ = name
    return declare(**options)(function)


class Errors(logging.Handler):
    """What an application logged, as exceptions."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.exc_info is not None
        error = record.exc_info[1]
        assert error is not None
        self.found.append(error)


class Site:
    """An application with a resource of each lifetime, whose whole end is logged."""

    def __init__(self, **config: Any) -> None:
        self.log: list[str] = []
        self.app = app = demijohn.Demijohn("resources_site", static_folder=None)
        app.config.update({"SECRET_KEY": "key", **config})
        app.logger.propagate = False
        self.errors = Errors()
        app.logger.handlers[:] = [self.errors]
        log = self.log
        self.resources = {name: logged(log, name, lifetime=name) for name in LIFETIMES}
        app.teardown_request(lambda exc: log.append(f"teardown_request {named(exc)}"))
        app.teardown_appcontext(lambda exc: log.append(f"teardown_appcontext {named(exc)}"))
        app.register_error_handler(Handled, lambda error: ("handled", 409))
        self.before_end: Callable[[], object] = lambda: None

        class Request(app.request_class):  # type: ignore[misc, name-defined]
            def close(self) -> None:
                log.append("request.close")
                super().close()

        app.request_class = Request
        # Signals hold their receivers weakly.
        self._receivers = [
            self._receive(signal, name)
            for signal, name in (
                (request_tearing_down, "request_tearing_down"),
                (appcontext_tearing_down, "appcontext_tearing_down"),
                (appcontext_popped, "appcontext_popped"),
            )
        ]

    def _receive(self, signal: Any, name: str) -> Any:
        def receiver(sender: Any, **values: Any) -> None:
            self.log.append(name)

        signal.connect(receiver, self.app)
        return receiver

    def use(self, *names: str) -> None:
        """Open what is named, or one of each lifetime, and register both callbacks."""
        for name in names or LIFETIMES:
            assert self.resources[name].name == name
        on_commit(self.log.append, "on_commit")
        on_end(self.log.append, "on_end")

    def view(self, view: Callable[[], Any]) -> Any:
        """Add the view of `/`."""
        return self.app.get("/")(view)

    def outcome_in_teardown(self) -> list[str | None]:
        """The list to which the end writes the outcome that it knows."""
        found: list[str | None] = []
        self.app.teardown_appcontext(lambda exc: found.append(demijohn.globals.app_ctx.outcome))
        return found


def named(exc: BaseException | None) -> str:
    return "None" if exc is None else type(exc).__name__


def the_end(
    exc: str = "None", good: bool = True, commits: bool | None = None, skip: tuple[str, ...] = ()
) -> list[str]:
    """Promise 5's order of an end in which one of each lifetime is open, opened in that order.

    `exc` is what the teardown functions get, `good` whether code goes on after the `yield`.
    """

    def closed(name: str) -> list[str]:
        how = "good" if good else "left" if exc == "None" else f"{exc} in"
        return [f"{how} {name}", f"close {name}"]

    commits = good if commits is None else commits
    order = [
        f"teardown_request {exc}",
        "request_tearing_down",
        *closed("body"),
        *closed("view"),
        "request.close",
        f"teardown_appcontext {exc}",
        "appcontext_tearing_down",
        *closed("context"),
        *(["on_commit"] if commits else []),
        "on_end",
        "appcontext_popped",
    ]
    return [entry for entry in order if entry not in skip]


OPENED = [f"open {name}" for name in LIFETIMES]


def environ_for(path: str = "/", **options: Any) -> dict[str, Any]:
    """A WSGI environ as a server gives it."""
    builder = EnvironBuilder(path, **options)
    environ = builder.get_environ()
    builder.close()
    environ["wsgi.input"] = io.BytesIO()
    return {key: value for key, value in environ.items() if not key.startswith("werkzeug.")}


class Served:
    """A request at a server edge: what was said, and the body that is still to be sent."""

    def __init__(self, app: Any, path: str = "/") -> None:
        self.status: str | None = None
        self.body: Any = called(app)(environ_for(path), self._start)

    def _start(self, status: str, headers: object, exc_info: object = None) -> Any:
        self.status = status
        return lambda data: None

    def close(self) -> None:
        close = getattr(self.body, "close", None)
        if close is not None:
            close()

    def read(self) -> bytes:
        """Send the body as a server does: every step, then `close()`, whatever happens."""
        try:
            return b"".join(self.body)
        finally:
            self.close()


def serve(app: Any, path: str = "/") -> str | None:
    """Serve one request to its end; the status."""
    served = Served(app, path)
    served.read()
    return served.status


__all__ = (
    "LIFETIMES",
    "OPENED",
    "Boom",
    "Errors",
    "Handled",
    "Served",
    "Site",
    "Value",
    "environ_for",
    "in_thread",
    "logged",
    "named",
    "serve",
    "the_end",
)
