"""A development server with debug on, and a client that watches its contexts.

Its application's views wait for a gate, which `/open/NAME` opens.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local_servers import PATIENCE, Program, running

import demijohn
from demijohn.inspector.records import ContextRecord, Snapshot, snapshot_from

SOURCE = Path(demijohn.__file__).parent.parent
SITE = """\
import asyncio
import threading
from collections import defaultdict

from demijohn import Demijohn, copy_current_request_context, g, request, resource, session

app = Demijohn(__name__)
app.secret_key = "key of the site"
gates = defaultdict(threading.Event)


def wait(name):
    assert gates[name].wait(120)


@app.get("/open/<name>")
def open_gate(name):
    gates[name].set()
    return "open"


@app.get("/nested/<name>")
def nested(name):
    g.value = "value of g"
    session["value"] = "value of the session"
    with app.app_context():
        wait(name)
    return "done"


@resource
def ledger():
    yield "value of the ledger"


@resource(lifetime="view")
def connection():
    yield "value of the connection"


@app.get("/holds/<name>")
def holds(name):
    str(connection)
    str(ledger)
    wait(name)
    return "done"


@app.get("/stream/<name>")
def stream(name):
    def body():
        yield "first"
        wait(name)
        yield "last"

    return body()


@app.get("/thread/<name>")
def thread(name):
    def work():
        with app.app_context():
            wait(name)

    threading.Thread(target=work, name="reporter").start()
    return "started"


@app.get("/copy/<name>")
def copy(name):
    @copy_current_request_context
    def work():
        wait(name)

    worker = threading.Thread(target=work, name="mailer")
    worker.start()
    worker.join()
    return "done"


@app.get("/async/<name>")
async def later(name):
    async def branch():
        with app.app_context():
            while not gates[name].is_set():
                await asyncio.sleep(0.01)

    await asyncio.create_task(branch(), name="branch")
    return "done"


@app.errorhandler(LookupError)
def handled(error):
    def body():
        yield "handled"
        wait("handled")

    return body(), 500


@app.get("/fails")
def fails():
    raise LookupError
"""
ANNOUNCED = r"\* Contexts: (https?)://(127\.0\.0\.1|localhost):(\d+)/_contexts\?token=(\S+)"
SERVING = r"Running on (https?)://([^:/]+|\[::1\]):(\d+)"


@dataclass
class Answer:
    """A response as it came over the socket."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def kept(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """All of it that does not tell the time."""
        return self.status, [header for header in self.headers if header[0] != "Date"], self.body


@dataclass
class Inspected:
    """A running server, its token, and the requests that a test left waiting in it."""

    program: Program
    port: int
    host: str = "127.0.0.1"
    token: str = ""
    waiting: list[http.client.HTTPConnection] = field(default_factory=list)

    def begin(self, path: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a request and leave its response to come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.waiting.append(connection)
        connection.request("GET", path, headers=dict(headers or {}))

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """Send a request and return its response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def open(self, *gates: str) -> None:
        """Let the requests that wait for these gates end, and read their answers."""
        for gate in gates:
            assert self.ask(f"/open/{gate}").status == 200
        while self.waiting:
            connection = self.waiting.pop()
            connection.getresponse().read()
            connection.close()

    def page(self, query: str = "") -> Answer:
        """The page as a browser gets it."""
        return self.ask(f"/_contexts?token={self.token}{query}")

    def snapshot(self) -> Snapshot:
        """The contexts that live now."""
        answer = self.page("&format=json")
        assert answer.status == 200, answer
        return snapshot_from(json.loads(answer.body))

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Look until it holds of what is listed; return that."""
        end = time.monotonic() + PATIENCE
        while not holds(snapshot := self.snapshot()):
            assert time.monotonic() < end, snapshot
            time.sleep(0.02)
        return snapshot

    def context(self, kind: str, path: str | None) -> ContextRecord:
        """Wait for the context of that kind and path; return it."""

        def found(snapshot: Snapshot) -> list[ContextRecord]:
            return [
                context
                for top in snapshot.contexts
                for context in top.walk()
                if (context.kind, context.path) == (kind, path)
            ]

        return found(self.until(lambda snapshot: bool(found(snapshot))))[0]


def variables(folder: Path) -> dict[str, str]:
    """The variables of a server, and of commands that find it: its file is below `folder`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLASK_", "DEMIJOHN_", "WERKZEUG_"))
    }
    folder.mkdir(exist_ok=True)
    return {
        **kept,
        "PYTHONPATH": str(SOURCE),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
    }


@contextmanager
def serving(folder: Path, *options: str, debug: bool = True, **env: str) -> Iterator[Inspected]:
    """Run the site on a free port; without `debug` there is no token."""
    if not (folder / "site_app.py").exists():
        (folder / "site_app.py").write_text(SITE)
    command = [sys.executable, "-m", "demijohn", "--app", "site_app", "run", "--port", "0"]
    with running(
        [*command, *(["--debug"] if debug else []), *options],
        ANNOUNCED if debug else SERVING,
        cwd=folder,
        environment={**variables(folder / "run"), **env},
    ) as program:
        line = program.started()[0]
        found = re.search(ANNOUNCED if debug else SERVING, line)
        assert found is not None
        served = Inspected(program, int(found[3]), found[2], found[4] if debug else "")
        try:
            yield served
        finally:
            for connection in served.waiting:
                connection.close()
