"""Running code on another thread, for tests of what it sees there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> T:
    """Call `function` on a thread of its own; what it returns, or raises."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((True, function()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=work, name="other")
    thread.start()
    thread.join()
    done, value = outcome.pop()
    if not done:
        raise value
    result: T = value
    return result
