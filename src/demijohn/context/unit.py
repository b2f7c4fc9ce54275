"""What a context has beyond being current: made when the first of it is asked for.

Most requests never have one. Resources are `held`'s, callbacks `callbacks`', values `fields`'; this
keeps them together, in one slot of the context, and says in which order they end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .callbacks import Callbacks
from .ending import Steps
from .held import Holdings

_MOST_ROUNDS = 100


class Unit:
    """The parts of one context that few contexts need."""

    __slots__ = ("callbacks", "cancel", "held", "parent", "values")

    def __init__(self) -> None:
        #: Field -> value.
        self.values: dict[Any, Any] = {}
        #: The open resources of its present life; None before the first.
        self.held: Holdings | None = None
        #: The callbacks of its present life; None before the first.
        self.callbacks: Callbacks | None = None
        #: Its `cancel.CancelToken`; None before the first use.
        self.cancel: Any = None
        #: Of a child, a weak reference to the context that it was started in.
        self.parent: Callable[[], Any] | None = None

    def begin_life(self) -> None:
        """A successor begins: its own resources, cancelling and end; the values stay."""
        self.held = self.callbacks = self.cancel = None


def unit_of(ctx: Any) -> Unit:
    """The unit of a `stack.Context`, made at the first call; all threads get the same."""
    unit: Unit | None = ctx._unit
    if unit is None:
        with ctx.stack.lock:
            unit = ctx._unit
            if unit is None:
                unit = ctx._unit = Unit()
    return unit


def holdings_of(ctx: Any, ended: Callable[[], Exception]) -> Holdings:
    """The holdings of a context in its present life; raises what `ended` makes after that."""
    unit = unit_of(ctx)
    held = unit.held
    if held is None:
        with ctx.stack.lock:
            held = unit.held
            if held is None:
                if ctx.ended:
                    raise ended()
                held = unit.held = Holdings()
    return held


def callbacks_of(ctx: Any) -> Callbacks:
    """The callbacks of a context in its present life."""
    unit = unit_of(ctx)
    callbacks = unit.callbacks
    if callbacks is None:
        with ctx.stack.lock:
            callbacks = unit.callbacks
            if callbacks is None:
                callbacks = unit.callbacks = Callbacks()
    return callbacks


def closing(ctx: Any, unit: Unit, exc: BaseException | None) -> Steps:
    """The end of a unit: its resources, last opened first, then the callbacks that wait for it.

    What a callback opens or registers is closed and called as well. An error in closing a resource
    drops what waits for success, in `ctx` and in the context that makes its callbacks.
    """
    errors: list[BaseException] = []
    succeeded = ctx.succeeded
    for _ in range(_MOST_ROUNDS):
        if unit.held is not None:
            failed = yield from unit.held.closing(exc, succeeded)
            if failed:
                errors += failed
                callbacks_of(ctx.callbacks_context).spoiled = True
        if unit.callbacks is not None:
            for callback in unit.callbacks.take_pending(succeeded):
                done, error = yield None, callback
                if not done:
                    errors.append(error)
        held, callbacks = unit.held, unit.callbacks
        if (held is None or held.finish()) and (callbacks is None or callbacks.finish()):
            return errors
    for part in (unit.held, unit.callbacks):
        if part is not None:
            part.over = True
    errors.append(RuntimeError(f"Callbacks at the end of {ctx!r} register each other anew."))
    return errors
