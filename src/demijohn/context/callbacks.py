"""Functions called at a context's end or after a commit, and the transactions that they wait for.

Which context they belong to is `resources`'; when its end calls them is `unit`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from .ending import raise_errors, run_all

Callback: TypeAlias = Callable[[], object]


class Callbacks:
    """One context's callbacks that have not been called yet, in the order of their registration."""

    __slots__ = ("_lock", "_pending", "_transactions", "over", "spoiled")

    def __init__(self) -> None:
        # Reentrant: the garbage collector may run code of anybody's inside.
        self._lock = threading.RLock()
        # Whether it is called after an error too, and the call.
        self._pending: list[tuple[bool, Callback]] = []
        # The open transactions' callbacks, innermost last.
        self._transactions: list[list[Callback]] = []
        #: Whether the end has called everything: nothing is registered any more.
        self.over = False
        #: Whether a resource's end failed: then nobody knows that what it did is kept.
        self.spoiled = False

    def on_end(self, callback: Callback) -> bool:
        """Call it at the end, whatever the outcome; False when that is over."""
        return self._wait_for_end(True, callback)

    def on_commit(self, callback: Callback) -> bool:
        """Call it after the innermost open transaction's commit; without one, at a good end.

        False when that is over.
        """
        with self._lock:
            if self._transactions:
                self._transactions[-1].append(callback)
                return True
            return self._wait_for_end(False, callback)

    def _wait_for_end(self, always: bool, callback: Callback) -> bool:
        with self._lock:
            if not self.over:
                self._pending.append((always, callback))
            return not self.over

    def take_pending(self, succeeded: bool) -> list[Callback]:
        """What is to be called at the end, once; what waited for success is dropped without it."""
        with self._lock:
            pending, self._pending = self._pending, []
        kept = succeeded and not self.spoiled
        return [callback for always, callback in pending if always or kept]

    def finish(self) -> bool:
        """Whether nothing waits for the end; then nothing can be registered any more."""
        with self._lock:
            self.over = self.over or not self._pending
            return self.over

    def begin(self, level: list[Callback]) -> None:
        """A transaction is open, whose callbacks go to `level`."""
        with self._lock:
            self._transactions.append(level)

    def close(self, level: list[Callback]) -> None:
        """It is open no more."""
        with self._lock:
            self._transactions[:] = [one for one in self._transactions if one is not level]


class TransactionEvents:
    """What a resource's `transaction=` hook is given: it tells what happens to the transaction.

    A `begun` inside an open transaction is a savepoint: its callbacks wait for the outer commit.
    """

    __slots__ = ("_callbacks", "_levels", "_name", "_over")

    def __init__(self, callbacks: Callbacks, name: str) -> None:
        self._callbacks = callbacks
        self._name = name
        self._levels: list[list[Callback]] = []
        self._over = False

    def begun(self) -> None:
        """A transaction, or a savepoint in it, is open from now on."""
        if not self._over:
            level: list[Callback] = []
            self._levels.append(level)
            self._callbacks.begin(level)

    def committed(self) -> None:
        """It was committed: its `on_commit` callbacks are called now, each of them.

        Raises what they raised, several errors as one group. Without a `begun` it does nothing.
        """
        level = self._close_level()
        if self._levels:
            self._levels[-1].extend(level)
        else:
            raise_errors(run_all(level), f"Errors after a commit of the {self._name}")

    def rolled_back(self) -> None:
        """It was rolled back: its callbacks are dropped."""
        self._close_level()

    def closed(self) -> None:
        """The resource is gone, and with it what was not committed."""
        self._over = True
        while self._levels:
            self._close_level()

    def _close_level(self) -> list[Callback]:
        if not self._levels:
            return []
        level = self._levels.pop()
        self._callbacks.close(level)
        return level
