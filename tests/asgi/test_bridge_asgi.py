"""WSGI applications on the ASGI edge: what a2wsgi alone would make of these was another thing."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import a2wsgi
import pytest

from demijohn import Demijohn

from .asgi_kit import DEADLINE, Peer, eventually, scope

log: list[Any] = []


@pytest.fixture
def app() -> Iterator[Demijohn]:
    log.clear()
    app = Demijohn("parent", static_folder=None)

    @app.get("/own")
    def own() -> str:
        return "own"

    yield app
    app.close()


async def ask(app: Any, peer: Peer, path: str = "/a/x", **more: Any) -> Peer:
    async with asyncio.timeout(DEADLINE):
        await app.asgi_app(scope(path=path, **more), peer.receive, peer.send)
    return peer


def answer(app: Demijohn, application: Any, peer: Peer | None = None, **more: Any) -> Peer:
    """One request to a WSGI application, mounted at /a."""
    app.mount("/a", application)
    return asyncio.run(ask(app, peer or Peer(), **more))


def lines(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Reads the body in several ways, as a file."""
    stream = environ["wsgi.input"]
    parts = [
        stream.read(2),
        stream.readline(),
        stream.readline(3),
        stream.readlines(),
        stream.read(),
    ]
    start_response("200 OK", [])
    length = environ.get("CONTENT_LENGTH", "ended by the server")
    assert ("CONTENT_LENGTH" in environ) is not environ.get("wsgi.input_terminated", False)
    return [f"{parts} {length}".encode()]


BODIES: dict[str, tuple[list[tuple[str, str]], str]] = {
    "with its length": ([("content-length", "17")], "17"),
    "in chunks": ([("transfer-encoding", "chunked")], "ended by the server"),
    "in chunks, and with a length": (
        [("transfer-encoding", "chunked"), ("content-length", "5")],
        "ended by the server",
    ),
    "by HTTP/2, without a length": ([], "ended by the server"),
    "with the length twice": ([("content-length", "17"), ("content-length", "17")], "17"),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_body_is_a_file(app: Demijohn, name: str) -> None:
    """A body that comes in parts is a file to the application, with an end that it can find."""
    headers, length = BODIES[name]
    peer = Peer([b"abc", b"d\nefg", b"hi\njkl", b"\nmn"])
    found = answer(app, lines, peer, method="POST", headers=headers)
    parts = [b"ab", b"cd\n", b"efg", [b"hi\n", b"jkl\n", b"mn"], b""]
    assert found.data.decode() == f"{parts} {length}"


@pytest.mark.parametrize("lengths", [("5", "6"), ("-1",), ("+5",), ("five",), ("5_0",), ("",)])
def test_lengths_that_are_none(app: Demijohn, lengths: Any) -> None:
    """A length that is none, or several, is answered with 400, and the application not called."""
    peer = answer(app, never, headers=[("content-length", one) for one in lengths])
    assert (peer.status, len(peer.sent)) == (400, 2)


def never(environ: Any, start_response: Any) -> list[bytes]:
    raise AssertionError


def test_an_upload_that_breaks_off(app: Demijohn) -> None:
    """A body that ends with its client is an error to who reads that far."""

    def reading(environ: Any, start_response: Any) -> list[bytes]:
        try:
            log.append(environ["wsgi.input"].read(2))
            environ["wsgi.input"].read()
        except OSError as error:
            log.append(str(error))
        start_response("400 Bad Request", [])
        return []

    peer = Peer([b"ab", b"more"])

    async def main() -> None:
        receive = peer.receive

        async def leaving() -> Any:
            message = await receive()
            peer.leave()
            return message

        peer.receive = leaving  # type: ignore[method-assign]
        await ask(app, peer, method="POST")

    app.mount("/a", reading)
    asyncio.run(main())
    assert log == [b"ab", "The client left before the end of the body."]


def test_the_environ(app: Demijohn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environ is made of the scope alone: a variable of the process does not replace the
    prefix, several headers of a name are joined, those with underscores and strange bytes do no
    harm."""
    monkeypatch.setenv("SCRIPT_NAME", "/of-the-process")
    seen: dict[str, Any] = {}

    def looking(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("204 NO CONTENT", [])
        return []

    headers = [
        *(("x-two", "1"), ("x-two", "2"), ("cookie", "a=1"), ("cookie", "b=2")),
        *(("x_user", "evil"), ("X_User", "evil"), ("content_length", "9"), ("x-latin", "ü")),
    ]
    peer = answer(app, looking, headers=headers, query_string=b"q=\xff")
    assert peer.status == 204
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/a", "/x", "q=ÿ")
    assert (seen["HTTP_X_TWO"], seen["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")
    assert "HTTP_X_USER" not in seen and "CONTENT_LENGTH" not in seen
    assert seen["REMOTE_ADDR"] == "127.0.0.1"


def test_what_the_bridge_alone_makes_of_headers() -> None:
    """A control: a2wsgi by itself takes a client's `X_User` for a proxy's `X-User`, and the test
    above would see it."""
    seen: dict[str, Any] = {}

    def looking(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("204 NO CONTENT", [])
        return []

    async def main() -> None:
        peer = Peer()
        made = scope(headers=[("x_user", "evil"), ("content_length", "9")])
        bridge = a2wsgi.WSGIMiddleware(looking, 1)
        await bridge(made, peer.receive, peer.send)
        bridge.executor.shutdown()

    asyncio.run(main())
    assert seen["HTTP_X_USER"] == "evil"


def test_a_caller_that_never_waits(app: Demijohn) -> None:
    """A caller whose `receive` repeats the end of the body, as a simple test client's may, is
    answered; it does not keep the loop busy."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    peer = Peer()
    peer.receive = receive  # type: ignore[method-assign]
    assert answer(app, endless_until(3), peer).data == b"xxx"


def endless_until(count: int) -> Any:
    def counting(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(count):
            yield b"x"

    return counting


def test_it_runs_on_a_thread(app: Demijohn) -> None:
    """The application and each step of its body run on one thread, which is not the loop's."""

    def looking(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(3):
            yield threading.current_thread().name.encode() + b"\n"

    peer = answer(app, looking)
    names = set(peer.data.split())
    assert len(names) == 1 and names != {threading.main_thread().name.encode()}


# -- a client that leaves, a server that cancels --------------------------------------------------


def endless(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    try:
        while True:
            yield b"part"
    finally:
        log.append("closed")


@pytest.mark.parametrize("told", ["by receive", "by send"])
def test_a_client_that_leaves(app: Demijohn, told: str) -> None:
    """An endless body is closed when its client has left, whether `receive` says so or `send`
    raises; that is no error."""
    peer = Peer()

    def on_send(message: Any) -> None:
        if len(peer.sent) == 5:
            peer.leave()
        if told == "by send" and len(peer.sent) > 5:
            raise OSError("gone")

    peer.on_send = on_send
    answer(app, endless, peer)
    assert log == ["closed"]
    assert len(peer.sent) < 100


def test_a_client_that_leaves_with_an_unread_body(app: Demijohn) -> None:
    """It is noticed too where the application has not read what came."""
    peer = Peer([b"unread"])
    peer.on_send = lambda message: peer.leave() if len(peer.sent) == 5 else None
    answer(app, endless, peer, method="POST")
    assert log == ["closed"]


def test_a_server_that_cancels(app: Demijohn) -> None:
    """A cancel ends the body at its next step, waits for that, and comes out."""
    begun, gate = threading.Event(), threading.Event()

    def waiting(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"first"
            begun.set()
            assert gate.wait(DEADLINE)
            yield b"second"
            log.append("stepped")
        finally:
            log.append("closed")

    async def main() -> None:
        app.mount("/a", waiting)
        peer = Peer()
        task = asyncio.ensure_future(ask(app, peer))
        await eventually(begun.is_set)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done() and log == []
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["closed"]
        assert peer.data == b"first"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_server_that_cancels_while_a_slow_client_reads(app: Demijohn) -> None:
    """A cancel while parts wait for the server ends all of it."""

    async def main() -> None:
        app.mount("/a", endless)
        peer = Peer()
        never_sent = asyncio.Event()
        peer.on_send = lambda message: never_sent.wait() if len(peer.sent) > 3 else None
        task = asyncio.ensure_future(ask(app, peer))
        await peer.until(lambda peer: len(peer.sent) > 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: log == ["closed"])

    asyncio.run(main())


def test_a_slow_client_holds_the_body_back(app: Demijohn) -> None:
    """While the server takes nothing, the application makes a few parts ahead and then waits."""
    made: list[int] = []

    def counting(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(50):
            made.append(number)
            yield b"x"

    async def main() -> None:
        app.mount("/a", counting)
        peer = Peer()
        gate = asyncio.Event()
        peer.on_send = lambda message: gate.wait()
        task = asyncio.ensure_future(ask(app, peer))
        await eventually(lambda: len(made) >= 4)
        await asyncio.sleep(0.05)
        assert len(made) < 8
        gate.set()
        await task
        assert len(made) == 50 and peer.data == b"x" * 50

    asyncio.run(main())


def test_a_mount_does_not_take_the_parents_threads(app: Demijohn) -> None:
    """When a mount keeps all threads that it may have, more of its requests wait, and the parent
    answers; a request that is cancelled while it waits is never made."""
    app.config["SYNC_THREADS"] = 2
    gate = threading.Event()

    def waiting(environ: Any, start_response: Any) -> list[bytes]:
        log.append(environ["PATH_INFO"])
        assert gate.wait(DEADLINE)
        start_response("200 OK", [])
        return [b"done"]

    async def main() -> None:
        app.mount("/a", waiting)
        tasks = [asyncio.ensure_future(ask(app, Peer(), f"/a/{n}")) for n in range(4)]
        await eventually(lambda: len(log) == 2)
        assert (await ask(app, Peer(), "/own")).data == b"own"
        tasks[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[2]
        assert len(log) == 2
        gate.set()
        for task in (tasks[0], tasks[1], tasks[3]):
            assert (await task).data == b"done"

    asyncio.run(main())
    assert sorted(log) == ["/0", "/1", "/3"]


# -- what it says ---------------------------------------------------------------------------------


def raises(environ: Any, start_response: Any) -> list[bytes]:
    raise LookupError("before the start")


def never_starts(environ: Any, start_response: Any) -> list[bytes]:
    return [b"body"]


def never_starts_without_body(environ: Any, start_response: Any) -> list[bytes]:
    return []


def starts_twice(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def splits(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X", "a\r\nSet-Cookie: evil")])
    return []


WRONG = {
    raises: "before the start",
    never_starts: "body before start_response",
    never_starts_without_body: "body before start_response",
    starts_twice: "called twice",
    splits: "control character",
}


@pytest.mark.parametrize("application", WRONG)
def test_errors_before_the_start(app: Demijohn, application: Any) -> None:
    """What is raised before anything is sent reaches the server, which answers it."""
    peer = Peer()
    with pytest.raises((LookupError, RuntimeError, ValueError), match=WRONG[application]):
        answer(app, application, peer)
    assert peer.sent == []


def test_an_error_in_the_middle(app: Demijohn) -> None:
    """What was made before an error arrives, the error reaches the server, and the body does not
    look whole."""

    def breaking(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(20):
            yield b"%d " % number
        raise LookupError("in the middle")

    peer = Peer()
    with pytest.raises(LookupError, match="in the middle"):
        answer(app, breaking, peer)
    assert peer.data == b"".join(b"%d " % number for number in range(20))
    assert peer.sent[-1]["more_body"]


def test_a_close_that_fails(app: Demijohn) -> None:
    """What the `close` of a body raises reaches the server."""

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter((b"part",))

        def close(self) -> None:
            raise LookupError("in close")

    def closing(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Body()

    with pytest.raises(LookupError, match="in close"):
        answer(app, closing)


def test_a_server_that_fails(app: Demijohn) -> None:
    """What the server's `send` raises comes out, and the body is closed."""
    peer = Peer()

    def on_send(message: Any) -> None:
        if len(peer.sent) == 5:
            raise LookupError("in the server")

    peer.on_send = on_send
    with pytest.raises(LookupError, match="in the server"):
        answer(app, endless, peer)
    assert log == ["closed"]


def test_start_response_again_with_an_error(app: Demijohn) -> None:
    """Before the first byte the answer may be replaced; after it the error is raised
    (PEP 3333)."""

    def replacing(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("X", "first")])
        try:
            raise LookupError("found late")
        except LookupError:
            start_response("500 Broken", [("X", "second")], sys.exc_info())
        yield b"sorry"
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Broken", [], sys.exc_info())

    peer = Peer()
    with pytest.raises(LookupError, match="too late"):
        answer(app, replacing, peer)
    assert (peer.status, peer.headers, peer.data) == (500, {"x": "second"}, b"sorry")


def test_write(app: Demijohn) -> None:
    """The function that `start_response` returns writes before the body; a status without a
    phrase, and headers of one connection, do no harm."""

    def writing(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("201", [("Connection", "close"), ("X", "ü")])
        write(b"one ")
        write(b"two ")
        return [b"", b"three"]

    peer = answer(app, writing)
    assert (peer.status, peer.data) == (201, b"one two three")
    assert peer.sent[0]["headers"] == [(b"x", "ü".encode("latin-1"))]


def test_a_websocket_is_refused(app: Demijohn) -> None:
    """A WebSocket under a WSGI mount's prefix is closed before it is accepted."""
    app.mount("/a", never)
    peer = Peer()
    asyncio.run(ask(app, peer, type="websocket"))
    assert [message["type"] for message in peer.sent] == ["websocket.close"]


# -- ASGI on ASGI ---------------------------------------------------------------------------------


def test_websockets_and_lifespans_pass_through(app: Demijohn) -> None:
    """An ASGI mount gets its WebSockets with its own paths, its lifespan is part of the parent's,
    and its state is its own; so is it for another application of this package."""
    child = Demijohn("child", static_folder=None)

    @child.before_serving
    async def first() -> None:
        log.append("child starts")

    @child.after_serving
    async def last() -> None:
        log.append("child stops")

    @child.get("/x")
    def x() -> str:
        return "child"

    @app.before_serving
    async def parent_first() -> None:
        log.append("parent starts")

    @app.after_serving
    async def parent_last() -> None:
        log.append("parent stops")

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            log.append((scope["type"], scope["root_path"], scope["path"], scope["state"]))
            await send({"type": "websocket.close", "code": 1000})
            return
        await receive()
        scope["state"]["mine"] = 1
        log.append("mount starts")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        log.append("mount stops")
        await send({"type": "lifespan.shutdown.complete"})

    app.mount("/a", mounted)
    app.mount("/child", child)

    async def main() -> None:
        asked: asyncio.Queue[Any] = asyncio.Queue()
        told: asyncio.Queue[Any] = asyncio.Queue()
        state = {"of the parent": 2}
        life = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
        task = asyncio.ensure_future(app.asgi_app(life, asked.get, told.put))
        asked.put_nowait({"type": "lifespan.startup"})
        assert (await told.get())["type"] == "lifespan.startup.complete"
        await ask(app, Peer(), type="websocket", state=state)
        assert (await ask(app, Peer(), "/child/x", state=state)).data == b"child"
        asked.put_nowait({"type": "lifespan.shutdown"})
        assert (await told.get())["type"] == "lifespan.shutdown.complete"
        await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert log == [
        *("parent starts", "child starts", "mount starts"),
        ("websocket", "/a", "/a/x", {"mine": 1}),
        *("mount stops", "child stops", "parent stops"),
    ]


@pytest.mark.parametrize("how", ["failed", "raised late"])
def test_a_mount_that_does_not_start(app: Demijohn, how: str) -> None:
    """A mount that says it cannot start keeps the server from starting, and what had started
    stops; one that fails at the end is told of by the server."""

    async def good(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        log.append("good starts")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        log.append("good stops")
        await send({"type": "lifespan.shutdown.complete"})

    async def bad(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if how == "failed":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "still busy"})

    app.mount("/longer", good)
    app.mount("/bad", bad)

    async def main() -> list[Any]:
        asked: asyncio.Queue[Any] = asyncio.Queue()
        told: list[Any] = []

        async def send(message: Any) -> None:
            told.append(message)

        asked.put_nowait({"type": "lifespan.startup"})
        asked.put_nowait({"type": "lifespan.shutdown"})
        await app.asgi_app({"type": "lifespan"}, asked.get, send)
        return told

    last = asyncio.run(main())[-1]
    kind, word = ("startup", "no database") if how == "failed" else ("shutdown", "still busy")
    assert last["type"] == f"lifespan.{kind}.failed"
    assert word in last["message"]
    assert log == ["good starts", "good stops"]
