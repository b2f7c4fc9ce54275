"""Waiting for what another thread does, without sleeping for a guessed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE = 30.0
_POLL = 0.002


def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true; `AssertionError` after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(_POLL)
