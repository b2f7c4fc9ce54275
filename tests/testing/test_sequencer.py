"""`Sequencer`: steps of threads and tasks come in the order of their numbers, or say why not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from waiting import PATIENCE, until

from demijohn.testing import SequenceError, Sequencer


def start(*works: Callable[[], object]) -> list[threading.Thread]:
    """Run each of these in a thread, named after the function."""
    threads = [threading.Thread(target=work, name=work.__name__) for work in works]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait for the end of all."""
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_threads_take_turns() -> None:
    """Steps in several threads run in the order of their numbers, one at a time."""
    seq = Sequencer(PATIENCE)
    log: list[int] = []

    def work(numbers: range) -> Callable[[], None]:
        def steps() -> None:
            for number in numbers:
                with seq(number):
                    log.append(number)

        return steps

    join(start(*(work(range(first, 60, 3)) for first in (2, 1, 0))))
    assert log == seq.done == list(range(60))


def test_tasks_take_turns() -> None:
    """So do those in several tasks of a loop."""
    seq = Sequencer(PATIENCE)
    log: list[int] = []

    async def steps(numbers: range) -> None:
        for number in numbers:
            async with seq(number):
                await asyncio.sleep(0)
                log.append(number)

    async def main() -> None:
        await asyncio.gather(*(steps(range(first, 60, 3)) for first in (2, 1, 0)))

    asyncio.run(main())
    assert log == seq.done == list(range(60))


def test_threads_and_tasks_take_turns() -> None:
    """Threads and tasks share one order."""
    seq = Sequencer(PATIENCE)
    log: list[int] = []

    def odd() -> None:
        for number in range(1, 40, 2):
            with seq(number):
                log.append(number)

    async def even() -> None:
        for number in range(0, 40, 2):
            async with seq(number):
                log.append(number)

    threads = start(odd)
    asyncio.run(even())
    join(threads)
    assert log == list(range(40))


def test_a_step_that_raises_ends() -> None:
    """The next step comes also when one raised, and the error is the step's."""
    seq = Sequencer(PATIENCE)
    with pytest.raises(LookupError), seq(0):
        raise LookupError
    with seq(1):
        assert seq.done == [0]


def test_a_step_that_never_comes() -> None:
    """A step that waits too long names itself, the step that is missing, those over and those that
    wait; all that wait raise, and all that come later."""
    seq = Sequencer(0.1)
    longer = Sequencer(PATIENCE)
    errors: list[str] = []

    def patient() -> None:
        seq.timeout = PATIENCE
        with pytest.raises(SequenceError) as caught, seq(3):
            raise RuntimeError("never")
        errors.append(str(caught.value))

    with seq(0):
        pass
    threads = start(patient)
    until(lambda: 3 in seq._waiting)
    seq.timeout = 0.1
    with pytest.raises(SequenceError) as caught, seq(2):
        raise RuntimeError("never")
    join(threads)
    text = str(caught.value)
    assert text == (
        "Step 2, in thread 'MainThread', waited 0.1 s. It is the turn of step 1, which has not"
        " come. Over: 0. Waiting: 2 in thread 'MainThread'; 3 in thread 'patient'."
    )
    assert errors == [text]
    with pytest.raises(SequenceError, match="Step 2, in thread"), seq(1):
        raise RuntimeError("never")
    with longer(0):
        pass


def test_a_step_that_does_not_end() -> None:
    """The one whose turn it is stands in the message with its thread, or its task."""
    seq = Sequencer(0.1)

    async def main() -> None:
        asyncio.current_task().set_name("main")  # type: ignore[union-attr]
        async with seq(0):
            with pytest.raises(SequenceError, match=r"turn of step 0, in task 'main'\. Over: none"):
                async with seq(1):
                    raise RuntimeError("never")

    asyncio.run(main())


def test_a_number_is_used_once() -> None:
    """A number that comes twice is named with both places."""
    seq = Sequencer(PATIENCE)
    with seq(0):
        pass
    twice = r"Step 0 came twice: in thread 'M.*', and in thread 'M.*'\."
    with pytest.raises(SequenceError, match=twice), seq(0):
        raise RuntimeError("never")


def test_a_cancelled_wait_is_told() -> None:
    """A task that is cancelled while it waits ends the wait of those after it."""
    seq = Sequencer(PATIENCE)

    async def step(number: int) -> None:
        async with seq(number):
            raise RuntimeError("never")

    async def main() -> None:
        first = asyncio.create_task(step(1), name="first")
        second = asyncio.create_task(step(2), name="second")
        while len(seq._waiting) < 2:
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(SequenceError, match="task 'first', was cancelled while it waited"):
            await second
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())
