"""Promise 11: work that still sees an ended context may read plain data, and no more."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import Any

import pytest
from children_kit import PATIENCE, make_app, view_app

from demijohn import (
    ContextField,
    ContextThread,
    after_this_request,
    copy_current_request_context,
    current_app,
    g,
    in_child,
    parallel,
    request,
    session,
    task_group,
)
from demijohn.context import ContextEnded
from demijohn.globals import app_ctx

color = ContextField[str]("after the end", default="none")


def read() -> list[Any]:
    """What may be read after the end."""
    return [
        *(request.path, request.args["q"], request.headers["X-Own"], request.view_args),
        *(g.user, session["a"], current_app.name, app_ctx.outcome, color.get()),
    ]


PLAIN = ["/", "1", "h", {}, "ann", 1, "site", "ok", "red"]

REFUSED: dict[str, Any] = {
    "write the session": lambda: session.__setitem__("b", 1),
    "take from the session": lambda: session.pop("a"),
    "register a hook": lambda: after_this_request(lambda response: response),
    "set a field": lambda: color.set("blue"),
    "start a child": lambda: in_child(int),
    "copy the request": lambda: copy_current_request_context(int),
    "start a thread": lambda: ContextThread(target=int).start(),
    "start branches": lambda: parallel().__enter__(),
    "start tasks": lambda: task_group().__aenter__().send(None),
}


def check() -> list[Any]:
    """Try all of it; what was read."""
    found = read()
    for wanted, attempt in REFUSED.items():
        with pytest.raises(ContextEnded, match=r"was ended .* s ago by") as caught:
            attempt()
        assert "Start the work with `in_child`" in str(caught.value), wanted
    assert read() == found
    return found


def prepare() -> None:
    g.user = "ann"
    session["a"] = 1
    color.set("red")


def test_an_inheriting_thread() -> None:
    """A thread that has inherited its parent's Context reads plain data; all else raises
    `ContextEnded`, which says when and by what it ended."""
    go, found = threading.Event(), list[Any]()

    def work() -> None:
        assert go.wait(PATIENCE)
        found.append(check())

    def view() -> str:
        prepare()
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        threads.append(thread)
        return "x"

    threads: list[threading.Thread] = []
    client = view_app(view).test_client()
    assert client.get("/?q=1", headers={"X-Own": "h"}).text == "x"
    go.set()
    threads[0].join(PATIENCE)
    assert found == [PLAIN]
    with client.session_transaction() as saved:
        assert saved == {"a": 1}


def test_a_bare_task() -> None:
    """A task that asyncio made, and that outlives its request, is told the same."""
    app = make_app()

    async def main() -> list[Any]:
        over = asyncio.Event()

        async def work() -> list[Any]:
            await over.wait()
            return check()

        ctx = app.test_request_context("/?q=1", headers={"X-Own": "h"})
        with ctx:
            request.view_args = {}
            prepare()
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
        over.set()
        return await task

    assert asyncio.run(main()) == PLAIN


def test_a_bare_task_of_an_async_view() -> None:
    """The same for a task that an async view leaves on its loop."""
    found: list[Any] = []

    async def view() -> str:
        prepare()
        stale = copy_context()
        kept.append(stale)
        return "x"

    kept: list[Any] = []
    client = view_app(view).test_client()
    assert client.get("/?q=1", headers={"X-Own": "h"}).text == "x"
    found.append(kept[0].run(check))
    assert found == [PLAIN]


def test_a_child_that_was_started_before() -> None:
    """A child that was started before the end has all that a child has."""
    kept: list[Any] = []

    def view() -> str:
        prepare()

        def work() -> Any:
            color.set("blue")
            g.own = 1
            return [request.path, session["a"], in_child(lambda: request.path)()]

        kept.append(in_child(work))
        return "x"

    view_app(view).test_client().get("/?q=1")
    assert kept[0]() == ["/", 1, "/"]


def test_a_context_of_its_own_after_the_end() -> None:
    """What outlived its request has children, and no deadline, under an app context of its own."""
    go, found = threading.Event(), list[Any]()

    def work() -> None:
        assert go.wait(PATIENCE)
        with app.app_context():
            found.append([in_child(lambda: app_ctx.deadline)(), app_ctx.deadline])
            app_ctx.check()
            found.append(app_ctx.cancelled)

    def view() -> str:
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        threads.append(thread)
        app_ctx.cancel()
        return "x"

    threads: list[threading.Thread] = []
    app = view_app(view, REQUEST_DEADLINE=60)
    assert app.test_client().get("/").text == "x"
    go.set()
    threads[0].join(PATIENCE)
    assert found == [[None, None], False]
