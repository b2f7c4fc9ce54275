"""Cancelling: at each await, in the middle of an end, by a server whose patience is over."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import time

from servers.clients import ask, wire
from servers.kinds import DEADLINE, Running

from .cells import Bench, cell, ended, left_over, lines, opened, wait_ended, wait_line
from .cells_stops import InFlight
from .differences import differs

MOST = 60  # awaits that a request may have here
PATIENCE = 8.0  # seconds after which a server that gave a request one more is taken to wait on


def cancelled_at(server: Running, path: str, key: str, number: int) -> bool:
    """Ask for a path and have the server's task cancelled at its `number`th await; False where it
    has not so many."""
    with wire(server.port) as connection:
        mark = "&" if "?" in path else "?"
        connection.send(f"GET {path}{mark}key={key}&cancel={number} HTTP/1.1", "Host: x")
        # What a client gets of a request that was cancelled is the server's: 500, or nothing.
        wait_line(server, key, "cancelled at" if number < MOST else "not cancelled in")
        wait_ended(server, key, *(("ok",) if number >= MOST else ("ok", "cancelled")))
        last = lines(server, key)[-1]
    assert number >= MOST or last.endswith("tasks left: []"), last
    return True


def count_awaits(server: Running, path: str, key: str) -> int:
    cancelled_at(server, path, key, MOST)
    found = re.search(r"not cancelled in (\d+) awaits", "\n".join(lines(server, key)))
    assert found
    return int(found[1])


@cell("F19")
def cancelled_at_each_await(bench: Bench) -> None:
    """A request's task is cancelled at each of its awaits in turn: it ends once, with nothing
    running on, and the next request is served. By WSGI, where a server cannot, an async view's
    task is."""
    server = bench.server()
    if bench.row.edge == "WSGI":
        for number in range(4):
            key = bench.key()
            try:
                assert ask(server.port, f"/cancelled/{number}?key={key}").status == 500
            except http.client.RemoteDisconnected:
                pass  # gunicorn's gthread worker: it is no Exception that left the application
            wait_ended(server, key, "cancelled")
        left_over(server)
        return
    for path in ("/awaits", "/awaits/mixed", "/awaits/stream"):
        for number in range(1, count_awaits(server, path, bench.key()) + 1):
            cancelled_at(server, path, bench.key(), number)
    left_over(server)


@cell("F20")
def cancelled_in_the_end(bench: Bench) -> None:
    """A request is cancelled while its teardown functions run, or its client leaves then: they run
    to their end, once."""
    server = bench.server()
    key = bench.key()
    with opened(server, f"/busy/sync?most=1&end=slow&key={key}", b"x" * 1000) as connection:
        wait_line(server, key, "ends")
        connection.socket.close()
    server.open_gate(f"{key}-end")
    wait_line(server, key, "slow end over")
    wait_ended(server, key, "ok", "disconnected")
    if bench.row.edge == "ASGI":
        key = bench.key()
        with wire(server.port) as connection:
            connection.send(
                f"GET /health?end=slow&key={key}&cancel={key}-cancel HTTP/1.1", "Host: x"
            )
            wait_line(server, key, "ends")
            server.open_gate(f"{key}-cancel")
            time.sleep(0.05)
            assert not [line for line in lines(server, key) if line.startswith("cancelled")]
            server.open_gate(f"{key}-end")
            wait_line(server, key, "cancelled at")
        found = lines(server, key)
        assert "slow end over" in found[:-1] and found[-1].endswith("tasks left: []"), found
        wait_ended(server, key, "ok", "cancelled")
    left_over(server)


@cell("F21")
def cancelled_by_the_server(bench: Bench) -> None:
    """A request outlasts the time that a server gives it to end when it stops: its handler is
    interrupted, it ends once, then the application does."""
    with bench.fresh(*bench.row.limit) as server:
        key = bench.key()
        request = InFlight(server, "/wait/async", key)
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.open_gate(key)
            server.process.wait(DEADLINE)
        request.wait()
        found = [
            "interrupted CancelledError" in lines(server, key),
            "left the view" in lines(server, key),
            ended(server, key),
            "server stops" in server.log(),
        ]
        differs(bench, "F21", found, [True, True, ["cancelled"], True])
