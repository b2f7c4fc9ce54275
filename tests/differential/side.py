"""One framework's side: runs a program, makes its calls, and tells everything that shows.

Of a call these are the status and the headers in their order, the items of the body, the log of
what ran with which contexts it saw, the records of the application's logger, and the exception that
left the application.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Callable
from contextvars import copy_context
from types import ModuleType
from typing import Any

from edges import called

from . import kit
from .clock import NOW, Clock
from .model import Call, Outcome

OWN = (kit.Oops, kit.Worse, kit.Numbered, kit.Teapot)


def load(name: str) -> ModuleType:
    """A framework, with the modules that programs name."""
    framework = importlib.import_module(name)
    for part in ("views", "sessions", "json.provider", "testing", "ctx", "templating"):
        importlib.import_module(f"{name}.{part}")
    return framework


def told(error: BaseException) -> str:
    """An exception by its type, and its arguments where they are the program's own."""
    if isinstance(error, BaseExceptionGroup):
        return f"group of {', '.join(sorted(told(inner) for inner in error.exceptions))}"
    if isinstance(error, OWN):
        return repr(error)
    return type(error).__name__


class Caller:
    """Makes calls, and keeps cookies between them."""

    def __init__(
        self, framework: ModuleType, app: Any, asked: set[str], log: Callable[..., None]
    ) -> None:
        self.framework = framework
        self.app = app
        self.asked = asked
        self.log = log
        self.cookies: dict[str, str] = {}
        self.client: Any = None

    def call(self, call: Call) -> Outcome:
        """Make one call."""
        Clock.now += call.wait
        self.asked.clear()
        self.asked.update(call.asked)
        outcome = Outcome()
        try:
            if call.client:
                self.by_client(call, outcome)
            else:
                self.by_server(call, outcome)
        except Exception as error:
            outcome.error = told(error)
            error.__traceback__ = None
            if call.client:
                # Flask's would bring the contexts of this call to the next one.
                self.client = None
        return outcome

    def by_server(self, call: Call, outcome: Outcome) -> None:
        """Call the application as a server does."""

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            self.log("start", status)
            outcome.status, outcome.headers = status, list(headers)
            return outcome.body.append

        body: Any = None
        try:
            body = called(self.app)(self.environ(call), start_response)
            self.log("returned")
            for number, item in enumerate(body):
                if number == call.steps:
                    break
                outcome.body.append(item)
                self.log("sent", item)
        finally:
            if hasattr(body, "close"):
                body.close()
            self.log("closed")
            self.keep(outcome.headers)

    def environ(self, call: Call) -> dict[str, Any]:
        name, _, port = call.host.partition(":")
        environ = {
            "REQUEST_METHOD": call.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": call.path.encode().decode("latin-1"),
            "QUERY_STRING": call.query,
            "SERVER_NAME": name,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": call.host,
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(call.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **call.environ,
        }
        if self.cookies and call.carry:
            environ["HTTP_COOKIE"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        for header, value in call.headers:
            environ["HTTP_" + header.upper().replace("-", "_")] = value
        return environ

    def keep(self, headers: list[tuple[str, str]]) -> None:
        """Take cookies over, whatever they are for."""
        for header, value in headers:
            if header.lower() == "set-cookie":
                name, _, rest = value.partition(";")[0].partition("=")
                self.cookies.pop(name, None)
                if "Max-Age=0" not in value:
                    self.cookies[name] = rest

    def by_client(self, call: Call, outcome: Outcome) -> None:
        """Call the application through its own test client."""
        if self.client is None:
            self.client = self.app.test_client()
        if "transaction" in call.ways:
            with self.client.session_transaction() as session:
                session["by"] = session.get("by", 0) + 1
        if "with" in call.ways:
            with self.client:
                self.send(call, outcome)
                request = self.framework.request
                self.log("kept", request.path, sorted(self.framework.g))
                self.log("kept", sorted(self.framework.session.items(), key=str))
        else:
            self.send(call, outcome)

    def send(self, call: Call, outcome: Outcome) -> None:
        """Send a call with the test client."""
        response = self.client.open(
            call.path,
            method=call.method,
            query_string=call.query,
            base_url=f"http://{call.host}" if " " not in call.host else None,
            headers=call.headers,
            data=call.body or None,
            content_type=call.environ.get("CONTENT_TYPE"),
            follow_redirects="follow" in call.ways,
        )
        outcome.status, outcome.headers = response.status, list(response.headers)
        self.log("returned", response.status)
        outcome.body = [response.get_data()]
        response.close()


class Records(logging.Handler):
    """Keeps what the application logs: level, text, and which exception goes with it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = f"{record.levelname} {record.getMessage()}"
        self.kept.append(text if error is None else f"{text}: {told(error)}")


class Side:
    """One framework with the log of what its programs do."""

    def __init__(self, framework: ModuleType) -> None:
        self.framework = framework
        self.log: list[str] = []
        self.asked: set[str] = set()
        self.receivers: list[Any] = []
        self.records = Records()
        self.compiled: dict[str, Any] = {}

    def write(self, *what: object) -> None:
        """The log: values, with `a` where an app context is seen and `r` where a request."""
        app = "a" * self.framework.has_app_context()
        request = "r" * self.framework.has_request_context()
        entry = " ".join(item if type(item) is str else shown(item) for item in what)
        self.log.append(f"{entry} [{app}{request}]")

    def watch(self, app: Any, signals: tuple[str, ...]) -> None:
        """Log some signals of an application."""
        for name in signals:

            def receive(sender: Any, name: str = name, **details: Any) -> None:
                values = [
                    details[key]
                    for key in ("exc", "exception", "message", "category")
                    if key in details
                ]
                values += [details[key].name for key in ("template",) if key in details]
                values += [details[key].status for key in ("response",) if key in details]
                self.write(f"signal {name}", *values)

            getattr(self.framework, name).connect(receive, sender=app)
            self.receivers.append(receive)

    def make(self, program: str) -> Any:
        """The application of a program."""
        logger = logging.getLogger("app")
        logger.handlers[:], logger.propagate, logger.disabled = [self.records], False, False
        logger.setLevel(logging.NOTSET)
        Clock.now = NOW
        self.receivers.clear()
        namespace = kit.names(self.framework, self.write, self.asked.__contains__)
        namespace["watch"] = self.watch
        if program not in self.compiled:
            if len(self.compiled) > 2000:
                self.compiled.clear()
            self.compiled[program] = compile(program, "<program>", "exec")
        exec(self.compiled[program], namespace)
        return namespace["app"]

    def run(
        self, program: str, calls: list[Call], before_call: Callable[[Any], None] | None = None
    ) -> list[Outcome]:
        """Make the application and the calls; the first outcome is that of the set-up."""
        self.log.clear()
        self.records.kept.clear()
        outcomes = [Outcome()]
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                app = self.make(program)
            except Exception as error:
                outcomes[0].error = told(error)
                app = None
            self.collect(outcomes[0], warned)
            if app is None:
                return outcomes
            caller = Caller(self.framework, app, self.asked, self.write)
            for call in calls:
                if before_call is not None:
                    before_call(app)
                # In a Context of its own: what one call leaves behind is not the next one's.
                outcome = copy_context().run(caller.call, call)
                self.collect(outcome, warned)
                outcomes.append(outcome)
        return outcomes

    def collect(self, outcome: Outcome, warned: list[Any]) -> None:
        """Put what was logged and warned of into an outcome."""
        outcome.log, self.log[:] = list(self.log), []
        outcome.records, self.records.kept[:] = list(self.records.kept), []
        outcome.records += [
            f"{one.category.__name__}" for one in warned if one.category is not ResourceWarning
        ]
        warned.clear()


def shown(item: object) -> str:
    """A value in the log."""
    return told(item) if isinstance(item, BaseException) else repr(item)
