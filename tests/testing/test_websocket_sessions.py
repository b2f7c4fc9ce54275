"""WebSocket sessions of the test clients, with and without an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from demijohn import Demijohn, WebSocketDisconnected, g, session, websocket
from demijohn.testing.websocket import WebSocketDenied


@pytest.fixture
def app() -> Demijohn:
    """An application with WebSockets of several kinds."""
    app = Demijohn("sessions", static_folder=None)
    app.config.update(TESTING=True, SECRET_KEY="key")

    @app.websocket("/echo")
    async def echo() -> None:
        offered = websocket.requested_subprotocols
        await websocket.accept(offered[-1] if offered else None, {"X-A": websocket.headers["X-A"]})
        async for message in websocket:
            await websocket.send(message)

    @app.websocket("/json")
    async def json() -> None:
        session["n"] = session.get("n", 0) + 1
        await websocket.send_json({"n": session["n"], "q": websocket.args.get("q")})
        await websocket.send_json(await websocket.receive_json())

    @app.websocket("/closes")
    async def closes() -> None:
        await websocket.accept()
        await websocket.close(4001, "bye")

    @app.websocket("/fails")
    async def fails() -> None:
        await websocket.accept()
        g.left = "here"
        raise LookupError("a fault")

    @app.websocket("/denies")
    async def denies() -> Any:
        return {"why": "no"}, 403

    @app.websocket("/hangs", on_disconnect="continue")
    async def hangs() -> None:
        await websocket.accept()
        await asyncio.Event().wait()

    return app


def test_a_session(app: Demijohn) -> None:
    """Text, bytes, subprotocol and headers go both ways; the view runs on another thread."""
    client = app.test_client()
    with client.websocket("/echo", subprotocols=["a", "b"], headers={"X-A": "1"}) as ws:
        assert ws.subprotocol == "b"
        assert dict(ws.headers) == {"x-a": "1"}
        for message in ("text", b"bytes", ""):
            ws.send(message)
            assert ws.receive() == message
        assert ws.closed is None
        assert "demijohn-websocket-test" in [each.name for each in threading.enumerate()]
    assert "demijohn-websocket-test" not in [each.name for each in threading.enumerate()]
    assert client.last is not None
    assert (client.last.method, client.last.path) == ("GET", "/echo")


def test_json_and_cookies(app: Demijohn) -> None:
    """JSON goes by the application's provider; the client's cookies go along and come back."""
    client = app.test_client()
    for n in (1, 2):
        with client.websocket("/json?q=x") as ws:
            assert ws.receive_json() == {"n": n, "q": "x"}
            ws.send_json([n])
            assert ws.receive_json() == [n]


def test_the_application_closes(app: Demijohn) -> None:
    """`receive` raises when the application closes, each time, and `closed` says how."""
    with app.test_client().websocket("/closes") as ws:
        for _ in range(2):
            with pytest.raises(WebSocketDisconnected) as closed:
                ws.receive()
            assert (closed.value.code, closed.value.reason, closed.value.by_client) == (
                *(4001, "bye"),
                False,
            )
        assert ws.closed is not None
        assert ws.closed.code == 4001


def test_the_application_refuses(app: Demijohn) -> None:
    """A refusal has the answer; a path that nobody has is one."""
    client = app.test_client()
    for path, status in {"/denies": 403, "/missing": 404}.items():
        with pytest.raises(WebSocketDenied) as denied, client.websocket(path):
            raise AssertionError
        assert denied.value.response.status_code == status


def test_the_application_raises(app: Demijohn) -> None:
    """An error of the view is raised where the test waits, once."""
    with (
        pytest.raises(LookupError, match="a fault"),
        app.test_client().websocket("/fails") as ws,
    ):
        try:
            while True:
                ws.receive()
        except WebSocketDisconnected as closed:
            assert closed.code == 1011


def test_nothing_comes(app: Demijohn) -> None:
    """Waiting for a message has a limit; so has a view that does not end."""
    with app.test_client().websocket("/echo", headers={"X-A": ""}) as ws:
        with pytest.raises(TimeoutError):
            ws.receive(timeout=0.01)
        ws.send("x")
        assert ws.receive() == "x"
    with (
        pytest.raises(TimeoutError, match=r"had not ended 0\.05 s after"),
        app.test_client().websocket("/hangs", timeout=0.05),
    ):
        pass


def test_contexts_of_the_test_stay_out(app: Demijohn) -> None:
    """A context that the test holds is neither joined nor changed."""
    with app.app_context():
        g.left = "the test's"
        with (
            pytest.raises(LookupError),
            app.test_client().websocket("/fails", headers={"X-A": ""}) as ws,
        ):
            ws.close()
        assert g.left == "the test's"


def test_an_async_session(app: Demijohn) -> None:
    """The async client has the same names to await; several connections run at once."""

    async def main() -> None:
        client = app.async_test_client()
        headers = {"X-A": "1"}
        async with (
            client.websocket("/echo", headers=headers, subprotocols=["a"]) as one,
            client.websocket("/echo", headers=headers) as two,
        ):
            assert one.subprotocol == "a"
            await two.send("2")
            await one.send("1")
            assert [await one.receive(), await two.receive()] == ["1", "2"]
            await one.close(1001)
        async with client.websocket("/json") as ws:
            assert (await ws.receive_json())["n"] == 1
            await ws.send_json({"a": 1})
            assert await ws.receive_json() == {"a": 1}
        with pytest.raises(WebSocketDenied):
            async with client.websocket("/denies"):
                raise AssertionError

    asyncio.run(main())
