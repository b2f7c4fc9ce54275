"""The recipes for work that takes long hold no connection during it, on SQLite and PostgreSQL.

The recipes are examples/recipes/studio/apps.py. They run with Flask-SQLAlchemy in a process of
their own, where `import flask` is Demijohn, and pool_probe.py looks at the pool from inside the
long work. The control is the same code with a `close()` that does nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_servers import PATIENCE, postgresql
from moving import RECIPES, environment

PROBE = Path(__file__).with_name("pool_probe.py")
ANSWERS = {
    "create": (201, {"id": 1, "greeting": "done: Be brief. Greet the users of Desk."}),
    "update": (200, {"trial": "done: Rhyme. Say who you are."}),
    "fetch": (200, {"answer": "done: Rhyme. Why?"}),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database') / 'studio.sqlite3'}"
    else:
        with postgresql() as url:
            yield url


@pytest.fixture(scope="module")
def probe(database: str) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the probe, once for each set of arguments."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}

    def run(*arguments: str) -> dict[str, Any]:
        if arguments not in known:
            done = subprocess.run(
                [sys.executable, "-W", "error", str(PROBE), database, *arguments],
                cwd=RECIPES,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=2 * PATIENCE,
            )
            assert done.returncode == 0, done.stderr
            known[arguments] = json.loads(done.stdout)
        return known[arguments]

    return run


@pytest.mark.parametrize("recipe", ANSWERS)
def test_no_connection_is_held_during_long_work(
    probe: Callable[..., dict[str, Any]], database: str, recipe: str
) -> None:
    """Each recipe answers, and the pool has all its connections while the long work runs."""
    found = probe()
    assert found["demijohn"] is True
    seen = found[recipe]
    assert (seen["status"], seen["json"]) == ANSWERS[recipe]
    assert seen["held"] == [0]
    assert seen["after"] == 0
    # The server's own word: the pool's connection is open, and in no transaction.
    assert seen["states"] == (["idle"] if database.startswith("postgresql") else [])


@pytest.mark.parametrize("recipe", ANSWERS)
def test_without_close_the_connection_is_held(
    probe: Callable[..., dict[str, Any]], database: str, recipe: str
) -> None:
    """The control: where `close()` does nothing, a connection is out during the long work."""
    seen = probe("--careless")[recipe]
    assert (seen["status"], seen["json"]) == ANSWERS[recipe]
    assert seen["held"] == [1]
    assert seen["after"] == 0  # the end of the request gives it back
    in_transaction = ["idle in transaction"] if database.startswith("postgresql") else []
    assert seen["states"] == in_transaction


def test_a_request_that_finds_nothing_gives_its_connection_back(
    probe: Callable[..., dict[str, Any]],
) -> None:
    """A request that ends before its `close()` leaves nothing checked out either."""
    seen = probe()["fetch nothing"]
    assert (seen["status"], seen["held"], seen["after"]) == (404, [], 0)


def test_what_is_loaded_stays_readable(probe: Callable[..., dict[str, Any]]) -> None:
    """After `close()` loaded values can be read, and those that a commit emptied raise."""
    expected = {"loaded": ["loaded", "draft"], "emptied": "DetachedInstanceError"}
    assert probe()["after close"] == expected


def test_one_connection_serves_many_long_requests(probe: Callable[..., dict[str, Any]]) -> None:
    """Four requests are in their long work at once, on a pool of one, and a fifth user reads."""
    assert probe()["crowd"] == {"outcomes": [200] * 4, "status meanwhile": "draft"}


def test_without_close_the_pool_is_empty(probe: Callable[..., dict[str, Any]]) -> None:
    """The control: where `close()` does nothing, the second request waits for a connection."""
    seen = probe("--careless")["crowd"]
    assert "TimeoutError" in seen["outcomes"]
    assert seen["status meanwhile"] is None
