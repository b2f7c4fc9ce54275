"""What a context carries beyond being current: made when the first of it is asked for.

Most requests never have one. Resources and callbacks are `resources`' and `ending`'s, values
`fields`', deadline and cancelling `cancel`'s; this only holds them, one slot on the context.
"""

from __future__ import annotations

from typing import Any


class Unit:
    """The parts of one context that few contexts need."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        #: Field -> value.
        self.values: dict[Any, Any] = {}


def unit_of(ctx: Any) -> Unit:
    """The unit of a `stack.Context`, made at the first call; all threads get the same."""
    unit: Unit | None = ctx._unit
    if unit is None:
        with ctx.stack.lock:
            unit = ctx._unit
            if unit is None:
                unit = ctx._unit = Unit()
    return unit
