"""`demijohn contexts` beside real development servers: what it prints and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from inspected import PATIENCE, Inspected, serving, variables
from local_servers import program, running

from demijohn.inspector import command
from demijohn.inspector.command import NoServer
from demijohn.inspector.records import snapshot_from
from demijohn.serve.debug_servers import DebugServer

CONTEXTS = (sys.executable, "-m", "demijohn", "contexts")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commanded")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Inspected]:
    with serving(folder, "--no-reload") as server:
        yield server


def contexts(
    folder: Path, *options: str, encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    """Run the command where it looks for servers in `folder`."""
    return subprocess.run(
        [*CONTEXTS, *options],
        cwd=folder,
        env=variables(folder / "run") | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_the_tree_is_printed(server: Inspected, folder: Path) -> None:
    """The command finds the server by itself and prints its contexts as a tree."""
    server.begin("/nested/one")
    server.context("app context", None)
    done = contexts(folder)
    lines = [
        r"request GET /nested/one  [\d.]+ s  current, ok so far",
        r"│  site_app, endpoint nested, thread Thread-\d+ \(process_request_thread\)",
        r"└─ app context  [\d.]+ s  current, ok so far",
        r"      site_app, thread Thread-\d+ \(process_request_thread\)",
        r"      begun at site_app.py:\d+ nested",
    ]
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch("".join(f"{line}\n" for line in lines), done.stdout), done.stdout
    assert "`- app context" in contexts(folder, encoding="ascii").stdout
    done = contexts(folder, "--json")
    assert outline(snapshot_from(json.loads(done.stdout))) == outline(server.snapshot())
    server.open("one")
    server.until(lambda found: not found.contexts)
    assert contexts(folder, "--port", str(server.port)).stdout == "No live contexts.\n"


def outline(snapshot: object) -> str:
    return re.sub(r"(age|taken)=[^,)]*", "", repr(snapshot))


def test_watching_until_interrupted(server: Inspected, folder: Path) -> None:
    """With --watch it looks again until Ctrl+C, and ends well."""
    with running(
        [*CONTEXTS, "--watch", "--json"],
        '"contexts": ',
        cwd=folder,
        environment=variables(folder / "run"),
        stop=signal.SIGINT,
    ) as watching:
        for _ in range(2):
            watching.started()
        watching.stop()
        assert watching.process.wait(PATIENCE) == 0
    assert len(watching.output.strip().splitlines()) >= 2


def test_several_servers(server: Inspected, folder: Path) -> None:
    """Where several servers run they are listed, and --port says which one."""
    with serving(folder, "--no-reload") as other:
        done = contexts(folder)
        assert done.returncode == 2
        assert done.stdout == ""
        for one in (server, other):
            assert f"--port {one.port}  site_app" in done.stderr
        other.begin("/nested/two")
        other.context("app context", None)
        assert "GET /nested/two" in contexts(folder, "--port", str(other.port)).stdout
        assert contexts(folder, "--port", str(server.port)).stdout == "No live contexts.\n"
        other.open("two")
    assert contexts(folder).returncode == 0


def test_no_server(tmp_path: Path) -> None:
    """Without a server the command says how to start one, with status 1."""
    done = contexts(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No development server of yours runs with debug on." in done.stderr
    assert "demijohn run --debug" in done.stderr
    assert "runs on port 1 with" in contexts(tmp_path, "--port", "1").stderr


def test_a_killed_server(tmp_path: Path) -> None:
    """The file of a server that was killed is not taken for a server, and is removed."""
    with serving(tmp_path, "--no-reload") as killed:
        assert len([*(tmp_path / "run").rglob("*.json")]) == 1
        killed.program.process.kill()
        killed.program.process.wait()
    assert contexts(tmp_path).returncode == 1
    assert [*(tmp_path / "run").rglob("*.json")] == []


def test_a_server_that_ends_leaves_no_file(tmp_path: Path) -> None:
    """A server with the reloader that is stopped takes its file along."""
    with serving(tmp_path) as stopped:
        assert len([*(tmp_path / "run").rglob("*.json")]) == 1
        stopped.program.stop()
        stopped.program.process.wait()
        assert [*(tmp_path / "run").rglob("*.json")] == []


def test_another_server_on_the_port(server: Inspected) -> None:
    """A server that does not know the token, or is gone, is said not to be the one."""
    wrong = DebugServer(os.getpid(), "site", "http", "127.0.0.1", server.port, "no token")
    with pytest.raises(NoServer, match="is another server now"):
        command.ask(wrong)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with pytest.raises(NoServer, match="is not reached"):
        command.ask(replace(wrong, port=free))


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n<!doctype html>",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b'HTTP/1.0 200 OK\r\n\r\n{"contexts": []}',
        b"",
    ],
)
def test_a_stranger_on_the_port(answer: bytes) -> None:
    """What answers otherwise than the page is said to be another server, or not to be reached."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        stranger = threading.Thread(target=serve)
        stranger.start()
        port = listening.getsockname()[1]
        words = "is another server now" if answer else "is not reached"
        with pytest.raises(NoServer, match=words):
            command.ask(DebugServer(os.getpid(), "site", "http", "127.0.0.1", port, "token"))
        stranger.join()


def test_a_server_that_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers one request after the other may not answer in time."""
    monkeypatch.setattr(command, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        busy = DebugServer(os.getpid(), "s", "http", "127.0.0.1", silent.getsockname()[1], "")
        with pytest.raises(NoServer, match="--without-threads"):
            command.ask(busy)


def test_over_https(tmp_path: Path) -> None:
    """A server with a certificate that nobody signed is asked over HTTPS."""
    openssl = program("openssl", "openssl")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    with serving(tmp_path, "--no-reload", "--cert", "cert.pem", "--key", "key.pem"):
        assert contexts(tmp_path).stdout == "No live contexts.\n"


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
def test_on_other_addresses(tmp_path: Path, host: str) -> None:
    """A server that listens on this machine's loopback by another name is found as well."""
    with serving(tmp_path, "--no-reload", "--host", host):
        assert contexts(tmp_path).stdout == "No live contexts.\n"
