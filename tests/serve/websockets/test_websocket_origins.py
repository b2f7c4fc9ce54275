"""Whose pages may open a WebSocket, and what its session is."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
from socket_wire import Wire, make_app, talk

from demijohn import SessionReadOnly, g, session, websocket
from demijohn.testing.websocket import WebSocketDenied

# -- origins --------------------------------------------------------------------------------------

SAME: Any = None
ORIGINS: list[tuple[str | None, Any, str, str, bool]] = [
    (None, SAME, "example.com", "ws", True),
    ("https://example.com", SAME, "example.com", "wss", True),
    ("http://example.com", SAME, "example.com", "ws", True),
    ("https://example.com", SAME, "example.com", "ws", True),  # behind a proxy that speaks TLS
    ("http://example.com", SAME, "example.com", "wss", False),
    ("https://EXAMPLE.com", SAME, "example.COM", "wss", True),
    ("https://example.com", SAME, "example.com:443", "wss", True),
    ("https://example.com:443", SAME, "example.com", "wss", True),
    ("http://localhost:5000", SAME, "localhost:5000", "ws", True),
    ("http://localhost:3000", SAME, "localhost:5000", "ws", False),
    ("https://evil.example", SAME, "example.com", "wss", False),
    ("https://example.com.evil.example", SAME, "example.com", "wss", False),
    ("https://evil.example?example.com", SAME, "example.com", "wss", False),
    ("https://example.com@evil.example", SAME, "example.com", "wss", False),
    ("null", SAME, "example.com", "wss", False),
    ("", SAME, "example.com", "wss", False),
    ("file://", SAME, "example.com", "wss", False),
    ("https://[", SAME, "example.com", "wss", False),
    ("https://evil.example", "*", "example.com", "wss", True),
    ("https://app.example", ["https://app.example"], "example.com", "wss", True),
    ("https://app.example", ["https://App.example/"], "example.com", "wss", True),
    ("https://app.example", "https://app.example", "example.com", "wss", True),
    ("http://app.example", ["https://app.example"], "example.com", "wss", False),
    ("https://example.com", ["https://app.example"], "example.com", "wss", False),
    ("https://x.example", [], "x.example", "wss", False),
    (None, [], "x.example", "wss", True),
    ("null", ["null"], "example.com", "wss", True),
]


@pytest.mark.parametrize(("origin", "allowed", "host", "scheme", "may"), ORIGINS)
def test_whose_pages_may_connect(
    origin: str | None,
    allowed: Any,
    host: str,
    scheme: str,
    may: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Pages of the same host, or of the listed origins; a client without an `Origin` always. The
    log of a refusal names the setting."""
    app = make_app(WEBSOCKET_ORIGINS=allowed)

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()

    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    wire = talk(app, partial(Wire, headers=headers, scheme=scheme))
    assert wire.accepted is may
    if not may:
        assert wire.denial[0] == 403  # type: ignore[index]
        assert "WEBSOCKET_ORIGINS" in caplog.text


def test_an_origin_writes_no_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Control characters of an `Origin` stand escaped in the log."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None: ...

    talk(app, partial(Wire, headers={"origin": "https://a\x1b[31m\nERROR"}))
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.getMessage().isprintable()


def test_hosts_that_are_not_trusted() -> None:
    """`TRUSTED_HOSTS` holds for WebSockets, also where the origin is of the same host."""
    app = make_app(TRUSTED_HOSTS=["example.com"])

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()

    evil = {"host": "evil.example", "origin": "https://evil.example"}
    assert talk(app, partial(Wire, headers=evil)).denial[0] == 400  # type: ignore[index]
    assert talk(app, partial(Wire, headers={"host": "example.com"})).accepted


# -- session --------------------------------------------------------------------------------------


def test_the_session_until_the_accept() -> None:
    """It is the cookie's; what is written before the accept goes out with it, a later write is
    refused, and reading goes on."""
    app = make_app()
    seen: list[Any] = []

    @app.get("/log-in")
    def log_in() -> str:
        session["user"] = "ada"
        return ""

    @app.before_websocket
    def count() -> None:
        session["count"] = session.get("count", 0) + 1

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        with pytest.raises(SessionReadOnly, match=r"before `await websocket\.accept"):
            session["late"] = 1
        seen.append(dict(session))

    client = app.test_client()
    client.get("/log-in")
    for count_so_far in (1, 2):
        with client.websocket("/"):
            pass
        assert seen.pop() == {"user": "ada", "count": count_so_far}


def test_a_session_that_is_opened_late_is_read_only() -> None:
    """A session that nobody opened before the accept can be read after it, and not written."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        assert session.get("user") is None
        with pytest.raises(SessionReadOnly):
            session["late"] = 1
        await websocket.send("done")

    wire = talk(app, "/")
    assert wire.messages == ["done"]
    assert wire.sent[0]["headers"] == []


def test_refusals_in_the_client() -> None:
    """A test client raises `WebSocketDenied` with the answer, and keeps its cookies."""
    app = make_app()

    @app.websocket("/")
    async def view() -> Any:
        session["a"] = 1
        return {"why": "no"}, 403

    client = app.test_client()
    with pytest.raises(WebSocketDenied, match="403 FORBIDDEN") as denied, client.websocket("/"):
        raise AssertionError
    assert denied.value.response.get_json() == {"why": "no"}
    assert client.get_cookie("session") is not None


def test_g_is_the_connections(recwarn: pytest.WarningsRecorder) -> None:
    """`g` is one object from the hooks to the end of the connection."""
    app = make_app()
    ended: list[str] = []

    @app.before_websocket
    def before() -> None:
        g.name = "ada"

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        ended.append(g.name)

    @app.websocket("/")
    async def view() -> None:
        async for message in websocket:
            g.name += message

    talk(app, "/", "1", "2", leave=1000)
    assert ended == ["ada12"]
