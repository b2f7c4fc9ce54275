"""What is known of live contexts at one moment: frozen records, in JSON's form and back.

They hold names, places and times, never a value of the application. How they are found is in
`watch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A resource that a context holds. Ages are seconds."""

    name: str
    lifetime: str
    age: float
    opener: str
    """What opened it: file, line and function."""
    thread: str
    """The name of the thread that opened it."""


@dataclass(frozen=True, slots=True)
class ContextRecord:
    """A live context and those that it has as children."""

    number: int
    """Counts the contexts of the process, in the order of their begin."""
    app: str
    kind: str
    """What it was made for: "request", "child", "app context", "copied request" (by its `copy`),
    "joined request" (in an app context that it did not bring)."""
    method: str | None
    path: str | None
    """Of its request, without the query."""
    endpoint: str | None
    age: float
    work: str
    """Where it was begun: a thread, an asyncio task or a greenlet."""
    state: str
    """"current", "streaming" (its response is final, its body on the way), "held" (its owner left
    it to a stream), "ending"."""
    outcome: str
    """How it would end now."""
    begun_at: str
    """The code that began it, as file, line and function; empty for a request at its edge."""
    cancelled: str | None = None
    """Why it should stop, if it should."""
    remaining: float | None = None
    """Seconds until its deadline, negative after it; None without one."""
    held: tuple[HeldRecord, ...] = ()
    children: tuple[ContextRecord, ...] = ()

    @property
    def title(self) -> str:
        """Method and path of a request; nothing else has a title."""
        return f"{self.method} {self.path}" if self.method else ""

    @property
    def stopping(self) -> str:
        """Whether it should stop, and when it must, in words; empty when neither is known."""
        parts = [] if self.cancelled is None else [f"cancelled: {self.cancelled}"]
        if self.remaining is not None and self.remaining > 0:
            parts.append(f"deadline in {age_text(self.remaining)}")
        elif self.remaining is not None:
            parts.append(f"deadline {age_text(-self.remaining)} ago")
        return ", ".join(parts)

    def walk(self) -> Iterator[ContextRecord]:
        """It and all that are below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live contexts of a process: those without a live parent, oldest first."""

    taken: str
    """When, in ISO 8601 with the offset from UTC."""
    pid: int
    contexts: tuple[ContextRecord, ...] = ()

    @property
    def count(self) -> int:
        """How many contexts there are, children included."""
        return sum(1 for context in self.contexts for _ in context.walk())

    def plain(self) -> dict[str, Any]:
        """In JSON's form."""
        return asdict(self)


def snapshot_from(plain: dict[str, Any]) -> Snapshot:
    """The snapshot that `plain` gave. Raises `TypeError` or `KeyError` for anything else."""
    return Snapshot(**{**plain, "contexts": _contexts(plain["contexts"])})


def _contexts(plain: list[dict[str, Any]]) -> tuple[ContextRecord, ...]:
    return tuple(
        ContextRecord(
            **{
                **one,
                "held": tuple(HeldRecord(**held) for held in one["held"]),
                "children": _contexts(one["children"]),
            }
        )
        for one in plain
    )


def age_text(seconds: float) -> str:
    """A duration for people: "0.3 s", "42 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {whole} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
