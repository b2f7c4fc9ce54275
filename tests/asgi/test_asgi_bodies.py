"""Bodies of requests over ASGI: read before the view, or taken as they arrive; and the environ."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import pytest

from demijohn import Demijohn, app_ctx, request
from demijohn.serve import asgi_body
from demijohn.serve.asgi_environ import environ_of

from .asgi_kit import DEADLINE, Peer, ask, eventually, scope


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


@pytest.mark.parametrize("headers", [(), (("content-length", "5"),)])
@pytest.mark.parametrize("by", ["the server", "a deadline"])
def test_a_live_body_that_never_comes(app: Demijohn, headers: Any, by: str) -> None:
    """A thread that waits for a part is let go when the request is cancelled, or its time over."""
    begun, left = threading.Event(), []

    def take() -> str:
        begun.set()
        try:
            return str(len(request.stream.read()))
        finally:
            left.append(app_ctx.cancel_reason)

    app.put("/cancelled", stream_body=True, endpoint="cancelled")(take)
    app.put("/late", stream_body=True, endpoint="late", deadline=0.05)(take)

    async def receive() -> Any:
        if peer.asked == 0:
            return await peer.receive() | {"more_body": True}
        await asyncio.sleep(DEADLINE)

    async def main() -> None:
        path = "/late" if by == "a deadline" else "/cancelled"
        given = scope("PUT", path, headers)
        task = asyncio.ensure_future(app.asgi_app(given, receive, peer.send))
        await eventually(begun.is_set)
        if by == "the server":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
            assert peer.status == 503

    peer = Peer([b"half"])
    asyncio.run(asyncio.wait_for(main(), DEADLINE))
    assert left == ["deadline" if by == "a deadline" else "parent"]


@pytest.mark.parametrize("body", [[], [b"one", b"two"]])
def test_a_client_that_leaves_a_stream_whose_view_takes_no_body(
    app: Demijohn, body: list[bytes]
) -> None:
    """That is noticed where the body was over with its first part or is left where it is, too."""
    outcomes: list[str] = []

    @app.teardown_request
    def ended(exc: BaseException | None) -> None:
        outcomes.append(app_ctx.outcome)

    @app.put("/endless", stream_body=True)
    async def endless() -> Any:
        async def parts() -> Any:
            yield "part"
            await asyncio.sleep(DEADLINE)

        return parts()

    async def main() -> None:
        peer = Peer(body[:1])
        peer.on_send = lambda message: peer.leave() if message.get("body") else None
        given = scope("PUT", "/endless")
        await app.asgi_app(given, peer.receive, peer.send)

    asyncio.run(asyncio.wait_for(main(), DEADLINE / 2))
    assert outcomes == ["disconnected"]


def test_a_part_that_came_early_is_not_lost(app: Demijohn) -> None:
    """A stream listens for its client's leaving, and its generator gets the whole body after."""

    @app.put("/echo", stream_body=True)
    async def echo() -> Any:
        async def parts() -> Any:
            yield "parts:"
            for _ in range(3):
                await asyncio.sleep(0)
            async for part in request.body_stream:
                yield part

        return parts()

    peer = asyncio.run(ask(app, "/echo", "PUT", [b"a", b"b", b"c"]))
    assert peer.data == b"parts:abc"


def test_a_header_given_many_times() -> None:
    """Their time grows as their number does."""

    def took(number: int) -> float:
        given = scope(headers=[("x-many", "v")] * number)
        start = time.process_time()
        assert environ_of(given, None)["HTTP_X_MANY"].count("v") == number
        return time.process_time() - start

    few = min(took(20_000) for _ in range(5))
    many = min(took(320_000) for _ in range(3))
    assert many < 80 * few  # 16 times as many; where each is joined anew it takes 500 times as long
