"""The stream of events: what is sent, to whom, and when it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import PATIENCE, Server, serving
from demijohn import Demijohn, app_ctx

from ticker.ring import Ring


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run an async test."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            await test()

    asyncio.run(main())


def fields(part: bytes) -> dict[str, str]:
    """The fields of one event."""
    return dict(line.split(": ", 1) for line in part.decode().strip().splitlines())


def test_events_as_they_are_written(app: Demijohn, ring: Ring) -> None:
    """A client gets the event that was written last, then each one, as soon as it is there."""
    ring.write("prices", {"Corks": 1})
    ring.write("prices", {"Corks": 2})

    async def test() -> None:
        async with app.async_test_client().stream("GET", "/events") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Accel-Buffering"] == "no"
            first = fields(await anext(response))
            assert first["event"] == "prices" and json.loads(first["data"]) == {"Corks": 2}
            ring.write("prices", {"Corks": 3})
            second = fields(await anext(response))
            assert json.loads(second["data"]) == {"Corks": 3}
            assert (first["id"][-2:], second["id"][-2:]) == ("-2", "-3")

    run(test)


@pytest.mark.parametrize("missed", [0, 1, 3, 5])
def test_a_client_that_comes_back(app: Demijohn, ring: Ring, missed: int) -> None:
    """It gets what it has missed, and is told how much of that is lost."""
    ring.write("prices", 1)

    async def read(headers: dict[str, str], count: int) -> list[dict[str, str]]:
        async with app.async_test_client().stream("GET", "/events", headers=headers) as response:
            return [fields(await anext(response)) for _ in range(count)]

    async def test() -> None:
        (seen,) = await read({}, 1)
        for number in range(missed):
            ring.write("prices", 2 + number)
        asyncio.get_running_loop().call_later(0.01, ring.write, "prices", "new")
        kept = min(missed, 3)
        back = {"Last-Event-ID": seen["id"]}
        found = await read(back, kept + 1 + (missed > 3))
        if missed > 3:
            gap = found.pop(0)
            assert gap["event"] == "gap" and json.loads(gap["data"]) == {"lost": missed - 3}
        prices = [json.loads(one["data"]) for one in found]
        assert prices == [*range(missed - kept + 2, missed + 2), "new"]

    run(test)


@pytest.mark.parametrize("strange", ["", "x", "-1", "other-1", "{ring}-", "{ring}--1", "{ring}-²"])
def test_strange_ids(ring: Ring, strange: str) -> None:
    """An id of another ring, from before a restart for one, is as good as none."""
    ring.write("prices", 1)
    assert ring.number_of(strange.format(ring=ring._name)) is None
    assert ring.number_of(f"{ring._name}-99") == 1


def test_heartbeat(app: Demijohn, ring: Ring) -> None:
    """A silent stream says that it is alive, and goes on."""
    app.config["HEARTBEAT"] = 0.01
    ring.write("prices", 1)

    async def test() -> None:
        async with app.async_test_client().stream("GET", "/events") as response:
            await anext(response)
            assert await anext(response) == b": alive\n\n"
            assert await anext(response) == b": alive\n\n"
            ring.write("prices", 2)
            while (part := await anext(response)) == b": alive\n\n":
                pass
            assert fields(part)["data"] == "2"

    run(test)


def test_a_client_that_leaves(app: Demijohn, ring: Ring) -> None:
    """Its generator is closed, and its request ends as disconnected."""
    outcomes: list[str | None] = []

    @app.teardown_request
    def note(error: BaseException | None) -> None:
        outcomes.append(app_ctx.outcome)

    ring.write("prices", 1)

    async def test() -> None:
        client = app.async_test_client()
        async with client.stream("GET", "/events") as response:
            await anext(response)
            watchers = await app.async_test_client().get("/watchers")
            assert watchers.json == {"watchers": 1}
            await response.disconnect()
        assert outcomes[-1] == "disconnected"
        assert (await client.get("/watchers")).json == {"watchers": 0}

    run(test)


def test_the_market(app: Demijohn) -> None:
    """Prices change as long as the application is served."""
    app.config["PERIOD"] = 0.001

    async def test() -> None:
        async with (
            app.serving(),
            app.async_test_client().stream("GET", "/events") as response,
        ):
            found = [json.loads(fields(await anext(response))["data"]) for _ in range(5)]
        assert all({"Bottles", "Corks", "Demijohns", "Wicker"} == set(one) for one in found)
        assert found[0] != found[-1]

    run(test)


# -- a real server ------------------------------------------------------------------------------


def watch(server: Server) -> tuple[socket.socket, bytes]:
    """Open the stream, and read until its first event."""
    client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    read = b""
    while b"\n\n" not in read.partition(b"\r\n\r\n")[2]:
        read += client.recv(65536)
    return client, read


def watching(server: Server) -> Any:
    """How many streams the server has open."""
    with urllib.request.urlopen(f"{server.address}/watchers", timeout=PATIENCE) as answer:
        return json.load(answer)["watchers"]


def test_under_uvicorn() -> None:
    """A client's leaving is noticed in 100 ms although nothing is sent; SIGTERM ends a stream in
    one second, between events, with word when to come back; the server stops well."""
    with serving(period=PATIENCE) as server:
        took = []
        for _ in range(5):  # a busy machine may hold one up, and not all
            client, _ = watch(server)
            assert watching(server) == 1
            client.close()
            begun = time.monotonic()
            while watching(server):
                assert time.monotonic() - begun < PATIENCE
            took.append(time.monotonic() - begun)
        assert min(took) < 0.1, took

        client, read = watch(server)
        assert b"HTTP/1.1 200" in read
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        rest = b""
        while part := client.recv(65536):
            rest += part
        ended = time.monotonic() - begun
        client.close()
        assert rest.endswith(b"\r\nretry: 1000\n\n\r\n0\r\n\r\n"), rest
        assert ended < 1, ended
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert any("shutdown complete" in line for line in server.output)
