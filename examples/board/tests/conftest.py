"""A board of its own for each test, and visitors to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from demijohn import Demijohn
from visitor import Visitor

from board import create_app

# The fixtures `client` and `runner`; and no test may leave a context behind.
pytest_plugins = ["demijohn.testing.plugin"]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Return the settings of the test's board."""
    return {
        "TESTING": True,
        "SECRET_KEY": "only for tests",
        "DATABASE": str(tmp_path / "data" / "board.sqlite3"),
        "PASSWORD_METHOD": "pbkdf2:sha256:1",  # a slow hash protects nobody here
        "SAMPLES": False,
    }


@pytest.fixture
def app(settings: dict[str, Any]) -> Iterator[Demijohn]:
    """Yield an empty board; afterwards no mail is under way."""
    app = create_app(settings)
    yield app
    app.extensions["courier"].wait()


@pytest.fixture
def newcomer(app: Demijohn) -> Callable[[], Visitor]:
    """Return a function that gives one more visitor, with cookies of its own."""
    return lambda: Visitor(app.test_client(), app.extensions["courier"])


@pytest.fixture
def auth(newcomer: Callable[[], Visitor]) -> Visitor:
    """Return a guest."""
    return newcomer()


@pytest.fixture
def member(auth: Visitor) -> Visitor:
    """Return the logged-in member nadia."""
    auth.sign_up()
    return auth


@pytest.fixture
def other(newcomer: Callable[[], Visitor]) -> Visitor:
    """Return another logged-in member, piet."""
    visitor = newcomer()
    visitor.sign_up("piet")
    return visitor
