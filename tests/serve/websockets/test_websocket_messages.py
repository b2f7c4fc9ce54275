"""The messages of a WebSocket: their kinds, their order, and waiting for a slow client."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from socket_wire import Wire, make_app, run, talk, talking, until

from demijohn import WebSocketBadMessage, WebSocketDisconnected, task_group, websocket
from demijohn.http.websocket import check_close, short_reason
from demijohn.serve.websocket import READ_AHEAD


def test_kinds_of_messages() -> None:
    """Text stays text, bytes stay bytes, JSON goes by the application's provider."""
    app = make_app()
    got: list[Any] = []

    @app.websocket("/")
    async def view() -> None:
        got.append(await websocket.receive())
        got.append(await websocket.receive())
        got.append(await websocket.receive_text())
        got.append(await websocket.receive_bytes())
        got.append(await websocket.receive_json())
        got.append(await websocket.receive_json())
        await websocket.send("ä")
        await websocket.send(b"\xff")
        await websocket.send(bytearray(b"a"))
        await websocket.send(memoryview(b"b"))
        await websocket.send_json({"b": [1], "a": None})
        await websocket.send("")
        with pytest.raises(TypeError, match="send_json"):
            await websocket.send({"a": 1})  # type: ignore[arg-type]

    wire = talk(app, "/", "t", b"\x00", "", b"", '{"a": 1}', b"[2]")
    assert got == ["t", b"\x00", "", b"", {"a": 1}, [2]]
    assert wire.messages == ["ä", b"\xff", b"a", b"b", '{"a": null, "b": [1]}', ""]
    assert wire.close == (1000, "")


def test_json_is_the_applications() -> None:
    """`send_json` and `receive_json` use the provider that the application has."""
    app = make_app()

    class Loud(type(app.json)):  # type: ignore[misc]
        def loads(self, s: Any, **kwargs: Any) -> Any:
            return ["loud", super().loads(s, **kwargs)]

        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return "loud" + str(super().dumps(obj, **kwargs))

    app.json = Loud(app)

    @app.websocket("/")
    async def view() -> None:
        await websocket.send_json(await websocket.receive_json())

    assert talk(app, "/", "1").messages == ['loud["loud", 1]']


WRONG: list[tuple[str, str | bytes, int]] = [
    ("receive_text", b"bytes", 1003),
    ("receive_bytes", "text", 1003),
    ("receive_json", "{", 1007),
    ("receive_json", "", 1007),
    ("receive_json", b"\xff", 1007),
    ("receive_json", "[" * 100_000, 1007),
    ("receive_json", "9" * 5_000, 1007),
]


@pytest.mark.parametrize(("method", "said", "code"), WRONG)
def test_messages_that_are_not_what_was_asked_for(
    method: str, said: str | bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The view may catch the error; if it does not, the connection is closed with the error's code,
    and nothing is logged: it is the client's mistake."""
    app = make_app()

    @app.websocket("/<int:catch>")
    async def view(catch: int) -> None:
        try:
            await getattr(websocket, method)()
        except WebSocketBadMessage as error:
            if not catch:
                raise
            await websocket.send(str(error.code))

    assert talk(app, "/1", said).messages == [str(code)]
    wire = talk(app, "/0", said)
    assert wire.close is not None
    assert wire.close[0] == code
    assert caplog.records == []


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1011, 4000])
def test_iteration_ends_with_the_connection(code: int) -> None:
    """`async for` ends when the client closes or is lost, and `close_code` says how."""
    app = make_app()
    got: list[Any] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        assert websocket.close_code is websocket.close_reason is None
        async for message in websocket:
            got.append(message)
        got.append((websocket.close_code, websocket.close_reason))

    talk(app, "/", "1", "2", leave=code)
    assert got == ["1", "2", (code, "")]


def test_what_is_known_of_a_client_that_left() -> None:
    """`receive` and `send` raise the code and the reason, each time that they are called; what the
    client said before it left is received first."""
    app = make_app()
    got: list[Any] = []

    @app.websocket("/")
    async def view() -> None:
        got.append(await websocket.receive())
        await until(lambda: wires[0].gone)
        got.append(await websocket.receive())
        for call in (websocket.receive, partial(websocket.send, "x"), websocket.receive_json):
            with pytest.raises(WebSocketDisconnected) as error:
                await call()
            got.append((error.value.code, error.value.reason, error.value.by_client))
        got.append(str(error.value))
        await websocket.close(4000)  # does nothing

    wires: list[Wire] = []

    async def main() -> None:
        wires.append(Wire())
        async with talking(app, wires[0]):
            wires[0].say("1")
            wires[0].say("2")
            wires[0].leave(4001, "bye")

    run(main)
    assert got[:2] == ["1", "2"]
    assert got[2:5] == [(4001, "bye", True)] * 3
    assert got[5] == "The client has closed the WebSocket: 4001, 'bye'."
    assert wires[0].close is None


def test_after_its_own_close() -> None:
    """After `close` the other calls raise `WebSocketDisconnected`, which says who closed."""
    app = make_app()
    got: list[Any] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await until(lambda: wire_of[0].taken == 2)
        await websocket.close(4001, "enough")
        await websocket.close(4002)
        for call in (websocket.receive, partial(websocket.send, "x")):
            with pytest.raises(WebSocketDisconnected, match="This application has") as error:
                await call()
            got.append((error.value.code, error.value.by_client))

    wire_of: list[Wire] = []

    async def main() -> None:
        wire_of.append(Wire())
        wire_of[0].say("unread")
        async with talking(app, wire_of[0]):
            pass

    run(main)
    assert got == [(4001, False)] * 2
    assert wire_of[0].close == (4001, "enough")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000])
def test_codes_that_no_frame_has(code: int) -> None:
    """A close code that a frame cannot have is refused."""
    with pytest.raises(ValueError, match="no code"):
        check_close(code, "")


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_codes_and_reasons(code: int) -> None:
    """Codes of RFC 6455 and one's own are taken, reasons up to 123 bytes."""
    check_close(code, "ä" * 61)
    with pytest.raises(ValueError, match="123"):
        check_close(code, "ä" * 62)
    assert short_reason("ä" * 62) == "ä" * 61


def test_one_task_receives() -> None:
    """A second task that receives at the same time is told so; the first one goes on."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        first = asyncio.create_task(websocket.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="Another task is waiting"):
            await websocket.receive()
        await websocket.send("asked")
        assert await first == "x"

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            assert await wire.hears(1) == ["asked"]
            wire.say("x")
        assert wire.close == (1000, "")

    run(main)


def test_tasks_send_in_the_order_of_their_calls() -> None:
    """Messages of several tasks go out whole and in the order of the calls, also while the client
    does not read; the first of them accepts, once."""
    app = make_app()

    async def send(n: int) -> None:
        await websocket.send(f"{n}")

    @app.websocket("/")
    async def view() -> None:
        async with task_group() as tg:
            for n in range(20):
                tg.create_task(send(n))

    async def main() -> None:
        wire = Wire()
        wire.reads.clear()
        async with talking(app, wire):
            await asyncio.sleep(0.01)
            wire.reads.set()
        assert wire.messages == [str(n) for n in range(20)]
        assert wire.close == (1000, "")

    run(main)


def test_sending_waits_for_the_client() -> None:
    """A client that does not read makes `send` wait; no message is kept beside the waiting one."""
    app = make_app()
    sent: list[int] = []

    @app.websocket("/")
    async def view() -> None:
        for n in range(5):
            await websocket.send(str(n))
            sent.append(n)

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            await wire.hears(1)
            wire.reads.clear()
            before = len(sent)
            await asyncio.sleep(0.02)
            assert len(sent) <= before + 1
            wire.reads.set()
        assert sent == [0, 1, 2, 3, 4]

    run(main)


def test_what_waits_for_the_view_is_bounded() -> None:
    """The server is asked for the next messages until 64 kB wait for the view, and again when it
    has taken them; a single one may be larger."""
    app = make_app()
    go = asyncio.Event()
    got: list[int] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await go.wait()
        async for message in websocket:
            got.append(len(message))

    async def main() -> None:
        wire = Wire()
        for _ in range(10):
            wire.say("x" * (READ_AHEAD // 4))
        wire.say("x" * (3 * READ_AHEAD))
        for _ in range(1000):
            wire.say("")
        wire.leave(1000)
        async with talking(app, wire):
            await until(lambda: wire.taken > 3)
            await asyncio.sleep(0.02)
            assert wire.taken == 1 + 4  # the connect, and four messages of a quarter each
            go.set()
        assert len(got) == 1011

    run(main)


def test_empty_messages_are_bounded_too() -> None:
    """Messages without content count as well: a client cannot fill the memory with them."""
    app = make_app()
    go = asyncio.Event()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await go.wait()

    async def main() -> None:
        wire = Wire()
        for _ in range(5000):
            wire.say("")
        async with talking(app, wire):
            await until(lambda: wire.taken > 100)
            await asyncio.sleep(0.02)
            assert wire.taken < 300
            go.set()

    run(main)


def test_waiting_for_a_message_with_a_limit() -> None:
    """`asyncio.wait_for` and `asyncio.timeout` around `receive` work, and lose no message."""
    app = make_app(SESSION_COOKIE_NAME="s")

    @app.websocket("/")
    async def view() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(websocket.receive(), 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await websocket.receive()
        await websocket.send("ready")
        assert await asyncio.wait_for(websocket.receive(), 10) == "x"

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            await wire.hears(1)
            wire.say("x")
        assert wire.close == (1000, "")

    run(main)


class Uneven(Wire):
    """A server that takes its time with some messages."""

    async def send(self, message: dict[str, Any]) -> None:
        for _ in range(int(message.get("text", "0")) % 3):
            await asyncio.sleep(0)
        await super().send(message)


def test_a_slow_message_is_not_overtaken() -> None:
    """A message that the server takes long over goes out before those that were sent after it."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        async with task_group() as tg:
            for n in range(20, 0, -1):
                tg.create_task(websocket.send(str(n)))

    assert talk(app, Uneven).messages == [str(n) for n in range(20, 0, -1)]


def test_a_view_that_only_sends_leaves_others_their_turn() -> None:
    """Where the server never waits, a view that sends and sends does not keep the loop for itself,
    and hears that its client has left."""
    app = make_app()
    turns: list[float] = []
    over = time.monotonic() + 5

    @app.websocket("/")
    async def view() -> None:
        asyncio.get_running_loop().call_later(0.02, turns.append, time.monotonic())
        while time.monotonic() < over:
            await websocket.send("x")
            if turns:
                wires[0].leave(1006)

    wires: list[Wire] = []

    async def main() -> None:
        wires.append(Wire())
        async with talking(app, wires[0]):
            pass

    run(main)
    assert turns
    assert time.monotonic() < over
