"""The rows of the table of faults: each server with each interface, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from servers.clients import ask
from servers.kinds import Kind, Running, start

HERE = Path(__file__).parent
PLACES = (HERE, HERE.parents[1])  # the site, and the checker of its messages
WSGI, ASGI = "faults_site:app", "faults_site:app.asgi_app"


@dataclass(frozen=True)
class Row:
    """A server, the interface that it speaks, and how the table calls it.

    Arguments:
        command: of `python`; `{port}` stands for the port.
        edge: "ASGI" or "WSGI".
        limit: arguments that give requests one second to end when the server stops.
        parallel: how many requests it answers at once.
    """

    name: str
    edge: str
    command: tuple[str, ...]
    limit: tuple[str, ...]
    parallel: int = 1000

    @property
    def kind(self) -> Kind:
        return Kind(
            self.name,
            self.command,
            self.command[1],
            parallel=self.parallel > 1,
            finds_port="granian" not in self.command,
        )


def gunicorn(name: str, edge: str, *args: str, parallel: int = 1000) -> Row:
    # By WSGI nobody tells an application that it is served, but for these two hooks.
    hooks = ("--config", str(HERE / "gunicorn_hooks.py")) if edge == "WSGI" else ()
    command = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", *args, *hooks, WSGI)
    return Row(f"gunicorn, {name}", edge, command, ("--graceful-timeout", "1"), parallel)


def uvicorn(http: str) -> Row:
    command = ("-m", "uvicorn", "--port", "{port}", "--http", http, "--loop", "asyncio", ASGI)
    return Row(f"uvicorn, {http}", "ASGI", command, ("--timeout-graceful-shutdown", "1"))


def hypercorn(edge: str, app: str) -> Row:
    command = ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", app)
    # By WSGI on the threads of asyncio: four more than there are processors.
    parallel = 5 if edge == "WSGI" else 1000
    return Row(f"hypercorn, {edge}", edge, command, ("--graceful-timeout", "1"), parallel)


def granian(edge: str, app: str, *args: str) -> Row:
    command = ("-m", "granian", "--port", "{port}", "--interface", edge.lower(), *args, app)
    return Row(f"Granian, {edge}", edge, command, ("--workers-kill-timeout", "1"))


def serve(edge: str, *args: str, parallel: int = 1000) -> Row:
    command = ("-m", "demijohn", "--app", WSGI, "serve", "--port", "{port}", "--no-check")
    limit = ("--graceful-timeout", "2")
    return Row(
        f"demijohn serve, {edge}",
        edge,
        (*command, "--interface", edge.lower(), *args),
        limit,
        parallel,
    )


THREADS = 8  # of WSGI servers that have threads
UVICORN_WORKER = "uvicorn.workers.UvicornWorker"
ROWS = {
    row.name: row
    for row in (
        uvicorn("h11"),
        uvicorn("httptools"),
        hypercorn("ASGI", ASGI),
        granian("ASGI", ASGI),
        serve("ASGI"),
        gunicorn("asgi worker", "ASGI", "--worker-class", "asgi"),
        gunicorn("uvicorn's worker", "ASGI", "--worker-class", UVICORN_WORKER),
        gunicorn("sync worker", "WSGI", parallel=1),
        gunicorn("gthread worker", "WSGI", "--threads", str(THREADS), parallel=THREADS),
        gunicorn("gevent worker", "WSGI", "--worker-class", "gevent"),
        hypercorn("WSGI", WSGI),
        serve("WSGI", "--threads", str(THREADS), parallel=THREADS),
    )
}
SMOKE = "uvicorn, httptools"  # the row that `make test` has time for


@dataclass
class Bench:
    """A row's servers while its cells run: one that they share, and those that a cell stops."""

    row: Row
    folder: Path
    running: Running | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def key(self) -> str:
        """A name for a request, not used before."""
        return f"k{next(self._numbers)}"

    def server(self) -> Running:
        """The row's shared server; a new one where the last has ended."""
        if self.running is None or self.running.process.poll() is not None:
            self.running = self._start()
        return self.running

    @contextmanager
    def fresh(self, *args: str, **env: str) -> Iterator[Running]:
        """A server for one cell, which has answered a request; killed at the end.

        Arguments:
            args: more of its command line.
            env: variables of its process.
        """
        running = self._start(*args, **env)
        try:
            yield running
        finally:
            running.kill()

    def _start(self, *args: str, **env: str) -> Running:
        folder = self.folder / f"server-{next(self._numbers)}"
        running = start(self.row.kind, folder, *args, places=PLACES, **env)
        try:
            # Its worker has loaded the application, and takes signals.
            assert ask(running.port, "/plain").status == 200, running.output()
        except BaseException:
            running.kill()
            raise
        return running

    def close(self) -> None:
        if self.running is not None:
            self.running.kill()
