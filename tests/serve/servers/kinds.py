"""The servers under test: how each is started and stopped, and what it can and cannot do."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from local_servers import free_port

import demijohn

HERE = Path(__file__).parent
SOURCE = Path(demijohn.__file__).parent.parent
DEADLINE = 60.0  # seconds until something that does not happen is taken for a failure


def eventually(what: Callable[[], object], describe: Callable[[], str] = lambda: "") -> None:
    """Wait until `what` is true."""
    end = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {describe()}"
        time.sleep(0.01)


@dataclass(frozen=True)
class Kind:
    """A server and its settings.

    Arguments:
        command: of `python`; `{port}` and `{app}` stand for the port and the module.
        module: what must be installed.
        parallel: whether it answers 20 requests at once.
        stops: whether SIGTERM lets requests in flight end.
        http11: whether answers are HTTP/1.1, chunked where there is no length.
        keeps_alive: whether a second request can follow on a connection.
        reads_chunks: whether a chunked request body is understood.
        notices_short: whether an upload that breaks off is told from a whole one.
        clean_environ: whether variables of the process stay out of a request's environ.
        finds_port: whether it finds a free port by itself, and says which.
    """

    name: str
    command: tuple[str, ...]
    module: str
    parallel: bool = True
    stops: bool = True
    http11: bool = True
    keeps_alive: bool = True
    reads_chunks: bool = True
    notices_short: bool = True
    clean_environ: bool = True
    finds_port: bool = True


def gunicorn(worker: str, *args: str, **traits: bool) -> Kind:
    # A body that ends too soon is a whole one to gunicorn; Flask under it sees the same.
    traits["notices_short"] = False
    command = ("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", worker, *args, "{app}:app")
    return Kind(f"gunicorn-{worker}", command, "gunicorn", **traits)  # type: ignore[arg-type]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "wsgiref",
            ("-m", "wsgiref_server", "{port}"),
            "wsgiref",
            parallel=False,
            stops=False,
            http11=False,
            keeps_alive=False,
            reads_chunks=False,
            clean_environ=False,
        ),
        Kind(
            "werkzeug",
            ("-m", "demijohn", "--app", "{app}", "run", "--port", "{port}"),
            "werkzeug",
            stops=False,
            keeps_alive=False,
        ),
        gunicorn("sync", parallel=False, keeps_alive=False),
        gunicorn("gthread", "--threads", "20"),
        gunicorn("gevent"),
        Kind(
            "granian",
            ("-m", "demijohn", "--app", "{app}", "serve", "-i", "wsgi", "-p", "{port}", "-t", "20"),
            "granian",
        ),
    )
}
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)|unix:/")


@dataclass
class Running:
    """A started server, its log and the gates of its application."""

    kind: Kind
    folder: Path
    process: subprocess.Popen[bytes]
    port: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def log(self) -> list[str]:
        file = self.folder / "log"
        return file.read_text().splitlines() if file.exists() else []

    def wait_for_log(self, line: str) -> None:
        eventually(lambda: line in self.log(), lambda: f"{line!r} in {self.log()}")

    def open_gate(self, name: str) -> None:
        (self.folder / "gates" / name).touch()

    def wait_for_output(self, text: str) -> None:
        def there() -> bool:
            return text in self.output() or self.process.poll() is not None

        eventually(there, lambda: f"{text!r} in\n{self.output()}")
        assert text in self.output(), self.output()

    def find_port(self) -> None:
        """Wait until the server says where it listens; on a Unix socket it has no port."""

        def said() -> bool:
            return self.process.poll() is not None or ADDRESS.search(self.output()) is not None

        eventually(said, self.output)
        found = ADDRESS.search(self.output())
        assert found is not None, self.output()
        self.port = int(found[1] or 0)
        if not self.kind.finds_port:
            eventually(lambda: self.process.poll() is not None or accepts(self.port), self.output)

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(DEADLINE)


def need(module: str) -> None:
    """Skip where the module is not installed; fail where nothing may be skipped."""
    if importlib.util.find_spec(module) is None:
        reason = f"{module} is not installed: pip install -r requirements/test.txt"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def accepts(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
    except OSError:
        return False
    return True


def start(
    kind: Kind,
    folder: Path,
    *args: str,
    app: str = "served_site",
    places: Sequence[Path] = (),
    **env: str,
) -> Running:
    """Start a server in `folder` on a port that the system chooses, and wait until it listens.

    Arguments:
        args: more of the command line.
        app: the module of the application, in `places`, beside this file or in `folder`.
        env: variables of the process.
    """
    need(kind.module)
    (folder / "gates").mkdir(parents=True)
    paths = {"SITE_LOG": str(folder / "log"), "SITE_GATES": str(folder / "gates")}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FLASK_", "DEMIJOHN_"))}
    port = 0 if kind.finds_port else free_port()
    command = [part.format(port=port, app=app) for part in (*kind.command, *args)]
    modules = os.pathsep.join(map(str, (SOURCE, *places, HERE)))
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=clean | {"PYTHONPATH": modules, "PYTHONUNBUFFERED": "1"} | paths | env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own: no worker must outlive the test.
            start_new_session=True,
            # A test run in the background of a shell ignores Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    running = Running(kind, folder, process)
    try:
        running.find_port()
    except BaseException:
        running.kill()
        raise
    return running
