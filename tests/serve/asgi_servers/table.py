"""The table of docs/servers.md, written from the cells; `python -m tools.servers` puts it there."""

from __future__ import annotations

from .cells import COLUMNS
from .cells_cancel import cancelled_at_each_await as _cancel
from .cells_contexts import wrong_pops as _contexts
from .cells_errors import exception_in_a_stream as _errors
from .cells_stops import sigterm_with_a_request as _stops
from .cells_streams import disconnect_from_a_busy_stream as _streams
from .differences import DIFFERENCES, REASONS
from .rows import ROWS

MODULES = (_cancel, _contexts, _errors, _stops, _streams)  # imported: their cells are columns
NAMES = sorted(COLUMNS, key=lambda name: int(name[1:]))


def notes() -> dict[tuple[str, str], int]:
    """The number of the note for each cell that differs."""
    numbers = {why: number for number, (_, _, why) in enumerate(DIFFERENCES, 1)}
    return {cell: numbers[why] for cell, why in REASONS.items()}


def page() -> str:
    """What the page holds below its head: the columns, the table, the notes."""
    numbers = notes()
    lines = [f"- **{name}** {COLUMNS[name].says}" for name in NAMES]
    lines += ["", f"| server | {' | '.join(NAMES)} |", f"|---|{'---|' * len(NAMES)}"]
    for row in ROWS:
        cells = [f"[{numbers[row, name]}]" if (row, name) in numbers else "✓" for name in NAMES]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines.append("")
    for number, (name, _, why) in enumerate(DIFFERENCES, 1):
        lines.append(f"{number}. {name}: {why}")
    return "\n".join(lines) + "\n"
