"""A pop in another Context than the push's: recognised, warned about, one end."""

from __future__ import annotations

import contextvars
import threading
import warnings

import pytest
from kinds import Recorder, new_kind
from places import Runner, copied, everywhere, foreign, here, pool, thread

from demijohn.context import ContextWarning, State, WrongContextError


@foreign
@everywhere
def test_a_foreign_pop_ends_once_and_warns(elsewhere: Runner) -> None:
    """The context ends where it is popped, once; the pusher still sees it, ended, until its own
    pop."""
    kind = new_kind()
    outer, ctx = kind("outer"), kind("ctx")
    outer.push()
    ctx.push()
    with pytest.warns(ContextWarning, match="<Recorder ctx> was pushed in .* and popped in"):
        elsewhere(ctx.pop)
    assert ctx.ends == 1 and ctx.ended
    assert kind.stack.current is ctx
    assert "by a pop in" in str(ctx.ended_error("use"))
    ctx.pop()
    assert kind.stack.current is outer
    assert ctx.ends == 1
    outer.pop()
    assert kind.stack.current is None


@foreign
def test_a_foreign_pop_leaves_its_own_place_alone(elsewhere: Runner) -> None:
    """What was current where the foreign pop runs is current there after it, also over an error."""
    kind = new_kind()
    ctx = kind("ctx", {"exit": OSError("close")})
    ctx.push()

    def pop_it() -> None:
        with kind("theirs") as theirs:
            with pytest.warns(ContextWarning), pytest.raises(OSError, match="close"):
                ctx.pop()
            assert kind.stack.current is theirs

    elsewhere(pop_it)
    assert ctx.seen == [True, True], "the end saw its own context"
    ctx.pop()
    assert kind.stack.current is None


@foreign
def test_a_second_foreign_pop_is_refused(elsewhere: Runner) -> None:
    """A context that a foreign pop ended cannot be ended by another one."""
    ctx = new_kind()("ctx")
    ctx.push()
    with pytest.warns(ContextWarning):
        elsewhere(ctx.pop)
    with pytest.raises(WrongContextError, match="popped already"):
        elsewhere(ctx.pop)
    assert ctx.ends == 1
    ctx.pop()


def test_foreign_is_decided_before_on_top() -> None:
    """In a copied Context with another context on top, a pop is foreign, not wrong."""
    kind = new_kind()
    ctx = kind("ctx")
    ctx.push()

    def pop_it() -> None:
        with kind("on top"):
            ctx.pop()

    with pytest.warns(ContextWarning):
        copied(pop_it)
    assert ctx.ends == 1
    ctx.pop()


@foreign
def test_a_foreign_pop_under_a_borrower(elsewhere: Runner) -> None:
    """With a borrower of the pusher's still inside, a foreign pop ends once and both pops then
    restore."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    ctx.push()
    with pytest.warns(ContextWarning):
        elsewhere(ctx.pop)
    assert ctx.ends == 1
    ctx.pop()
    assert kind.stack.current is ctx
    ctx.pop()
    assert kind.stack.current is None
    assert ctx.ends == 1


@foreign
def test_a_borrower_elsewhere_is_not_foreign(elsewhere: Runner) -> None:
    """Whoever pushed a context in another Context pops it there: no warning, and no end."""
    kind = new_kind()
    ctx = kind()
    with ctx:

        def borrow() -> None:
            with ctx:
                assert kind.stack.current is ctx

        elsewhere(borrow)
        assert ctx.ends == 0
        assert kind.stack.current is ctx
    assert ctx.ends == 1


@foreign
def test_the_owner_may_leave_before_a_borrower_elsewhere(elsewhere: Runner) -> None:
    """A borrower that outlives the owner's pop restores its own variable and ends nothing."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    context = contextvars.copy_context()
    context.run(ctx.push)
    ctx.pop()
    assert ctx.ends == 1

    def last() -> None:
        context.run(ctx.pop)

    elsewhere(last)
    assert ctx.ends == 1
    with pytest.raises(WrongContextError):
        ctx.pop()


@foreign
def test_a_successor_after_a_foreign_pop(elsewhere: Runner) -> None:
    """Pushed again over its stale variable, the context begins a life whose pops restore in
    order."""
    kind = new_kind()
    outer, ctx = kind("outer"), kind("ctx")
    with outer:
        ctx.push()
        with pytest.warns(ContextWarning):
            elsewhere(ctx.pop)
        with ctx:
            assert ctx.state is State.CURRENT
            assert kind.stack.current is ctx
        assert ctx.ends == 2
        assert kind.stack.current is ctx, "the stale push is still there"
        ctx.pop()
        assert ctx.ends == 2
        assert kind.stack.current is outer
    assert kind.stack.current is None


def test_a_successor_over_a_borrower_that_is_left() -> None:
    """A successor pushed where a borrower of the last life remains is popped before that
    borrower."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    hold = ctx.hold()
    ctx.pop()
    ctx.push()
    hold.release()
    assert ctx.ended
    ctx.push()
    ctx.pop()
    assert ctx.ends == 2
    assert kind.stack.current is ctx
    ctx.pop()
    assert kind.stack.current is None
    assert ctx.ends == 2


def test_a_successor_over_borrowers_of_the_last_life() -> None:
    """Pushes of two lives in one place, borrows too, are popped in the reverse of their order."""
    kind = new_kind()
    ctx, others = kind("ctx"), [kind(str(n)) for n in range(3)]
    for other in others:
        other.push()
        ctx.push()
    with pytest.warns(ContextWarning):
        thread(ctx.pop)
    ctx.push()
    assert ctx.ends == 1
    ctx.pop()
    assert ctx.ends == 2
    for other in reversed(others):
        assert kind.stack.current is ctx
        ctx.pop()
        assert kind.stack.current is other
        other.pop()
    assert kind.stack.current is None
    assert ctx.ends == 2


def test_a_successor_elsewhere_while_the_first_push_is_open() -> None:
    """A life begun in another thread after a foreign pop belongs to that thread; the pusher's pop
    ends nothing."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    with pytest.warns(ContextWarning):
        thread(ctx.pop)

    def live_again() -> None:
        with ctx:
            here(lambda: None)
            assert kind.stack.current is ctx
        assert kind.stack.current is None

    pool(live_again)
    assert ctx.ends == 2
    assert kind.stack.current is ctx
    ctx.pop()
    assert kind.stack.current is None
    assert ctx.ends == 2


def test_the_warning_points_at_the_pop() -> None:
    """The warning carries the line of the code that popped, by `pop` and by `with`."""
    kind = new_kind()

    def by_pop(ctx: Recorder) -> None:
        ctx.pop()

    def by_with(ctx: Recorder) -> None:
        ctx.__exit__(None, None, None)

    for leave in (by_pop, by_with):
        ctx = kind()
        ctx.push()
        with pytest.warns(ContextWarning) as caught:
            thread(lambda leave=leave, ctx=ctx: leave(ctx))  # type: ignore[misc]
        assert [warning.filename for warning in caught] == [__file__]
        ctx.pop()


def test_the_warning_names_both_threads() -> None:
    """Push and pop are named by their threads; a thread that is over is named by its number."""
    ctx = new_kind()()
    names = "pushed in thread 'MainThread' and popped in thread 'place'"
    with pytest.warns(ContextWarning, match=names):
        ctx.push()
        thread(ctx.pop)
    ctx.pop()
    thread(ctx.push)
    with pytest.warns(ContextWarning, match=r"pushed in (a thread that has ended|thread)"):
        ctx.pop()
    assert ctx.ends == 2


def test_a_warning_made_an_error_changes_nothing() -> None:
    """Where warnings are errors, a foreign pop raises the warning and the context lives on."""
    kind = new_kind()
    ctx = kind()
    ctx.push()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ContextWarning):
            thread(ctx.pop)
    assert ctx.state is State.CURRENT and ctx.ends == 0
    ctx.pop()
    assert ctx.ends == 1


def test_many_foreign_pops_at_once_end_once() -> None:
    """Of many threads that pop one context at the same moment exactly one ends it."""
    for _ in range(20):
        ctx = new_kind()()
        ctx.push()
        barrier = threading.Barrier(5)
        refused: list[BaseException] = []

        def pop_it(ctx=ctx, barrier=barrier, refused=refused) -> None:  # type: ignore[no-untyped-def]
            barrier.wait()
            try:
                ctx.pop()
            except WrongContextError as error:
                refused.append(error)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            threads = [threading.Thread(target=pop_it) for _ in range(4)]
            for started in threads:
                started.start()
            barrier.wait()
            ctx.pop()
            for started in threads:
                started.join()
        assert ctx.ends == 1


def test_many_borrowers_at_once() -> None:
    """Threads that borrow and return one context at the same time never end it and never warn."""
    kind = new_kind()
    ctx = kind()
    barrier = threading.Barrier(8)
    wrong: list[object] = []

    def borrow() -> None:
        barrier.wait()
        try:
            for _ in range(300):
                with ctx:
                    if kind.stack.current is not ctx:
                        wrong.append("not current")
                if kind.stack.current is not None:
                    wrong.append("left over")
        except BaseException as error:
            wrong.append(error)

    with ctx:
        threads = [threading.Thread(target=borrow) for _ in range(8)]
        for started in threads:
            started.start()
        for started in threads:
            started.join()
        assert not wrong
        assert ctx.ends == 0
    assert ctx.ends == 1
