"""`Steps`: a body stepped in a Context of its own, from outside, by whoever asks."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import Recorder, new_kind
from places import Runner, everywhere, foreign, thread

from demijohn.context.stepping import Steps

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="outside")


class Body:
    """A body under test: what it yields and sees, and how it ended."""

    def __init__(self, name: str, count: int = 3) -> None:
        self.name = name
        self.log: list[object] = []
        self.context = contextvars.copy_context()
        self.context.run(var.set, name)
        self.steps = Steps(self.context, self.generate(count), self.finish)

    def generate(self, count: int) -> Iterator[str]:
        try:
            for n in range(count):
                yield f"{var.get()}{n}"
                var.set(self.name)
        finally:
            self.log.append(("closed", var.get()))

    def finish(self, error: BaseException | None) -> None:
        self.log.append(("finished", var.get(), error))


@everywhere
def test_steps_run_in_the_context() -> None:
    """Each step sees the body's Context, the stepping code sees nothing of it, and the end runs
    once."""
    body = Body("a")
    seen = []
    for item in body.steps:
        seen.append(item)
        assert var.get() == "outside"
    assert seen == ["a0", "a1", "a2"]
    assert body.log == [("closed", "a"), ("finished", "a", None)]
    assert next(body.steps, "over") == "over"
    body.steps.close()
    assert len(body.log) == 2


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=14))
def test_interleaved_bodies_keep_apart(order: list[tuple[int, bool]]) -> None:
    """Bodies stepped in any order, here or on another thread, each see their own Context only."""
    bodies = [Body(name) for name in "abc"]
    counts = [0, 0, 0]
    for index, elsewhere in order:
        body = bodies[index]

        def step(body: Body = body) -> str:
            return next(body.steps, "over")

        item = thread(step) if elsewhere else step()
        assert item == (f"{body.name}{counts[index]}" if counts[index] < 3 else "over")
        counts[index] += 1
        assert var.get() == "outside"
    for body in bodies:
        body.steps.close()
        # A generator that never started has nothing to close.
        assert body.log[-1] == ("finished", body.name, None)
        assert len([entry for entry in body.log if entry[0] == "finished"]) == 1  # type: ignore[index]


@foreign
def test_closed_elsewhere(elsewhere: Runner) -> None:
    """A close in another thread, task or greenlet runs the rest of the body and the end in its
    Context."""
    body = Body("a")
    assert next(body.steps) == "a0"
    elsewhere(body.steps.close)
    assert body.log == [("closed", "a"), ("finished", "a", None)]
    assert var.get() == "outside"


@everywhere
def test_never_started() -> None:
    """A body that was never stepped is closed and ended all the same, and does not start."""
    body = Body("a")
    body.steps.close()
    assert body.log == [("finished", "a", None)]
    assert next(body.steps, "over") == "over"


@pytest.mark.parametrize("steps", [0, 1])
@everywhere
def test_dropped(steps: int) -> None:
    """A body that nobody keeps any more ends at that moment, without the cyclic collector."""
    body = Body("a")
    for _ in range(steps):
        next(body.steps)
    del body.steps
    assert body.log[-1] == ("finished", "a", None)
    assert len(body.log) == 1 + steps


@everywhere
def test_an_error_in_a_step() -> None:
    """What a step raises ends the body with that error, by identity, and is raised after the
    end."""
    error = LookupError("row")
    log: list[object] = []

    def generate() -> Iterator[str]:
        yield "one"
        raise error

    steps = Steps(contextvars.copy_context(), generate(), log.append)
    assert next(steps) == "one"
    with pytest.raises(LookupError) as caught:
        next(steps)
    assert caught.value is error and log == [error]
    assert next(steps, "over") == "over"
    steps.close()
    assert log == [error]


def test_an_error_in_close() -> None:
    """What the body's `close` raises is told to the end and raised after it."""
    log: list[object] = []

    class Closing:
        def __iter__(self) -> Iterator[str]:
            return iter("ab")

        def close(self) -> None:
            raise OSError("close")

    for consume in (False, True):
        steps = Steps(contextvars.copy_context(), Closing(), log.append)
        assert next(steps) == "a"
        with pytest.raises(OSError, match="close"):
            if consume:
                list(steps)
            else:
                steps.close()
        [error] = log
        assert isinstance(error, OSError)
        log.clear()


def test_an_error_in_a_step_and_in_close() -> None:
    """The end is told the step's error, which also stays readable below that of the close."""
    log: list[object] = []
    first = LookupError("row")

    class Failing:
        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            raise first

        def close(self) -> None:
            raise OSError("close")

    steps = Steps(contextvars.copy_context(), Failing(), log.append)
    with pytest.raises(OSError, match="close") as caught:
        next(steps)
    assert log == [first]
    assert caught.value.__context__ is first


@pytest.mark.parametrize("error", [ValueError("end"), KeyboardInterrupt("end")])
def test_an_error_in_the_end(error: BaseException) -> None:
    """What the end raises comes out of the last step or of the close, once."""

    def finish(_: BaseException | None) -> None:
        raise error

    for leave in (list, Steps.close):
        steps = Steps(contextvars.copy_context(), iter("ab"), finish)
        with pytest.raises(type(error), match="end"):
            leave(steps)
        steps.close()
        assert next(steps, "over") == "over"


def test_a_body_cannot_step_itself() -> None:
    """A step from inside a step is refused with a clear error, and the body can go on."""
    log: list[object] = []
    made: list[Steps[str]] = []

    def generate() -> Iterator[str]:
        for act in (next, Steps.close):
            with pytest.raises(RuntimeError, match="being stepped by other code"):
                act(made[0])
            yield "refused"

    made.append(Steps(contextvars.copy_context(), generate(), log.append))
    assert list(made[0]) == ["refused", "refused"]
    assert log == [None]


@pytest.mark.parametrize("act", [next, Steps.close])
def test_a_body_cannot_be_stepped_twice_at_once(act: Callable[[Steps[str]], object]) -> None:
    """While one thread steps, another's step or close is refused, and the body and its end are
    whole."""
    inside, go_on = threading.Event(), threading.Event()
    log: list[object] = []

    def generate() -> Iterator[str]:
        inside.set()
        go_on.wait(10)
        yield "one"
        yield "two"

    steps = Steps(contextvars.copy_context(), generate(), log.append)
    items: list[str] = []
    started = threading.Thread(target=lambda: items.extend(steps))
    started.start()
    assert inside.wait(10)
    with pytest.raises(RuntimeError, match="being stepped by other code"):
        act(steps)
    assert log == []
    go_on.set()
    started.join()
    assert items == ["one", "two"]
    assert log == [None]


def test_the_bodys_own_context_errors_are_its_own() -> None:
    """An error of the body that reads like CPython's refusal is raised as it is, and ends the
    body."""
    log: list[object] = []
    inner = contextvars.copy_context()

    def generate() -> Iterator[str]:
        inner.run(lambda: inner.run(lambda: None))
        yield "never"

    steps = Steps(contextvars.copy_context(), generate(), log.append)
    with pytest.raises(RuntimeError, match="cannot enter context"):
        next(steps)
    assert isinstance(log[0], RuntimeError)


def test_a_generator_behind_an_iterable_ends_before_the_end() -> None:
    """An iterable without `close` whose iterator is a generator: that one is closed in the
    Context."""
    log: list[object] = []

    class Page:
        def __iter__(self) -> Iterator[str]:
            try:
                yield "one"
                yield "two"
            finally:
                log.append(("closed", var.get()))

    context = contextvars.copy_context()
    context.run(var.set, "page")
    steps = Steps(context, Page(), lambda error: log.append("finished"))
    assert next(steps) == "one"
    steps.close()
    assert log == [("closed", "page"), "finished"]


def test_a_context_pushed_in_the_body_does_not_leak() -> None:
    """A context that is pushed in one step and popped in a later one stays in the body's
    Context."""
    kind = new_kind()

    def generate(ctx: Recorder) -> Iterator[object]:
        with ctx:
            yield kind.stack.current
            yield kind.stack.current

    first, second = kind("first"), kind("second")
    bodies = [
        Steps(contextvars.copy_context(), generate(ctx), lambda error: None)
        for ctx in (first, second)
    ]
    for _ in range(2):
        for ctx, steps in zip((first, second), bodies, strict=True):
            assert next(steps) is ctx
            assert kind.stack.current is None
    assert next(bodies[0], None) is None
    thread(bodies[1].close)
    assert (first.ends, second.ends) == (1, 1)
    assert kind.stack.current is None


def test_a_finished_body_keeps_nothing() -> None:
    """After its end, `Steps` keeps neither the body nor the code that ended it alive."""
    gc.disable()
    try:
        body = Body("a", 1)
        steps = body.steps
        list(steps)
        gone = weakref.ref(body)
        del body
        assert gone() is None
    finally:
        gc.enable()
    with suppress(StopIteration):
        next(steps)
