"""Contexts that are popped wrongly or entered twice, and threads that are all taken."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from servers.clients import ask

from .cells import Bench, cell, left_over, lines, opened, took, wait_ended
from .cells_stops import InFlight

IDLE_STREAMS = 500
SYNC_THREADS = 4  # of the site
AFTER = [True, True, ["inner", "outer", "task", "thread", "twice"]]


@cell("F23")
def wrong_pops(bench: Bench) -> None:
    """Pops out of order and twice are refused and change nothing; one in another thread or task
    ends the context, once."""
    server = bench.server()
    key = bench.key()
    found = ask(server.port, f"/pops?key={key}").json
    assert found["out of order"] == ["RuntimeError", "inner", []]
    ended = ["inner", "outer"]
    assert found["twice"] == ["RuntimeError", key, ended]
    assert found["another thread"] == ["nothing", "thread", [*ended, "thread"]]
    assert found["then here"] == ["nothing", key, [*ended, "thread"]]
    assert found["another task"] == ["nothing", "task", [*ended, "thread", "task"]]
    assert found["then in this one"] == ["nothing", key, [*ended, "thread", "task"]]
    assert found["after"] == AFTER
    wait_ended(server, key)
    left_over(server)


@cell("F24")
def entered_twice(bench: Bench) -> None:
    """A context that is current in one thread is entered and left in another: both see it, and it
    ends once, with its owner."""
    server = bench.server()
    key = bench.key()
    found = ask(server.port, f"/pops?key={key}").json
    assert found["entered twice"] == ["nothing", "twice", ["inner", "outer", "thread", "task"]]
    assert found["after"] == AFTER
    assert "entered twice" in lines(server, key)
    left_over(server)


@cell("F25")
def all_threads_taken(bench: Bench) -> None:
    """All threads for sync functions are taken: more sync views queue and are answered later, and
    over ASGI async views and idle streams go on."""
    if bench.row.parallel == 1:
        # Its one thread: the next request is answered after this one, which the other cells show.
        left_over(bench.server())
        return
    size = SYNC_THREADS if bench.row.edge == "ASGI" else min(bench.row.parallel, 8)
    with ExitStack() as stack:
        server = stack.enter_context(bench.fresh(SITE_LEAN="1"))
        if bench.row.edge == "ASGI":
            for _ in range(IDLE_STREAMS):
                stream = opened(server, f"/idle/async?key={bench.key()}", b"first\n\n")
                stack.enter_context(stream)
        keys = [bench.key() for _ in range(size)]
        asked = {key: InFlight(server, "/wait", key) for key in keys}
        more = bench.key()
        queued = Queued(server.port, more)
        if bench.row.edge == "ASGI":
            for _ in range(20):
                since = time.monotonic()
                assert ask(server.port, "/health").status == 200
                took(bench, "F25 health", since)
        for key in (*keys, more):
            server.open_gate(key)
        assert [request.wait() for request in asked.values()] == [f"waited {key}" for key in keys]
        assert queued.wait() == f"waited {more}"


class Queued(InFlight):
    """A request of which it is not known when its view begins."""

    def __init__(self, port: int, key: str) -> None:
        self.text = None
        self._thread = threading.Thread(target=self._run, args=(port, f"/wait?key={key}"))
        self._thread.start()


@cell("F26")
def nested_blocking(bench: Bench) -> None:
    """Sync views that block on requests of the same application, one more deep than there are
    threads: no deadlock."""
    server = bench.server()
    depth = SYNC_THREADS + 1
    words = " ".join(str(number) for number in range(depth, 0, -1))
    answer = ask(server.port, f"/nested/{depth}")
    assert (answer.status, answer.body.decode()) == (200, f"{words} bottom")
    left_over(server)
