"""Every core test must leave the process as it found it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind. Pytest does so for errors that nobody could
    raise."""
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before
