"""Live contexts as plain text: a tree for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from .records import ContextRecord, HeldRecord, Snapshot, age_text

_LINES = ("├─ ", "└─ ", "│  ", "   ")
_ASCII = ("|- ", "`- ", "|  ", "   ")


def can_draw(encoding: str | None) -> bool:
    """Whether an output with this encoding can show the lines of a tree."""
    try:
        "".join(_LINES).encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def tree(snapshot: Snapshot, drawn: bool = True) -> Iterator[str]:
    """Yield the lines of a snapshot, without line ends; `drawn` allows characters beyond ASCII."""
    if not snapshot.contexts:
        yield "No live contexts."
    lines = _LINES if drawn else _ASCII
    for context in snapshot.contexts:
        yield from _context(context, "", "", lines)


def _context(
    context: ContextRecord, first: str, rest: str, lines: tuple[str, str, str, str]
) -> Iterator[str]:
    more, last, through, past = lines
    yield _printable(f"{first}{headline(context)}")
    under = through if context.children else past
    for text in details(context):
        yield _printable(f"{rest}{under}{text}")
    for place, child in enumerate(context.children, 1):
        is_last = place == len(context.children)
        yield from _context(
            child, rest + (last if is_last else more), rest + (past if is_last else through), lines
        )


def headline(context: ContextRecord) -> str:
    """What a context is and how it stands, in one line."""
    what = " ".join(part for part in (context.kind, context.title) if part)
    stands = f"{context.state}, {context.outcome} so far"
    stopping = f"  {context.stopping}" if context.stopping else ""
    return f"{what}  {age_text(context.age)}  {stands}{stopping}"


def details(context: ContextRecord) -> Iterator[str]:
    """Where a context was begun, and what it holds."""
    endpoint = f"{context.app}, endpoint {context.endpoint}" if context.endpoint else context.app
    yield f"{endpoint}, {context.work}"
    if context.begun_at:
        yield f"begun at {context.begun_at}"
    for held in context.held:
        yield holding(held)


def holding(held: HeldRecord) -> str:
    """A held resource in one line."""
    return (
        f"holds {held.name} ({held.lifetime})  {age_text(held.age)}"
        f"  opened at {held.opener}, thread {held.thread}"
    )


def _printable(line: str) -> str:
    """Without control characters: a client chooses the path of its request."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
