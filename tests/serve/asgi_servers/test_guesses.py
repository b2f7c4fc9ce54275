"""What each server takes the application for without being told: docs/howto/servers.md, by row."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.clients import ask, wire
from servers.kinds import DEADLINE, Kind, Running, eventually, start

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "howto" / "servers.md").read_text()
SITE = PAGE.partition("```python\n")[2].partition("```")[0]
REFUSED = "500, with the command"
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SMOKE = {"uvicorn hello:app", "granian hello:app"}


@dataclass(frozen=True)
class Row:
    command: str
    guess: str
    result: str


def rows() -> list[Row]:
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    return [Row(*cells) for cells in found]


def kind_of(command: str) -> Kind:
    """A server started as the command says, but on a port that is free."""
    name, *args = shlex.split(command)
    bind = {
        "gunicorn": ["-b", "127.0.0.1:{port}"],
        "uvicorn": ["--port", "{port}"],
        "hypercorn": ["-b", "127.0.0.1:{port}"],
        "granian": ["--port", "{port}"],
    }
    if name == "demijohn":
        args += ["--port", "{port}"]
    return Kind(
        command,
        ("-m", name, *bind.get(name, ()), *args),
        name,
        finds_port=name != "granian",
    )


@contextmanager
def served(command: str, folder: Path) -> Iterator[Running]:
    folder.mkdir()
    (folder / "hello.py").write_text(SITE)
    running = start(kind_of(command), folder, places=[folder])
    try:
        yield running
    finally:
        running.kill()


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.command, marks=() if row.command in SMOKE else pytest.mark.servers)
        for row in rows()
    ],
)
def test_a_row_of_the_page(tmp_path: Path, row: Row) -> None:
    """Each command gives what its row says; one that is refused is told commands that work."""
    if row.result == "the server does not start":
        with served(row.command, tmp_path / "first") as running:
            assert running.process.wait(DEADLINE) != 0
            running.wait_for_output("'app.asgi_app'")
        return
    with served(row.command, tmp_path / "first") as running:
        answers = [ask(running.port, "/") for _ in range(3)]
        text = answers[0].body.decode()
        for answer in answers:
            assert f"{answer.status}" == row.result[:3], (answer, running.output())
            assert answer.body == answers[0].body
        if row.result != REFUSED:
            assert row.result == f"200, by {text}"
            return
        assert answers[0].headers["Content-Type"].startswith("text/plain")
        if row.guess == "RSGI":
            with wire(running.port) as connection:
                connection.send("GET / HTTP/1.1", "Host: x", *UPGRADE)
                assert b" 500 " in connection.until(b"\r\n\r\n")
        head, *lines = text.splitlines()
        eventually(lambda: lines[-1] in running.output(), running.output)
        assert running.output().count(head) == 1
    commands = [line.strip() for line in lines if line.startswith("    ")]
    assert commands
    for number, command in enumerate(commands):
        with served(command, tmp_path / f"told-{number}") as running:
            assert ask(running.port, "/").status == 200, running.output()


def test_the_page_has_each_server() -> None:
    """The rows are found, and what a server takes an application for is named in each."""
    assert len(rows()) == PAGE.count("| `") == 20
    assert {row.command.split()[0] for row in rows()} == {
        "gunicorn",
        "uvicorn",
        "hypercorn",
        "granian",
        "demijohn",
    }


def test_one_argument_that_is_no_scope() -> None:
    """Called with one argument or none, as no server does, an application says how it is called."""
    from demijohn import Demijohn

    app = Demijohn("site")
    with pytest.raises(TypeError):
        app()  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="environ, start_response"):
        app({"REQUEST_METHOD": "GET"})
    with pytest.raises(TypeError, match="environ, start_response"):
        app(None)
