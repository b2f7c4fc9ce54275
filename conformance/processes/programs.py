"""Starting programs of this environment: to their end, or as servers that answer on a free port."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent
TIMEOUT = 120.0  # seconds until a process is taken for hung
#: Our console script, and the module in its place.
DEMIJOHN = (str(BIN / "demijohn"),)
MODULE = (sys.executable, "-m", "demijohn")


def clean_environment(**more: str) -> dict[str, str]:
    """This process's variables without those that the programs read, and `more`."""
    away = ("FLASK", "DEMIJOHN", "PYTEST", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(away)}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; both of its streams come as one."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )


def output(*command: str, cwd: Path, **env: str) -> str:
    """Run a program, which must succeed, and return what it printed."""
    result = run(*command, cwd=cwd, **env)
    assert result.returncode == 0, result.stdout
    return result.stdout


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def started(*command: str, cwd: Path, ready: Callable[[], bool]) -> Iterator[Path]:
    """Run a program until the block ends, entered once `ready()` is true; gives its log file."""
    log = cwd / f"log-{len(list(cwd.glob('log-*')))}.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # A group of its own: workers must not outlive the test.
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + TIMEOUT
            while not ready():
                assert process.poll() is None, f"ended early:\n{log.read_text()}"
                assert time.monotonic() < deadline, f"not ready in time:\n{log.read_text()}"
                time.sleep(0.05)  # a poll with a deadline
            yield log
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(TIMEOUT)


def get(port: int, path: str = "/") -> tuple[int, str]:
    """Status and body of a GET request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def answers(port: int, path: str = "/") -> Callable[[], bool]:
    """A function that tells whether a server on `port` answers by now."""

    def ready() -> bool:
        try:
            return get(port, path)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    return ready
