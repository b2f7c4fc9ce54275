"""Real servers that are told to stop: who is told, who may end, and what runs at the end."""

from __future__ import annotations

import http.client
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.kinds import DEADLINE, Kind, Running, eventually, start

SITE = Path(__file__).parent / "ended_site.py"
SERVE = ("-m", "demijohn", "--app", "{app}", "serve", "-p", "{port}")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("uvicorn", ("-m", "uvicorn", "--port", "{port}", "{app}:app.asgi_app"), "uvicorn"),
        Kind(
            "hypercorn",
            ("-m", "hypercorn", "-b", "127.0.0.1:{port}", "{app}:app.asgi_app"),
            "hypercorn",
        ),
        Kind(
            "gunicorn-asgi",
            ("-m", "gunicorn", "-k", "asgi", "-b", "127.0.0.1:{port}", "{app}:app"),
            "gunicorn",
        ),
        Kind("demijohn-serve", SERVE, "granian"),
        Kind("demijohn-serve-wsgi", (*SERVE, "-i", "wsgi"), "granian"),
        Kind(
            "gunicorn-gthread",
            (
                *("-m", "gunicorn", "--threads", "8", "-b", "127.0.0.1:{port}"),
                *("-c", "conf.py", "{app}:app"),
            ),
            "gunicorn",
        ),
        Kind(
            "demijohn-run",
            ("-m", "demijohn", "--app", "{app}", "run", "--port", "{port}"),
            "werkzeug",
        ),
    )
}
ASGI = ["uvicorn", "hypercorn", "gunicorn-asgi", "demijohn-serve"]
MORE = ["hypercorn", "gunicorn-asgi", "gunicorn-gthread"]


def each(*names: str) -> list[Any]:
    """Servers as parameters; those that `make test` has no time for are marked."""
    return [
        pytest.param(name, marks=[pytest.mark.servers] if name in MORE else []) for name in names
    ]


PAGE = Path(__file__).parents[3] / "docs" / "howto" / "lifespan.md"
CONF = next(
    block for block in PAGE.read_text().split("```python\n") if "post_worker_init" in block
).partition("```")[0]
StartSite = Callable[..., Running]


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[StartSite]:
    """A function that starts a server of the site, and waits until it answers."""
    started: list[Running] = []

    def starts(name: str, *args: str, **env: str) -> Running:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(SITE, folder)
        (folder / "conf.py").write_text(CONF)
        edge = {"SITE_EDGE": "asgi" if name in ASGI else "wsgi"}
        running = start(KINDS[name], folder, *args, app="ended_site", **edge, **env)
        started.append(running)
        eventually(lambda: answers(running), running.output)
        return running

    yield starts
    for running in started:
        running.kill()


class Answer:
    """The answer to a request, which is read as it comes; closed when it is read to its end."""

    def __init__(self, running: Running, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
        try:
            self._connection.request("GET", path)
            self._response = self._connection.getresponse()
        except BaseException:
            self._connection.close()
            raise

    def read(self) -> bytes:
        try:
            return self._response.read()
        finally:
            self._response.close()
            self._connection.close()

    def first(self, size: int) -> bytes:
        return self._response.read(size)


def answers(running: Running) -> bool:
    """Whether the server has a worker that answers."""
    assert running.process.poll() is None, running.output()
    try:
        return bool(Answer(running, "/").read())
    except OSError:
        return False


class Later:
    """A request in flight, and its answer later."""

    def __init__(self, running: Running, path: str, began: str | None = None) -> None:
        self.body: str | None = None
        self._path = path
        self._running = running
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        if began is not None:
            running.wait_for_log(began)

    def _run(self) -> None:
        try:
            self.body = Answer(self._running, self._path).read().decode()
        except (OSError, http.client.HTTPException, AssertionError):
            pass

    def wait(self) -> str | None:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return self.body


def first_event(answer: Answer) -> None:
    assert answer.first(9) == b"data: 1\n\n"


def stopped(running: Running) -> int:
    return running.process.wait(DEADLINE)


@pytest.mark.parametrize("name", each(*ASGI))
def test_stopping(start_site: StartSite, name: str) -> None:
    """At SIGTERM event streams end with `retry`, at once, while a request and a download complete;
    then what ends with the application runs, in its order, and the server exits well."""
    running = start_site(name)
    streams = [Answer(running, path) for path in ("/events", "/events/sync")]
    for stream in streams:
        first_event(stream)
    download = Answer(running, "/download")
    assert download.first(6) == b"first "
    request = Later(running, "/wait/request", "request began")
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert [stream.read() for stream in streams] == [b"retry: 1000\n\n"] * 2
    took = time.monotonic() - began
    assert running.process.poll() is None
    for gate in ("download", "request"):
        running.open_gate(gate)
    assert download.read() == b"last, cancelled: False"
    assert request.wait() == "waited, stopping: True"
    assert stopped(running) == (-signal.SIGTERM if name == "uvicorn" else 0), running.output()
    assert running.log() == [
        *("before", "enter", "open pool", "request began"),
        *("events shutdown", "events shutdown", "leave", "after", "close pool"),
    ]
    # A second is the promise; a loaded machine may take longer.
    assert took < 10


def test_stopping_without_a_lifespan(start_site: StartSite) -> None:
    """A server that does not say when it begins to serve: event streams are told of its SIGTERM all
    the same, and a second one ends the process at once."""
    running = start_site("uvicorn", "--lifespan", "off")
    stream = Answer(running, "/events")
    first_event(stream)
    request = Later(running, "/wait/request", "request began")
    running.process.send_signal(signal.SIGTERM)
    assert stream.read() == b"retry: 1000\n\n"
    assert running.process.poll() is None
    running.open_gate("request")
    assert request.wait() == "waited, stopping: True"
    assert stopped(running) == -signal.SIGTERM, running.output()


@pytest.mark.parametrize("name", each("demijohn-serve-wsgi", "gunicorn-gthread"))
def test_stopping_by_wsgi(start_site: StartSite, name: str) -> None:
    """Event streams, sync and async, end with `retry` at SIGTERM by WSGI too, and what ends with
    the application runs."""
    running = start_site(name)
    streams = [Answer(running, path) for path in ("/events", "/events/sync")]
    for stream in streams:
        first_event(stream)
    running.process.send_signal(signal.SIGTERM)
    assert [stream.read() for stream in streams] == [b"retry: 1000\n\n"] * 2
    assert stopped(running) == 0, running.output()
    told = ["events shutdown"] * 2
    assert running.log() == ["before", "enter", *told, "leave", "after"]


def test_the_development_server(start_site: StartSite) -> None:
    """What runs around the serving does in the development server."""
    running = start_site("demijohn-run")
    assert running.log() == ["before", "enter"]
    running.process.send_signal(signal.SIGINT)
    assert stopped(running) == 0, running.output()
    assert running.log() == ["before", "enter", "leave", "after"]


def test_what_is_cut(start_site: StartSite) -> None:
    """`demijohn serve` cancels what is in flight for too long, and runs what ends with the
    application before it kills the worker, also where a sync function does not return."""
    running = start_site("demijohn-serve", "--graceful-timeout", "2")
    requests = [
        Later(running, "/wait/never", "never began"),
        Later(running, "/stuck", "stuck began"),
    ]
    running.process.send_signal(signal.SIGTERM)
    assert stopped(running) == 0
    for request in requests:
        assert request.wait() in (None, "", "Internal server error")
    output = running.output()
    assert "Requests in flight 1.0 s after the stop began, which are cancelled: 2" in output
    assert "left behind: stuck in thread ended_site-sync-" in output
    assert "Traceback" not in output
    assert running.log()[-3:] == ["leave", "after", "close pool"]


@pytest.mark.parametrize(
    "name", ["uvicorn", pytest.param("demijohn-serve", marks=[pytest.mark.servers])]
)
def test_a_second_signal(start_site: StartSite, name: str) -> None:
    """A second SIGTERM ends the server at once, with no traceback."""
    running = start_site(name)
    request = Later(running, "/wait/never", "never began")
    running.process.send_signal(signal.SIGTERM)
    stopping = "Stopping" if name == "demijohn-serve" else "Shutting down"
    running.wait_for_output(stopping)
    running.process.send_signal(signal.SIGTERM)
    status = stopped(running)
    assert status == (1 if name == "demijohn-serve" else -signal.SIGTERM)
    assert request.wait() is None
    assert "Traceback" not in running.output()


@pytest.mark.servers
def test_a_start_that_fails(tmp_path: Path) -> None:
    """A server whose application fails at its start says which function did, and ends."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "own.py").write_text(
        "from demijohn import Demijohn\n"
        "print('http://127.0.0.1:0', flush=True)\n"
        "app = Demijohn(__name__)\n"
        "@app.before_serving\n"
        "async def connect(): raise ConnectionError('no database')\n"
    )
    running = start(KINDS["uvicorn"], folder, app="own")
    try:
        assert stopped(running) not in (0, None)
        output = running.output()
        assert "The before_serving function connect (" in output
        assert "raised ConnectionError: no database" in output
    finally:
        running.kill()
