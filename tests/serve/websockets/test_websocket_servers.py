"""WebSockets on real servers, with the `websockets` client."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from local_servers import Program, free_port, running
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

PATIENCE = 30.0
HERE = Path(__file__).parent
SOURCE = HERE.parents[2] / "src"
APP = "socket_site:app.asgi_app"

UVICORN = ["uvicorn", APP, "--port", "{port}", "--timeout-graceful-shutdown", "3"]
LISTENS = "Uvicorn running on"
SERVERS: dict[str, tuple[list[str], str]] = {
    "uvicorn": (UVICORN, LISTENS),
    "serve": (["demijohn", "--app", "socket_site", "serve", "--port", "{port}"], "Serving on"),
    "uvicorn websockets": ([*UVICORN, "--ws", "websockets"], LISTENS),
    "uvicorn wsproto": ([*UVICORN, "--ws", "wsproto"], LISTENS),
    "hypercorn": (["hypercorn", APP, "--bind", "127.0.0.1:{port}"], "Running on"),
}
"""Name -> the command, and a line that says that it runs."""

IN_CI = os.environ.get("CI") == "true"
NAMES = list(SERVERS) if IN_CI else ["uvicorn", "serve"]
"""The servers that are tried: all of them in CI, the two that most people use elsewhere."""

NO_HEADERS = {"serve"}
"""Servers that send no headers of the application's when a connection is accepted."""


class Served:
    """A running server."""

    def __init__(self, name: str, server: Program, port: int) -> None:
        self.name = name
        self.server = server
        self.port = port
        self.url = f"ws://127.0.0.1:{port}"

    def said(self, text: str) -> None:
        """Wait until it has written a text."""
        until = time.monotonic() + PATIENCE
        while text not in self.server.output:
            assert time.monotonic() < until, self.server.output
            time.sleep(0.01)


def start(stack: ExitStack, name: str) -> Served:
    command, sign = SERVERS[name]
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)])}
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        environment.pop(variable, None)
    arguments = [part.format(port=port) for part in command]
    server = stack.enter_context(
        running([sys.executable, "-m", *arguments], sign, cwd=HERE, environment=environment)
    )
    server.started()
    wait_for(port)
    return Served(name, server, port)


def wait_for(port: int) -> None:
    """Wait until somebody listens: a line in a log may come before that."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.01)
        else:
            return


@pytest.fixture(scope="module", params=NAMES)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server of each kind, for all tests of this module."""
    with ExitStack() as stack:
        yield start(stack, request.param)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await main()

    asyncio.run(bounded())


def open_(url: str, **options: Any) -> Any:
    return connect(url, proxy=None, **options)


def test_messages_and_the_handshake(served: Served) -> None:
    """Text and bytes come back, with the subprotocol and headers of the accept; the client's
    goodbye ends the context well."""

    async def main() -> None:
        offers = [Subprotocol("chat"), Subprotocol("other")]
        url = f"{served.url}/echo?name=hands"
        async with open_(url, subprotocols=offers) as ws:
            assert ws.subprotocol == "chat"
            if served.name not in NO_HEADERS:
                assert ws.response.headers["x-name"] == "hands"
            for message in ("a", "ä", b"\x00\xff", "", "x" * 100_000):
                await ws.send(message)
                assert await ws.recv() == message

    run(main)
    served.said("ended hands ok\n")


CLOSES = {"closes": (4001, "bye"), "fails": (1011, ""), "json": (1007, None)}


@pytest.mark.parametrize("path", CLOSES)
def test_close_codes(served: Served, path: str) -> None:
    """The client gets the code and the reason with which the application closes."""

    async def main() -> None:
        async with open_(f"{served.url}/{path}") as ws:
            with pytest.raises(ConnectionClosed) as closed:
                await ws.send("{")
                await ws.recv()
        code, reason = CLOSES[path]
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        assert reason is None or closed.value.rcvd.reason == reason

    run(main)


def test_refusals(served: Served) -> None:
    """A refusal is the answer that the application gave; a page of another origin gets 403, and a
    path that nobody has 404."""

    async def main() -> None:
        for path, options, status, text in (
            ("refuses", {}, 409, b"not now"),
            ("missing", {}, 404, b"Not Found"),
            ("echo", {"origin": "https://evil.example"}, 403, b"origin"),
        ):
            with pytest.raises(InvalidStatus) as denied:
                async with open_(f"{served.url}/{path}", **options):
                    pass
            response = denied.value.response
            assert response.status_code == status
            assert text in (response.body or b"")
        async with open_(f"{served.url}/echo", origin=f"http://127.0.0.1:{served.port}") as ws:
            await ws.ping()

    run(main)


def test_the_session_in_the_answer(served: Served) -> None:
    """The accept carries the session's cookie, where the server sends headers with it."""
    if served.name in NO_HEADERS:
        return

    async def main() -> None:
        async with open_(f"{served.url}/name") as ws:
            cookie = ws.response.headers["Set-Cookie"].partition(";")[0]
        async with open_(f"{served.url}/name", additional_headers={"Cookie": cookie}) as ws:
            await ws.send("?")
            assert await ws.recv() == '{"name": "nobody", "seen": 2}'

    run(main)


def test_two_hundred_connections(served: Served) -> None:
    """Two hundred connections that are open at once echo, each with its own `g`."""

    async def one(n: int) -> None:
        async with open_(f"{served.url}/name?name=n{n}", open_timeout=PATIENCE) as ws:
            for _ in range(3):
                await ws.send("?")
                assert await ws.recv() == f'{{"name": "n{n}", "seen": 1}}'

    async def main() -> None:
        async with asyncio.TaskGroup() as tg:
            for n in range(200):
                tg.create_task(one(n))

    run(main)


@pytest.mark.parametrize("path", ["waits", "tasks", "echo"])
def test_a_client_that_is_lost(served: Served, path: str) -> None:
    """A connection that is reset ends the context while the view waits for something else, in a
    task group, or for a message; nothing is logged as an error."""

    async def main() -> None:
        async with open_(f"{served.url}/{path}?name=lost-{path}") as ws:
            await ws.send("x")
            await ws.recv()
            sock = ws.transport.get_extra_info("socket")
            # Closed so, TCP says at once that the connection is gone.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ws.transport.abort()

    run(main)
    # The loop over the messages ends without an error.
    served.said(f"ended lost-{path} {'ok' if path == 'echo' else 'disconnected'}")
    assert "Traceback" not in re.sub(r"(?s)Traceback.{0,3000}?a fault", "", served.server.output)


def asks_by_hand(served: Served, path: str) -> socket.socket:
    """A connection whose other side is read by nobody but the test."""
    sock = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{served.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    assert sock.recv(12) == b"HTTP/1.1 101"
    return sock


def test_a_client_that_does_not_read(served: Served) -> None:
    """`send` waits for a client that does not read, where the server says so; others are served
    meanwhile, and when the client goes the view ends."""
    with asks_by_hand(served, "/floods?name=slow"):
        served.said("sent 1\n")
        # It stands still when two looks, a while apart, see the same.
        before, now = -1, 0
        while served.name.startswith("uvicorn") and now != before:
            time.sleep(0.3)
            before, now = now, len(served.server.lines)
            assert now < 1000  # 65 MB; what the kernel keeps on both sides counts, too

        async def main() -> None:
            async with open_(f"{served.url}/echo") as ws:
                await ws.send("x")
                assert await ws.recv() == "x"

        run(main)
    # Closed with data unread, it is reset.
    served.said("ended slow disconnected")


@pytest.mark.parametrize("name", NAMES)
def test_the_server_stops(name: str) -> None:
    """When its server is asked to stop, a connection is closed with 1012 soon, and its
    context ends."""
    with ExitStack() as stack:
        served = start(stack, name)

        async def main() -> None:
            async with open_(f"{served.url}/waits?name=stopped") as ws:
                assert await ws.recv() == "ready"
                served.server.process.send_signal(signal.SIGTERM)
                begun = time.monotonic()
                with pytest.raises(ConnectionClosed) as closed:
                    await ws.recv()
                # On a machine that is not busy a second; less than servers wait for in any case.
                assert time.monotonic() - begun < 2.5
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012

        run(main)
        served.said("ended stopped")
