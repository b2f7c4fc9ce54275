"""Mounts on real servers, a process of each edge: what arrives, what is noticed, how it stops."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_servers import PATIENCE, Program, running
from serve.servers.clients import ask, wire
from serve.servers.kinds import eventually

import demijohn

from .mounted_apps import KINDS, PARTS

TESTS = Path(__file__).parent.parent
COMMANDS = {
    "uvicorn": ("uvicorn", "asgi.mounted_site:app.asgi_app", "--port", "0"),
    "gunicorn": (
        *("gunicorn", "asgi.mounted_site:app", "--bind", "127.0.0.1:0"),
        *("--worker-class", "gthread", "--threads", "8"),
    ),
}
READY = r"(?:running on|Listening at:) http://127\.0\.0\.1:(\d+)"


@dataclass
class Served:
    name: str
    program: Program
    port: int


@pytest.fixture(scope="module", params=list(COMMANDS))
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of each edge, kept for all tests of the module."""
    paths = os.pathsep.join([str(Path(demijohn.__file__).parent.parent), str(TESTS)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", *COMMANDS[request.param]]
    folder = tmp_path_factory.mktemp(request.param)
    with running(command, READY, cwd=folder, environment=environment) as program:
        yield Served(request.param, program, int(program.started()[1]))


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_same_answers(served: Served, kind: str) -> None:
    """Paths, bodies with and without a length, streams, cookies and errors, of every framework."""
    port = served.port
    where = ask(port, f"/{kind}/where/%C3%BC%20b/c%3Fd?q=%C3%9F").json
    assert where == {
        "root": f"/{kind}",
        "rest": "ü b/c?d",
        "q": "ß",
        "url": f"/{kind}/where/x",
        "forwarded": None,
        "contexts": False,
    }
    data = bytes(range(256)) * 1000
    sent = {"Content-Type": "text/x-own"}
    assert ask(port, f"/{kind}/echo", "POST", data, sent).json["length"] == len(data)
    chunks = iter([data[:1000], data[1000:]])
    answer = ask(port, f"/{kind}/echo", "POST", chunks, sent, encode_chunked=True)
    # Django by WSGI reads no body without a length, on any server.
    assert answer.json["length"] == (0 if kind == "django-wsgi" else len(data))
    assert ask(port, f"/{kind}/stream").body == "".join(PARTS).encode()
    cookies = ask(port, f"/{kind}/cookie").headers.get_all("Set-Cookie")
    assert cookies is not None and len(cookies) == 2
    assert ask(port, f"/{kind}/fail").status == 500
    assert ask(port, f"/{kind}/none").status == 404
    assert ask(port, "/").body == b"the parent's"


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_header_that_a_client_may_not_write(served: Served, kind: str) -> None:
    """`X_Forwarded_User` of a client's does not arrive as the `X-Forwarded-User` of a proxy's, nor
    joined to one."""
    path = f"/{kind}/where/x"
    evil = {"X_Forwarded_User": "evil", "x_forwarded_USER": "evil"}
    assert ask(served.port, path, headers=evil).json["forwarded"] is None
    assert (
        ask(served.port, path, headers={**evil, "X-Forwarded-User": "ann"}).json["forwarded"]
        == "ann"
    )


@pytest.mark.parametrize("edge", ["wsgi", "asgi"])
def test_a_client_that_leaves(served: Served, edge: str) -> None:
    """An endless body is closed when its client has gone, once."""
    leave(served, edge)


def leave(served: Served, edge: str) -> None:
    """Read a part of an endless body, and wait until it is closed."""
    sign = f"closed by {edge.upper()}"
    before = served.program.output.count(sign)
    with wire(served.port) as connection:
        connection.send(f"GET /endless/{edge} HTTP/1.1", "Host: x")
        connection.until(b"x" * 9_000)
        assert f"x-own: {edge}".encode() in connection.got.lower()
    eventually(lambda: served.program.output.count(sign) > before, lambda: served.program.output)
    assert served.program.output.count(sign) == before + 1


def test_lengths_that_disagree(served: Served) -> None:
    """A request with two ideas of its body's length reaches no application: these servers refuse it
    (what of it they passed on, the bridges would refuse)."""
    smuggled = b"0\r\n\r\nGET /flask/where/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    for headers in (
        ("Content-Length: 5", "Content-Length: 6"),
        (f"Content-Length: {len(smuggled)}", "Transfer-Encoding: chunked"),
    ):
        with wire(served.port) as connection:
            connection.send("POST /flask/echo HTTP/1.1", "Host: x", *headers, body=smuggled)
            answer = connection.rest()
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert answer.count(b"HTTP/1.1 ") == 1, answer


def test_it_stops(served: Served) -> None:
    """After SIGTERM the lifespan of what is mounted ends, once, and then the process."""
    process = served.program.process
    leave(served, "asgi")
    assert served.program.output.count("mount starts") == 1
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)
    served.program.listener.join()
    assert served.program.output.count("mount stops") == 1
    assert "Task was destroyed" not in served.program.output
