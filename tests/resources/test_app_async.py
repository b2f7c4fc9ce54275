"""Async resources of lifetime `app`: once a process and application, on the loop that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from resource_kit import Boom

import demijohn
from demijohn import current_app, g, has_request_context, resource

var: ContextVar[str] = ContextVar("var")


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def app(runner: asyncio.Runner) -> Iterator[Any]:
    app = demijohn.Demijohn("site", static_folder=None)
    yield app
    app.close()


def pool_of(log: list[str]) -> Any:
    @resource(lifetime="app")
    async def pool() -> AsyncIterator[list[str]]:
        token = var.set("mine")
        log.append(f"open {current_app.name} {has_request_context()} {'user' in g}")
        await asyncio.sleep(0)
        yield log
        await asyncio.sleep(0)
        var.reset(token)
        log.append(f"close {current_app.name} {has_request_context()} {'user' in g}")

    return pool


async def used(app: Any, pool: Any) -> Any:
    async with app.app_context():
        g.user = "ann"
        return await pool


def test_opened_once_and_closed_once(app: Any, log: list[str], runner: asyncio.Runner) -> None:
    """Twenty tasks with a context each open it once, in a context of its own; no context closes it,
    and `app.close()` does, in one of its own."""
    pool = pool_of(log)

    async def main() -> None:
        for found in await asyncio.gather(*[used(app, pool) for _ in range(20)]):
            assert found is log

    runner.run(main())
    assert log == ["open site False False"]
    app.close()
    assert log == ["open site False False", "close site False False"]


def test_on_another_loop(app: Any, log: list[str], runner: asyncio.Runner) -> None:
    """It cannot be used on another loop while that of its opening is there; afterwards it is opened
    anew."""
    pool = pool_of(log)
    with asyncio.Runner() as other:
        other.run(used(app, pool))
        with pytest.raises(RuntimeError, match="this code runs on another"):
            runner.run(used(app, pool))
        assert log == ["open site False False"]
    assert runner.run(used(app, pool)) is log
    assert log == ["open site False False"] * 2


def test_an_error_in_the_opening(app: Any, log: list[str], runner: asyncio.Runner) -> None:
    """An error in its opening comes out, nothing stays open, and the next use opens it."""
    fails = True

    @resource(lifetime="app")
    async def pool() -> AsyncIterator[str]:
        if fails:
            raise Boom
        yield "pool"

    with pytest.raises(Boom):
        runner.run(used(app, pool))
    assert not app._scope.held.opened
    fails = False
    assert runner.run(used(app, pool)) == "pool"


def test_an_error_around_the_opening(app: Any, log: list[str], runner: asyncio.Runner) -> None:
    """Where the context around its opening ends with an error, it is closed and not registered."""
    pool = pool_of(log)

    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        if "user" not in g and len(log) == 1:
            raise Boom

    with pytest.raises(Boom):
        runner.run(used(app, pool))
    assert not app._scope.held.opened
    assert runner.run(used(app, pool)) is log
    assert log == ["open site False False"] * 2


def test_cancelled_while_it_opens(app: Any, log: list[str], runner: asyncio.Runner) -> None:
    """A task that is cancelled while it opens leaves nothing open; another one opens it."""
    opening = asyncio.Event()
    go_on = asyncio.Event()

    @resource(lifetime="app")
    async def pool() -> AsyncIterator[str]:
        opening.set()
        await go_on.wait()
        yield "pool"

    async def main() -> None:
        task = asyncio.create_task(used(app, pool))
        await opening.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not app._scope.held.opened
        go_on.set()
        assert await used(app, pool) == "pool"

    runner.run(main())


def test_overridden(app: Any, log: list[str], runner: asyncio.Runner) -> None:
    """A fake is what is awaited, and nothing is opened."""
    pool = pool_of(log)
    with app.override(pool, "fake"):
        assert runner.run(used(app, pool)) == "fake"
    assert log == []
