"""Faults at every place of a request: who sees them, what runs all the same, what is left.

F4 to F7 of the fault list: teardown functions, signal receivers, opening and saving a session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flask
import pytest
from edge_calls import BOTH, call, get, make_app

import demijohn
from demijohn import signals

FATAL = [KeyboardInterrupt, SystemExit, GeneratorExit]
ERRORS = [ValueError, RecursionError, StopIteration, ExceptionGroup]
INTERNAL = "500 INTERNAL SERVER ERROR"


def make_error(kind: type[BaseException]) -> BaseException:
    if kind is ExceptionGroup:
        return ExceptionGroup("several", [ValueError(1), KeyError(2)])
    return kind("fault")


class Site:
    """An application with a fault at one place, and what its teardown functions were given."""

    def __init__(self, fw: Any, where: str, error: BaseException, **config: Any) -> None:
        self.app = app = make_app(fw, **config)
        self.ends: list[tuple[str, BaseException | None]] = []
        app.teardown_request(lambda exc: self.ends.append(("request", exc)))
        app.teardown_appcontext(lambda exc: self.ends.append(("app", exc)))

        def fail(*args: Any, **kwargs: Any) -> Any:
            raise error

        app.add_url_rule("/", "view", fail if where == "view" else lambda: "fine")
        app.add_url_rule("/<value>", "value", lambda value: "fine")
        if where == "before":
            app.before_request(fail)
        elif where == "after":
            app.after_request(fail)
        elif where == "preprocessor":
            app.url_value_preprocessor(fail)
        elif where == "handler":
            app.register_error_handler(404, fail)
        elif where == "make_response":
            app.make_response = fail
        elif where == "response":

            class Own(fw.Response):
                __call__ = fail

            app.response_class = Own
        elif where == "after_this_request":

            def view() -> str:
                fw.after_this_request(fail)
                return "fine"

            app.view_functions["view"] = view


PLACES = [
    "view",
    "before",
    "after",
    "preprocessor",
    "handler",
    "make_response",
    "after_this_request",
]


def path_of(where: str) -> str:
    return "/a/b" if where == "handler" else "/"


@BOTH
@pytest.mark.parametrize("kind", FATAL)
@pytest.mark.parametrize("where", PLACES)
def test_fatal_exceptions_go_through(fw: Any, kind: type[BaseException], where: str) -> None:
    """KeyboardInterrupt, SystemExit and GeneratorExit reach the server as they are; teardown
    functions get them.
    """
    error = make_error(kind)
    site = Site(fw, where, error)
    with pytest.raises(kind) as caught:
        call(site.app, path_of(where))
    assert caught.value is error
    assert site.ends == [("request", error), ("app", error)]


@pytest.mark.parametrize("kind", FATAL)
def test_fatal_exceptions_of_a_response(kind: type[BaseException]) -> None:
    """The same when the response itself raises while it is called."""
    error = make_error(kind)
    site = Site(demijohn, "response", error)
    with pytest.raises(kind) as caught:
        call(site.app)
    assert caught.value is error
    assert site.ends == [("request", error), ("app", error)]


@BOTH
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("where", ["view", "before", "preprocessor", "handler"])
def test_errors_become_a_500(
    fw: Any, kind: type[BaseException], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Any other error is logged once and answered with 500; the teardown functions get it, by
    identity.
    """
    error = make_error(kind)
    site = Site(fw, where, error)
    status, body = get(site.app, path_of(where))
    assert status == INTERNAL
    assert b"Internal Server Error" in body
    assert site.ends == [("request", error), ("app", error)]
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.getMessage() == f"Exception on {path_of(where)} [GET]"
    assert record.exc_info is not None and record.exc_info[1] is error


@BOTH
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("where", ["after", "after_this_request"])
def test_an_after_hook_that_always_fails(
    fw: Any, kind: type[BaseException], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An after hook that fails for the 500 page too is logged twice; the page is sent."""
    error = make_error(kind)
    site = Site(fw, where, error)
    assert get(site.app)[0] == INTERNAL
    assert site.ends == [("request", error), ("app", error)]
    assert [r.getMessage() for r in caplog.records] == [
        "Exception on / [GET]",
        "Request finalizing failed with an error while handling an error",
    ]


@BOTH
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("where", PLACES)
def test_errors_leave_where_they_propagate(where: str, kind: type[BaseException], fw: Any) -> None:
    """Where exceptions propagate, the error itself reaches the caller, after the teardown functions
    got it.
    """
    error = make_error(kind)
    site = Site(fw, where, error, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(kind) as caught:
        call(site.app, path_of(where))
    assert caught.value is error
    assert site.ends == [("request", error), ("app", error)]


@BOTH
@pytest.mark.parametrize("kind", [*ERRORS[:2], ExceptionGroup])
def test_no_response_can_be_made(fw: Any, kind: type[BaseException]) -> None:
    """When not even the 500 page can be made a response, the error reaches the server."""
    error = make_error(kind)
    site = Site(fw, "make_response", error)
    with pytest.raises(kind) as caught:
        call(site.app)
    assert caught.value is error
    assert site.ends == [("request", error), ("app", error)]


@BOTH
def test_recursion_without_end(fw: Any) -> None:
    """A view that recurses without end is a 500, and the next request is served."""
    app = make_app(fw)
    ends: list[BaseException | None] = []
    app.teardown_request(ends.append)

    @app.get("/deep")
    def deep() -> str:
        return deep()

    app.add_url_rule("/", "view", lambda: "fine")
    assert get(app, "/deep")[0] == INTERNAL
    assert isinstance(ends[0], RecursionError)
    assert get(app) == ("200 OK", b"fine")


# -- errors of the end (F4) ------------------------------------------------------------------------


def teardown_site(*errors: BaseException | None, **config: Any) -> tuple[Any, list[str]]:
    """An application with one teardown_request and one teardown_appcontext function for each
    error.
    """
    app = make_app(**config)
    log: list[str] = []

    def add(register: Callable[[Any], Any], name: str, error: BaseException | None) -> None:
        @register
        def teardown(exc: BaseException | None) -> None:
            log.append(name)
            if error is not None:
                raise error

    for n, error in enumerate(errors):
        add(app.teardown_request, f"request{n}", error)
        add(app.teardown_appcontext, f"app{n}", error)
    app.add_url_rule("/plain", "plain", lambda: "fine")
    app.add_url_rule("/stream", "stream", lambda: iter(["fine"]))
    app.add_url_rule("/fail", "fail", lambda: 1 / 0)
    return app, log


ALL = ["request2", "request1", "request0", "app2", "app1", "app0"]


@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_failing_teardown_spoils_nothing(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Errors of teardown functions are logged, one record each; the good response is sent and all
    functions run.
    """
    errors = [ValueError("0"), None, KeyError("2")]
    app, log = teardown_site(*errors)
    assert get(app, path) == ("200 OK", b"fine")
    assert log == ALL
    found = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert found == [errors[2], errors[0], errors[2], errors[0]]
    assert all(
        r.getMessage().startswith("Error at the end of <RequestContext ") for r in caplog.records
    )


@pytest.mark.parametrize("testing", [True, False])
@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_server_gets_the_response_in_testing_too(path: str, testing: bool) -> None:
    """At a server edge TESTING changes nothing about a failing teardown."""
    app, log = teardown_site(ValueError("0"), None, None, TESTING=testing)
    assert get(app, path) == ("200 OK", b"fine")
    assert log == ALL


def test_a_failing_teardown_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """After a 500, errors of teardown functions are logged beside the view's."""
    app, log = teardown_site(ValueError("0"), None, None)
    assert get(app, "/fail")[0] == INTERNAL
    assert log == ALL
    found = [type(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert found == [ZeroDivisionError, ValueError, ValueError]


def test_a_failing_teardown_does_not_hide_the_views_error() -> None:
    """Where exceptions propagate, the server gets the view's error; the teardown's is logged."""
    app, log = teardown_site(ValueError("0"), None, None, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(ZeroDivisionError):
        call(app, "/fail")
    assert log == ALL


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_fatal_exception_in_teardown(
    kind: type[BaseException], path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """KeyboardInterrupt and SystemExit of a teardown function reach the server after all functions
    ran.
    """
    app, log = teardown_site(ValueError("0"), kind("1"), None)
    with pytest.raises(BaseExceptionGroup) as caught:
        get(app, path)
    assert [type(error) for error in caught.value.exceptions] == [kind, kind]
    assert log == ALL
    assert [type(r.exc_info[1]) for r in caplog.records if r.exc_info] == [ValueError, ValueError]


def test_an_overridden_teardown_that_fails() -> None:
    """do_teardown_request and do_teardown_appcontext of a subclass may fail too: the other one
    still runs.
    """
    log: list[str] = []

    class Own(demijohn.Demijohn):
        def do_teardown_request(self, exc: Any = None) -> None:
            log.append("request")
            raise ValueError("request")

        def do_teardown_appcontext(self, exc: Any = None) -> None:
            log.append("app")
            raise ValueError("app")

    app = Own("own", static_folder=None)
    app.add_url_rule("/", "view", lambda: "fine")
    assert get(app) == ("200 OK", b"fine")
    assert log == ["request", "app"]


# -- signal receivers (F5) -------------------------------------------------------------------------

BEFORE = ["appcontext_pushed", "request_started"]
AFTER = ["request_tearing_down", "appcontext_tearing_down", "appcontext_popped"]


@contextmanager
def failing(fw: Any, name: str, app: Any, error: BaseException) -> Iterator[None]:
    """With a receiver of the signal that raises."""

    def receiver(sender: Any, **kwargs: Any) -> None:
        raise error

    with getattr(fw.signals, name).connected_to(receiver, sender=app):
        yield


@pytest.mark.parametrize("name", BEFORE)
def test_a_receiver_that_fails_before_the_view(name: str) -> None:
    """A receiver's error before the view is a 500; teardown functions run once and nothing stays
    pushed.
    """
    error = ValueError("receiver")
    site = Site(demijohn, "", error)
    with failing(demijohn, name, site.app, error):
        assert get(site.app)[0] == INTERNAL
    assert site.ends == [("request", error), ("app", error)]
    assert get(site.app) == ("200 OK", b"fine")


def test_a_receiver_of_request_started_as_in_flask() -> None:
    """A receiver of request_started that fails is handled as a view that fails, in Flask too."""
    for fw in (flask, demijohn):
        error = ValueError("receiver")
        site = Site(fw, "", error)
        site.app.register_error_handler(ValueError, lambda e: ("handled", 503))
        with failing(fw, "request_started", site.app, error):
            assert get(site.app) == ("503 SERVICE UNAVAILABLE", b"handled")
        assert site.ends == [("request", None), ("app", None)]


@BOTH
def test_a_receiver_of_request_finished_that_fails(
    fw: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver of request_finished that fails makes a 500; its failure for that too is logged."""
    error = ValueError("receiver")
    site = Site(fw, "", error)
    with failing(fw, "request_finished", site.app, error):
        assert get(site.app)[0] == INTERNAL
    assert site.ends == [("request", error), ("app", error)]
    assert len(caplog.records) == 2


@BOTH
def test_a_receiver_of_got_request_exception_that_fails(fw: Any) -> None:
    """A receiver of got_request_exception that fails leaves the app; the teardown functions get an
    error, once.
    """
    site = Site(fw, "view", ValueError("view"))
    error = LookupError("receiver")
    receiving = failing(fw, "got_request_exception", site.app, error)
    with receiving, pytest.raises(LookupError) as caught:
        call(site.app)
    assert caught.value is error
    assert [name for name, _ in site.ends] == ["request", "app"]


@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_receiver_that_fails_at_the_end(
    name: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver's error at the end is logged, the response is sent, and all teardown functions
    run.
    """
    app, log = teardown_site(None, None, None)
    with failing(demijohn, name, app, ValueError("receiver")):
        assert get(app, path) == ("200 OK", b"fine")
    assert log == ALL
    assert [str(r.exc_info[1]) for r in caplog.records if r.exc_info] == ["receiver"]


@pytest.mark.parametrize("name", [*BEFORE, "request_finished", *AFTER])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_fatal_exception_in_a_receiver(name: str, kind: type[BaseException]) -> None:
    """A fatal exception of a receiver reaches the server, all teardown functions run once, nothing
    stays pushed.
    """
    app, log = teardown_site(None, None, None)
    with failing(demijohn, name, app, kind("receiver")), pytest.raises(kind):
        call(app, "/plain")
    assert log == ALL


def test_other_receivers_of_a_sender() -> None:
    """A receiver for another application is not called."""
    app, other = make_app(), make_app()
    app.add_url_rule("/", "view", lambda: "fine")
    with failing(demijohn, "request_started", other, ValueError()):
        assert get(app) == ("200 OK", b"fine")
    assert not signals.request_started.receivers


# -- sessions (F6, F7) -----------------------------------------------------------------------------


class Store(demijohn.sessions.SessionInterface):
    """A session store that is down at one step."""

    def __init__(self, down: str, error: BaseException) -> None:
        self.down = down
        self.error = error
        self.saved: list[dict[str, Any]] = []

    def open_session(self, app: Any, request: Any) -> Any:
        if self.down == "open":
            raise self.error
        if self.down == "none":
            return None
        return demijohn.sessions.SecureCookieSession()

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        if self.down == "save":
            response.headers["Set-Cookie"] = "half=1"
            raise self.error
        self.saved.append(dict(session))


def store_site(fw: Any, down: str, error: BaseException, **config: Any) -> Any:
    site = Site(fw, "", error, **config)

    # Each package asks for its own base class only by its methods.
    site.app.session_interface = Store(down, error)

    @site.app.get("/write")
    def write() -> str:
        fw.session["a"] = 1
        return "written"

    return site


@pytest.mark.parametrize("path", ["/", "/write"])
@BOTH
def test_opening_a_session_fails(fw: Any, path: str) -> None:
    """When opening the session fails, the answer is a 500 and the teardown functions run."""
    error = OSError("store is down")
    site = store_site(fw, "open", error)
    assert get(site.app, path)[0] == INTERNAL
    assert site.ends == [("request", error), ("app", error)]


@BOTH
def test_opening_a_session_fails_and_is_handled(fw: Any) -> None:
    """The handler for 500 gets the store's error as the original one."""
    error = OSError("store is down")
    site = store_site(fw, "open", error)
    site.app.register_error_handler(500, lambda e: (repr(e.original_exception), 503))
    assert get(site.app) == ("503 SERVICE UNAVAILABLE", b"OSError('store is down')")
    assert site.ends == [("request", error), ("app", error)]


@BOTH
@pytest.mark.parametrize("kind", FATAL)
@pytest.mark.parametrize("down", ["open", "save"])
def test_a_fatal_exception_of_the_store(fw: Any, kind: type[BaseException], down: str) -> None:
    """A fatal exception of the store reaches the server; the teardown functions get it once."""
    error = make_error(kind)
    site = store_site(fw, down, error)
    with pytest.raises(kind) as caught:
        call(site.app)
    assert caught.value is error
    assert site.ends == [("request", error), ("app", error)]


@BOTH
@pytest.mark.parametrize("path", ["/", "/write"])
def test_saving_a_session_fails(fw: Any, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """When saving fails, the answer is a 500 without the half-made cookie of the view's
    response.
    """
    error = OSError("store is down")
    site = store_site(fw, "save", error)
    exchange = call(site.app, path)
    assert exchange.status == INTERNAL
    assert exchange.header("Content-Type") == "text/html; charset=utf-8"
    assert b"written" not in exchange.read()
    assert site.ends == [("request", error), ("app", error)]
    assert [r.getMessage() for r in caplog.records] == [
        f"Exception on {path} [GET]",
        "Request finalizing failed with an error while handling an error",
    ]


@BOTH
@pytest.mark.parametrize("down", ["open", "save"])
def test_a_failing_store_where_errors_propagate(fw: Any, down: str) -> None:
    """Where exceptions propagate, the store's error reaches the caller."""
    error = OSError("store is down")
    site = store_site(fw, down, error, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(OSError) as caught:
        call(site.app)
    assert caught.value is error
    assert site.ends == [("request", error), ("app", error)]


@BOTH
def test_a_store_that_has_no_session(fw: Any) -> None:
    """A store that opens nothing leaves a session that refuses writes, and is not asked to save."""
    site = store_site(fw, "none", OSError())
    if fw is not demijohn:
        site.app.session_interface.null_session_class = fw.sessions.NullSession
    assert get(site.app) == ("200 OK", b"fine")
    assert get(site.app, "/write")[0] == INTERNAL
    assert site.app.session_interface.saved == []
