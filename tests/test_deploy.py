"""The commands of docs/howto/deploy.md start servers that answer and stop."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import demijohn

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "howto" / "deploy.md").read_text()
DEADLINE = 60.0  # seconds


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
SOURCE = Path(demijohn.__file__).parent.parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def ask(port: int, path: str, headers: Mapping[str, str]) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path, headers=dict(headers))
        return json.load(connection.getresponse())
    finally:
        connection.close()


def answer(process: subprocess.Popen[bytes], log: Path, port: int) -> Any:
    """What the server answers once it listens."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        try:
            return ask(port, "/?name=ada", {"X-Forwarded-For": "1.2.3.4"})
        except ConnectionError:
            time.sleep(0.02)
    raise AssertionError(log.read_text())


def program(name: str) -> list[str]:
    """How to run a program of this environment that has a module of its name."""
    assert (Path(sysconfig.get_path("scripts")) / name).exists() or name == "demijohn"
    return [sys.executable, "-m", name]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_serves_and_stops(tmp_path: Path, command: str) -> None:
    """Each command of the page answers, behind a proxy where it says so, and ends on SIGTERM."""
    hello, proxy = blocks("python")
    (tmp_path / "hello.py").write_text(hello)
    (tmp_path / "wsgi.py").write_text(proxy)
    name, *args = shlex.split(command)
    port = free_port()
    changed = [re.sub(r"\b8000$", str(port), arg) for arg in args]
    assert changed != args
    log = tmp_path / "output"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*program(name), *changed],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        behind = "1.2.3.4" if "--app" not in args and name == "demijohn" else "127.0.0.1"
        assert answer(process, log, port) == {"hello": "ada", "from": behind}
        process.terminate()
        assert process.wait(DEADLINE) == 0
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(DEADLINE)


def test_the_page_has_commands() -> None:
    """The page's commands are found, and what it says of options is true."""
    assert len(COMMANDS) == 5
    help_text = subprocess.run(
        [sys.executable, "-m", "demijohn", "serve", "--help"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    (unit,) = blocks("ini")
    for option in re.findall(r"`(--[a-z-]+)`", table) + re.findall(r" (--[a-z-]+)", unit):
        assert option in help_text, option
