"""A depot of its own for each test, called by WSGI and by ASGI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from demijohn import Demijohn
from demijohn.testing import FlaskClient

from depot import create_app

# No test may leave a context or a resource behind.
pytest_plugins = ["demijohn.testing.plugin"]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Settings of the test's depot."""
    return {
        "TESTING": True,
        "DATABASE": str(tmp_path / "orders.sqlite3"),
        "UPLOADS": str(tmp_path / "uploads"),
        "SAMPLES": 1000,
        "PAGE": 100,
    }


@pytest.fixture
def app(settings: dict[str, Any]) -> Demijohn:
    """A depot with a thousand orders."""
    return create_app(settings)


@pytest.fixture(params=["wsgi", "asgi"])
def client(app: Demijohn, request: pytest.FixtureRequest) -> FlaskClient:
    """A client at each edge."""
    return app.test_client(edge=request.param)
