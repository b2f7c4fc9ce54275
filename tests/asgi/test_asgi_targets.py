"""What a request's line and headers say over ASGI where servers pass on what came: targets with a
host in them, several hosts, several lengths."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from demijohn import Demijohn, request

from .asgi_kit import DEADLINE, Peer, scope


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("targets")

    @app.get("/")
    @app.get("/p a/<path:rest>")
    def where(rest: str = "") -> dict[str, Any]:
        return {
            "host": request.host,
            "header": request.headers.get("Host"),
            "url": request.url,
            "path": request.path,
            "root": request.root_path,
        }

    @app.post("/body")
    def body() -> dict[str, Any]:
        return {"body": request.get_data(as_text=True), "length": request.content_length}

    return app


# -- the absolute form ----------------------------------------------------------------------------


def absolute(target: str, path: str, **more: Any) -> Any:
    """The scope that uvicorn (h11), hypercorn and gunicorn make of an absolute target."""
    raw, _, query = target.partition("?")
    found = scope(headers=[("x-other", "1")], path=path, **more)
    return found | {"raw_path": raw.encode(), "query_string": query.encode()}


@pytest.mark.parametrize(
    ("target", "path", "host", "plain"),
    [
        ("http://o.org:81/p%20a/q?x=1", "http://o.org:81/p a/q", "o.org:81", "/p a/q?x=1"),
        ("HTTPS://O.org/p%20a/q", "HTTPS://O.org/p a/q", "O.org", "/p a/q"),
        ("http://o.org?x=1", "http://o.org", "o.org", "/?x=1"),
        ("http://[::1]:5/", "http://[::1]:5/", "[::1]:5", "/"),
        ("http://o.org/p%20a/%2541", "http://o.org/p a/%41", "o.org", "/p a/%41"),
        ("http://o.org/p%20a/http://b", "http://o.org/p a/http://b", "o.org", "/p a/http://b"),
        ("http://o.org/p%20a/%E2%82%AC", "http://o.org/p a/\u20ac", "o.org", "/p a/\u20ac"),
        ("http://a@o.org/", "http://a@o.org/", "a@o.org", "/"),
    ],
)
@pytest.mark.parametrize("root", ["", "/app"])
@pytest.mark.parametrize("raw", [True, False])
def test_an_absolute_target(
    app: Demijohn, target: str, path: str, host: str, plain: str, root: str, raw: bool
) -> None:
    """It is served as its path is with its host in the place of the header (RFC 9112, 3.2.2)."""
    made = absolute(target, path, root_path=root)
    if not raw:
        del made["raw_path"]
    came, expected = Peer(), Peer()
    asyncio.run(app.asgi_app(made, came.receive, came.send))
    other = scope(path=plain, root_path=root) | {"headers": [(b"host", host.encode())]}
    other["raw_path"] = None
    asyncio.run(app.asgi_app(other, expected.receive, expected.send))
    assert (came.status, expected.status) == (200, 200)
    assert app.json.loads(came.data) == app.json.loads(expected.data)
    assert app.json.loads(came.data)["header"] == host
    assert made["headers"][0] == (b"host", b"localhost")  # the server's own stays as it is


@pytest.mark.parametrize("path", ["http:///p", "ftp://o.org/", "*", "http:/o.org/", "o.org:80"])
def test_a_target_that_is_none(app: Demijohn, path: str) -> None:
    """A target without a host, or for another scheme, is no path of the application's."""
    peer = Peer()
    asyncio.run(app.asgi_app(absolute(path, path), peer.receive, peer.send))
    assert peer.status == 404


def test_a_target_that_was_quoted(app: Demijohn) -> None:
    """What is an absolute target only once it is unquoted names no host."""
    peer = Peer()
    made = absolute("http%3A//a.com/http://evil.com/", "http://a.com/http://evil.com/")
    asyncio.run(app.asgi_app(made, peer.receive, peer.send))
    assert peer.status == 404


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_target_of_later_versions(app: Demijohn, version: str) -> None:
    """HTTP/2 and later have no absolute form (RFC 9113, 8.3.1): their authority stands."""
    peer = Peer()
    made = absolute("http://evil.com/", "http://evil.com/") | {"http_version": version}
    asyncio.run(app.asgi_app(made, peer.receive, peer.send))
    assert peer.status == 404


@pytest.mark.parametrize("target", ["http://evil.com/p%20a/q", "http://localhost/p%20a/q"])
def test_a_path_that_looks_like_a_target_after_the_root(app: Demijohn, target: str) -> None:
    """The path `/apphttp://…` reaches no other view and no other host than a proxy in front saw."""
    seen: list[tuple[str, str]] = []
    app.before_request(lambda: seen.append((request.host, request.path)))
    peer = Peer()
    made = absolute(f"/app{target}", "/app" + target.replace("%20", " "), root_path="/app")
    made["headers"] = [(b"host", b"localhost")]
    asyncio.run(app.asgi_app(made, peer.receive, peer.send))
    assert peer.status == 404
    assert seen == [("localhost", made["path"])]


def test_trusted_hosts_see_the_targets_host(app: Demijohn) -> None:
    """`TRUSTED_HOSTS` is asked about the host that `request.host` gives."""
    app.config["TRUSTED_HOSTS"] = ["localhost", "a.com"]

    def status(target: str, host: str) -> int:
        peer = Peer()
        made = absolute(target, target) | {"headers": [(b"host", host.encode())]}
        asyncio.run(app.asgi_app(made, peer.receive, peer.send))
        return peer.status

    assert status("http://a.com/", "evil.com") == 200
    assert status("http://evil.com/", "a.com") == 400
    assert status("http://a.com@evil.com/", "a.com") == 400
    assert status("http://a.com%2f.evil.com/", "a.com") == 400


def test_an_absolute_target_of_a_mount(app: Demijohn) -> None:
    """What is mounted is found by the target's path, and sees the same host."""
    outer = Demijohn("outer")
    outer.mount("/inner", app)
    peer = Peer()
    target = "http://o.org/inner/p%20a/q"
    made = absolute(target, "http://o.org/inner/p a/q")
    asyncio.run(outer.asgi_app(made, peer.receive, peer.send))
    assert app.json.loads(peer.data) == {
        "host": "o.org",
        "header": "o.org",
        "url": "http://o.org/inner/p%20a/q",
        "path": "/p a/q",
        "root": "/inner",
    }


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_server_with_an_absolute_target(app: Demijohn, http: Any) -> None:
    """uvicorn's two parsers find the same view for it; httptools keeps the target's host to
    itself."""

    async def main() -> tuple[str, dict[str, Any]]:
        config = uvicorn.Config(app.asgi_app, http=http, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            line = b"GET http://o.org/p%20a/q?x=1 HTTP/1.1\r\n"
            writer.write(line + b"Host: a.com\r\nConnection: close\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            server.should_exit = True
            await serving
        return head.decode().splitlines()[0], app.json.loads(body)

    status, found = asyncio.run(asyncio.wait_for(main(), DEADLINE))
    assert status == "HTTP/1.1 200 OK"
    host = "o.org" if http == "h11" else "a.com"
    assert (found["host"], found["url"]) == (host, f"http://{host}/p%20a/q?x=1")


# -- several of what there is one of --------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "length"),
    [
        ([("host", "a.com"), ("host", "b.com")], 400, None),
        ([("host", "a.com"), ("Host", "a.com")], 400, None),
        ([("content-length", "5"), ("content-length", "5")], 200, 5),
        ([("content-length", "5, 5")], 200, 5),
        ([("content-length", "5"), ("content-length", "6")], 400, None),
        ([("content-length", "5,6")], 400, None),
        ([("content-length", "5"), ("content-length", "+5")], 400, None),
        ([("content-length", "5"), ("content-length", "")], 400, None),
        ([("content-length", "5"), ("content-length", "6"), ("transfer-encoding", "x")], 400, None),
        ([("content-length", "5"), ("transfer-encoding", "x")], 200, None),
        ([("content-length", "a, b")], 200, 0),
    ],
)
def test_several_hosts_and_lengths(
    app: Demijohn, headers: list[tuple[str, str]], status: int, length: int | None
) -> None:
    """Several hosts are no request (RFC 9112, 3.2), nor are lengths that disagree; ones that agree
    are one (RFC 9110, 8.6). What is no length at all is Werkzeug's to
    judge. Nothing of the application's runs for what is refused."""
    ran: list[str] = []
    app.before_request(lambda: ran.append(request.path))
    peer = Peer([b"hello"])
    made = scope("POST", "/body") | {"headers": [(k.encode(), v.encode()) for k, v in headers]}
    asyncio.run(app.asgi_app(made, peer.receive, peer.send))
    assert (peer.status, peer.over) == (status, True)
    assert ran == (["/body"] if status == 200 else [])
    if status == 200:
        body = "" if length == 0 else "hello"
        assert app.json.loads(peer.data) == {"body": body, "length": length}
    else:
        assert peer.headers["content-length"] == str(len(peer.data))


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
def test_several_hosts_of_a_websocket(app: Demijohn, extensions: dict[str, Any]) -> None:
    """It is refused, by an answer where the server can send one."""
    ran: list[str] = []

    @app.websocket("/ws")
    async def view() -> None:
        ran.append("view")

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    made = scope(path="/ws", type="websocket", extensions=extensions)
    made["headers"].append((b"host", b"b.com"))
    asyncio.run(app.asgi_app(made, receive, send))
    assert not ran
    if extensions:
        assert [(one["type"], one.get("status")) for one in sent] == [
            ("websocket.http.response.start", 400),
            ("websocket.http.response.body", None),
        ]
    else:
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]
