"""Signals: what is in flight when a server is told to stop, once or twice."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from contextlib import ExitStack

from servers.clients import ask
from servers.kinds import DEADLINE, Running

from .cells import Bench, cell, ended, opened, took, wait_ended, wait_line
from .differences import differs, otherwise


class InFlight:
    """A request that is in its view, and its answer later."""

    def __init__(self, server: Running, path: str, key: str) -> None:
        self.text: str | None = None
        self._thread = threading.Thread(target=self._run, args=(server.port, f"{path}?key={key}"))
        self._thread.start()
        wait_line(server, key, "began")

    def _run(self, port: int, path: str) -> None:
        try:
            self.text = ask(port, path).body.decode()
        except (OSError, http.client.HTTPException):
            pass

    def wait(self) -> str | None:
        """The answer; None where the connection was cut."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return self.text


def refuses(server: Running, within: float = 2.0) -> bool:
    """Whether new requests are refused before this many seconds are over."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            opened_now = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.2)
            opened_now.connect()
            opened_now.close()
        except TimeoutError:
            pass
        except OSError:
            return True
        time.sleep(0.02)
    return False


def stopped(server: Running) -> None:
    """Wait until the server has exited as after a stop: with 0, or by the signal (uvicorn)."""
    assert server.process.wait(DEADLINE) in (0, -signal.SIGTERM), server.output()


@cell("F11")
def sigterm_with_a_request(bench: Bench) -> None:
    """SIGTERM while requests are in their views: they are answered whole, new connections are
    refused, what ends with the application runs, the server exits."""
    with bench.fresh() as server:
        kinds = ["/wait", "/wait/async"] if bench.row.parallel > 1 else ["/wait"]
        requests = {bench.key(): path for path in kinds}
        asked = {key: InFlight(server, path, key) for key, path in requests.items()}
        server.process.send_signal(signal.SIGTERM)
        differs(bench, "F11", refuses(server), True)
        assert server.process.poll() is None
        for key in requests:
            server.open_gate(key)
        for key, request in asked.items():
            assert request.wait() == f"waited {key}", server.output()
        stopped(server)
        for key in requests:
            assert ended(server, key) == ["ok"]
        # hypercorn has nothing by which a WSGI application could know.
        assert ("server stops" in server.log()) is (bench.row.name != "hypercorn, WSGI")


@cell("F12")
def sigterm_with_endless_streams(bench: Bench) -> None:
    """SIGTERM while event streams without an end are open: they are told at once, end with
    `retry:`, and the server exits long before its limit."""
    kinds = ["async", "sync"] if bench.row.edge == "ASGI" else ["sync"]
    stays = otherwise(bench, "F12")
    with bench.fresh() as server, ExitStack() as stack:
        streams = {}
        for kind in kinds:
            key = bench.key()
            path = f"/idle/{kind}?key={key}{'&most=10' if stays else ''}"
            streams[key] = stack.enter_context(opened(server, path, b"first\n\n"))
        since = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for connection in streams.values():
            if not stays:
                connection.until(b"retry: 1000\n\n")
                took(bench, "F12 told", since)
            assert connection.rest().endswith(b"0\r\n\r\n")
            differs(bench, "F12", b"retry: " in connection.got, True)
        stopped(server)
        took(bench, "F12 exit", since)
        for key in streams:
            wait_ended(server, key, "ok" if stays else "cancelled")


@cell("F13")
def sigterm_with_background_work(bench: Bench) -> None:
    """SIGTERM while work that a request has begun goes on in a thread: it is finished before the
    process ends."""
    with bench.fresh() as server:
        key = bench.key()
        assert ask(server.port, f"/background?key={key}").status == 200
        wait_line(server, key, "works")
        server.process.send_signal(signal.SIGTERM)
        refuses(server)
        server.open_gate(key)
        wait_line(server, key, "worked")
        stopped(server)


@cell("F14")
def second_signal(bench: Bench) -> None:
    """A second SIGTERM while a request goes on: the server exits at once, and shows no more than
    one traceback."""
    with bench.fresh() as server:
        key = bench.key()
        request = InFlight(server, "/wait", key)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # two signals, and not one that two processes pass on
        since = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        # A server that differs waits for the request, however long.
        end = time.monotonic() + (1.0 if otherwise(bench, "F14") else 10.0)
        while server.process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        at_once = server.process.poll() is not None
        if at_once:
            took(bench, "F14", since)
        differs(bench, "F14", at_once, True)
        server.open_gate(key)
        server.process.wait(DEADLINE)
        request.wait()
        assert server.output().count("Traceback") <= 1, server.output()
