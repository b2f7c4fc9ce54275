"""The one end: errors, successors, what is left after it."""

from __future__ import annotations

import time

import pytest
from kinds import new_kind
from places import everywhere

from demijohn.context import Context, ContextEnded, ContextStack, State, WrongContextError
from demijohn.context.ending import raise_errors, run_all


@everywhere
def test_one_error_at_the_end_comes_out_as_itself() -> None:
    """An error of `on_exit` is raised by the pop, after the variable was restored."""
    kind = new_kind()
    error = ValueError("close")
    ctx = kind(fail={"exit": error})
    ctx.push()
    with pytest.raises(ValueError, match="close") as caught:
        ctx.pop()
    assert caught.value is error
    assert kind.stack.current is None
    assert ctx.ended and ctx.ends == 1


@everywhere
def test_an_error_at_the_end_keeps_the_one_that_led_there() -> None:
    """The error of a `with` body stays readable as the context of the end's own error."""
    ctx = new_kind()(fail={"exit": ValueError("close")})
    with pytest.raises(ValueError, match="close") as caught, ctx:
        raise LookupError("view")
    assert isinstance(caught.value.__context__, LookupError)


def test_every_step_runs_and_one_error_is_itself() -> None:
    """All calls are made whatever they raise; a single error keeps its identity."""
    log: list[int] = []
    error = KeyError("one")

    def fail() -> None:
        raise error

    found = run_all([lambda: log.append(1), fail, lambda: log.append(2)])
    assert (log, found) == ([1, 2], [error])
    with pytest.raises(KeyError) as caught:
        raise_errors(found, "unused")
    assert caught.value is error
    assert not isinstance(caught.value, BaseExceptionGroup)
    raise_errors([], "unused")
    raise_errors(None, "unused")


@pytest.mark.parametrize(
    ("second", "group"),
    [(OSError, ExceptionGroup), (KeyboardInterrupt, BaseExceptionGroup)],
)
def test_several_errors_are_one_group(
    second: type[BaseException], group: type[BaseExceptionGroup[BaseException]]
) -> None:
    """Several errors come out as one group that names the end, an `ExceptionGroup` where
    possible."""
    errors: list[BaseException] = [ValueError("1"), second("2")]

    def raiser(error: BaseException) -> None:
        raise error

    found = run_all([lambda e=error: raiser(e) for error in errors])  # type: ignore[misc]
    with pytest.raises(group, match="the end of it") as caught:
        raise_errors(found, "Errors at the end of it")
    assert list(caught.value.exceptions) == errors
    assert type(caught.value) is group


@everywhere
def test_errors_of_a_context_and_of_what_it_needed_are_one_group() -> None:
    """The end of a needed context runs after a failing one's, and both errors come out."""
    below_kind = new_kind("below")
    below = below_kind("below", {"exit": OSError("below")})

    class Above(Context, stack=ContextStack("above")):
        def _push_needed(self) -> Context | None:
            below.push()
            return below

        def on_exit(self, exc: BaseException | None) -> None:
            raise ValueError("above")

    with pytest.raises(ExceptionGroup) as caught, Above():
        assert below_kind.stack.current is below
    assert [type(error) for error in caught.value.exceptions] == [ValueError, OSError]
    assert below_kind.stack.current is None


@everywhere
def test_a_push_and_its_undoing_that_fail_are_one_group() -> None:
    """When a begin fails and undoing what it needed fails too, both errors come out."""
    below_kind = new_kind("below")
    below = below_kind("below", {"exit": OSError("below")})

    class Above(Context, stack=ContextStack("above")):
        def _push_needed(self) -> Context | None:
            below.push()
            return below

        def on_enter(self) -> None:
            raise ValueError("begin")

    with pytest.raises(ExceptionGroup, match="push and its undoing") as caught:
        Above().push()
    assert [type(error) for error in caught.value.exceptions] == [ValueError, OSError]
    assert below_kind.stack.current is None


@everywhere
def test_a_wrong_pop_also_asks_what_was_needed() -> None:
    """A context cannot be popped while something lies on what it needed; nothing changes."""
    below_kind = new_kind("below")
    below, blocking = below_kind("below"), below_kind("blocking")

    class Above(Context, stack=ContextStack("above")):
        def _push_needed(self) -> Context | None:
            below.push()
            return below

    above = Above()
    above.push()
    blocking.push()
    with pytest.raises(WrongContextError, match="<Recorder blocking> instead of"):
        above.pop()
    assert above.state is State.CURRENT
    assert (Above.stack.current, below_kind.stack.current) == (above, blocking)
    blocking.pop()
    above.pop()
    assert (Above.stack.current, below_kind.stack.current) == (None, None)


@everywhere
def test_a_push_after_the_end_is_a_successor() -> None:
    """An ended context can be pushed again: the same object lives again and ends again."""
    kind = new_kind()
    ctx = kind()
    for life in (1, 2, 3):
        with ctx:
            assert ctx.state is State.CURRENT
            assert kind.stack.current is ctx
        assert ctx.ends == life
        assert ctx.ended
    assert kind.stack.current is None


@pytest.mark.leaves_behind("context")
@everywhere
def test_the_end_may_push_and_pop_contexts() -> None:
    """Code in `on_exit` can borrow its own context and use others; what it leaves pushed is
    undone."""
    stack = ContextStack[Context]("job")
    log: list[object] = []
    others = [type("Other", (Context,), {}, stack=stack)() for _ in range(2)]

    class Job(Context, stack=stack):
        def on_exit(self, exc: BaseException | None) -> None:
            with others[0]:
                log.append(stack.current)
            with self:
                log.append(stack.current)
            log.append(self.state)
            with pytest.raises(WrongContextError):
                self.pop()
            others[1].push()

    job = Job()
    with job:
        pass
    assert log == [others[0], job, State.ENDING]
    assert stack.current is None
    assert job.ended


def test_an_ended_context_says_when_and_by_what() -> None:
    """`ended_error` names what was wanted, the context, how long ago it ended, by what, and the
    cure."""
    ctx = new_kind()("gone")
    with ctx:
        pass
    before = time.monotonic()
    error = ctx.ended_error("write the session")
    assert isinstance(error, ContextEnded) and isinstance(error, RuntimeError)
    text = str(error)
    assert text.startswith("Cannot write the session: <Recorder gone> was ended 0.0")
    assert "by its owner's pop" in text
    assert "in_child" in text
    assert time.monotonic() >= before
