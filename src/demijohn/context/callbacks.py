"""Functions called at a context's end or after a commit, and the transactions that they wait for.

Which context they belong to is `resources`'; when its end calls them is `unit`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from .ending import raise_errors, run_all

Callback: TypeAlias = Callable[[], object]


class Callbacks:
    """One context's callbacks that have not been called yet, in the order of their registration."""

    __slots__ = ("_pending", "_transactions")

    def __init__(self) -> None:
        # Whether it is called after an error too, and the call.
        self._pending: list[tuple[bool, Callback]] = []
        # The open transactions' callbacks, innermost last.
        self._transactions: list[list[Callback]] = []

    def on_end(self, callback: Callback) -> None:
        """Call it at the end, whatever the outcome."""
        self._pending.append((True, callback))

    def on_commit(self, callback: Callback) -> None:
        """Call it after the innermost open transaction's commit; without one, at a good end."""
        if self._transactions:
            self._transactions[-1].append(callback)
        else:
            self._pending.append((False, callback))

    def pending(self) -> bool:
        """Whether anything waits for the end."""
        return bool(self._pending)

    def take_pending(self, succeeded: bool) -> list[Callback]:
        """What is to be called at the end, once; what waited for success is dropped without it."""
        pending, self._pending = self._pending, []
        return [callback for always, callback in pending if always or succeeded]


class TransactionEvents:
    """What a resource's `transaction=` hook is given: it tells what happens to the transaction.

    A `begun` inside an open transaction is a savepoint: its callbacks wait for the outer commit.
    """

    __slots__ = ("_callbacks", "_levels", "_name")

    def __init__(self, callbacks: Callbacks, name: str) -> None:
        self._callbacks = callbacks
        self._name = name
        self._levels: list[list[Callback]] = []

    def begun(self) -> None:
        """A transaction, or a savepoint in it, is open from now on."""
        level: list[Callback] = []
        self._levels.append(level)
        self._callbacks._transactions.append(level)

    def committed(self) -> None:
        """It was committed: its `on_commit` callbacks are called now, each of them.

        Raises what they raised, several errors as one group. Without a `begun` it does nothing.
        """
        level = self._close_level()
        if self._levels:
            self._levels[-1].extend(level)
        else:
            raise_errors(run_all(level), f"Errors after a commit of {self._name}")

    def rolled_back(self) -> None:
        """It was rolled back: its callbacks are dropped."""
        self._close_level()

    def closed(self) -> None:
        """The resource is gone, and with it what was not committed."""
        while self._levels:
            self._close_level()

    def _close_level(self) -> list[Callback]:
        if not self._levels:
            return []
        level = self._levels.pop()
        transactions = self._callbacks._transactions
        transactions[:] = [one for one in transactions if one is not level]
        return level
