"""What one life of a context holds, on plain lists: open resources, callbacks, transactions.

`closing` says what an end must do with them: promises 4 and 7, and what `on_commit` promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

RESOURCES = ("plain", "manager", "nested", "pooled", "txn", "body", "shared")
"""The machine's resources. "nested" opens "pooled" first; "txn" has transactions."""

LIFETIMES = {"pooled": "view", "txn": "view", "body": "body", "shared": "app"}
"""Those that are not of lifetime "context"."""

Reach = Callable[[str, BaseException | None], list[BaseException]]
"""A function of an end runs, with what it is given: what it raises."""


_numbers = count()


@dataclass(eq=False)
class Open:
    """A resource that is open."""

    name: str
    value: object = None
    """What users of it must get: bound at its first use."""
    dirty: bool = False
    levels: list[list[str]] = field(default_factory=list)
    """The callbacks of its open transactions, innermost last."""

    number: int = field(default_factory=_numbers.__next__)

    @property
    def lifetime(self) -> str:
        """How long it stays open."""
        return LIFETIMES.get(self.name, "context")


@dataclass(eq=False)
class Life:
    """One life of a context. Callbacks belong to the application context's."""

    held: list[Open] = field(default_factory=list)
    pending: list[tuple[bool, str]] = field(default_factory=list)
    """Whether it is called after an error too, and the callback's point."""
    transactions: list[list[str]] = field(default_factory=list)
    """The innermost open one last."""
    over: bool = False
    spoiled: bool = False
    """Whether a close failed: nobody knows that what was done is kept."""

    def find(self, name: str) -> Open | None:
        """The open resource of this name."""
        for opened in self.held:
            if opened.name == name:
                return opened
        return None

    # -- transactions -------------------------------------------------------------------------

    def begin(self, opened: Open) -> None:
        """A transaction, or a savepoint in it."""
        level: list[str] = []
        opened.levels.append(level)
        self.transactions.append(level)

    def leave(self, opened: Open) -> list[str]:
        """The innermost one of a resource is over: its callbacks."""
        if not opened.levels:
            return []
        level = opened.levels.pop()
        self.transactions[:] = [one for one in self.transactions if one is not level]
        return level

    def commit(self, opened: Open) -> list[str]:
        """It was committed: the callbacks that are called now."""
        level = self.leave(opened)
        if opened.levels:
            opened.levels[-1].extend(level)
            return []
        return level

    def on_commit(self, point: str) -> None:
        """A callback that waits for the innermost commit, or for a good end."""
        if self.transactions:
            self.transactions[-1].append(point)
        else:
            self.pending.append((False, point))

    # -- release and end ----------------------------------------------------------------------

    def give_back(self, opened: Open, callbacks: Life) -> None:
        """It was released, if it was held here."""
        if opened in self.held:
            self.held.remove(opened)
            while opened.levels:
                callbacks.leave(opened)

    def closing(
        self, exc: BaseException | None, good: bool, reach: Reach, callbacks: Life
    ) -> list[BaseException]:
        """Everything is closed, last opened first, then the callbacks run, and again."""
        errors: list[BaseException] = []
        while True:
            while self.held:
                opened = self.held.pop()
                # Without success, no code after the `yield` runs.
                how = "close" if good or exc is not None else "release"
                if raised := reach(f"{how} {opened.name}", exc):
                    errors += raised
                    callbacks.spoiled = True
                while opened.levels:
                    callbacks.leave(opened)
            if not self.pending:
                self.over = True
                return errors
            pending, self.pending = self.pending, []
            for always, point in pending:
                if always or (good and not self.spoiled):
                    errors += reach(point, None)
                    if point.endswith("opens"):
                        errors += self.open_late(reach)

    def open_late(self, reach: Reach) -> list[BaseException]:
        """A function of the end uses "plain"."""
        if self.find("plain") is not None:
            return []
        errors = reach("open plain", None)
        if not errors:
            self.held.append(Open("plain"))
        return errors


@dataclass
class Spot:
    """What is current where code runs: the lives that hold what it opens and registers."""

    app: Life | None = None
    request: Life | None = None
    """Of the request whose app context is the current one."""
    around: Life | None = None
    """Of the request that is current with any context of its application."""
    path: str | None = None
    """That one's path."""

    def lives(self) -> list[Life]:
        """Both, the request's first."""
        return [life for life in (self.request, self.app) if life is not None]

    def releasable(self) -> list[Open]:
        """What a release gives back, last opened first."""
        found = [one for life in self.lives() for one in life.held if one.lifetime == "view"]
        return sorted(found, key=lambda one: -one.number)

    def release(self, going: list[Open], reach: Reach) -> list[BaseException]:
        """They are given back: what that raises."""
        errors: list[BaseException] = []
        for one in going:
            for life in self.lives():
                life.give_back(one, self.app or life)
            errors += reach(f"release {one.name}", None)
        return errors


def auto_release(spot: Spot, reach: Reach) -> list[BaseException]:
    """The response is final, and its body streams: what is clean is given back."""
    return spot.release([one for one in spot.releasable() if not one.dirty], reach)
