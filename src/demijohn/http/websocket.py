"""The WebSocket that a view talks to: the request that asked for it, and its messages.

What carries the messages is a `Connection`, which an edge makes: nothing here knows a server or an
application. Close codes are those of RFC 6455, 7.4.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit
from wsgiref.util import is_hop_by_hop

from .headers import check_name, check_value
from .lazy import lazy
from .request import Request

if t.TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from wsgiref.types import WSGIEnvironment

Message: t.TypeAlias = str | bytes
"""What one message holds: text, or bytes."""

HeaderPairs: t.TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

NORMAL: t.Final = 1000
UNSUPPORTED_DATA: t.Final = 1003
INVALID_DATA: t.Final = 1007
POLICY_VIOLATION: t.Final = 1008
INTERNAL_ERROR: t.Final = 1011
SERVICE_RESTART: t.Final = 1012
TRY_AGAIN_LATER: t.Final = 1013

CLOSED: t.Final = "closed"
"""Why the work of a connection is cancelled that the application has closed itself."""

MOST_REASON: t.Final = 123
"""How many bytes the reason of a close frame may have (RFC 6455, 5.5)."""

_TOKEN: t.Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HANDSHAKE: t.Final = ("content-length", "trailer", "proxy-connection")
_DEFAULT_PORTS: t.Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


class WebSocketDisconnected(Exception):
    """The connection is closed: nothing can be received or sent any more.

    `code` and `reason` are those of the close frame; 1006 stands for a connection that was lost
    without one. `by_client` says who closed it: False after this application's own `close`.
    A view that lets it through ends quietly, with the outcome "disconnected".
    """

    #: How the contexts end that it ends.
    outcome = "disconnected"

    def __init__(
        self, code: int, reason: str = "", by_client: bool = True, connection: object = None
    ) -> None:
        super().__init__(code, reason)
        # Whose: a view may send to other connections.
        self._connection = connection
        self.code = code
        self.reason = reason
        self.by_client = by_client

    def __str__(self) -> str:
        who = "The client has" if self.by_client else "This application has"
        reason = f", {self.reason!r}" if self.reason else ""
        return f"{who} closed the WebSocket: {self.code}{reason}."


class WebSocketBadMessage(ValueError):
    """A message is not of the kind that was asked for: bytes for text, or no JSON.

    A view that lets it through closes the connection with `code`: 1003 for the wrong kind of
    message, 1007 for data that cannot be read. Your own takes a code that `close` takes.
    """

    def __init__(self, message: str, code: int) -> None:
        check_close(code, "")
        super().__init__(message)
        self.code = code


class Connection(t.Protocol):
    """What carries the messages of one WebSocket; the edge's part of it."""

    @property
    def accepted(self) -> bool: ...

    @property
    def closed(self) -> tuple[int, str, bool] | None: ...

    async def accept(self, subprotocol: str | None, headers: list[tuple[str, str]]) -> None: ...

    async def receive(self) -> Message: ...

    async def send(self, data: Message) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...

    def message_context(self, deadline: float | None) -> AbstractAsyncContextManager[None]: ...


class WebSocket(Request):
    """A WebSocket: the request that asked for it, with all that a request tells, and its messages.

    Receiving or sending accepts the connection, if nobody has. Several tasks may send at the same
    time, and each message goes out whole, in the order of the calls; one may receive at a time.
    `receive` and `send` raise `WebSocketDisconnected` when the connection is closed.
    """

    #: What carries the messages, put here by the edge; None for a made-up request.
    connection: Connection | None = None

    def __init__(
        self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False
    ) -> None:
        super().__init__(environ, populate_request, shallow)
        secure = environ.get("wsgi.url_scheme") in ("https", "wss")
        setattr(self, "scheme", "wss" if secure else "ws")

    @lazy
    def requested_subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, the one that it likes best first."""
        offered = self.headers.get("Sec-WebSocket-Protocol", "")
        return [name for part in offered.split(",") if (name := part.strip())]

    @property
    def accepted(self) -> bool:
        """Whether the connection was accepted."""
        return self._wire.accepted

    @property
    def close_code(self) -> int | None:
        """The code with which either side closed the connection; None while it is open."""
        closed = self._wire.closed
        return None if closed is None else closed[0]

    @property
    def close_reason(self) -> str | None:
        """The reason that came with it, often empty; None while it is open."""
        closed = self._wire.closed
        return None if closed is None else closed[1]

    @property
    def _wire(self) -> Connection:
        connection = self.connection
        if connection is None:
            raise RuntimeError(
                "This WebSocket has no connection: it is a made-up request. In a test use"
                " `with app.test_client().websocket(path) as ws:`."
            )
        return connection

    async def accept(
        self, subprotocol: str | None = None, headers: HeaderPairs | None = None
    ) -> None:
        """Accept the connection; the first `receive` or `send` does it otherwise.

        `subprotocol` is one of `requested_subprotocols`, else `ValueError`. `headers` go into the
        answer, together with the session's cookie: what is written to the session from now on
        cannot reach the client, and raises `SessionReadOnly`. One that is malformed, or part of the
        handshake, raises `ValueError`. Raises `RuntimeError` when the connection was accepted
        already.
        """
        if subprotocol is not None and subprotocol not in self.requested_subprotocols:
            raise ValueError(
                f"The client did not offer the subprotocol {subprotocol!r}, and would refuse it. It"
                f" offered {self.requested_subprotocols}: choose one of these, or give none."
            )
        if self._wire.accepted:
            raise RuntimeError(
                "This WebSocket was accepted already: `receive` and `send` accept it where nobody"
                " has. Call `accept` before the first of them."
            )
        pairs: t.Any = headers.items() if isinstance(headers, Mapping) else headers or ()
        pairs = list(pairs)
        check_accept(pairs)
        await self._wire.accept(subprotocol, pairs)

    async def receive(self) -> Message:
        """The next message, text or bytes."""
        return await self._wire.receive()

    async def receive_text(self) -> str:
        """The next message; raises `WebSocketBadMessage` (1003) where it is not text."""
        message = await self.receive()
        if isinstance(message, str):
            return message
        raise WebSocketBadMessage(
            "A message of bytes came where text was wanted.", UNSUPPORTED_DATA
        )

    async def receive_bytes(self) -> bytes:
        """The next message; raises `WebSocketBadMessage` (1003) where it is text."""
        message = await self.receive()
        if isinstance(message, bytes):
            return message
        raise WebSocketBadMessage(
            "A message of text came where bytes were wanted.", UNSUPPORTED_DATA
        )

    async def receive_json(self) -> t.Any:
        """What the next message, text or bytes, is in JSON, by the application's provider.

        Raises `WebSocketBadMessage` (1007) where it is not JSON.
        """
        message = await self.receive()
        try:
            return self.json_module.loads(message)
        except (ValueError, RecursionError) as error:
            raise WebSocketBadMessage("A message came that is not JSON.", INVALID_DATA) from error

    async def send(self, data: Message | bytearray | memoryview) -> None:
        """Send a message: text for `str`, else bytes. Waits while the client does not read."""
        if isinstance(data, (bytearray, memoryview)):
            data = bytes(data)
        elif not isinstance(data, (str, bytes)):
            raise TypeError(
                f"A message is text or bytes, not {type(data).__name__}. `send_json` sends other"
                " values as JSON."
            )
        await self._wire.send(data)

    async def send_json(self, value: t.Any) -> None:
        """Send `value` as JSON, in a message of text."""
        await self._wire.send(self.json_module.dumps(value))

    async def close(  # type: ignore[override]  # a request's closes uploads, which this has none of
        self, code: int = 1000, reason: str = ""
    ) -> None:
        """Close the connection; before it was accepted, refuse it. A second call does nothing.

        The tasks of its task groups are cancelled; the code that calls this goes on.

        `code` is 1000 to 1014 but for those that no frame may have (1004 to 1006), or 3000 to
        4999; `reason` at most 123 bytes of UTF-8. `ValueError` otherwise.
        """
        check_close(code, reason)
        await self._wire.close(code, reason)

    def message_context(
        self, *, deadline: float | None = None
    ) -> AbstractAsyncContextManager[None]:
        """A block for the work on one message: `async with websocket.message_context():`.

        It runs in a child of the connection's context: its own `g` with the values declared to
        carry, its own resources, closed at the end of the block, its own outcome. When the client
        leaves, or the connection is cancelled, the view goes on to the end of the block. `deadline`
        is how many seconds it may take, if the connection has no less: then it is interrupted where
        it waits, and `DeadlineExceeded` comes out of the block.
        """
        return self._wire.message_context(deadline)

    def __aiter__(self) -> t.Self:
        """The messages, until the connection is closed: `async for message in websocket`.

        Ends without an error, whoever closed it and however: `close_code` says the code. (Servers
        differ in the code that they give for one and the same goodbye.)
        """
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except WebSocketDisconnected:
            raise StopAsyncIteration from None


def check_accept(headers: Iterable[tuple[str, str]]) -> None:
    """Raise `ValueError` for a header that an accepting answer may not have: a malformed one, or
    one with which servers make the handshake themselves (RFC 6455, 4.2.2; RFC 9110, 7.6.1, 8.6)."""
    for name, value in headers:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"The names and values of headers are strings: {name!r}: {value!r}")
        check_name(name)
        check_value(value)
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a header (RFC 9110, 5.1).")
        if not all(letter <= "\xff" for letter in value):
            raise ValueError(f"The value of {name!r} has characters beyond ISO-8859-1.")
        if value != value.strip(" \t"):
            raise ValueError(f"The value of {name!r} has spaces around it (RFC 9110, 5.5).")
        lower = name.lower()
        if lower == "sec-websocket-protocol":
            raise ValueError("Give the subprotocol as an argument, not as a header.")
        if lower.startswith("sec-websocket-") or lower in _HANDSHAKE or is_hop_by_hop(lower):
            raise ValueError(
                f"The header {name!r} belongs to the handshake: the server gives it, and another"
                " one would break the connection."
            )


def check_close(code: int, reason: str) -> None:
    """Raise `ValueError` for a code or a reason that no close frame may have."""
    if not (code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError(
            f"{code} is no code for a close frame: take 1000, 1008 or another one of RFC 6455, or"
            " one of your own from 4000 to 4999."
        )
    if len(reason.encode()) > MOST_REASON:
        raise ValueError(f"The reason of a close frame has at most {MOST_REASON} bytes.")


def short_reason(text: str) -> str:
    """`text`, cut so that it fits into a close frame."""
    return text.encode(errors="replace")[:MOST_REASON].decode(errors="ignore")


def may_ask(websocket: WebSocket, allowed: t.Any) -> bool:
    """Whether the page that asks for a connection may have it.

    Browsers let every page connect to every host, with that host's cookies; its `Origin` is all
    that tells them apart. `allowed` is None for pages of the same host, "*" for all, or a
    collection of origins such as "https://example.com". Without the header nobody's page asks.
    """
    origin = websocket.headers.get("Origin")
    if origin is None or allowed == "*":
        return True
    if allowed is not None:
        listed = [allowed] if isinstance(allowed, str) else allowed
        return "*" in listed or origin.lower() in {each.lower().rstrip("/") for each in listed}
    return _is_same_host(origin, websocket)


def _is_same_host(origin: str, websocket: WebSocket) -> bool:
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return False
    if websocket.scheme == "wss" and parts.scheme == "http":
        return False  # a page that anybody on the way could have changed
    host = (websocket.headers.get("Host") or "").lower()
    # A proxy that speaks TLS for this server keeps the host, not the scheme: ports are compared as
    # each side writes them, without those that go without saying.
    return bool(host) and _bare(parts.netloc, parts.scheme) in (
        host,
        _bare(host, websocket.scheme),
    )


def _bare(host: str, scheme: str) -> str:
    return host.removesuffix(_DEFAULT_PORTS[scheme])
