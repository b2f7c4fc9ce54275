"""Under uvicorn, by a raw socket: clients that are slow, and clients that leave."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if not Path("/proc/self/fd").is_dir():
    pytest.skip("no /proc: this test looks at open files", allow_module_level=True)

HERE = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds, for what must happen at some time


class Server:
    """A server's process, and where it listens."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port

    def uploads(self) -> Any:
        """The uploads that are under way."""
        address = f"http://127.0.0.1:{self.port}/uploads"
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            return json.load(answer)

    def has_open(self, path: str) -> bool:
        """Whether it has a file open."""
        found = []
        for one in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append(os.readlink(one))
        return path in found


@pytest.fixture
def server(settings: dict[str, Any]) -> Iterator[Server]:
    """Serve a depot in a process of its own."""
    names = ("DATABASE", "UPLOADS", "PAGE")
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "asgi:app.asgi_app", "--port", "0"],
        cwd=HERE,
        env={
            **os.environ,
            **{f"DEPOT_{name}": str(settings[name]) for name in names},
            "DEPOT_SAMPLES": "50000",
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output: list[str] = []
        listening: queue.Queue[int | None] = queue.Queue()

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                output.append(line)
                if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                    listening.put(int(found[1]))
            listening.put(None)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            found = listening.get(timeout=PATIENCE)
            assert found is not None, "the server ended:\n" + "".join(output)
            yield Server(process.pid, found)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                listener.join()
    assert "Traceback" not in "".join(output), "".join(output)


def eventually(holds: Callable[[], object]) -> bool:
    """Whether it holds before long."""
    end = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(holds())


def test_leaving(server: Server, settings: dict[str, Any]) -> None:
    """An upload that breaks off leaves nothing behind, nor does an export that nobody reads."""
    folder = Path(settings["UPLOADS"])
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, PATIENCE) as client:
        client.sendall(b"PUT /files/one HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        client.sendall(b"x" * 1000)
        assert eventually(lambda: server.uploads() == {"one": 1000})
        assert [path.name[:6] for path in folder.iterdir()] == [".part-"]
    assert eventually(lambda: not server.uploads())
    assert not [*folder.iterdir()]

    for path in (b"/orders.csv", b"/plain/orders.csv"):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(address)
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000)
            # The server is held back by the client, and its connection to the database is open.
            assert eventually(lambda: server.has_open(settings["DATABASE"]))
        assert eventually(lambda: not server.has_open(settings["DATABASE"]))
