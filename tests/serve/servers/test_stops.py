"""Stopping: what is in flight ends first, and nothing is left behind."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from .clients import ask
from .kinds import DEADLINE, KINDS, Running, eventually

STOPPING = [kind.name for kind in KINDS.values() if kind.stops]


class InFlight:
    """A request that is in its view, and its answer later."""

    def __init__(self, running: Running, key: str) -> None:
        self.body: Any = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(running.port, key))
        self._thread.start()
        running.wait_for_log(f"{key} began")

    def _run(self, port: int, key: str) -> None:
        try:
            self.body = ask(port, f"/wait?key={key}").body.decode()
        except OSError as error:
            self.error = error

    def wait(self) -> None:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("name", STOPPING)
def test_sigterm_lets_a_request_end(start_server: Callable[..., Running], name: str) -> None:
    """After SIGTERM a request in flight is answered whole, its teardown runs, and the server exits
    with 0.
    """
    running = start_server(name)
    request = InFlight(running, "late")
    running.process.send_signal(signal.SIGTERM)
    if name == "granian":
        running.wait_for_output("Stopping")
        # gunicorn's gevent worker takes connections until the last request has ended.
        eventually(lambda: refuses(running.port))
    else:
        running.wait_for_output("Handling signal: term")
    assert running.process.poll() is None
    running.open_gate("late")
    request.wait()
    assert request.body == "waited late"
    assert running.process.wait(DEADLINE) == 0
    assert running.log() == ["late began", "late ended ok NoneType"]
