"""The checker finds each violation that it is there for, and none where there is none."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from . import checker
from .checker import Checked

App = Callable[..., Awaitable[None]]
HTTP = {"type": "http", "method": "GET", "path": "/p"}
HEAD = HTTP | {"method": "HEAD"}
WEBSOCKET = {"type": "websocket", "path": "/w", "subprotocols": ["a"]}
DENIABLE = WEBSOCKET | {"extensions": {"websocket.http.response": {}}}
LIFESPAN = {"type": "lifespan"}

START = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]}
END = {"type": "http.response.body", "body": b"abc"}
MORE = END | {"more_body": True}
ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
TEXT = {"type": "websocket.send", "text": "t"}
DENY = {"type": "websocket.http.response.start", "status": 403}
DENIED = {"type": "websocket.http.response.body"}
STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}
GIVEN = {
    "http": ("http.request", "http.disconnect"),
    "websocket": ("websocket.connect", "websocket.disconnect"),
    "lifespan": ("lifespan.startup", "lifespan.shutdown"),
}


def start(*headers: tuple[Any, Any], status: Any = 200) -> dict[str, Any]:
    return START | {"status": status, "headers": list(headers)}


def violations(app: App, scope: dict[str, Any], linger: float = 0.0) -> list[str]:
    """What the checker finds in one call of an application, `linger` seconds after it began."""
    checked = Checked(app)

    async def main() -> None:
        given = iter(GIVEN[scope["type"]])

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"type": next(given, GIVEN[scope["type"]][1])}

        async def send(message: Any) -> None:
            await asyncio.sleep(0)

        call = asyncio.ensure_future(checked(scope, receive, send))
        await asyncio.wait([call], timeout=linger or None)
        if linger:
            await asyncio.sleep(linger)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())
    gc.collect()
    return checked.violations


def sends(*messages: dict[str, Any], receives: int = 0) -> App:
    """An application that receives so often, then sends these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(receives):
            await receive()
        for message in messages:
            await send(message)

    return app


GOOD = [
    (HTTP, 1, [START, MORE, END]),
    (HTTP, 1, [start((b"content-length", b"3")), END]),
    (HEAD, 1, [start((b"content-length", b"3")), {"type": "http.response.body"}]),
    (HTTP, 2, []),
    (WEBSOCKET, 1, [ACCEPT | {"subprotocol": "a"}, TEXT, CLOSE | {"code": 3000, "reason": "r"}]),
    (WEBSOCKET, 1, [CLOSE]),
    (WEBSOCKET, 2, [ACCEPT]),
    (DENIABLE, 1, [DENY, DENIED]),
    (LIFESPAN, 2, [STARTED, STOPPED]),
    (
        HTTP | {"extensions": {"http.response.push": {}}},
        0,
        [{"type": "http.response.push"}, START, END],
    ),
]

BAD = [
    (HTTP, "a second start", [START, START, END]),
    (HTTP, "a body before the start", [END]),
    (HTTP, "a body after the end", [START, END, END]),
    (HTTP, "without the end of the body", [START, MORE]),
    (HTTP, "without a response", []),
    (HTTP, "no token in lower case", [start((b"X-A", b"1")), END]),
    (HTTP, "no token in lower case", [start((b"x a", b"1")), END]),
    (HTTP, "not bytes", [start(("x-a", b"1")), END]),
    (HTTP, "not bytes", [start((b"x-a", "1")), END]),
    (HTTP, "breaks the line", [start((b"x-a", b"1\r\nx-b: 2")), END]),
    (HTTP, "breaks the line", [start((b"x-a", b"1\n2")), END]),
    (HTTP, "status='200'", [start(status="200"), END]),
    (HTTP, "status=True", [start(status=True), END]),
    (HTTP, "status=99", [start(status=99), END]),
    (HTTP, "content-length 4, and 3 bytes", [start((b"content-length", b"4")), END]),
    (HTTP, "content-length 4, and 6 bytes", [start((b"content-length", b"4")), MORE, END]),
    (HTTP, "content-length", [start((b"content-length", b"3"), (b"content-length", b"4")), END]),
    (HTTP, "content-length", [start((b"content-length", b"x")), END]),
    (HEAD, "a body of 3 bytes where there is none", [START, END]),
    (HTTP, "a body of 3 bytes where there is none", [start(status=204), END]),
    (HTTP, "a body of 3 bytes where there is none", [start(status=304), END]),
    (HTTP, "body='abc'", [START, END | {"body": "abc"}]),
    (HTTP, "more_body=0", [START, END | {"more_body": 0}]),
    (
        HTTP,
        "no message of this protocol: 'http.response.push'",
        [{"type": "http.response.push"}, START, END],
    ),
    (HTTP, "no message of this protocol: None", [{}, START, END]),
    (WEBSOCKET, "data before the accept", [TEXT, ACCEPT, CLOSE]),
    (WEBSOCKET, "a second accept", [ACCEPT, ACCEPT, CLOSE]),
    (WEBSOCKET, "websocket.close after the close", [ACCEPT, CLOSE, CLOSE]),
    (WEBSOCKET, "websocket.send after the close", [ACCEPT, CLOSE, TEXT]),
    (WEBSOCKET, "without a close", [ACCEPT]),
    (WEBSOCKET, "without a close", []),
    (WEBSOCKET, "not offered: 'b'", [ACCEPT | {"subprotocol": "b"}, CLOSE]),
    (
        WEBSOCKET,
        "among the headers",
        [ACCEPT | {"headers": [(b"sec-websocket-protocol", b"a")]}, CLOSE],
    ),
    (WEBSOCKET, "no token in lower case", [ACCEPT | {"headers": [(b"X", b"a")]}, CLOSE]),
    (WEBSOCKET, "one of bytes and text, not 0", [ACCEPT, {"type": "websocket.send"}, CLOSE]),
    (WEBSOCKET, "one of bytes and text, not 2", [ACCEPT, TEXT | {"bytes": b""}, CLOSE]),
    (WEBSOCKET, "text=b't'", [ACCEPT, TEXT | {"text": b"t"}, CLOSE]),
    (WEBSOCKET, "no code of a close: 1005", [ACCEPT, CLOSE | {"code": 1005}]),
    (WEBSOCKET, "no reason of a close", [ACCEPT, CLOSE | {"reason": "x" * 124}]),
    (WEBSOCKET, "no message of this protocol", [DENY, CLOSE]),
    (WEBSOCKET, "no message of this protocol", [START, CLOSE]),
    (DENIABLE, "a body before the start", [DENIED, CLOSE]),
    (DENIABLE, "a denial after the accept", [ACCEPT, DENY, CLOSE]),
    (DENIABLE, "an accept after the start of a denial", [DENY, ACCEPT, DENIED]),
    (DENIABLE, "a close after the start of a denial", [DENY, DENIED, CLOSE]),
    (DENIABLE, "without the end of the body", [DENY]),
    (LIFESPAN, "before lifespan.shutdown", [STARTED, STOPPED]),
    (LIFESPAN, "had its answer", [STARTED, STARTED]),
    (LIFESPAN, "had its answer", [STARTED, {"type": "lifespan.startup.failed"}]),
    (LIFESPAN, "without an answer to lifespan.startup", []),
    (LIFESPAN, "no message of this protocol", [STARTED, {"type": "lifespan.complete"}]),
]


@pytest.mark.parametrize(("scope", "receives", "messages"), GOOD)
def test_what_is_right_is_let_through(
    scope: dict[str, Any], receives: int, messages: list[dict[str, Any]]
) -> None:
    """An application that keeps to the protocol has no violation."""
    assert violations(sends(*messages, receives=receives), scope) == []


@pytest.mark.parametrize(("scope", "words", "messages"), BAD)
def test_what_is_wrong_is_found(
    scope: dict[str, Any], words: str, messages: list[dict[str, Any]]
) -> None:
    """Each violation is found, once, with the place in the application."""
    found = violations(sends(*messages, receives=1), scope)
    assert len(found) == 1, found
    assert words in found[0]
    returned = "without" in words
    assert returned or f"{__file__}:" in found[0]


def started(step: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that nobody waits for; `violations` ends it."""
    return asyncio.get_running_loop().create_task(step)


async def receives_at_once(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.gather(receive(), receive())


async def leaves_a_receive(scope: Any, receive: Any, send: Any) -> None:
    await sends(START, END)(scope, receive, send)
    started(receive())
    await asyncio.sleep(0)


async def sends_later(scope: Any, receive: Any, send: Any) -> None:
    await sends(START, END)(scope, receive, send)
    asyncio.get_running_loop().call_soon(started, send(END))


async def leaves_a_send(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    started(send(END))
    await asyncio.sleep(0)


async def stays(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await receive()
    await asyncio.sleep(60)


async def leaves_a_task(scope: Any, receive: Any, send: Any) -> None:
    async def grandchild() -> None:
        await asyncio.sleep(60)

    async def child() -> None:
        started(grandchild()).set_name("grandchild")

    await asyncio.create_task(child())
    await receive()
    await receive()


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (receives_at_once, "while another receive() was pending"),
        (leaves_a_receive, "ended with a receive() pending"),
        (leaves_a_send, "ended with a send() pending"),
        (sends_later, "sent after its end"),
    ],
)
def test_calls_out_of_turn_are_found(app: App, words: str) -> None:
    """A receive() beside another, what is left pending, and messages after the end are found."""
    assert any(words in found for found in violations(app, HTTP, linger=0.05))


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (stays, "it still ran"),
        (leaves_a_task, "the task grandchild still ran"),
    ],
)
@pytest.mark.parametrize("scope", [HTTP, WEBSOCKET], ids=["http", "websocket"])
def test_what_is_left_after_a_disconnect_is_found(
    monkeypatch: pytest.MonkeyPatch, app: App, words: str, scope: dict[str, Any]
) -> None:
    """A call that goes on, and a task of a task that does, are found once the time is up."""
    monkeypatch.setattr(checker, "PATIENCE", 0.02)
    found = violations(app, scope, linger=0.1)
    assert len(found) == 1, found
    assert words in found[0]
    assert f"{__file__}:" in found[0]


def test_a_send_that_the_server_refuses_is_a_disconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    """An `OSError` of `send` starts the time in which the call must end."""
    monkeypatch.setattr(checker, "PATIENCE", 0.02)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(BrokenPipeError):
            await send(START)
        await asyncio.sleep(0.1)

    async def main() -> Checked:
        async def send(message: Any) -> None:
            raise BrokenPipeError

        checked = Checked(app)
        await checked(HTTP, send, send)
        return checked

    (found,) = asyncio.run(main()).violations
    assert "it still ran" in found


def test_the_list_is_raised_at_the_end() -> None:
    """`verify` raises what was found, and `report` was told of each."""
    reported: list[str] = []
    checked = Checked(sends(END), reported.append)

    async def main() -> None:
        async def nothing(*args: Any) -> Any:
            return {"type": "http.request"}

        await checked(HTTP, nothing, nothing)

    checked.verify()
    asyncio.run(main())
    assert reported == checked.violations
    with pytest.raises(AssertionError, match="a body before the start"):
        checked.verify()


def test_an_application_that_raises_need_not_answer() -> None:
    """An exception of the application goes to the server, which answers; it is no violation."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError

    checked = Checked(app)

    async def nothing() -> None: ...

    for scope in (HTTP, WEBSOCKET, LIFESPAN, {"type": "of the future"}):
        with pytest.raises(LookupError):
            asyncio.run(checked(scope, nothing, nothing))
    checked.verify()
