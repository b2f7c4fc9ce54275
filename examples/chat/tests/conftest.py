"""A chat for each test, and one in a server's process."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from demijohn import Demijohn

from chat import create_app

# No test may leave a context behind.
pytest_plugins = ["demijohn.testing.plugin"]

HERE = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds, for what must happen at some time


@pytest.fixture
def app() -> Demijohn:
    """A chat whose rooms keep three messages, and members five that wait."""
    return create_app({"TESTING": True, "KEPT": 3, "WAITING": 5})


@dataclass
class Server:
    """A server's process, where it listens, and what it has written."""

    process: subprocess.Popen[str]
    port: int
    output: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    """Serve the chat by uvicorn."""
    command = [sys.executable, "-m", "uvicorn", "chat:app.asgi_app", "--port", str(port)]
    with subprocess.Popen(
        command,
        cwd=HERE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        server = Server(process, port)
        listening: queue.Queue[str | None] = queue.Queue()

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                server.output.append(line)
                if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                    listening.put(found[1])
            listening.put(None)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            found = listening.get(timeout=PATIENCE)
            assert found is not None, "the server ended:\n" + "".join(server.output)
            server.port = int(found)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                listener.join()
    assert "Traceback" not in "".join(server.output), "".join(server.output)
