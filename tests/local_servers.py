"""Servers that tests start for themselves, on free ports: PostgreSQL, Redis, and any program.

Each ends with its block, killed if need be. A missing program skips the test and says how to
install it; where everything must run (`CI=true`) the test fails instead.
"""

from __future__ import annotations

import glob
import os
import pwd
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
from pathlib import Path
from typing import Any, NoReturn

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


class Program:
    """A running program, and what it writes, errors included."""

    def __init__(
        self, process: subprocess.Popen[str], sign: str, end: signal.Signals = signal.SIGTERM
    ) -> None:
        self.process = process
        self._end: signal.Signals | None = end
        self.lines: list[str] = []
        self._sign = sign
        self._answer: queue.Queue[re.Match[str] | None] = queue.Queue()
        self.listener = threading.Thread(target=self._listen)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.search(self._sign, line):
                self._answer.put(match)
        self._answer.put(None)

    @property
    def output(self) -> str:
        """What it wrote so far; complete once its block has ended."""
        return "".join(self.lines)

    def starts(self) -> re.Match[str] | None:
        """Wait until a line fits its sign and return the match; `None` when it ended before."""
        try:
            return self._answer.get(timeout=PATIENCE)
        except queue.Empty:
            pytest.fail(f"{self.process.args!r} is not ready:\n{self.output}")

    def started(self) -> re.Match[str]:
        """Wait until a line fits its sign and return the match; fail when it ended before."""
        match = self.starts()
        if match is None:
            pytest.fail(f"{self.process.args!r} ended:\n{self.output}")
        return match

    def stop(self) -> None:
        """Ask it to end, once: while it does, a second signal could be one too many."""
        if self._end is not None:
            self.process.send_signal(self._end)  # does nothing where it has ended
            self._end = None

    def end(self) -> None:
        """Stop it and wait; kill what is left of its group."""
        self.stop()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.listener.join()


@contextmanager
def running(
    command: Sequence[str],
    sign: str,
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Program]:
    """Run a program in a process group of its own; a line that fits `sign` says that it is ready.

    At the end it gets the signal `stop`; what is left of the group after that is killed.
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
        program = Program(process, sign, stop)
        try:
            yield program
        finally:
            program.end()


@contextmanager
def _on_a_free_port(
    command: Callable[[int], list[str]], sign: str, **options: Any
) -> Iterator[int]:
    """Run what `command` gives for a port; another one if somebody took the port meanwhile."""
    for _ in range(5):
        port = free_port()
        with running(command(port), sign, **options) as server:
            if server.starts() is not None:
                yield port
                return
        if "Address already in use" not in server.output:
            break
    pytest.fail(f"{server.process.args!r} ended:\n{server.output}")


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
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user is not None and user not in {entry.pw_name for entry in pwd.getpwall()}:
        not_here(f"no user {user}: apt-get install -y postgresql")
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
