"""Holders: what keeps a context's end away."""

from __future__ import annotations

import threading

import pytest
from kinds import Recorder, new_kind
from places import Runner, everywhere, foreign, thread

from demijohn.context import Context, ContextStack, ContextWarning, State, WrongContextError


@foreign
@everywhere
def test_the_last_release_ends(elsewhere: Runner) -> None:
    """The owner's pop resets the variable and leaves the end to the last hold, wherever that is
    released."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    first, second = ctx.hold(), ctx.hold()
    ctx.pop()
    assert kind.stack.current is None
    assert ctx.state is State.HELD and ctx.ends == 0
    first.release()
    assert ctx.ends == 0
    elsewhere(second.release)
    assert ctx.ends == 1 and ctx.ended
    assert ctx.seen[-1], "current during its end"
    assert kind.stack.current is None


@everywhere
def test_a_hold_released_before_the_pop_changes_nothing() -> None:
    """With every hold released, the owner's pop ends; a second release does nothing."""
    ctx = new_kind()()
    ctx.push()
    hold = ctx.hold()
    hold.release()
    hold.release()
    assert ctx.ends == 0
    ctx.pop()
    assert ctx.ends == 1
    hold.release()
    assert ctx.ends == 1


@everywhere
def test_a_release_hands_its_error_to_the_end() -> None:
    """The error of the last holder is what the end is told, and the end's errors come out there."""
    error = ConnectionError("client gone")
    ctx = new_kind()("ctx", {"exit": OSError("close")})
    ctx.push()
    hold = ctx.hold()
    ctx.pop()
    with pytest.raises(OSError, match="close"):
        hold.release(error)
    assert ctx.errors == [error]
    assert ctx.ended


@everywhere
def test_a_dropped_hold_is_released() -> None:
    """A hold that nobody keeps any more is released at that moment, without the cyclic
    collector."""
    ctx = new_kind()()
    ctx.push()
    hold = ctx.hold()
    ctx.pop()
    assert ctx.ends == 0
    del hold
    assert ctx.ends == 1


def test_a_held_context_can_be_borrowed() -> None:
    """A holder pushes and pops the context it holds without ending it."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    hold = ctx.hold()
    ctx.pop()
    for _ in range(3):
        with ctx:
            assert kind.stack.current is ctx
        assert kind.stack.current is None
    assert ctx.ends == 0
    hold.release()
    assert ctx.ends == 1


def test_a_foreign_pop_leaves_a_held_context_too() -> None:
    """A foreign pop of a held context warns and leaves the end to the holder."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    hold = ctx.hold()
    with pytest.warns(ContextWarning):
        thread(ctx.pop)
    assert ctx.state is State.HELD
    with pytest.raises(WrongContextError):
        thread(ctx.pop)
    ctx.pop()
    assert kind.stack.current is None
    assert ctx.ends == 0
    hold.release()
    assert ctx.ends == 1


def test_releases_at_once_end_once() -> None:
    """Of many threads that release at the same moment exactly one runs the end."""
    for _ in range(20):
        ctx = new_kind()()
        ctx.push()
        holds = [ctx.hold() for _ in range(4)]
        barrier = threading.Barrier(5)

        def release(hold: object, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            hold.release()  # type: ignore[attr-defined]
            hold.release()  # type: ignore[attr-defined]

        threads = [threading.Thread(target=release, args=(hold,)) for hold in holds]
        for started in threads:
            started.start()
        barrier.wait()
        ctx.pop()
        for started in threads:
            started.join()
        assert ctx.ends == 1


def test_a_hold_dropped_while_holds_are_changed() -> None:
    """A hold that the cyclic collector drops while the same thread takes or returns one is no
    deadlock."""
    done = threading.Event()

    class Dropping(Context, stack=ContextStack("dropping")):
        pass

    def work() -> None:
        other = Dropping()
        other.push()
        other_hold = other.hold()
        other.pop()
        ctx = Dropping()
        with ctx, ctx.stack.lock:
            # The collector can run at any allocation; here its work is done by hand.
            del other_hold
        assert other.ended
        done.set()

    started = threading.Thread(target=work, daemon=True)
    started.start()
    assert done.wait(5)
    started.join()


def test_what_a_successor_takes_over() -> None:
    """A hold belongs to the life it was taken in: released late, it cannot end the next one."""
    ctx: Recorder = new_kind()()
    ctx.push()
    hold = ctx.hold()
    ctx.pop()
    hold.release()
    with ctx:
        hold.release()
        assert ctx.ends == 1
    assert ctx.ends == 2
