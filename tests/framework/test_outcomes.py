"""How a context ended is known to what runs at its end (promise 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from edges import called
from werkzeug.exceptions import InternalServerError
from werkzeug.test import create_environ, run_wsgi_app

from demijohn import Demijohn, abort, app_ctx

Log = list[tuple[str, str, str]]


def make_app(log: Log) -> Demijohn:
    """An application whose teardown functions write down the outcome and the exception's type."""
    app = Demijohn(__name__, static_folder=None)

    @app.teardown_request
    def of_request(exc: BaseException | None) -> None:
        log.append(("request", str(app_ctx.outcome), type(exc).__name__))

    @app.teardown_appcontext
    def of_app(exc: BaseException | None) -> None:
        log.append(("app", str(app_ctx.outcome), type(exc).__name__))

    @app.get("/fine")
    def fine() -> str:
        assert app_ctx.outcome is None
        return "fine"

    @app.get("/abort")
    def refuse() -> str:
        abort(403)

    @app.get("/fail")
    def fail() -> str:
        raise LookupError

    @app.get("/stream")
    def stream() -> Iterator[str]:
        yield "one"
        raise OSError

    return app


@pytest.mark.parametrize("path", ["/fine", "/abort", "/nowhere"])
def test_a_good_end(path: str) -> None:
    """A request that was answered, by an HTTP exception too, ended well."""
    log: Log = []
    make_app(log).test_client().get(path)
    assert log == [("request", "ok", "NoneType"), ("app", "ok", "NoneType")]


def test_an_error_that_nobody_handled() -> None:
    """An exception without a handler is an error's end, although the client got a 500."""
    log: Log = []
    assert make_app(log).test_client().get("/fail").status_code == 500
    assert log == [("request", "error", "LookupError"), ("app", "error", "LookupError")]


def test_an_error_in_the_body() -> None:
    """An exception in a streamed body is an error's end, although the status line was sent."""
    log: Log = []
    app = make_app(log)
    body, status, _ = run_wsgi_app(called(app), create_environ("/stream"))
    assert status == "200 OK"
    with pytest.raises(OSError):
        list(body)
    assert log[-1] == ("app", "error", "OSError")


@pytest.mark.parametrize("handled", [LookupError, Exception])
def test_a_handler_for_an_exception(handled: type[Exception]) -> None:
    """An exception whose handler made the response is told from a good end; `exc` is None."""
    log: Log = []
    app = make_app(log)
    app.register_error_handler(handled, lambda error: ("handled", 200))
    assert app.test_client().get("/fail").text == "handled"
    assert log == [("request", "handled", "NoneType"), ("app", "handled", "NoneType")]


@pytest.mark.parametrize("code", [500, InternalServerError])
def test_a_handler_for_the_500(code: Any) -> None:
    """A handler for the 500 makes its page; the exception itself stays unhandled."""
    log: Log = []
    app = make_app(log)
    app.register_error_handler(code, lambda error: ("page", 500))
    assert app.test_client().get("/fail").text == "page"
    assert log[-1] == ("app", "error", "LookupError")


def test_a_handler_that_fails() -> None:
    """A handler that raises itself leaves an error."""
    log: Log = []
    app = make_app(log)

    @app.errorhandler(LookupError)
    def handle(error: LookupError) -> str:
        raise OSError

    assert app.test_client().get("/fail").status_code == 500
    assert log[-1] == ("app", "error", "OSError")


def test_a_handler_for_an_http_exception() -> None:
    """A handler for an HTTP exception answers, and the end is a good one."""
    log: Log = []
    app = make_app(log)
    app.register_error_handler(403, lambda error: ("handled", 200))
    assert app.test_client().get("/abort").text == "handled"
    assert log[-1] == ("app", "ok", "NoneType")


ERRORS = [None, ValueError("wrong"), KeyboardInterrupt()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_request_by_hand(error: BaseException | None) -> None:
    """A `with` block of a request that an exception leaves ends with an error, any other well."""
    log: Log = []
    with suppress(ValueError, KeyboardInterrupt), make_app(log).test_request_context("/fine"):
        if error is not None:
            raise error
    wanted = ("ok" if error is None else "error", type(error).__name__)
    assert log == [("request", *wanted), ("app", *wanted)]


@pytest.mark.parametrize("looked_at", [True, False])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_app_context(error: BaseException | None, looked_at: bool) -> None:
    """The same holds of an app context, also where no teardown function looks."""
    log: Log = []
    app = make_app(log) if looked_at else Demijohn(__name__, static_folder=None)
    ctx = app.app_context()
    with suppress(ValueError, KeyboardInterrupt), ctx:
        assert ctx.outcome is None
        if error is not None:
            raise error
    assert ctx.outcome == ("ok" if error is None else "error")
    if looked_at:
        assert log == [("app", str(ctx.outcome), type(error).__name__)]


def test_a_request_in_the_tests_app_context() -> None:
    """A request that joins an app context does not tell how that one ends."""
    log: Log = []
    app = make_app(log)
    with app.app_context() as ctx:
        assert app.test_client().get("/fail").status_code == 500
        assert ctx.outcome is None
    assert log == [("request", "None", "LookupError"), ("app", "ok", "NoneType")]


def test_the_outcome_stays() -> None:
    """After the end the context still tells how it ended, and a successor begins without one."""
    ctx = make_app([]).app_context()
    with pytest.raises(ValueError), ctx:
        raise ValueError
    assert ctx.outcome == "error"
    with ctx:
        assert ctx.outcome is None
    assert ctx.outcome == "ok"
