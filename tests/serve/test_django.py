"""An application context for each request of a Django project."""

from __future__ import annotations

import contextvars
import gc
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django_site
import pytest
from django.test import override_settings
from django_site import Meeting, log, number, shop
from edge_calls import Exchange, call, get
from elsewhere import in_thread
from werkzeug.serving import make_server
from werkzeug.wsgi import FileWrapper

import demijohn
from demijohn import AppContextMiddleware, app_ctx, g, has_app_context, on_commit, resource
from demijohn.context import ContextWarning

site = AppContextMiddleware(django_site.application, shop)
PATIENCE = 60.0  # seconds


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    yield
    Meeting.at = staticmethod(django_site.nobody)


def test_a_view_has_the_application() -> None:
    """In a Django view `current_app`, `g`, fields and `url_for` work; `request` is Django's."""
    status, body = get(site, "/show/?user=ann&number=7")
    assert status == "200 OK"
    assert json.loads(body) == {
        "app": "shop",
        "user": "ann",
        "number": 7,
        "url": "http://shop.example/orders/7",
        "request": False,
    }
    assert log == [("ann", "ok", "NoneType")]


def test_nothing_stays_for_the_next_request() -> None:
    """The calling code sees no context, and each request starts with an empty `g`."""
    for user in ("ann", "bob", "ann"):
        _, body = get(site, f"/show/?user={user}")
        assert json.loads(body)["user"] == user
        assert not has_app_context()
    assert [user for user, _, _ in log] == ["ann", "bob", "ann"]


def test_a_streamed_body_has_the_context_until_its_end() -> None:
    """Each step of a streamed body sees its request's `g`; the end comes once, after the body."""
    exchange = call(site, "/stream/?user=ann&number=7")
    assert log == []
    assert b"".join(exchange) == b"ann 7 0\nann 7 1\nann 7 2\n"
    exchange.close()
    exchange.close()
    assert log == [("ann", "closed", ""), ("ann", "ok", "NoneType")]


def drop(exchange: Exchange) -> None:
    exchange.body = ()
    gc.collect()


@pytest.mark.parametrize(
    "leave",
    [Exchange.close, lambda exchange: in_thread(exchange.close), drop],
    ids=["close", "close-elsewhere", "drop"],
)
@pytest.mark.parametrize("steps", [0, 1])
def test_an_unfinished_body_ends_once(leave: Callable[[Exchange], None], steps: int) -> None:
    """A body that is closed, on whichever thread, or dropped ends the context, begun or not."""
    exchange = call(site, "/stream/?user=ann")
    body = iter(exchange)
    assert [next(body) for _ in range(steps)] == [b"ann 0 0\n"][:steps]
    del body
    leave(exchange)
    gc.collect()
    assert [entry for entry in log if entry[1] != "closed"] == [("ann", "disconnected", "NoneType")]
    assert not has_app_context()


def test_what_a_client_that_left_did_not_get() -> None:
    """Nothing that waits for success is called when the client leaves; a body for HEAD that is not
    read is no such case."""
    app, fired = demijohn.Demijohn("left"), list[str]()

    def streaming(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        on_commit(fired.append, environ["REQUEST_METHOD"])
        start_response("200 OK", [])
        return iter((b"one", b"two"))

    for method in ("GET", "HEAD"):
        call(AppContextMiddleware(streaming, app), method=method).close()
    assert fired == ["HEAD"]


def test_an_error_in_a_body_is_passed_on() -> None:
    """What a body raises reaches the server, after an end with the outcome "error"."""
    exchange = call(site, "/stream/?user=ann&fail=1")
    with pytest.raises(LookupError, match="in the body"):
        b"".join(exchange)
    exchange.close()
    assert log == [("ann", "closed", ""), ("ann", "error", "LookupError")]


@pytest.mark.parametrize(
    ("path", "error"),
    [("/fail/?user=ann", LookupError), ("/show/?user=ann&refuse=1", PermissionError)],
)
def test_an_exception_that_leaves_django_is_passed_on(path: str, error: type[Exception]) -> None:
    """An exception of a view or a middleware reaches the server; the outcome is "error"."""
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True), pytest.raises(error):
        call(site, path)
    assert log == [("ann", "error", error.__name__)]
    assert not has_app_context()


@pytest.mark.parametrize("path", ["/fail/?user=ann", "/show/?user=ann&refuse=1"])
def test_an_exception_that_django_answers_is_handled(path: str) -> None:
    """Where Django itself makes the 500, the outcome is "handled", so nothing pending fires."""
    status, _ = get(site, path)
    assert status == "500 Internal Server Error"
    assert log == [("ann", "handled", "NoneType")]


def test_a_missing_page_is_no_error() -> None:
    """A 404 of Django's is an answer like any other."""
    status, _ = get(site, "/nowhere/?user=ann")
    assert status == "404 Not Found"
    assert log == [("ann", "ok", "NoneType")]


def test_a_file_stays_the_servers() -> None:
    """A body in the server's file wrapper is handed on as it is; the context has ended by then."""
    exchange = call(site, "/file/?user=ann", environ={"wsgi.file_wrapper": FileWrapper})
    assert type(exchange.body) is FileWrapper
    assert log == [("ann", "ok", "NoneType")]
    assert exchange.read() == b"content"


def test_the_test_client_in_a_view_starts_clean() -> None:
    """A request made by our test client in a Django view does not join that view's context."""
    _, body = get(site, "/inner/?user=ann")
    assert json.loads(body) == {"inner": {"order": 3, "user": None}, "user": "ann"}


def test_50_bodies_interleave_on_50_threads() -> None:
    """Threads that step their bodies in turn, step by step, each see their own request alone."""
    count = 50
    meet = threading.Barrier(count)
    Meeting.at = staticmethod(lambda: meet.wait(PATIENCE))

    def request(mine: int) -> tuple[bytes, bool]:
        _, body = get(site, f"/stream/?user=u{mine}&number={mine}&steps=4")
        return body, has_app_context()

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(request, range(count)))
    for mine, (body, left) in enumerate(found):
        assert body.decode() == "".join(f"u{mine} {mine} {step}\n" for step in range(4))
        assert not left
    assert sorted(log) == sorted(
        entry
        for mine in range(count)
        for entry in ((f"u{mine}", "closed", ""), (f"u{mine}", "ok", "NoneType"))
    )


def test_bodies_take_turns_on_one_thread() -> None:
    """Bodies that one thread steps in turn, and another thread goes on with, keep apart."""
    bodies = [iter(call(site, f"/stream/?user=u{mine}&number={mine}")) for mine in range(3)]
    for step in range(2):
        for mine, body in enumerate(bodies):
            expected = f"u{mine} {mine} {step}\n".encode()
            assert (in_thread(lambda: next(body)) if step else next(body)) == expected  # noqa: B023
            assert not has_app_context()
    for body in bodies:
        body.close()  # type: ignore[attr-defined]
    assert sum(entry[1] == "disconnected" for entry in log) == 3


def test_under_a_threaded_server() -> None:
    """50 requests that are in their views at the same moment each get their own answer."""
    count = 50
    meet = threading.Barrier(count)
    Meeting.at = staticmethod(lambda: meet.wait(PATIENCE))
    server = make_server("127.0.0.1", 0, site, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(mine: int) -> Any:
        address = f"http://127.0.0.1:{server.server_port}/show/?user=u{mine}&number={mine}"
        with opener.open(address, timeout=PATIENCE) as answer:
            return json.load(answer)

    try:
        with ThreadPoolExecutor(count) as pool:
            found = list(pool.map(ask, range(count)))
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert [(entry["user"], entry["number"]) for entry in found] == [
        (f"u{mine}", mine) for mine in range(count)
    ]


def test_a_view_resource_is_not_held_while_a_body_streams() -> None:
    """A resource of lifetime "view" is closed when the body begins, and taken again on use."""
    events: list[str] = []

    @resource(lifetime="view")
    def connection() -> Iterator[str]:
        events.append("open")
        try:
            yield "connection"
        finally:
            events.append("close")

    def streaming(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        events.append(str(connection))
        start_response("200 OK", [])

        def body() -> Iterator[bytes]:
            events.append("body")
            yield str(connection).encode()

        return body()

    exchange = call(AppContextMiddleware(streaming, shop))
    assert events == ["open", "connection", "close"]
    assert exchange.read() == b"connection"
    assert events[3:] == ["body", "open", "close"]


# -- any WSGI application -------------------------------------------------------------------------


def listed(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    g.user = "list"
    start_response("200 OK", [])
    return [b"one", b"two"]


def test_a_list_is_handed_on_after_the_end() -> None:
    """A list stays a list, for the server to take its length, and the context has ended."""
    exchange = call(AppContextMiddleware(listed, shop))
    assert exchange.body == [b"one", b"two"]
    assert log == [("list", "ok", "NoneType")]


def test_a_generator_that_starts_late() -> None:
    """An application that is a generator starts its answer, and fails, within the context."""

    def late(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        g.user = "late"
        start_response("503 Later", [])
        yield b"busy"

    exchange = call(AppContextMiddleware(late, shop))
    assert (exchange.read(), exchange.status) == (b"busy", "503 Later")
    assert log == [("late", "handled", "NoneType")]


def test_an_error_after_a_500_is_an_error() -> None:
    """The outcome of a body that fails after a status of 500 is "error", not "handled"."""

    def failing(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("500 Broken", [])
        yield b"half"
        raise LookupError

    with pytest.raises(LookupError):
        get(AppContextMiddleware(failing, shop))
    assert log == [(None, "error", "LookupError")]


def test_an_error_of_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What a teardown function raises is logged, and the answer is delivered."""
    app = demijohn.Demijohn("teardown")

    @app.teardown_appcontext
    def broken(exc: BaseException | None) -> None:
        raise OSError("in teardown")

    exchange = call(AppContextMiddleware(listed, app))
    assert exchange.read() == b"onetwo"
    assert "in teardown" in caplog.text
    assert not has_app_context()


def test_a_context_left_over_is_reported_and_not_used() -> None:
    """A context that is current at this edge is not inherited, and is reported once."""
    app = demijohn.Demijohn("left")
    seen: list[bool] = []

    def look(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(app_ctx == outer)
        return listed(environ, start_response)

    with app.app_context() as outer:
        with pytest.warns(ContextWarning, match="was current when a request arrived"):
            call(AppContextMiddleware(look, app))
        call(AppContextMiddleware(look, app))
        assert "user" not in g and app_ctx == outer
    assert seen == [False, False]


def test_an_exception_takes_its_variables_along() -> None:
    """When an exception leaves, middleware outside sees other variables as the request set them."""
    trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="")

    def failing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        trace.set("of the request")
        raise LookupError

    def outside() -> str:
        with pytest.raises(LookupError):
            call(AppContextMiddleware(failing, shop))
        assert not has_app_context()
        return trace.get()

    assert contextvars.copy_context().run(outside) == "of the request"


def test_an_overridden_app_context_makes_it() -> None:
    """An application that makes its own contexts makes those of foreign requests too."""

    class App(demijohn.Demijohn):
        def app_context(self) -> Any:  # type: ignore[override]
            ctx = super().app_context()
            ctx.g.user = "given"
            return ctx

    app = App("own")
    seen: list[Any] = []

    def look(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append((g.user, number.get()))
        return []

    call(AppContextMiddleware(look, app))
    assert seen == [("given", -1)]
