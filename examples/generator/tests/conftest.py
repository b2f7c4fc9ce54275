"""An application of its own for each test, and a model that answers when the test says so."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from demijohn import Demijohn, app_ctx, g, held_resources
from demijohn.testing import FlaskClient

from workflow import create_app, language, steps, trace_id, worker

WAIT = 20.0


class TestModel:
    """Answers at once, or when the test opens the gate; notes what it saw of the work's context."""

    __test__ = False

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        # Which prompts wait at a closed gate.
        self.holds: Callable[[str], bool] = lambda prompt: True
        self.seen: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def complete(self, prompt: str) -> str:
        """Answer, stop, or fail."""
        self.seen.append(
            {
                "prompt": prompt,
                "user": g.user_id,
                "trace": trace_id.get(),
                "language": language.get(),
                "held": held_resources(),
                "thread": threading.current_thread().name,
            }
        )
        self.asked.set()
        while self.holds(prompt) and not self.gate.is_set() and not app_ctx.wait_cancelled(0.02):
            pass
        app_ctx.check()
        if self.error is not None:
            raise self.error
        return prompt.upper()


@pytest.fixture
def model() -> TestModel:
    """The model of this test."""
    return TestModel()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings of the test's application; a test may change them before it asks for a client."""
    return {"TESTING": True, "HEARTBEAT": WAIT, "RUN_LIMIT": WAIT}


@pytest.fixture
def app(tmp_path: Path, settings: dict[str, Any], model: TestModel) -> Iterator[Demijohn]:
    """An application whose runs are over when the test is."""
    app = create_app({"DATABASE": str(tmp_path / "runs.sqlite3"), **settings})
    with app.override(steps.model, model):
        yield app
        app.close()


@pytest.fixture
def client(app: Demijohn) -> FlaskClient:
    """A client that sends ada's key."""
    return client_of(app, "ada-key")


def client_of(app: Demijohn, key: str) -> FlaskClient:
    """A client with an API key."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def body(mode: str = "streaming", sections: tuple[str, ...] = ("One", "Two")) -> dict[str, Any]:
    """A request for an article."""
    return {"inputs": {"topic": "demijohns", "sections": list(sections)}, "response_mode": mode}


def frames(stream: Any) -> list[tuple[int, str, Any]]:
    """What a stream sent: number, name and data of each event."""
    text = "".join(part if isinstance(part, str) else part.decode() for part in stream)
    found = []
    for frame in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


class CountedConnection(sqlite3.Connection):
    """A connection that counts those that are open."""

    open = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        CountedConnection.open += 1

    def close(self) -> None:
        """Close it, and count one less."""
        CountedConnection.open -= 1
        super().close()


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds before long."""
    end = time.monotonic() + WAIT
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


def only_run(app: Demijohn) -> worker.Run:
    """The one run that the application works on."""
    with app.app_context():
        (run,) = worker.runs._live.values()
        return run
