"""Bodies of requests over ASGI: read before the view, or taken as they arrive; and the environ."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from demijohn import Demijohn, request
from demijohn.serve import asgi_body
from demijohn.serve.asgi_environ import environ_of

from .asgi_kit import Peer, ask, scope


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("bodies")

    @app.post("/json")
    async def json_view() -> Any:
        return {"got": request.get_json()}

    @app.post("/form")
    def form() -> Any:
        return {"text": request.form["text"], "file": len(request.files["file"].read())}

    @app.post("/length")
    async def length() -> Any:
        return {"length": len(request.get_data())}

    @app.post("/untouched")
    def untouched() -> str:
        return "untouched"

    @app.post("/live", stream_body=True)
    async def live() -> Any:
        sizes = [len(part) async for part in request.body_stream]
        return {"parts": len(sizes), "length": sum(sizes)}

    @app.post("/live/sync", stream_body=True)
    def live_sync() -> Any:
        return {"first": len(request.stream.read(3)), "rest": len(request.stream.read())}

    return app


def test_one_view_serves_both_edges(app: Demijohn) -> None:
    """JSON and forms are plain calls, in async and sync views, as under WSGI."""
    headers = [("content-type", "application/json")]
    peer = asyncio.run(ask(app, "/json", "POST", b'{"a": [1]}', headers=headers))
    assert peer.data == b'{"got":{"a":[1]}}\n'
    parts = [b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nsome\r\n--b\r\n']
    parts.append(b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
    parts += [b"z" * 100_000] * 8 + [b"\r\n--b--\r\n"]
    headers = [("content-type", "multipart/form-data; boundary=b")]
    peer = asyncio.run(ask(app, "/form", "POST", parts, headers=headers))
    assert peer.data == b'{"file":800000,"text":"some"}\n'


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_goes_to_disk(
    app: Demijohn, announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 500 kB are kept in a file without a name, which is closed in the end."""
    files: list[Any] = []
    on_disk = asgi_body._on_disk

    def noted(file: Any, part: bytes) -> Any:
        files.append(on_disk(file, part))
        return files[-1]

    monkeypatch.setattr(asgi_body, "_on_disk", noted)
    parts = [os.urandom(65536) for _ in range(20)]
    headers = [("content-length", str(20 * 65536))] if announced else []
    peer = asyncio.run(ask(app, "/length", "POST", parts, headers=headers))
    assert peer.data == b'{"length":1310720}\n'
    assert files and len(set(map(id, files))) == 1
    assert asyncio.run(ask(app, "/length", "POST", b"x" * 400_000)).data == b'{"length":400000}\n'
    assert len(files) == 13


@pytest.mark.parametrize("announced", ["right", "none", "less"])
def test_a_body_over_the_limit(app: Demijohn, announced: str) -> None:
    """Bytes that arrive count, whatever was announced: a view that asks for them meets 413, one
    that does not is answered; and what comes after the limit is not read."""
    app.config["MAX_CONTENT_LENGTH"] = 1000
    parts = [b"x" * 400] * 10
    headers = {
        "right": [("content-length", "4000")],
        "less": [("content-length", "900")],
        "none": [],
    }[announced]
    peer = asyncio.run(ask(app, "/untouched", "POST", parts, headers=headers))
    assert peer.data == b"untouched"
    assert peer.asked <= 3
    if announced != "less":
        peer = asyncio.run(ask(app, "/length", "POST", parts, headers=headers))
        assert peer.status == 413


def test_a_body_at_the_limit(app: Demijohn) -> None:
    """A body of just the limit is whole, announced or not."""
    app.config["MAX_CONTENT_LENGTH"] = 1000
    assert asyncio.run(ask(app, "/length", "POST", b"x" * 1000)).data == b'{"length":1000}\n'
    peer = asyncio.run(ask(app, "/length", "POST", [b"x" * 500, b"x" * 500]))
    assert peer.data == b'{"length":1000}\n'


@pytest.mark.parametrize("path", ["/length", "/live", "/live/sync"])
def test_a_body_that_breaks_off(app: Demijohn, path: str) -> None:
    """A client that leaves in the middle of its body: what was sent is not taken for all of it."""

    class Leaving(Peer):
        async def receive(self) -> Any:
            self.asked += 1
            if self.asked == 1:
                return {"type": "http.request", "body": b"part", "more_body": True}
            return {"type": "http.disconnect"}

    async def main() -> Peer:
        peer = Leaving()
        headers = [(b"content-length", b"100")]
        request_scope = scope("POST", path) | {"headers": headers}
        await app.asgi_app(request_scope, peer.receive, peer.send)
        return peer

    assert asyncio.run(main()).status == 400


def test_taking_a_body_as_it_arrives(app: Demijohn) -> None:
    """With `stream_body=True` an async view gets part after part, a sync one a file; and under WSGI
    the same views work."""
    peer = asyncio.run(ask(app, "/live", "POST", [b"abc", b"defg", b"h"]))
    assert peer.data == b'{"length":8,"parts":3}\n'
    peer = asyncio.run(ask(app, "/live/sync", "POST", [b"ab", b"cdefg"]))
    assert peer.data == b'{"first":3,"rest":4}\n'
    client = app.test_client()
    assert client.post("/live", data=b"abcdefgh").json == {"length": 8, "parts": 1}
    assert client.post("/live/sync", data=b"abcdefg").json == {"first": 3, "rest": 4}


def test_a_live_body_has_the_same_limit(app: Demijohn) -> None:
    """`MAX_CONTENT_LENGTH` holds for a body that is taken as it arrives."""
    app.config["MAX_CONTENT_LENGTH"] = 1000
    assert asyncio.run(ask(app, "/live", "POST", [b"x" * 600] * 3)).status == 413
    assert asyncio.run(ask(app, "/live/sync", "POST", [b"x" * 600] * 3)).status == 413


def test_reading_a_live_body_on_the_loop_is_explained(app: Demijohn) -> None:
    """A plain read of a body that arrives would block the loop: the error says what to write."""

    @app.post("/wrong", stream_body=True)
    async def wrong() -> Any:
        with pytest.raises(RuntimeError, match=r"async for part in request\.body_stream"):
            request.get_data()
        return "explained"

    assert asyncio.run(ask(app, "/wrong", "POST", b"abc")).data == b"explained"


def test_the_environ_of_a_scope() -> None:
    """A scope becomes the environ that a WSGI server would give."""
    environ = environ_of(
        scope(
            "PUT",
            "/root/ü/%/a b?q=1",
            [
                ("content-type", "a/b"),
                ("x-two", "1"),
                ("x-two", "2"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("x_forwarded_for", "evil"),
            ],
            root_path="/root",
            scheme="https",
            server=("example.org", 443),
            raw_path=b"/root/%C3%BC/%25/a%20b",
        ),
        None,
    )
    expected = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "/root",
        "PATH_INFO": "/ü/%/a b".encode().decode("latin-1"),
        "QUERY_STRING": "q=1",
        "RAW_URI": "/root/%C3%BC/%25/a%20b?q=1",
        "REQUEST_URI": "/root/%C3%BC/%25/a%20b?q=1",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "5",
        "CONTENT_TYPE": "a/b",
        "HTTP_HOST": "localhost",
        "HTTP_X_TWO": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "wsgi.url_scheme": "https",
        "wsgi.input_terminated": True,
    }
    assert expected.items() <= environ.items()
    assert not any("FORWARDED" in key for key in environ)


@pytest.mark.parametrize("path", ["/root/x", "/x"])
def test_servers_disagree_about_the_root(path: str) -> None:
    """Whether or not the path of a scope includes the root, `PATH_INFO` does not."""
    environ = environ_of(scope(path=path, root_path="/root"), None)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/root", "/x")
