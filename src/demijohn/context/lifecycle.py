"""The life of a context as a table: states, events, and which event leads where.

Holds the rules only. `stack.Context` keeps the state; what the table does not name, it refuses.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """Where a context is in its life."""

    NEW = 0
    """Made, never current."""
    CURRENT = 1
    """Begun: its owner has not given it up."""
    HELD = 2
    """Its owner has popped it; a holder (an unfinished stream) still needs it."""
    ENDING = 3
    """Its teardown functions, closings and callbacks are running."""
    ENDED = 4
    """Over. Plain data stays readable; a push starts its successor on the same object."""


class Event(IntEnum):
    """What can happen to a context."""

    BEGIN = 0
    """The first push, or the push that starts a successor: its caller becomes the owner."""
    BORROW = 1
    """A push by somebody else: a nested `with`, a step of a stream."""
    LEAVE = 2
    """The owner pops while a holder remains."""
    END = 3
    """The owner pops, or the last holder of a left context lets go."""
    OVER = 4
    """Everything that belongs to the end has run."""


TABLE: dict[tuple[State, Event], State] = {
    (State.NEW, Event.BEGIN): State.CURRENT,
    (State.CURRENT, Event.BORROW): State.CURRENT,
    (State.CURRENT, Event.LEAVE): State.HELD,
    (State.CURRENT, Event.END): State.ENDING,
    (State.HELD, Event.BORROW): State.HELD,
    (State.HELD, Event.END): State.ENDING,
    (State.ENDING, Event.BORROW): State.ENDING,
    (State.ENDING, Event.OVER): State.ENDED,
    (State.ENDED, Event.BEGIN): State.CURRENT,
}
"""Every legal transition.

Invariant: only `END` reaches `ENDING` and only `OVER` leaves it, so one life has one end.
"""


def after(state: State, event: Event) -> State | None:
    """The state that follows, or None when the event is not legal in this state."""
    return TABLE.get((state, event))
