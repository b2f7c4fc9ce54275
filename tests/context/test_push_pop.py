"""Push and pop by token: nesting, wrong pops, borrowing, failing begins."""

from __future__ import annotations

import contextvars

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import Recorder, new_kind
from places import everywhere

from demijohn.context import Context, ContextStack, State, WrongContextError


@everywhere
def test_push_makes_current_and_pop_restores() -> None:
    """A context is current from its push to its pop, and nothing is after it."""
    kind = new_kind()
    ctx = kind()
    assert kind.stack.current is None
    ctx.push()
    assert kind.stack.current is ctx
    ctx.pop()
    assert kind.stack.current is None
    assert ctx.log == ["enter", "exit"]
    assert ctx.seen == [True, True]
    assert ctx.errors == [None]


@everywhere
def test_nesting_restores_the_outer() -> None:
    """The pop of an inner context makes the outer one current again."""
    kind = new_kind()
    outer, inner = kind("outer"), kind("inner")
    with outer:
        with inner:
            assert kind.stack.current is inner
        assert kind.stack.current is outer
        assert inner.ends == 1 and outer.ends == 0
    assert kind.stack.current is None


@everywhere
def test_with_restores_over_an_exception() -> None:
    """An exception passes through unchanged, reaches the end by identity, and nothing stays
    pushed."""
    kind = new_kind()
    error = LookupError("view")
    ctx = kind()
    with pytest.raises(LookupError) as caught, ctx:
        raise error
    assert caught.value is error
    assert ctx.errors == [error]
    assert kind.stack.current is None


@everywhere
def test_pop_takes_the_handled_exception() -> None:
    """A pop without an argument hands the exception being handled to the end; a given None wins."""
    kind = new_kind()
    error = LookupError("view")
    first, second = kind(), kind()
    first.push()
    second.push()
    try:
        raise error
    except LookupError:
        second.pop(None)
        first.pop()
    assert second.errors == [None]
    assert first.errors == [error]


@everywhere
def test_wrong_pop_is_refused_and_changes_nothing() -> None:
    """A pop of a context under another names both, changes nothing, and the right pops then
    work."""
    kind = new_kind()
    outer, inner = kind("outer"), kind("inner")
    outer.push()
    inner.push()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Popped wrong database context") as caught:
            outer.pop()
        assert isinstance(caught.value, AssertionError)
        assert isinstance(caught.value, WrongContextError)
        assert "<Recorder outer>" in str(caught.value)
        assert "<Recorder inner>" in str(caught.value)
        assert kind.stack.current is inner
        assert (outer.state, inner.state) == (State.CURRENT, State.CURRENT)
        assert outer.ends == inner.ends == 0
    inner.pop()
    assert kind.stack.current is outer
    outer.pop()
    assert kind.stack.current is None
    assert outer.ends == inner.ends == 1


@everywhere
def test_pop_without_push_is_refused() -> None:
    """A context that was never pushed, or was popped already, cannot be popped."""
    kind = new_kind()
    ctx = kind("lone")
    with pytest.raises(WrongContextError, match="not pushed here"):
        ctx.pop()
    ctx.push()
    ctx.pop()
    with pytest.raises(WrongContextError, match="popped already"):
        ctx.pop()
    assert ctx.log == ["enter", "exit"]


@everywhere
def test_the_owner_ends_and_borrowers_do_not() -> None:
    """Pushes of a context that is current already borrow it; only the owner's pop ends it."""
    kind = new_kind()
    ctx = kind()
    with ctx:
        with ctx:
            with ctx:
                assert kind.stack.current is ctx
            assert ctx.ends == 0
        assert ctx.ends == 0
        assert kind.stack.current is ctx
    assert ctx.log == ["enter", "exit"]
    assert kind.stack.current is None


@everywhere
def test_borrowing_under_another_context() -> None:
    """A borrower's pop restores what was current at the borrower's push."""
    kind = new_kind()
    outer, inner = kind("outer"), kind("inner")
    with outer, inner:
        with outer:
            assert kind.stack.current is outer
            with pytest.raises(WrongContextError):
                inner.pop()
        assert kind.stack.current is inner
    assert (outer.ends, inner.ends) == (1, 1)


@everywhere
def test_wrong_pop_of_a_borrower_changes_nothing() -> None:
    """A borrower's pop under another context is refused, and works once that one is popped."""
    kind = new_kind()
    ctx, other = kind("ctx"), kind("other")
    ctx.push()
    ctx.push()
    other.push()
    with pytest.raises(WrongContextError, match="<Recorder other> instead of <Recorder ctx>"):
        ctx.pop()
    other.pop()
    ctx.pop()
    assert kind.stack.current is ctx
    ctx.pop()
    assert kind.stack.current is None
    assert ctx.ends == 1


@everywhere
def test_a_failing_begin_leaves_nothing_pushed() -> None:
    """An error in `on_enter` comes out as itself, and what was current before is current again."""
    kind = new_kind()
    outer = kind("outer")
    error = ConnectionError("refused")
    with outer:
        ctx = kind("inner", {"enter": error})
        with pytest.raises(ConnectionError) as caught:
            ctx.push()
        assert caught.value is error
        assert kind.stack.current is outer
        with pytest.raises(WrongContextError):
            ctx.pop()
        del ctx.fail["enter"]
        with ctx:
            assert kind.stack.current is ctx
        assert kind.stack.current is outer


def test_what_did_not_begin_is_not_ended() -> None:
    """`on_exit` undoes a completed `on_enter`: it is not called after one that failed."""

    class Connecting(Context, stack=ContextStack("connection")):
        def on_enter(self) -> None:
            self.connection = {}["address"]

        def on_exit(self, exc: BaseException | None) -> None:
            self.connection.close()

    with pytest.raises(KeyError), Connecting():
        pass


@everywhere
def test_two_stacks_do_not_meet() -> None:
    """Contexts of two kinds nest in any order: a pop asks its own stack only."""
    databases, tenants = new_kind("database"), new_kind("tenant")
    database, tenant = databases(), tenants()
    database.push()
    tenant.push()
    database.pop()
    assert (databases.stack.current, tenants.stack.current) == (None, tenant)
    tenant.pop()
    assert tenants.stack.current is None


@everywhere
def test_a_variable_of_ones_own() -> None:
    """A stack can be put on a `ContextVar` that the program has, and None in it means no
    context."""
    var: contextvars.ContextVar[Recorder | None] = contextvars.ContextVar("own")
    stack = ContextStack[Recorder]("own", var)

    class Own(Recorder, stack=stack):
        pass

    assert stack.current is None
    var.set(None)
    assert stack.current is None
    with Own() as ctx:
        assert var.get() is ctx
    assert var.get() is None
    assert repr(stack) == "<ContextStack 'own'>"


@given(st.lists(st.integers(-1, 3), max_size=40))
def test_any_sequence_keeps_to_a_list_of_pushes(moves: list[int]) -> None:
    """Pushes and pops in any order do what a plain list does: -1 pops the top, n pushes or pops n.

    The model: a context's pop is right exactly when it is the last one in the list.
    """
    kind = new_kind()
    contexts = [kind(str(n)) for n in range(4)]
    pushed: list[Recorder] = []
    ends = [0] * 4
    for step, move in enumerate(moves):
        if move == -1 and pushed:
            top = pushed.pop()
            top.pop()
            if top not in pushed:
                ends[contexts.index(top)] += 1
        elif move >= 0 and step % 3:
            contexts[move].push()
            pushed.append(contexts[move])
        elif move >= 0 and (not pushed or pushed[-1] is not contexts[move]):
            with pytest.raises(WrongContextError):
                contexts[move].pop()
        assert kind.stack.current is (pushed[-1] if pushed else None)
        assert [ctx.ends for ctx in contexts] == ends
    for ctx in reversed(pushed):
        ctx.pop()
    assert kind.stack.current is None
