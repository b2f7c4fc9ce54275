"""Children of a custom kind of context: the core alone, with no application."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from children_kit import PATIENCE

from demijohn.context import Context, ContextField, ContextStack
from demijohn.context.children.child import in_child
from demijohn.context.children.parallel import Parallel
from demijohn.context.children.tasks import TaskGroup
from demijohn.context.children.threads import ContextThread, ContextThreadPoolExecutor

databases: ContextStack[Any] = ContextStack("database")
name = ContextField[str]("core name", stack=databases, default="none", carries=True)
log: list[str] = []


class Database(Context, stack=databases):
    """A custom context that is made with an argument."""

    def __init__(self, url: str) -> None:
        self.url = url

    def on_enter(self) -> None:
        log.append(f"open {self.url}")

    def on_exit(self, exc: BaseException | None) -> None:
        log.append(f"close {self.url}")

    def child_maker(self) -> Callable[[], Context]:
        url = f"{self.url}+"
        return lambda: Database(url)


current = databases.proxy()


class DatabaseThread(ContextThread, start_from=databases):
    pass


class DatabaseExecutor(ContextThreadPoolExecutor, start_from=databases):
    pass


@pytest.fixture(autouse=True)
def empty_log() -> None:
    log.clear()


def work() -> tuple[str, str]:
    return current.url, name.get()


def test_every_way() -> None:
    """Each way gives a child of the custom context, with its fields, opened and closed once."""
    found: list[Any] = []
    with Database("a"):
        name.set("ann")
        found.append(in_child(databases, work)())
        thread = DatabaseThread(target=lambda: found.append(work()))
        thread.start()
        thread.join(PATIENCE)
        with DatabaseExecutor(1) as pool:
            found.append(pool.submit(work).result(PATIENCE))
        with Parallel(databases) as p:
            p.submit(work)
        found += p.results

        async def main() -> list[Any]:
            async def branch() -> Any:
                return work()

            async with TaskGroup(databases) as tg:
                tg.create_task(branch())
            return [*tg.results, await in_child(databases, branch)()]

        found += asyncio.run(main())
    assert found == [("a+", "ann")] * 6
    assert log == ["open a", *["open a+", "close a+"] * 6, "close a"]


def test_outside() -> None:
    """Outside of such a context the error names its kind."""
    with pytest.raises(RuntimeError, match="Working outside of database context"):
        in_child(databases, work)


def test_the_default_child() -> None:
    """A context that needs no arguments has children of its own class."""
    stack: ContextStack[Any] = ContextStack("plain")

    class Plain(Context, stack=stack):
        pass

    with Plain() as parent:
        child = in_child(stack, lambda: stack.current)()
    assert type(child) is Plain
    assert child is not parent
    assert child.ended


def test_an_async_function_on_a_thread() -> None:
    """An async function that an executor runs comes to its end there."""

    async def branch() -> Any:
        await asyncio.sleep(0)
        return work()

    with Database("a"), DatabaseExecutor(1) as pool:
        assert pool.submit(branch).result(PATIENCE) == ("a+", "none")


def test_what_is_loaded() -> None:
    """Children on threads load nothing of the web, and no asyncio."""
    code = (
        "import sys, demijohn.context.children.child, demijohn.context.cancel\n"
        "print([m for m in ('werkzeug', 'socket', 'http', 'email', 'asyncio', 'multiprocessing',"
        " 'concurrent.futures') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert out.stdout.strip() == "[]"
