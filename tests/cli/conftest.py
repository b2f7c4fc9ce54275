"""Fixtures of the command tests: a clean process state, a runner, apps as files, real processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import demijohn

SOURCE = Path(demijohn.__file__).parent.parent
TIMEOUT = 30.0  # seconds until a process that says nothing is taken for hung


@pytest.fixture(autouse=True)
def clean_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Give each test an empty current directory, and put back what commands change in a process."""
    environ, path, modules = dict(os.environ), list(sys.path), set(sys.modules)
    for name in environ:
        if name.startswith(("FLASK_", "DEMIJOHN_", "WERKZEUG_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    sys.path[:] = path
    # Only modules that the test wrote: forgetting a library would make a second copy of it.
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """A function that writes a file of the test's folder, parents included, and returns it."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs `python ARGS...` to its end; keywords but `stdin` set variables."""

    def python(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *args],
            input=stdin,
            env={"PYTHONPATH": str(SOURCE)} | env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    return python


class Process:
    """A Python process whose output, both streams as one, can be waited for."""

    def __init__(self, *args: str, cwd: Path, env: dict[str, str]) -> None:
        base = {k: v for k, v in os.environ.items() if k != "PYTHONSTARTUP"}
        base |= {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"} | env
        self.output = ""
        self._popen = subprocess.Popen(
            [sys.executable, *args],
            cwd=cwd,
            env=base,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: the reloader's child must not outlive the test.
            start_new_session=True,
            # A test run in the background of a shell ignores Ctrl+C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def wait_for(self, text: str) -> str:
        """Read until a whole line with `text` came; return that line."""
        deadline = time.monotonic() + TIMEOUT
        seen = 0
        while True:
            for line in self.output[seen:].splitlines(keepends=True):
                if not line.endswith("\n"):
                    break
                seen += len(line)
                if text in line:
                    self.output = self.output[seen:]
                    return line
            if not self._read(deadline):
                raise AssertionError(f"no {text!r} in the output:\n{self.output}")

    def end(self) -> tuple[int, str]:
        """Wait for the process to end; return its exit code and the output not yet waited for."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        return self._popen.wait(TIMEOUT), self.output

    def interrupt(self) -> None:
        """Press Ctrl+C."""
        os.killpg(self._popen.pid, signal.SIGINT)

    def kill(self) -> None:
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        self._popen.wait(TIMEOUT)

    def _read(self, deadline: float) -> bool:
        """Wait for output and add it; False at its end."""
        assert self._popen.stdout is not None
        fd = self._popen.stdout.fileno()
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing more within {TIMEOUT} s after:\n{self.output}")
        data = os.read(fd, 65536)
        self.output += data.decode()
        return bool(data)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """A function that starts `python ARGS...` in the test's folder; keywords set variables."""
    started: list[Process] = []

    def start(*args: str, **env: str) -> Process:
        started.append(Process(*args, cwd=tmp_path, env=env))
        return started[-1]

    yield start
    for process in started:
        process.kill()
