"""What a forked process makes anew: locks that a thread of its parent held, and what is its own."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_forked(owner: T, renew: Callable[[T], object]) -> None:
    """Have `renew(owner)` called in every process forked from now on, as long as `owner` lives."""
    if not hasattr(os, "register_at_fork"):
        return
    ref = weakref.ref(owner)

    def after_fork() -> None:
        found = ref()
        if found is not None:
            renew(found)

    os.register_at_fork(after_in_child=after_fork)
