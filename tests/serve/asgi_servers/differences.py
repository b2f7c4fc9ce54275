"""What servers do otherwise, each for a reason of its own; docs/servers.md shows them."""

from __future__ import annotations

from typing import Any

from .rows import Bench

REASONS: dict[tuple[str, str], str] = {}


def differs(bench: Bench, column: str, found: Any, expected: Any) -> None:
    """Assert what was found; where the row differs in this column, that it is otherwise."""
    if (bench.row.name, column) in REASONS:
        assert found != expected, f"{bench.row.name} does what it did not: {found!r}"
    else:
        assert found == expected, f"{found!r} instead of {expected!r}"
