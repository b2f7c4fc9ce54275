"""docs/howto/from-quart.md: where behaviour differs from Quart's, it is as the page says."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from quart_pairs import DEADLINE, Shop, Table

from demijohn import (
    WebSocketDisconnected,
    app_ctx,
    g,
    request,
    websocket,
)
from demijohn.testing.websocket import WebSocketDenied

behaves = Table("What behaves differently")
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@behaves("sync functions")
def _(shop: Shop) -> None:
    threads: set[int] = set()

    @shop.app.before_request
    def hook() -> None:
        threads.add(threading.get_ident())
        variable.set("set")

    @shop.app.teardown_request
    def teardown(error: BaseException | None) -> None:
        threads.add(threading.get_ident())

    async def view() -> str:
        await asyncio.sleep(0)
        return variable.get()

    shop.view(view)
    assert shop.ask().text == "set"
    assert len(threads) == 1 and threading.get_ident() not in threads


@behaves("size of a body")
def _(shop: Shop) -> None:
    shop.view(lambda: str(len(request.get_data())))
    assert shop.ask(method="POST", data=b"x" * 17_000_000).text == "17000000"
    shop.app.config["MAX_CONTENT_LENGTH"] = 1000
    assert shop.ask(method="POST", data=b"x" * 1001).status_code == 413


@behaves("time for a body", "time for an answer")
def _(shop: Shop) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(3600)

    async def view() -> str:
        await asyncio.sleep(3600)
        return ""

    shop.app.testing = False
    shop.view(view, deadline=0.05)
    assert shop.ask().status_code == 503
    assert shop.ask(method="POST", chunks=never()).status_code == 503


async def _leave(shop: Shop, path: str, after: Callable[[], object]) -> list[Any]:
    """Ask, leave when `after()` is true, and wait until the application is done; what it sent."""
    sent: list[Any] = []
    first = True

    async def receive() -> dict[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request"}
        while not after():
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    async with asyncio.timeout(DEADLINE):
        await shop.app.asgi_app(scope, receive, send)
    return sent


@behaves("a client that leaves")
def _(shop: Shop) -> None:
    log: list[str | None] = []
    shop.app.teardown_request(lambda error: log.append(app_ctx.outcome))

    @shop.app.get("/stream")
    async def stream() -> Any:
        async def body() -> AsyncIterator[str]:
            yield "x"
            log.append("streams")
            await asyncio.sleep(3600)

        return body()

    async def view() -> str:
        await asyncio.sleep(0.02)
        return "to its end"

    shop.view(view)
    asyncio.run(_leave(shop, "/stream", lambda: log))
    assert log == ["streams", "disconnected"]
    asyncio.run(_leave(shop, "/", lambda: True))
    assert log == ["streams", "disconnected", "ok"]


@behaves("the task of the request is cancelled")
def _(shop: Shop) -> None:
    log: list[str] = []
    shop.app.teardown_request(lambda error: log.append("end"))

    async def view() -> str:
        try:
            log.append("begin")
            await asyncio.sleep(3600)
        finally:
            log.append("cancelled")
        return ""

    async def main() -> None:
        task = asyncio.ensure_future(shop.app.async_test_client().get("/"))
        async with asyncio.timeout(DEADLINE):
            while not log:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    shop.view(view)
    asyncio.run(main())
    assert log == ["begin", "cancelled", "end"]


@behaves("JSON with another content type")
def _(shop: Shop) -> None:
    async def view() -> Any:
        return {"got": request.get_json(silent="silent" in request.args)}

    shop.view(view)
    assert shop.ask(method="POST", data=b"{}").status_code == 415
    assert shop.ask(method="POST", data=b"{}", query_string="silent=1").json == {"got": None}


@behaves("static files")
def _(shop: Shop) -> None:
    client = shop.app.test_client(edge="asgi")
    answer = client.get("/static/a.txt")
    assert answer.headers["Cache-Control"] == "no-cache"
    etag = {"If-None-Match": answer.headers["ETag"]}
    assert client.get("/static/a.txt", headers=etag).status_code == 304


@behaves("a route added after the first request")
def _(shop: Shop) -> None:
    shop.view(lambda: "")
    shop.ask()
    with pytest.raises(AssertionError):
        shop.app.get("/late")(lambda: "")


@behaves("a streamed body")
def _(shop: Shop) -> None:
    log: list[str] = []
    shop.app.teardown_request(lambda error: log.append("end"))

    async def view() -> Any:
        async def body() -> AsyncIterator[str]:
            yield request.path
            log.append("body")

        return body()

    shop.view(view)
    assert shop.ask().text == "/"
    assert log == ["body", "end"]


@behaves("one function and endpoint for a WebSocket and for requests")
def _(shop: Shop) -> None:
    async def both() -> str:
        return "x"

    shop.app.get("/both")(both)
    with pytest.raises(ValueError, match="WebSocket"):
        shop.app.websocket("/both/ws")(both)
    shop.app.websocket("/both/ws", endpoint="both_ws")(both)


@behaves("a client closes a WebSocket", "`request` in a WebSocket's view")
def _(shop: Shop) -> None:
    log: list[str] = []

    @shop.app.websocket("/ws")
    async def ws() -> None:
        log.append(request.path)
        async for message in websocket:
            log.append(str(message))
        try:
            await websocket.receive()
        except WebSocketDisconnected:
            log.append("disconnected")

    with shop.app.test_client().websocket("/ws") as connection:
        connection.send("x")
    assert log == ["/ws", "x", "disconnected"]


@behaves("pages of other sites")
def _(shop: Shop) -> None:
    @shop.app.websocket("/ws")
    async def ws() -> None:
        await websocket.accept()

    def connect() -> None:
        headers = {"Origin": "https://evil.example"}
        with shop.app.test_client().websocket("/ws", headers=headers):
            pass

    with pytest.raises(WebSocketDenied):
        connect()
    shop.app.config["WEBSOCKET_ORIGINS"] = ["https://evil.example"]
    connect()


@behaves("`g` around the serving")
def _(shop: Shop) -> None:
    seen: list[tuple[str, bool]] = []

    @shop.app.before_serving
    async def before() -> None:
        g.before = True

    @shop.app.while_serving
    async def around() -> AsyncIterator[None]:
        seen.append(("start", "before" in g))
        g.around = True
        yield
        seen.append(("end", "around" in g))

    shop.app.after_serving(lambda: seen.append(("after", "around" in g)))
    with shop.app.serving():
        pass
    assert seen == [("start", False), ("end", True), ("after", False)]


@pytest.mark.parametrize("row", behaves.checks)
def test_how_it_behaves_here(row: str, tmp_path: Path) -> None:
    """What stands in the column "Here" happens."""
    behaves.checks[row](Shop(tmp_path))


def test_every_row_is_checked() -> None:
    """The rows of the page's table and the checks here are the same."""
    assert sorted(behaves.rows()) == sorted(behaves.checks)
