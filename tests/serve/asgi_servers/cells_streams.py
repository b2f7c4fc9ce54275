"""Streamed bodies: clients that leave, clients that are slow, bodies that are never sent."""

from __future__ import annotations

import time

from servers.clients import ask, wire
from servers.kinds import Running, eventually

from .cells import (
    Bench,
    cell,
    ended,
    leave,
    left_over,
    lines,
    opened,
    took,
    wait_ended,
    wait_line,
)
from .differences import differs, otherwise

SLOW = 4 * 1024 * 1024  # bytes that may be produced for a client that reads nothing
PART = 64 * 1024


@cell("F8")
def disconnect_from_a_busy_stream(bench: Bench) -> None:
    """The client leaves a stream that is always busy: its generator is closed within a step, in its
    own context, and the request ends once."""
    server = bench.server()
    stays = otherwise(bench, "F8")
    for kind in ("sync", "async"):
        for how in ("FIN", "RST"):
            key = bench.key()
            most = "&most=200" if stays else ""
            with opened(server, f"/busy/{kind}?key={key}{most}", b"x" * 1000) as connection:
                since = leave(connection, how)
            wait_line(server, key, "closed")
            took(bench, "F8", since)
            wait_ended(server, key, "disconnected", *(["ok"] if stays else []))
            assert lines(server, key)[-1].endswith(f" {key}"), "not in its own context"
            produced = lines(server, key).count("produced")
            differs(bench, "F8", stays and produced == 200, False)
    left_over(server)


@cell("F9")
def disconnect_from_an_idle_stream(bench: Bench) -> None:
    """The client leaves a stream that sends nothing: over ASGI that is noticed at once, over WSGI
    with the next heartbeat."""
    server = bench.server()
    stays = otherwise(bench, "F9")
    for kind in ("sync", "async") if bench.row.edge == "ASGI" else ("sync",):
        for how in ("FIN", "RST"):
            key = bench.key()
            most = "&most=8" if stays else ""
            with opened(server, f"/idle/{kind}?key={key}{most}", b"first\n\n") as connection:
                since = leave(connection, how)
            wait_line(server, key, "closed")
            took(bench, f"F9 {kind}", since)
            wait_ended(server, key, "disconnected", *(["ok"] if stays else []))
            differs(bench, "F9", ended(server, key) == ["ok"], False)
    left_over(server)


@cell("F10")
def slow_client(bench: Bench) -> None:
    """A client reads nothing: at most 4 MB are made for it, and when it leaves the generator is
    closed and the request ends once."""
    server = bench.server()
    most = "&most=400" if otherwise(bench, "F10") else ""
    for kind in ("sync", "async"):
        key = bench.key()
        with wire(server.port, receive_buffer=4096) as connection:
            connection.send(f"GET /busy/{kind}?key={key}{most} HTTP/1.1", "Host: x")
            produced = settled(server, key)
            assert 0 < produced <= SLOW, produced
        wait_line(server, key, "closed")
        wait_ended(server, key, "disconnected", "ok")
        differs(bench, "F10", ended(server, key), ["disconnected"])
    left_over(server)


def settled(server: Running, key: str) -> int:
    """The bytes that were made for a request when no more were made for a while."""
    last, since = -1, time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = lines(server, key).count("produced")
        if now != last:
            last, since = now, time.monotonic()
        return now > 0 and time.monotonic() - since > 0.3

    eventually(still)
    return last * PART


@cell("F22")
def stream_never_sent(bench: Bench) -> None:
    """A streamed body that is never sent, for HEAD, for a response in its place, or for a client
    that left before it: the request ends once."""
    server = bench.server()
    key = bench.key()
    with wire(server.port) as connection:
        connection.send(
            f"HEAD /busy/sync?key={key}&most=3 HTTP/1.1", "Host: x", "Connection: close"
        )
        raw = connection.rest()
    assert raw.endswith(b"\r\n\r\n")
    wait_ended(server, key, "ok", "disconnected")
    key = bench.key()
    assert ask(server.port, f"/replaced?key={key}").body == b"instead"
    wait_ended(server, key, "ok")
    assert "stepped" not in lines(server, key)
    for how in ("FIN", "RST"):
        key = bench.key()
        with wire(server.port) as connection:
            connection.send(f"GET /busy/async?key={key}&most=400 HTTP/1.1", "Host: x")
            wait_line(server, key, "produced")
            leave(connection, how)
        wait_ended(server, key, "disconnected", "ok")
    left_over(server)
