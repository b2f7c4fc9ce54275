"""The life of a context does what its table says, for every pair of state and event."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from kinds import Recorder

from demijohn.context import ContextStack, Hold, State, WrongContextError
from demijohn.context.lifecycle import TABLE, Event, after


class Living(Recorder, stack=ContextStack["Living"]("living")):
    """A context that can be asked to do something while it ends."""

    kept: Hold | None = None
    while_ending: Callable[[Living], None] | None = None

    def on_exit(self, exc: BaseException | None) -> None:
        super().on_exit(exc)
        act, self.while_ending = self.while_ending, None
        if act is not None:
            act(self)


def begin(ctx: Living) -> bool:
    """Push, and tell whether that began a life."""
    before = ctx.log.count("enter")
    ctx.push()
    return ctx.log.count("enter") == before + 1


def borrow(ctx: Living) -> bool:
    """Push, and tell whether that joined the life there is."""
    return not begin(ctx)


def leave(ctx: Living) -> bool:
    """Pop under a hold, and tell whether that was the owner's leaving."""
    ctx.kept = ctx.kept or ctx.hold()
    with suppress(WrongContextError):
        ctx.pop()
        return ctx.state is State.HELD
    return False


def end(ctx: Living) -> bool:
    """Release the hold there is, or pop; tell whether that ended the context."""
    before = ctx.ends
    if ctx.kept is not None:
        ctx.kept.release()
    else:
        with suppress(WrongContextError):
            ctx.pop()
    return ctx.ends == before + 1


ACTS = {Event.BEGIN: begin, Event.BORROW: borrow, Event.LEAVE: leave, Event.END: end}


def observe(state: State, act: Callable[[Living], bool]) -> tuple[bool, State]:
    """Bring a context into `state`, act on it there, and tell what happened and the state after."""
    ctx = Living()
    seen: list[tuple[bool, State]] = []

    def note(ctx: Living) -> None:
        assert ctx.state is state
        happened = act(ctx)
        seen.append((happened, ctx.state))

    if state is not State.NEW:
        ctx.push()
    if state is State.HELD:
        ctx.kept = ctx.hold()
        ctx.pop()
    elif state is State.ENDED:
        ctx.pop()
    elif state is State.ENDING:
        ctx.while_ending = note
        ctx.pop()
        assert ctx.state is State.ENDED
        return seen[0]
    note(ctx)
    return seen[0]


def ends_in(state: State, event: Event) -> State:
    """The state that code outside sees after an event: an end is over when the pop returns."""
    to = after(state, event)
    assert to is not None
    if to is State.ENDING and event is Event.END:
        over = after(to, Event.OVER)
        assert over is not None
        return over
    return to


@pytest.mark.leaves_behind("context", "resource")
@pytest.mark.parametrize("event", list(ACTS), ids=lambda event: event.name)
@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name)
def test_the_table_is_what_happens(state: State, event: Event) -> None:
    """In each state, exactly the events that the table names happen, and lead where it says."""
    happened, to = observe(state, ACTS[event])
    assert happened == ((state, event) in TABLE)
    if happened:
        assert to is ends_in(state, event)


@pytest.mark.parametrize(
    "state",
    [state for state in State if (state, Event.END) not in TABLE],
    ids=lambda state: state.name,
)
def test_an_event_that_is_not_named_changes_nothing(state: State) -> None:
    """A pop that the table does not allow is refused and leaves the state as it was."""
    happened, to = observe(state, end)
    assert not happened and to is state


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name)
def test_over_follows_ending_alone(state: State) -> None:
    """Only an ending context is ever over, and being over is being ended."""
    assert (after(state, Event.OVER) is not None) == (state is State.ENDING)
    if state is State.ENDING:
        assert after(state, Event.OVER) is State.ENDED


def test_every_state_is_reachable_and_left() -> None:
    """Every state is entered by some event, except the first, and every state can be left."""
    assert set(TABLE.values()) == set(State) - {State.NEW}
    assert {state for (state, _), to in TABLE.items() if to is not state} == set(State)


def test_one_life_has_one_end() -> None:
    """`END` alone leads into ENDING, `OVER` alone out of it, and a life begins nowhere else than
    before or after."""
    into = {event for (state, event), to in TABLE.items() if to is State.ENDING is not state}
    out = {event for (state, event), to in TABLE.items() if state is State.ENDING is not to}
    assert into == {Event.END}
    assert out == {Event.OVER}
    assert {state for state, event in TABLE if event is Event.BEGIN} == {State.NEW, State.ENDED}


def test_each_state_takes_one_kind_of_push() -> None:
    """In every state a push is either a begin or a borrow, never refused and never both."""
    for state in State:
        kinds = [event for event in (Event.BEGIN, Event.BORROW) if (state, event) in TABLE]
        assert len(kinds) == 1
