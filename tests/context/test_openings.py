"""Opening a resource from several threads, tasks and greenlets at once, and in a circle."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gevent
import greenlet
import pytest
from kinds import new_kind

WAIT = 60.0
"""Seconds until a test that hangs fails."""


class Boom(Exception):
    """An error of a test."""


@pytest.fixture
def kind() -> type[Any]:
    return new_kind()


def in_copies(count: int, function: Callable[[], Any]) -> list[Any]:
    """Call it at once on `count` threads, each in a copy of this Context; what each returned."""
    start = threading.Barrier(count, timeout=WAIT)

    def call() -> Any:
        start.wait()
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        copies = [contextvars.copy_context() for _ in range(count)]
        calls = [pool.submit(copy.run, call) for copy in copies]
        return [one.result(WAIT) for one in calls]


def meet_once(count: int) -> Callable[[], None]:
    """What `count` threads call to wait for each other; who comes after that goes on."""
    barrier, met = threading.Barrier(count, timeout=WAIT), threading.Event()

    def meet() -> None:
        if not met.is_set():
            barrier.wait()
            met.set()

    return meet


def test_fifty_threads_open_once(kind: Any) -> None:
    """Fifty threads on one context open a resource once, and all get that value."""
    opened: list[object] = []

    @kind.stack.resource()
    def value() -> Iterator[object]:
        made = object()
        opened.append(made)
        # Whoever comes meanwhile finds it half open.
        threading.Event().wait(0.02)
        yield made

    for _ in range(3):
        opened.clear()
        with kind() as ctx:
            got = in_copies(50, lambda: value._get_current_object())
            assert len(opened) == 1
            assert got == opened * 50
            assert len(ctx.held()) == 1


def test_different_ones_open_side_by_side(kind: Any) -> None:
    """The opening of one resource does not keep another from being opened."""
    meeting = threading.Barrier(2, timeout=WAIT)

    def declare(name: str) -> Any:
        @kind.stack.resource()
        def value() -> Iterator[str]:
            meeting.wait()
            yield name

        return value

    first, second = declare("a"), declare("b")
    ways = iter([first, second])
    with kind():
        assert sorted(in_copies(2, lambda: str(next(ways)))) == ["a", "b"]


def test_waiters_try_again(kind: Any) -> None:
    """When an opening fails, its caller gets the error and one of those who waited tries again."""
    tries = 0

    @kind.stack.resource()
    def value() -> Iterator[int]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise Boom
        yield 7

    with kind() as ctx:
        got = in_copies(10, lambda: value + 0)
        assert sum(isinstance(one, Boom) for one in got) == 3
        assert sum(one == 7 for one in got) == 7
        assert tries == 4
        assert len(ctx.held()) == 1


def test_a_circle_on_one_thread(kind: Any) -> None:
    """A resource that needs itself, by others, is told its way, and nothing is registered."""

    @kind.stack.resource()
    def first() -> Iterator[int]:
        yield second + 1

    @kind.stack.resource()
    def second() -> Iterator[int]:
        yield third + 1

    @kind.stack.resource()
    def third() -> Iterator[int]:
        yield first + 1

    with kind() as ctx:
        with pytest.raises(RuntimeError, match="A resource needs itself") as caught:
            str(first)
        names = [part.split("'")[1] for part in str(caught.value).split(" -> ")]
        assert names == ["first", "second", "third", "first"]
        assert ctx.held() == []


def test_a_circle_across_threads(kind: Any) -> None:
    """Two threads whose openings need each other's are told so; neither hangs."""
    meet = meet_once(2)

    @kind.stack.resource()
    def first() -> Iterator[int]:
        meet()
        yield second + 1

    @kind.stack.resource()
    def second() -> Iterator[int]:
        meet()
        yield first + 1

    ways = iter([first, second])
    with kind() as ctx:
        got = in_copies(2, lambda: next(ways) + 0)
        assert any(isinstance(one, RuntimeError) for one in got)
        assert all("needs itself" in str(one) for one in got)
        assert ctx.held() == []


def test_a_circle_across_two_contexts(kind: Any) -> None:
    """The same over two kinds of context."""
    other = new_kind("other")
    meet = meet_once(2)

    @kind.stack.resource()
    def first() -> Iterator[int]:
        meet()
        yield second + 1

    @other.stack.resource()
    def second() -> Iterator[int]:
        meet()
        yield first + 1

    ways = iter([first, second])
    with kind(), other():
        got = in_copies(2, lambda: next(ways) + 0)
        assert all("needs itself" in str(one) for one in got)


# -- asyncio ---------------------------------------------------------------------------------------


def test_two_tasks_open_once(kind: Any) -> None:
    """Tasks that want an async resource at once open it once."""
    opened = 0

    @kind.stack.resource()
    async def value() -> AsyncIterator[int]:
        nonlocal opened
        opened += 1
        for _ in range(5):
            await asyncio.sleep(0)
        yield opened

    async def wait() -> int:
        return int(await value)

    async def main() -> None:
        async with kind():
            assert await asyncio.gather(*(wait() for _ in range(20))) == [1] * 20

    asyncio.run(main())
    assert opened == 1


def test_a_cancelled_opener(kind: Any) -> None:
    """A cancelled opener closes what it began; a task that waited opens it then."""
    log: list[str] = []

    @kind.stack.resource()
    async def value() -> AsyncIterator[int]:
        log.append("open")
        try:
            if len(log) == 1:
                started.set()
                await asyncio.Event().wait()
            yield 5
        finally:
            log.append("close")

    async def wait() -> int:
        return int(await value)

    async def main() -> None:
        nonlocal started
        started = asyncio.Event()
        async with kind() as ctx:
            first = asyncio.create_task(wait())
            await started.wait()
            second = asyncio.create_task(wait())
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await asyncio.wait_for(second, WAIT) == 5
            assert len(ctx.held()) == 1

    started: asyncio.Event
    asyncio.run(main())
    assert log == ["open", "close", "open", "close"]


@pytest.mark.parametrize("steps", range(6))
def test_a_cancel_at_every_step(steps: int, kind: Any) -> None:
    """Cancelled at any step of opening and using, what was opened is closed once, and not lost."""
    log: list[str] = []

    @kind.stack.resource()
    async def value() -> AsyncIterator[int]:
        log.append("open")
        try:
            await asyncio.sleep(0)
            yield 5
        finally:
            await asyncio.sleep(0)
            log.append("close")

    async def work() -> None:
        async with kind():
            await value
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log in ([], ["open", "close"])


def test_a_cancel_in_the_close(kind: Any) -> None:
    """A cancel waits for a close that is under way, and comes out as itself then."""
    log: list[str] = []
    reports: list[dict[str, Any]] = []

    def declare(name: str, fails: bool) -> Any:
        async def function() -> AsyncIterator[int]:
            try:
                yield 5
            finally:
                closing.set()
                for _ in range(10):
                    await asyncio.sleep(0)
                log.append(name)
                if fails:
                    raise Boom

        return kind.stack.resource()(function)

    first, second = declare("first", True), declare("second", False)

    async def work() -> None:
        async with kind():
            await first
            await second

    async def main() -> None:
        nonlocal closing
        closing = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, report: reports.append(report))
        task = asyncio.create_task(work())
        await closing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    closing: asyncio.Event
    asyncio.run(main())
    assert log == ["second", "first"]
    assert [type(report["exception"]) for report in reports] == [Boom]


def test_a_circle_of_tasks(kind: Any) -> None:
    """Two tasks whose openings need each other's are told so."""

    @kind.stack.resource()
    async def first() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield await second

    @kind.stack.resource()
    async def second() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield await first

    async def wait(value: Any) -> Any:
        return await value

    async def main() -> None:
        async with kind():
            got = await asyncio.wait_for(
                asyncio.gather(wait(first), wait(second), return_exceptions=True), WAIT
            )
            assert all("needs itself" in str(one) for one in got)

    asyncio.run(main())


def test_a_waiter_whose_loop_is_gone(kind: Any) -> None:
    """A task that gave up waiting on another thread's loop does not disturb the opener."""
    waiting, gone = threading.Event(), threading.Event()

    @kind.stack.resource()
    async def value() -> AsyncIterator[int]:
        opening.set()
        await asyncio.to_thread(gone.wait, WAIT)
        yield 5

    opening = threading.Event()

    async def give_up() -> None:
        task = asyncio.ensure_future(value)
        await asyncio.sleep(0)
        waiting.set()
        task.cancel()

    def elsewhere() -> None:
        opening.wait(WAIT)
        asyncio.run(give_up())
        gone.set()

    async def main() -> None:
        async with kind():
            copy = contextvars.copy_context()
            thread = threading.Thread(target=copy.run, args=(elsewhere,))
            thread.start()
            assert await asyncio.wait_for(value, WAIT) == 5
            thread.join()
            assert waiting.is_set()

    asyncio.run(main())


def test_another_event_loop(kind: Any) -> None:
    """An async resource that belongs to another event loop is refused with the reason."""

    @kind.stack.resource()
    async def value() -> AsyncIterator[int]:
        yield 5

    async def wait() -> int:
        return int(await value)

    with asyncio.Runner() as first, kind():
        copy = contextvars.copy_context()
        assert first.run(wait(), context=copy) == 5
        refused = pytest.raises(RuntimeError, match="belongs to the event loop on which it was")
        with asyncio.Runner() as second, refused:
            second.run(wait(), context=copy)


def test_a_plain_end_on_the_running_loop(kind: Any) -> None:
    """A plain `with` in a coroutine cannot await the close: a task does, and a warning says so."""
    log: list[str] = []

    @kind.stack.resource()
    async def value() -> AsyncIterator[int]:
        yield 5
        log.append("closed")

    async def main() -> None:
        with pytest.warns(match="`async with` closes it within the block"), kind():
            assert await value == 5
        for _ in range(10):
            await asyncio.sleep(0)
        assert log == ["closed"]

    asyncio.run(main())


# -- greenlets -------------------------------------------------------------------------------------


def test_gevent_greenlets_open_once(kind: Any) -> None:
    """Greenlets that gevent schedules on one context open once; the others go on meanwhile."""
    opened = 0

    @kind.stack.resource()
    def value() -> Iterator[int]:
        nonlocal opened
        opened += 1
        gevent.sleep(0.01)
        yield opened

    with kind():
        copies = [contextvars.copy_context() for _ in range(10)]
        greenlets = [gevent.spawn(copy.run, lambda: value + 0) for copy in copies]
        gevent.joinall(greenlets, timeout=WAIT)
        assert [one.value for one in greenlets] == [1] * 10


PATCHED = """
from gevent import monkey; monkey.patch_all()
import contextvars, gevent, sys
from demijohn.context import Context, ContextStack
kinds = ContextStack("job")
class Job(Context, stack=kinds): pass
opened = []
@kinds.resource()
def value():
    opened.append(1)
    gevent.sleep(0.01)
    yield len(opened)
with Job():
    copies = [contextvars.copy_context() for _ in range(10)]
    greenlets = [gevent.spawn(copy.run, lambda: value + 0) for copy in copies]
    gevent.joinall(greenlets, timeout=60)
    print([one.value for one in greenlets] == [1] * 10)
"""


def test_patched_greenlets_open_once() -> None:
    """The same where gevent has patched the standard library."""
    done = subprocess.run(
        [sys.executable, "-c", PATCHED], capture_output=True, text=True, timeout=WAIT
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_bare_greenlet_does_not_hang(kind: Any) -> None:
    """One that waits for another greenlet of its thread, which cannot go on, is told so."""
    outer = greenlet.getcurrent()

    @kind.stack.resource()
    def value() -> Iterator[int]:
        outer.switch()
        yield 5

    with kind():
        copy = contextvars.copy_context()
        other = greenlet.greenlet(lambda: copy.run(lambda: value + 0))
        other.switch()
        with pytest.raises(RuntimeError, match="being opened by other code of this very thread"):
            str(value)
        assert other.switch() == 5
        assert value == 5


# CPython 3.12 and later warn of a fork with threads, which is what is tested.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork(kind: Any) -> None:
    """A process forked while other threads open resources opens its own without hanging."""

    @kind.stack.resource()
    def value() -> Iterator[int]:
        yield 5

    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            with kind():
                str(value)

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    with kind():
                        code = 0 if value == 5 else 1
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
