"""Promise 11: what outlives a request reads plain data, and is told of the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from context_kit import make_app

import demijohn
from demijohn import after_this_request, g, request, session
from demijohn.context import ContextEnded
from demijohn.globals import request_ctx


class Outlived:
    """A Context that was copied inside a request, and is used after the request's end."""

    def __init__(self, path: str = "/path?q=1", stream: bool = False) -> None:
        app = self.app = make_app()

        @app.get("/path")
        def view() -> Any:
            g.user = "view"
            session["a"] = 1
            self.context = copy_context()
            if stream:
                return (part for part in "ab")
            return "x"

        assert app.test_client().get(path).get_data()

    def run(self, function: Callable[[], Any]) -> Any:
        return self.context.run(function)


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def outlived(request: pytest.FixtureRequest) -> Outlived:
    return Outlived(stream=request.param)


def test_plain_data_can_be_read(outlived: Outlived) -> None:
    """After the end, what is plain data can still be read: request, `g`, session, the app."""

    def read() -> list[Any]:
        return [
            request.path,
            request.args["q"],
            request.headers["Host"],
            request.view_args,
            g.user,
            session["a"],
            demijohn.current_app.name,
            demijohn.url_for("view"),
        ]

    found = outlived.run(read)
    assert found == ["/path", "1", "localhost", {}, "view", 1, "site", "/path"]


def test_registering_after_the_end(outlived: Outlived) -> None:
    """after_this_request after the end raises, and says when and by what the request ended."""
    with pytest.raises(ContextEnded, match=r"was ended [\d.]+ s ago by its server edge") as caught:
        outlived.run(lambda: after_this_request(lambda response: response))
    assert "'http://localhost/path?q=1' [GET] of site" in str(caught.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda: session.__setitem__("b", 2),
        lambda: session.update(b=2),
        lambda: session.setdefault("b", 2),
        lambda: session.pop("a"),
        lambda: session.clear(),
        lambda: setattr(session, "permanent", True),
        lambda: demijohn.flash("message"),
    ],
)
def test_writing_the_session_after_the_end(outlived: Outlived, write: Callable[[], Any]) -> None:
    """Writing the session after the end raises, and leaves it readable as it was."""
    with pytest.raises(ContextEnded, match="session"):
        outlived.run(write)
    assert outlived.run(lambda: dict(session)) == {"a": 1}


def test_a_session_that_nobody_opened_after_the_end() -> None:
    """A session that is first looked at after the end can be read, and not written."""
    app = make_app()
    contexts: list[Any] = []

    @app.get("/")
    def view() -> str:
        contexts.append(copy_context())
        return "x"

    client = app.test_client()
    with client.session_transaction() as given:
        given["a"] = 1
    client.get("/")
    assert contexts[0].run(lambda: session["a"]) == 1
    with pytest.raises(ContextEnded):
        contexts[0].run(lambda: session.__setitem__("b", 2))


def test_a_task_that_outlives_its_request() -> None:
    """An asyncio task that a view starts on a loop elsewhere reads its request's data when that is
    over.
    """
    app = make_app()
    loop = asyncio.new_event_loop()
    over = threading.Event()
    found: list[Any] = []

    async def work() -> None:
        await asyncio.to_thread(over.wait, 10)
        found.append((request.path, request_ctx.ended))
        with pytest.raises(ContextEnded):
            after_this_request(lambda response: response)

    @app.get("/path")
    def view() -> str:
        futures.append(asyncio.run_coroutine_threadsafe(work(), loop))
        return "x"

    futures: list[Any] = []
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        app.test_client().get("/path")
        over.set()
        futures[0].result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    # run_coroutine_threadsafe makes the task in a copy of the view's Context.
    assert found == [("/path", True)]


def test_ended_by_hand() -> None:
    """A context ended by its own pop says so."""
    app = make_app()
    with app.test_request_context():
        inside = copy_context()
    with pytest.raises(ContextEnded, match="by its owner's pop"):
        inside.run(lambda: after_this_request(lambda response: response))


def test_a_successor_can_be_written() -> None:
    """A request that is pushed again can register functions and write its session."""
    app = make_app()
    ctx = app.test_request_context()
    with ctx:
        session["a"] = 1
    with ctx:
        session["b"] = 2
        after_this_request(lambda response: response)
        assert dict(session) == {"a": 1, "b": 2}
