"""Pattern 10: asyncio tasks and greenlets side by side, and a request moved into a greenlet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import flask
import gevent
import pytest
from gevent.event import Event

import demijohn
from demijohn import current_app, request, session
from demijohn.context import ContextEnded


def make_app(framework: ModuleType, name: str) -> Any:
    app = framework.Flask(name)
    app.secret_key = "key"
    return app


# -- asyncio --------------------------------------------------------------------------------------


def test_two_tasks_see_their_own_app_contexts(framework: ModuleType) -> None:
    """Two tasks that hold app contexts at the same time each see their own application and `g`."""
    current_app, g = framework.current_app, framework.g
    ended: list[str] = []

    async def work(app: Any, barrier: asyncio.Barrier) -> list[object]:
        seen: list[object] = [framework.has_app_context()]
        with app.app_context():
            g.owner = app.name
            for _ in range(3):
                await barrier.wait()  # both are inside their blocks
                seen += [current_app.name, g.owner]
        ended.append(app.name)
        seen.append(framework.has_app_context())
        return seen

    async def main() -> list[list[object]]:
        barrier = asyncio.Barrier(2)
        apps = make_app(framework, "first"), make_app(framework, "second")
        return await asyncio.gather(*(work(app, barrier) for app in apps))

    first, second = asyncio.run(main())
    assert first == [False, *["first", "first"] * 3, False]
    assert second == [False, *["second", "second"] * 3, False]
    assert sorted(ended) == ["first", "second"]


def test_two_tasks_see_their_own_requests(framework: ModuleType) -> None:
    """Two tasks in request contexts of one application each see their own request and session."""
    app = make_app(framework, "shop")

    async def work(path: str, barrier: asyncio.Barrier) -> tuple[str, str]:
        with app.test_request_context(path):
            framework.session["path"] = path
            await barrier.wait()
            seen = framework.request.path, framework.session["path"]
            await barrier.wait()
            return seen

    async def main() -> list[tuple[str, str]]:
        barrier = asyncio.Barrier(2)
        return await asyncio.gather(work("/a", barrier), work("/b", barrier))

    assert asyncio.run(main()) == [("/a", "/a"), ("/b", "/b")]


def test_contexts_that_end_out_of_order(framework: ModuleType) -> None:
    """A task may end its context while another, begun later, is still in its own."""
    log: list[str] = []

    async def work(app: Any, mine: asyncio.Event, others: asyncio.Event) -> None:
        with app.app_context():
            mine.set()
            await others.wait()
            assert framework.current_app.name == app.name
        log.append(app.name)

    async def main() -> None:
        entered, leave_first, leave_second = (asyncio.Event() for _ in range(3))
        first = asyncio.create_task(work(make_app(framework, "first"), entered, leave_first))
        await entered.wait()
        entered.clear()
        second = asyncio.create_task(work(make_app(framework, "second"), entered, leave_second))
        await entered.wait()
        leave_first.set()  # the first one in is the first one out
        await first
        leave_second.set()
        await second

    asyncio.run(main())
    assert log == ["first", "second"]


def test_task_started_inside_sees_the_context(framework: ModuleType) -> None:
    """A task started in the block inherits the context, and what it pushes itself stays its own."""
    app, other = make_app(framework, "shop"), make_app(framework, "other")

    async def work() -> tuple[str, str]:
        name = framework.current_app.name
        with other.app_context():
            return name, framework.current_app.name

    async def main() -> None:
        with app.app_context():
            assert await asyncio.create_task(work()) == ("shop", "other")
            assert framework.current_app.name == "shop"
        with pytest.raises(RuntimeError, match=r"^Working outside of application context"):
            await asyncio.create_task(work())

    asyncio.run(main())


def test_async_views_side_by_side(framework: ModuleType) -> None:
    """Coroutines of an async view see its request, and not what one of them pushes."""
    app, other = make_app(framework, "shop"), make_app(framework, "other")

    @app.get("/page")
    async def page() -> dict[str, object]:
        barrier = asyncio.Barrier(2)

        async def plain() -> list[str]:
            await barrier.wait()
            seen = [framework.current_app.name, framework.request.path]
            await barrier.wait()
            return seen

        async def pushing() -> list[str]:
            with other.test_request_context("/elsewhere"):
                await barrier.wait()
                await barrier.wait()
                return [framework.current_app.name, framework.request.path]

        plain_seen, pushing_seen = await asyncio.gather(plain(), pushing())
        return {"plain": plain_seen, "pushing": pushing_seen}

    assert app.test_client().get("/page").get_json() == {
        "plain": ["shop", "/page"],
        "pushing": ["other", "/elsewhere"],
    }


def test_task_that_outlives_its_context() -> None:
    """A task that outlives its context reads plain data, and is stopped at anything more.

    In Flask it goes on as if the context were alive: a session write, for one, is lost.
    """
    app = make_app(demijohn, "shop")
    seen: list[object] = []

    async def late(ended: asyncio.Event) -> None:
        await ended.wait()
        seen.append((request.path, current_app.name))
        with pytest.raises(ContextEnded):
            session["user"] = "ada"
        with pytest.raises(ContextEnded):
            demijohn.after_this_request(lambda response: response)

    async def main() -> None:
        ended = asyncio.Event()
        with app.test_request_context("/page"):
            task = asyncio.create_task(late(ended))
        ended.set()
        await task

    asyncio.run(main())
    assert seen == [("/page", "shop")]


# -- gevent ---------------------------------------------------------------------------------------


def run_greenlets(*functions: Callable[[], object]) -> list[object]:
    """Run the functions as greenlets to their ends; their results, or the first error."""
    greenlets = [gevent.spawn(function) for function in functions]
    gevent.joinall(greenlets, timeout=60)
    return [greenlet.get(block=False) for greenlet in greenlets]


def test_two_greenlets_see_their_own_contexts(framework: ModuleType) -> None:
    """Two greenlets that take turns in their contexts each see their own."""
    first, second = make_app(framework, "first"), make_app(framework, "second")
    turns = [Event() for _ in range(4)]

    def look() -> list[str]:
        return [framework.current_app.name, framework.request.path, framework.g.owner]

    def one() -> list[str]:
        with first.test_request_context("/one"):
            framework.g.owner = "one"
            turns[0].set()
            turns[1].wait(60)
            seen = look()
        turns[2].set()
        return seen

    def two() -> list[str]:
        turns[0].wait(60)
        assert not framework.has_request_context()
        with second.test_request_context("/two"):
            framework.g.owner = "two"
            turns[1].set()
            turns[2].wait(60)  # the other context, pushed earlier, has ended meanwhile
            return look()

    assert run_greenlets(one, two) == [["first", "/one", "one"], ["second", "/two", "two"]]
    assert not framework.has_app_context()


def test_bare_greenlet_has_no_context(framework: ModuleType) -> None:
    """A greenlet that a view spawns sees nothing of the request, and gets the error."""
    app = make_app(framework, "shop")

    def work() -> str:
        with pytest.raises(RuntimeError) as caught:
            str(framework.request.path)
        return str(caught.value).splitlines()[0]

    @app.get("/")
    def index() -> str:
        return str(gevent.spawn(work).get(timeout=60))

    assert app.test_client().get("/").text == "Working outside of request context."


def test_copy_current_request_context_moves_a_request(framework: ModuleType) -> None:
    """The pattern of the documentation: a copied function works on the request in a greenlet."""
    app = make_app(framework, "shop")

    @app.get("/order/<int:number>")
    def order(number: int) -> str:
        framework.session["user"] = "ada"

        @framework.copy_current_request_context
        def do_some_work() -> str:
            # Another greenlet, the view's, runs in between.
            gevent.sleep(0)
            request, session = framework.request, framework.session
            return f"{request.path} {request.view_args['number']} {session['user']}"

        return str(gevent.spawn(do_some_work).get(timeout=60))

    assert app.test_client().get("/order/7").text == "/order/7 7 ada"


def test_moved_requests_do_not_mix(framework: ModuleType) -> None:
    """Copies of two requests in two greenlets that take turns each see their own request."""
    app = make_app(framework, "shop")
    turns = [Event(), Event()]

    def copied(path: str, mine: Event, others: Event) -> Callable[[], object]:
        with app.test_request_context(path):

            @framework.copy_current_request_context
            def work() -> list[str]:
                seen = [framework.request.path]
                mine.set()
                others.wait(60)
                return [*seen, framework.request.path]

            return work

    results = run_greenlets(copied("/a", *turns), copied("/b", *reversed(turns)))
    assert results == [["/a", "/a"], ["/b", "/b"]]


def test_one_copied_function_in_two_greenlets() -> None:
    """One copied function may run in two greenlets at once, each with a `g` of its own.

    Flask keeps one context for both, and the greenlet that began first cannot pop it.
    """

    def work_twice(framework: ModuleType) -> list[object]:
        entered, leave = Event(), Event()
        with framework.Flask("shop").test_request_context("/page"):

            @framework.copy_current_request_context
            def work(number: int, mine: Event, others: Event) -> tuple[str, int]:
                framework.g.number = number
                mine.set()
                others.wait(60)
                return framework.request.path, framework.g.number

            def first() -> object:
                try:
                    return work(0, entered, leave)
                finally:
                    leave_second.set()

            def second() -> object:
                entered.wait(60)
                return work(1, leave, leave_second)

            leave_second = Event()
            return run_greenlets(first, second)

    assert work_twice(demijohn) == [("/page", 0), ("/page", 1)]
    with pytest.raises(ValueError, match="different Context"):
        work_twice(flask)
