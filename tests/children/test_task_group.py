"""`task_group()`: branches as asyncio tasks, joined before the work goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from children_kit import PATIENCE, make_app, view_app

from demijohn import Cancelled, DeadlineExceeded, g, in_child, request, task_group
from demijohn.globals import app_ctx

note: ContextVar[str] = ContextVar("task note", default="nothing")


def run(main: Coroutine[Any, Any, Any], **config: Any) -> Any:
    """Run a coroutine in an app context."""
    with make_app(**config).app_context():
        return asyncio.run(main)


async def forever() -> None:
    await asyncio.Event().wait()


def test_it_is_a_task_group() -> None:
    """It is an `asyncio.TaskGroup`, and its tasks have the names that they are given."""

    async def work() -> str:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()

    async def main() -> Any:
        async with task_group() as tg:
            assert isinstance(tg, asyncio.TaskGroup)
            task = tg.create_task(work(), name="own")
        return task.result()

    assert run(main()) == "own"


def test_results_in_the_order_of_creation() -> None:
    """Results are in the order of creation, whichever task is done first."""

    async def work(n: int, mine: asyncio.Event, next_one: asyncio.Event | None) -> int:
        if next_one is not None:
            await next_one.wait()
        mine.set()
        return n

    async def main() -> Any:
        done = [asyncio.Event() for _ in range(3)]
        async with task_group() as tg:
            for n in range(3):
                tg.create_task(work(n, done[n], done[n + 1] if n < 2 else None))
        return tg.results

    assert run(main()) == [0, 1, 2]


def test_tasks_that_take_turns() -> None:
    """Tasks that take turns each see their own `g`, and the request; their parent sees its own."""

    def view() -> Any:
        g.n = "parent"

        async def work(n: int) -> list[Any]:
            g.n = n
            for _ in range(3):
                await asyncio.sleep(0)
            return [g.n, request.args["q"]]

        async def main() -> Any:
            async with task_group() as tg:
                for n in range(3):
                    tg.create_task(work(n))
                await asyncio.sleep(0)
                assert g.n == "parent"
            return tg.results

        return asyncio.run(main())

    app = view_app(view)
    assert app.test_client().get("/?q=1").json == [[n, "1"] for n in range(3)]
    assert app.log == ["app ok"] * 3 + ["request ok", "app ok"]


def test_in_an_async_view() -> None:
    """The same in an async view."""

    async def view() -> Any:
        async def work(n: int) -> list[Any]:
            await asyncio.sleep(0)
            g.n = n
            return [g.n, request.path]

        async with task_group() as tg:
            for n in range(2):
                tg.create_task(work(n))
        return tg.results

    assert view_app(view).test_client().get("/").json == [[0, "/"], [1, "/"]]


def test_a_given_context() -> None:
    """With `context=` a task starts in a copy of it, without the contexts current in it."""
    with make_app().test_request_context("/other"):
        given = copy_context()
    given.run(note.set, "given")

    async def work() -> tuple[str, bool]:
        found = note.get()
        note.set("task")
        return found, bool(request)

    async def main() -> Any:
        async with task_group() as tg:
            tg.create_task(work(), context=given)
        return tg.results

    assert run(main()) == [("given", False)]
    assert given.run(note.get) == "given"


def test_the_first_error_cancels_the_rest() -> None:
    """An error of one task cancels the others and tells their contexts; it leaves as asyncio's
    groups do it."""
    reasons: list[str | None] = []

    async def other() -> None:
        try:
            await forever()
        finally:
            reasons.append(app_ctx.cancel_reason)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    async def main() -> None:
        async with task_group() as tg:
            tg.create_task(other())
            tg.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert reasons == ["sibling"]


def test_an_error_of_the_block() -> None:
    """An error of the block cancels the tasks and tells their contexts."""
    reasons: list[str | None] = []

    async def other(started: asyncio.Event) -> None:
        started.set()
        try:
            await forever()
        finally:
            reasons.append(app_ctx.cancel_reason)

    async def main() -> None:
        started = asyncio.Event()
        async with task_group() as tg:
            tg.create_task(other(started))
            await started.wait()
            raise LookupError

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert reasons == ["parent"]


@pytest.mark.parametrize("where", ["block", "end"])
def test_a_cancel_of_the_work(where: str) -> None:
    """A cancel of the work, from any thread, cancels the tasks; the block raises `Cancelled`, and
    the task that it is in goes on."""
    ends: list[str] = []

    async def main() -> Any:
        ctx = app_ctx._get_current_object()
        started = asyncio.Event()

        async def work() -> None:
            started.set()
            try:
                await forever()
            except asyncio.CancelledError:
                ends.append(str(app_ctx.cancel_reason))
                raise

        with pytest.raises(Cancelled) as caught:
            async with task_group() as tg:
                tg.create_task(work())
                await started.wait()
                threading.Thread(target=ctx.cancel, args=("disconnect",)).start()
                if where == "block":
                    await forever()
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()
        await asyncio.sleep(0)
        return caught.value.reason

    assert run(main()) == "disconnect"
    assert ends == ["disconnect"]


def test_the_deadline() -> None:
    """Tasks have the deadline of their work; when it passes they are cancelled, and the block
    raises `DeadlineExceeded`."""

    async def work() -> None:
        assert app_ctx.deadline is not None
        await forever()

    async def main() -> None:
        with pytest.raises(DeadlineExceeded):
            async with task_group() as tg:
                tg.create_task(work())
        await asyncio.sleep(0)

    with make_app().app_context():
        asyncio.run(in_child(main, deadline=0.05)())


def test_a_cancel_from_asyncio() -> None:
    """Who cancels the task around the block gets its `CancelledError`, and the tasks are told."""
    reasons: list[str | None] = []

    async def work(started: asyncio.Event) -> None:
        started.set()
        try:
            await forever()
        finally:
            reasons.append(app_ctx.cancel_reason)

    async def main() -> None:
        started = asyncio.Event()

        async def block() -> None:
            async with task_group() as tg:
                tg.create_task(work(started))

        task = asyncio.create_task(block())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert reasons == ["parent"]


def test_a_cancel_after_an_error() -> None:
    """A cancel that comes while the group waits for its tasks, as its block has failed, is met at
    the next await."""
    met: list[str] = []

    async def work(stopped: asyncio.Event, go_on: asyncio.Event) -> None:
        try:
            await forever()
        finally:
            stopped.set()
            await go_on.wait()

    async def block(stopped: asyncio.Event, go_on: asyncio.Event) -> None:
        try:
            async with task_group() as tg:
                tg.create_task(work(stopped, go_on))
                await asyncio.sleep(0)
                raise LookupError
        except* LookupError:
            met.append("error")
        await forever()

    async def main() -> None:
        stopped, go_on = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(block(stopped, go_on))
        await stopped.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        assert done and task.cancelled()

    run(main())
    assert met == ["error"]


def test_an_error_leaves_no_cancel() -> None:
    """A group that has cancelled its own block, which waited for it already, takes that back."""

    async def work() -> None:
        raise LookupError

    async def main() -> None:
        try:
            async with task_group() as tg:
                tg.create_task(work())
                await asyncio.sleep(0)
        except* LookupError:
            pass
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0

    run(main())


@pytest.mark.parametrize("around", ["group", "plain group", "timeout"])
def test_an_error_inside_of_what_has_cancelled(around: str) -> None:
    """A group that fails while what is around it cancels its block leaves no cancel behind."""

    async def fails(at: asyncio.Event) -> None:
        await at.wait()
        raise LookupError

    async def fails_in_the_end() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise KeyError from None

    async def inner() -> None:
        async with task_group() as tg:
            tg.create_task(fails_in_the_end())
            await forever()

    async def outer(at: asyncio.Event) -> None:
        if around == "timeout":
            async with asyncio.timeout(0.01):
                await inner()
        else:
            async with task_group() if around == "group" else asyncio.TaskGroup() as tg:
                tg.create_task(fails(at))
                asyncio.get_running_loop().call_later(0.01, at.set)
                await inner()

    async def main() -> None:
        with pytest.raises(BaseExceptionGroup):
            await outer(asyncio.Event())
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        for _ in range(3):
            await asyncio.sleep(0)

    run(main())


def test_a_plain_group_inside_that_fails() -> None:
    """What a plain group leaves counted on CPython 3.11 and 3.12 is not taken for a cancel."""

    async def fails() -> None:
        raise LookupError

    async def main() -> None:
        with pytest.raises(BaseExceptionGroup):
            async with task_group(), asyncio.TaskGroup() as inner:
                inner.create_task(fails())
        for _ in range(3):
            await asyncio.sleep(0)

    run(main())


def test_both_cancel_at_once() -> None:
    """Where asyncio and the work cancel at once, asyncio's `CancelledError` is not swallowed."""

    async def main() -> None:
        ctx = app_ctx._get_current_object()
        started = asyncio.Event()

        async def block() -> None:
            async with task_group():
                started.set()
                await forever()

        task = asyncio.create_task(block())
        await started.wait()
        ctx.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_work_that_is_cancelled_already() -> None:
    """In work that is cancelled the block is not entered."""

    async def main() -> None:
        app_ctx.cancel("shutdown")
        with pytest.raises(Cancelled, match="shutdown"):
            async with task_group():
                raise AssertionError

    run(main())


def test_coroutines_that_never_start() -> None:
    """A coroutine whose task is cancelled before it starts, or that the group refuses, is closed:
    nothing warns of it."""

    async def work() -> None:
        raise AssertionError

    async def main() -> None:
        async with task_group() as tg:
            tg.create_task(work()).cancel()
        with pytest.raises(RuntimeError):
            tg.create_task(work())
        with pytest.raises(RuntimeError, match="not entered"):
            task_group().create_task(work())

    run(main())


def test_a_task_in_a_thread() -> None:
    """The context of a task goes with `asyncio.to_thread`, and hears there of a cancel."""

    async def main() -> Any:
        ctx = app_ctx._get_current_object()
        started = threading.Event()

        def blocking() -> str | None:
            started.set()
            assert app_ctx.wait_cancelled(PATIENCE)
            return str(app_ctx.cancel_reason)

        async def work() -> str | None:
            thread = asyncio.ensure_future(asyncio.to_thread(blocking))
            try:
                return await asyncio.shield(thread)
            except asyncio.CancelledError:
                seen.append(await thread)
                raise

        seen: list[str | None] = []
        with pytest.raises(Cancelled):
            async with task_group() as tg:
                tg.create_task(work())
                await asyncio.to_thread(started.wait, PATIENCE)
                ctx.cancel("shutdown")
        return seen

    assert run(main()) == ["shutdown"]
