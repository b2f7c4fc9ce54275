"""A WebSocket client on ASGI's messages, in memory: every step of a server is the test's own.

It holds the application to the protocol: one answer, nothing after the close, header names of bytes
in small letters, no two calls of `receive` at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from demijohn import Demijohn

PATIENCE = 30.0
T = TypeVar("T")


def make_app(**config: Any) -> Demijohn:
    """An application whose errors are answered and logged, as in production."""
    app = Demijohn("sockets", static_folder=None)
    app.config.update(SECRET_KEY="key", **config)
    return app


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a test's coroutine; it has `PATIENCE` seconds, and may leave no task."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE):
            result = await main()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left running: {left}"
        return result

    return asyncio.run(bounded())


async def until(condition: Callable[[], object]) -> None:
    """Let others run until a condition holds."""
    while not condition():
        await asyncio.sleep(0.001)


class Wire:
    """The server's side of one connection."""

    def __init__(self, path: str = "/", denial: bool = True, **more: Any) -> None:
        path, _, query = path.partition("?")
        headers = {"host": "localhost", **more.pop("headers", {})}
        subprotocols = more.pop("subprotocols", [])
        if subprotocols:
            headers["sec-websocket-protocol"] = ", ".join(subprotocols)
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "subprotocols": subprotocols,
            "extensions": {"websocket.http.response": {}} if denial else {},
            **more,
        }
        self.sent: list[dict[str, Any]] = []
        self.taken = 0
        #: Cleared, it makes the application wait in `send`, as a client does that reads nothing.
        self.reads = asyncio.Event()
        self.reads.set()
        #: Whether the server raises for what is sent.
        self.gone = False
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._news = asyncio.Event()
        self._receiving = False
        self._to_app.put_nowait({"type": "websocket.connect"})

    # -- what the application calls ---------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        assert not self._receiving, "two calls of receive() at the same time"
        self._receiving = True
        try:
            message = await self._to_app.get()
        finally:
            self._receiving = False
        self.taken += 1
        if message["type"] == "websocket.disconnect":
            self.gone = True
        return message

    async def send(self, message: dict[str, Any]) -> None:
        self._check(message)
        await self.reads.wait()
        if self.gone:
            raise ConnectionResetError("the client has left")
        self.sent.append(message)
        self._news.set()

    def _check(self, message: dict[str, Any]) -> None:
        kinds = [one["type"] for one in self.sent]
        kind = message["type"]
        for name, value in message.get("headers", ()):
            assert type(name) is bytes and name == name.lower() and type(value) is bytes
        assert "websocket.close" not in kinds, f"{message} after a close"
        if kind == "websocket.accept":
            assert kinds == []
        elif kind == "websocket.http.response.start":
            assert kinds == [] and type(message["status"]) is int
        elif kind == "websocket.http.response.body":
            assert kinds == ["websocket.http.response.start"]
        elif kind == "websocket.send":
            assert kinds[0] == "websocket.accept"
            assert ("text" in message) != ("bytes" in message)
        else:
            assert kind == "websocket.close"
            assert kinds == [] or kinds[0] == "websocket.accept"

    # -- what the client does ---------------------------------------------------------------------

    def say(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        self._to_app.put_nowait({"type": "websocket.receive", kind: data})

    def leave(self, code: int = 1005, reason: str = "") -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def hears(self, count: int) -> list[Any]:
        """Wait until the application has sent that many messages; what is in them."""
        while len(self.messages) < count:
            self._news.clear()
            await self._news.wait()
        return self.messages

    @property
    def messages(self) -> list[Any]:
        return [
            message.get("text", message.get("bytes"))
            for message in self.sent
            if message["type"] == "websocket.send"
        ]

    @property
    def accepted(self) -> bool:
        return any(message["type"] == "websocket.accept" for message in self.sent)

    @property
    def close(self) -> tuple[int, str] | None:
        """How the application closed, if it has."""
        last = self.sent[-1] if self.sent else {"type": ""}
        if last["type"] != "websocket.close":
            return None
        return last["code"], last["reason"]

    @property
    def denial(self) -> tuple[int, bytes] | None:
        """The answer of a connection that was refused."""
        if len(self.sent) != 2 or self.sent[1]["type"] != "websocket.http.response.body":
            return None
        return self.sent[0]["status"], self.sent[1]["body"]

    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}


@asynccontextmanager
async def talking(app: Demijohn, wire: Wire) -> Any:
    """The application serving a connection, in a task, for a block; it is over at the end."""
    task = asyncio.create_task(app.asgi_app(wire.scope, wire.receive, wire.send))
    try:
        yield task
        async with asyncio.timeout(PATIENCE):
            await task
    finally:
        task.cancel()
        await asyncio.wait([task])


def talk(app: Demijohn, wire_or_path: Any, *said: str | bytes, leave: int | None = None) -> Wire:
    """A whole connection: what the client says, then that it leaves; or until the view returns."""

    async def main() -> Wire:
        wire = Wire(wire_or_path) if isinstance(wire_or_path, str) else wire_or_path()
        for data in said:
            wire.say(data)
        if leave is not None:
            wire.leave(leave)
        async with talking(app, wire):
            pass
        return wire

    return run(main)
