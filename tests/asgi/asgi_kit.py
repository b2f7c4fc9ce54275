"""Calling an application by ASGI without a server: messages that a test gives, and what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Headers = Iterable[tuple[str, str]]
DEADLINE = 30.0  # seconds until something that does not happen is taken for a failure


def scope(method: str = "GET", path: str = "/", headers: Headers = (), **more: Any) -> Any:
    """An `http` scope; `more` replaces or adds entries."""
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), *((k.encode(), v.encode()) for k, v in headers)],
        "client": ("127.0.0.1", 5),
        "server": ("localhost", 80),
    } | more


@dataclass
class Peer:
    """The server's side of one request."""

    body: list[bytes] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    """How often the application asked for a message."""

    def __post_init__(self) -> None:
        self._left = asyncio.Event()
        self._more = asyncio.Event()
        self._parts = 0
        self.on_send: Callable[[dict[str, Any]], Any] | None = None

    def leave(self) -> None:
        """The client goes away."""
        self._left.set()

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self._parts < max(1, len(self.body)) and not self._left.is_set():
            self._parts += 1
            part = self.body[self._parts - 1] if self.body else b""
            more = self._parts < len(self.body)
            return {"type": "http.request", "body": part, "more_body": more}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self._more.set()
        if self.on_send is not None:
            done = self.on_send(message)
            if done is not None:
                await done

    async def until(self, what: Callable[[Peer], object]) -> None:
        """Wait until `what` is true of what was sent."""
        async with asyncio.timeout(DEADLINE):
            while not what(self):
                self._more.clear()
                await self._more.wait()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.sent[0]["headers"]}

    @property
    def data(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def over(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


async def ask(
    app: Any, path: str = "/", method: str = "GET", body: bytes | list[bytes] = b"", **options: Any
) -> Peer:
    """One request, to its end."""
    parts = [body] if isinstance(body, bytes) else body
    peer = Peer(parts)
    headers = list(options.pop("headers", ()))
    if isinstance(body, bytes) and body:
        headers.append(("content-length", str(len(body))))
    async with asyncio.timeout(DEADLINE):
        await app.asgi_app(scope(method, path, headers, **options), peer.receive, peer.send)
    return peer


async def eventually(what: Callable[[], object]) -> None:
    """Wait until `what()` is true."""
    async with asyncio.timeout(DEADLINE):
        while not what():
            await asyncio.sleep(0.001)
