"""Answers over ASGI that are no streams: files, status lines, WSGI callables."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from demijohn import Demijohn, Response, request, send_file
from demijohn.serve.asgi_http import AT_ONCE

from .asgi_kit import Peer, ask, scope


@pytest.fixture
def app() -> Demijohn:
    return Demijohn("plain")


class Counting(io.BytesIO):
    """A file that counts what was read of it."""

    read_of_it = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.read_of_it += len(data)
        return data


@pytest.mark.parametrize("size", [0, 10, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
def test_a_file_in_pieces(app: Demijohn, size: int) -> None:
    """All of it arrives, in pieces of a size that a thread is worth, and it is closed."""
    file = io.BytesIO(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    content = file.getvalue()
    app.get("/")(lambda: send_file(file, mimetype="text/plain"))
    peer = asyncio.run(ask(app))
    assert peer.data == content
    assert len(peer.sent) == 2 + size // AT_ONCE
    assert peer.over
    assert file.closed


def test_a_file_whose_client_leaves(app: Demijohn) -> None:
    """It is not read to its end for nobody, also where the server takes what is sent, and it is
    closed."""
    file = Counting(b"x" * (50 * AT_ONCE))
    app.get("/")(lambda: send_file(file, mimetype="text/plain"))

    async def main() -> None:
        peer = Peer()
        peer.on_send = lambda message: peer.leave() if message.get("body") else None
        await app.asgi_app(scope(), peer.receive, peer.send)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert file.closed
    assert file.read_of_it < 10 * AT_ONCE


@pytest.mark.parametrize("status", ["abc", "1000 Much", "42 Little", "-20 Less"])
def test_a_status_that_is_none(app: Demijohn, status: str) -> None:
    """It is an error, and not cut to three digits."""

    @app.get("/")
    async def view() -> Any:
        response = Response("x")
        response.status = status
        return response

    async def main() -> None:
        peer = Peer()
        with pytest.raises(ValueError, match=r"three digits|invalid literal"):
            await app.asgi_app(scope(), peer.receive, peer.send)
        assert not peer.sent

    asyncio.run(main())


def test_a_body_with_a_length_and_chunks(app: Demijohn) -> None:
    """Chunks count, as HTTP says: some servers hand both headers on."""

    @app.post("/")
    async def view() -> Any:
        return {"length": request.content_length, "got": request.get_data(as_text=True)}

    headers = [("content-length", "1"), ("transfer-encoding", "chunked")]
    peer = asyncio.run(ask(app, "/", "POST", [b"ab", b"c"], headers=headers))
    assert peer.data == b'{"got":"abc","length":null}\n'


@pytest.mark.parametrize("kind", ["raises", "never starts"])
def test_a_wsgi_answer_that_fails_is_closed(app: Demijohn, kind: str) -> None:
    """What a response with a `__call__` of its own gave is closed where it fails before its status
    is known."""
    closed: list[str] = []

    class Body:
        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            if kind == "raises":
                raise RuntimeError("nothing to give")
            return b"part"

        def close(self) -> None:
            closed.append(kind)

    class Own(Response):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            return Body()

    app.get("/")(lambda: Own())

    async def main() -> None:
        with pytest.raises((RuntimeError, AssertionError)):
            await ask(app)

    asyncio.run(main())
    assert closed == [kind]
