"""ASGI applications on the WSGI edge: what a2wsgi alone would make of these was another thing."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import demijohn
from demijohn import Demijohn

from .asgi_kit import DEADLINE
from .mounted_apps import ask_wsgi

START = {"type": "http.response.start", "status": 200, "headers": []}
LAST = {"type": "http.response.body", "body": b"last"}


@pytest.fixture
def mounted() -> Iterator[Callable[[Any], Demijohn]]:
    """A function that mounts an ASGI application at /a; what it started is stopped."""
    apps: list[Demijohn] = []
    before = threading.active_count()

    def mount(application: Any) -> Demijohn:
        app = Demijohn("parent", static_folder=None)
        app.mount("/a", application, interface="asgi")
        apps.append(app)
        return app

    yield mount
    for app in apps:
        app.close()
    until = time.monotonic() + DEADLINE
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.001)
    assert threading.active_count() <= before, threading.enumerate()


def told() -> tuple[list[Any], Callable[..., Any]]:
    """A `start_response` and what it is told."""
    said: list[Any] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        said.append((status, headers))
        return said.append

    return said, start_response


def environ(**more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/a/x",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    } | more


def call(app: Any, **more: Any) -> tuple[str, bytes]:
    """The status line and the body of a request."""
    said, start_response = told()
    body = app(environ(**more), start_response)
    try:
        data = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return said[0][0], data


async def reading(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the lengths of the parts of the body, or "gone" when it breaks off."""
    parts: list[str] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            parts.append("gone")
            break
        parts.append(str(len(message["body"])))
        if not message["more_body"]:
            break
    headers = dict(scope["headers"])
    parts.append(headers.get(b"content-length", b"no length").decode())
    await send(START)
    await send({"type": "http.response.body", "body": " ".join(parts).encode()})


BODY = b"b" * 100_000
BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "with its length": ({"CONTENT_LENGTH": "100000"}, "65536 34464 100000"),
    "without one, ended by the server": (
        {"wsgi.input_terminated": True},
        "65536 34464 0 no length",
    ),
    "in chunks": (
        {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        "65536 34464 0 no length",
    ),
    "in chunks, and with a length": (
        {
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_LENGTH": "7",
        },
        "65536 34464 0 no length",
    ),
    "broken off": ({"CONTENT_LENGTH": "100001"}, "65536 34464 gone 100001"),
    "without anything": ({}, "0 no length"),
    "with the length twice": ({"CONTENT_LENGTH": "5,5"}, "5 5"),
    "with an empty length": ({"CONTENT_LENGTH": ""}, "0 no length"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(mounted: Any, name: str) -> None:
    """A body arrives as long as it is, however that was announced, and one that breaks off does
    not look whole."""
    given, said = BODIES[name]
    status, data = call(mounted(reading), **{"wsgi.input": io.BytesIO(BODY)}, **given)
    assert (status, data.decode()) == ("200 OK", said)


@pytest.mark.parametrize("length", ["5,6", "-1", "+5", "5_0", "\u0665", "0x5", "five", "5;5"])
def test_lengths_that_are_none(mounted: Any, length: str) -> None:
    """A length that is none, or several, is answered with 400, and the application not called."""

    async def never(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"

    assert call(mounted(never), CONTENT_LENGTH=length)[0] == "400 Bad Request"


def test_a_server_that_cannot_read(mounted: Any) -> None:
    """An error of the server's in reading the body is told as a client that has left."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    given = {"wsgi.input": Broken(), "CONTENT_LENGTH": "5"}
    assert call(mounted(reading), **given) == ("200 OK", b"gone 5")


def test_bytes_that_are_no_text(mounted: Any) -> None:
    """Bytes of a path that are no UTF-8, and of a query that are no ASCII, are no error."""

    async def where(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        said = f"{scope['path']} {scope['raw_path']} {scope['query_string']}"
        await send({"type": "http.response.body", "body": said.encode()})

    given = {"PATH_INFO": "/a/\xff", "QUERY_STRING": "q=\xff", "REMOTE_ADDR": "1.2.3.4"}
    status, data = call(mounted(where), **given)
    assert (status, data.decode()) == ("200 OK", "/a/� b'/a/%FF' b'q=\\xff'")


@pytest.mark.parametrize("noticed", ["by receive", "by send"])
def test_a_client_that_leaves(mounted: Any, noticed: str) -> None:
    """When the server closes the body, the application is told: by `receive`, and by an `OSError`
    of `send`; nothing waits for it."""
    done = threading.Event()
    log: list[Any] = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        listening = asyncio.ensure_future(receive())
        try:
            while True:
                await send({**LAST, "more_body": True})
        except OSError as error:
            log.append(str(error) if noticed == "by send" else (await listening)["type"])
        finally:
            listening.cancel()
            done.set()

    body = iter(mounted(endless)(environ(), told()[1]))
    assert next(body) == b"last"
    body.close()
    assert done.wait(DEADLINE)
    assert log == ["http.disconnect" if noticed == "by receive" else "The client has left."]


def test_a_body_that_is_dropped(mounted: Any) -> None:
    """A body that is neither read nor closed is one that nobody wants."""
    done = threading.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
            await send(START)
            await send({**LAST, "more_body": True})
        except OSError:
            done.set()

    body = iter(mounted(waiting)(environ(), told()[1]))
    next(body)
    del body
    assert done.wait(DEADLINE)


def test_work_after_the_response(mounted: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The response is whole at its last byte; what the application does after it goes on, and an
    error in that is logged."""
    gate, done = threading.Event(), threading.Event()

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(LAST)
        await asyncio.to_thread(gate.wait, DEADLINE)
        assert (await receive())["type"] == "http.disconnect"
        done.set()
        raise LookupError("after the response")

    app = mounted(later)
    assert call(app) == ("200 OK", b"last")
    assert not done.is_set()
    gate.set()
    assert done.wait(DEADLINE)
    app.close()
    assert "after the response" in caplog.text


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise LookupError("before the start")


async def breaks(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send({**LAST, "more_body": True})
    raise LookupError("in the middle")


async def returns(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def stops(scope: Any, receive: Any, send: Any) -> None:
    await send(START)


async def cancels(scope: Any, receive: Any, send: Any) -> None:
    raise asyncio.CancelledError


async def twice(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(START)


async def unknown(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.later"})


async def splits(scope: Any, receive: Any, send: Any) -> None:
    await send({**START, "headers": [(b"x", b"a\r\nset-cookie: evil")]})


WRONG = {
    raises: "before the start",
    breaks: "in the middle",
    returns: "returned before",
    stops: "returned before",
    cancels: "was cancelled",
    twice: "wrong time",
    unknown: "no message of an HTTP response",
    splits: "control character",
}


@pytest.mark.parametrize("application", WRONG)
def test_errors_reach_the_server(mounted: Any, application: Any) -> None:
    """What an application raises before its last byte leaves through the server, like any WSGI
    application's; so does the error of one that breaks off, which would keep a2wsgi waiting."""
    app = mounted(application)
    for _ in range(2):
        with pytest.raises((LookupError, RuntimeError, ValueError), match=WRONG[application]):
            call(app)


def test_headers_of_one_connection(mounted: Any) -> None:
    """Headers that belong to one connection stay with the application (PEP 3333)."""

    async def hops(scope: Any, receive: Any, send: Any) -> None:
        names = (b"Connection", b"transfer-encoding", b"Keep-Alive", b"x-own")
        await send({**START, "headers": [(name, b"x") for name in names]})
        await send(LAST)

    assert ask_wsgi(mounted(hops), "/a").headers == [("x-own", "x")]


def test_asking_whether_the_client_has_left(mounted: Any) -> None:
    """A `receive` that is cancelled, as Starlette's `is_disconnected` does, loses nothing of the
    body."""

    async def asking(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            task = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            message = await receive() if task.cancelled() else task.result()
            size, more = size + len(message["body"]), message["more_body"]
        await send(START)
        await send({"type": "http.response.body", "body": str(size).encode()})

    given = {"wsgi.input": io.BytesIO(BODY), "CONTENT_LENGTH": "100000"}
    assert call(mounted(asking), **given) == ("200 OK", b"100000")


# -- the loop and the lifespan --------------------------------------------------------------------


class Living:
    """An application with a lifespan, and what became of it."""

    def __init__(self, fails: int = 0) -> None:
        self.log: list[Any] = []
        self._fails = fails

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["state"]["own"] = True
            await send(START)
            size = str(scope["state"]["size"])
            await send({"type": "http.response.body", "body": size.encode()})
            self.log.append((threading.current_thread().name, sorted(scope["state"])))
            return
        await receive()
        if self._fails:
            self._fails -= 1
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        scope["state"]["size"] = 3
        self.log.append("start")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.log.append("stop")
        await send({"type": "lifespan.shutdown.complete"})


def test_the_lifespan_begins_with_the_first_request(mounted: Any) -> None:
    """Where nothing runs around the serving, the first request starts the lifespan, once, and
    `close` stops it; each request has its own copy of the state. Then it can begin anew."""
    living = Living()
    app = mounted(living)
    for _ in range(2):
        living.log.clear()
        threads = [threading.Thread(target=call, args=(app,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert call(app) == ("200 OK", b"3")
        app.close()
        request = ("demijohn-mount", ["own", "size"])
        assert living.log == ["start", *[request] * 5, "stop"]


def test_a_start_that_fails(mounted: Any) -> None:
    """An application that does not start answers nothing, and is started again by the next
    request."""
    living = Living(fails=2)
    app = mounted(living)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="'/a' did not start: no database"):
            call(app)
    assert call(app) == ("200 OK", b"3")


def test_the_lifespan_of_the_serving(mounted: Any) -> None:
    """Within `with app.serving()` a mount's lifespan is part of the application's, and its requests
    are served on that loop."""
    living = Living()
    app = mounted(living)

    @app.before_serving
    def first() -> None:
        living.log.append("first")

    @app.after_serving
    def last() -> None:
        living.log.append("last")

    with app.serving():
        assert living.log == ["first", "start"]
        assert call(app) == ("200 OK", b"3")
    request = ("demijohn-serving", ["own", "size"])
    assert living.log == ["first", "start", request, "stop", "last"]


def test_work_after_the_response_when_it_stops(mounted: Any) -> None:
    """What an application still does after its answer comes to its end before the loop stops."""
    log: list[str] = []

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(LAST)
        try:
            await asyncio.sleep(0.05)
            log.append("done")
        finally:
            log.append("over")

    app = mounted(later)
    assert call(app) == ("200 OK", b"last")
    app.close()
    assert log == ["done", "over"]


def test_what_is_open_when_it_stops(mounted: Any) -> None:
    """A response that is not whole when the loop stops breaks off: its reader does not wait."""
    living = Living()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await living(scope, receive, send)
        await send(START)
        await send({**LAST, "more_body": True})
        await receive()
        await receive()

    app = mounted(slow)
    body = iter(app(environ(), told()[1]))
    assert next(body) == b"last"
    closing = threading.Thread(target=app.close)
    closing.start()
    with pytest.raises(RuntimeError, match="Stopped before the response was complete"):
        list(body)
    closing.join()
    assert living.log == ["start", "stop"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # CPython 3.12: fork with threads
def test_a_forked_process_has_its_own(mounted: Any) -> None:
    """A process that is forked after the first request starts its own loop and lifespan."""
    living = Living()
    app = mounted(living)
    call(app)
    child = os.fork()
    if child == 0:
        try:
            right = call(app) == ("200 OK", b"3") and living.log.count("start") == 2
            app.close()
            os._exit(0 if right and living.log[-1] == "stop" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert call(app) == ("200 OK", b"3")
    assert living.log.count("start") == 1


GREENLETS = """\
from gevent import monkey
monkey.patch_all()
from demijohn import Demijohn

async def application(scope, receive, send): ...

app = Demijohn("app")
app.mount("/a", application)
try:
    app.test_client().get("/a")
except RuntimeError as error:
    print(error)
"""


def test_greenlets_are_refused() -> None:
    """Under gevent, where a loop would run among the greenlets of requests, the error says what to
    do instead of letting requests hang."""
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS],
        env={"PYTHONPATH": str(Path(demijohn.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert "Use a server with threads (gunicorn --worker-class gthread)" in done.stdout


def test_the_status_is_there_when_the_call_returns(mounted: Any) -> None:
    """Granian reads the status when the application returns; and an error before there is one comes
    out of the call, where every server answers it with 500."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/a/fails":
            raise LookupError("a fault")
        await send({"type": "http.response.start", "status": 404, "headers": [(b"x-a", b"b")]})
        await send(LAST)

    app = mounted(application)
    said, start_response = told()
    body = app(environ(), start_response)
    assert said == [("404 Not Found", [("x-a", "b")])]
    assert b"".join(body) == b"last"
    body.close()
    with pytest.raises(LookupError, match="a fault"):
        app(environ(PATH_INFO="/a/fails"), start_response)
    assert len(said) == 1
