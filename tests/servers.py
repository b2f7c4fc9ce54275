"""Servers that tests start for themselves, on free ports: PostgreSQL, Redis, and any program.

Each ends with its block, killed if need be. A missing program skips the test and says how to
install it; where everything must run (`CI=true`) the test fails instead.
"""

from __future__ import annotations

import glob
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

PATIENCE = 60.0  # seconds, for a program to start or to end


def not_here(reason: str) -> NoReturn:
    """Skip the test; where everything must run (`CI=true`) fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, package: str, *folders: str) -> str:
    """Return the path of a program: on PATH, or in the last folder that fits a pattern."""
    places = [place for pattern in folders for place in sorted(glob.glob(f"{pattern}/{name}"))]
    found = shutil.which(name) or (places[-1] if places else None)
    if found is None:
        not_here(f"no {name}: apt-get install -y {package}")
    return found


def free_port() -> int:
    """Return a port that was free a moment ago; whoever uses it tries again with another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Program:
    """A running program: its process, what it wrote so far, and the match that it was ready with.

    `ready` is `None` when it ended before it was ready.
    """

    process: subprocess.Popen[str]
    ready: re.Match[str] | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        """What it wrote, errors included; complete once its block has ended."""
        return "".join(self.lines)


@contextmanager
def running(
    command: Sequence[str],
    ready: str,
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Program]:
    """Start a program in a process group of its own; yield when a line matches `ready`, or it ends.

    At the end it gets the signal `stop`, and when that is not enough the group is killed.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        found = Program(process)
        answer: queue.Queue[re.Match[str] | None] = queue.Queue()

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                found.lines.append(line)
                if match := re.search(ready, line):
                    answer.put(match)
            answer.put(None)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            found.ready = answer.get(timeout=PATIENCE)
            yield found
        except queue.Empty:
            pytest.fail(f"{command[0]} is not ready:\n{found.output}")
        finally:
            _end(process, stop)
            listener.join()


def _end(process: subprocess.Popen[str], stop: signal.Signals) -> None:
    process.send_signal(stop)  # does nothing where the process has ended
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@contextmanager
def _on_a_free_port(
    command: Callable[[int], list[str]], ready: str, **options: object
) -> Iterator[int]:
    """Run what `command` gives for a port; another one if somebody took the port meanwhile."""
    for _ in range(5):
        port = free_port()
        with running(command(port), ready, **options) as server:  # type: ignore[arg-type]
            if server.ready is not None:
                yield port
                return
        if "Address already in use" not in server.output:
            break
    pytest.fail(f"{command(port)[0]} ended at once:\n{server.output}")


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis that keeps nothing on disk; yield its URL, without a database's number."""
    binary = program("redis-server", "redis-server")

    def command(port: int) -> list[str]:
        options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        return [binary, *(part for name in options for part in (f"--{name}", options[name]))]

    with (
        tempfile.TemporaryDirectory(prefix="redis-") as folder,
        _on_a_free_port(command, "Ready to accept connections", cwd=Path(folder)) as port,
    ):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL with an empty cluster, as its own user when root; yield its URL."""
    debian = "/usr/lib/postgresql/*/bin"
    initdb = program("initdb", "postgresql", debian)
    binary = program("postgres", "postgresql", debian)
    user = "postgres" if os.geteuid() == 0 else None
    # Not under pytest's folders: those are closed to other users.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        if user is not None:
            shutil.chown(folder, user, user)
        subprocess.run(
            [initdb, "-D", folder, "-U", "studio", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            cwd=folder,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            check=True,
            stdout=subprocess.DEVNULL,
        )

        def command(port: int) -> list[str]:
            options = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
            options += ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
            return [
                *(binary, "-D", folder, "-p", str(port)),
                *(part for option in options for part in ("-c", option)),
            ]

        with _on_a_free_port(
            command,
            "ready to accept connections",
            cwd=Path(folder),
            user=user,
            stop=signal.SIGINT,  # SIGTERM would wait until every client has gone
        ) as port:
            yield f"postgresql+psycopg://studio@127.0.0.1:{port}/postgres"
