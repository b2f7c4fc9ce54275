"""WebSockets when the server stops, and sessions that live on a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from socket_wire import Wire, make_app, run, talk, talking, until

from demijohn import (
    Demijohn,
    SessionReadOnly,
    app_ctx,
    session,
    task_group,
    websocket,
)
from demijohn.serve.stopping import stopping_of
from demijohn.sessions import SecureCookieSession, SessionInterface


@pytest.fixture
def app() -> Iterator[Demijohn]:
    """An application that notes how its contexts end."""
    app = make_app()
    app.config["ENDS"] = ends = []
    app.teardown_websocket(lambda error: ends.append((app_ctx.outcome, type(error).__name__)))
    yield app
    stopping_of(app).renew()


async def waits() -> None:
    await websocket.send("ready")
    await asyncio.Event().wait()


async def receives() -> None:
    await websocket.send("ready")
    await websocket.receive()


async def in_tasks() -> None:
    async with task_group() as tg:
        tg.create_task(waits())


async def catches() -> None:
    try:
        await waits()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        await websocket.send("farewell")


@pytest.mark.parametrize("view", [waits, receives, in_tasks, catches])
def test_the_server_stops(app: Demijohn, view: Any) -> None:
    """A connection that waits, for whatever, is closed with 1012 soon; nothing of it is
    logged, and the stop has nothing left to wait for."""
    app.add_websocket("/", "view", view)
    stopping = stopping_of(app)

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            await wire.hears(1)
            assert len(stopping.open) == 1
            told = asyncio.get_running_loop().time()
            threading.Thread(target=stopping.begin).start()
            await until(lambda: wire.close)
            assert asyncio.get_running_loop().time() - told < 2.5
        assert wire.close == (1012, "shutdown")
        assert wire.messages == ["ready", "farewell"][: 1 + (view is catches)]

    run(main)
    assert not stopping.open
    own = ("ok", "NoneType") if view is catches else ("cancelled", "Cancelled")
    assert app.config["ENDS"] == [own]


def test_a_message_is_completed(app: Demijohn) -> None:
    """A view in a message context goes on to its end when the server stops."""
    go = asyncio.Event()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        async with websocket.message_context():
            await websocket.send("begun")
            await go.wait()
            await websocket.send("done")
        await websocket.receive()

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            await wire.hears(1)
            stopping_of(app).begin()
            await asyncio.sleep(0.02)
            assert wire.close is None
            go.set()
        assert wire.messages == ["begun", "done"]
        assert wire.close == (1012, "shutdown")

    run(main)


def test_a_connection_that_comes_too_late(app: Demijohn) -> None:
    """A client that connects while the server stops is told so at its view's first wait."""
    app.add_websocket("/", "view", receives)
    stopping_of(app).begin()
    wire = talk(app, "/")
    assert wire.close == (1012, "shutdown")


# -- sessions on a server -------------------------------------------------------------------------


class Store(SessionInterface):
    """Sessions by a number in a cookie; opening and saving one may block."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.threads: list[str] = []

    def open_session(self, app: Any, request: Any) -> Any:
        self.threads.append(threading.current_thread().name)
        return SecureCookieSession(self.kept.get(request.cookies.get("sid", ""), {}))

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        self.threads.append(threading.current_thread().name)
        if session.modified:
            self.kept["1"] = dict(session)
            response.set_cookie("sid", "1")


@pytest.mark.parametrize("in_task", [False, True])
def test_a_session_that_is_kept_elsewhere(app: Demijohn, in_task: bool) -> None:
    """A session interface of one's own opens and saves on a worker thread, and its cookie goes out
    with the accept, also where a task of the view accepts; once."""
    store = app.session_interface = Store()

    @app.websocket("/")
    async def view() -> None:
        session["n"] = session.get("n", 0) + 1
        if in_task:
            async with task_group() as tg:
                tg.create_task(websocket.send("x"))
        else:
            await websocket.send("x")
        with pytest.raises(SessionReadOnly):
            session["n"] = 7

    client = app.test_client()
    for _ in range(2):
        with client.websocket("/") as ws:
            assert ws.receive() == "x"
    assert store.kept == {"1": {"n": 2}}
    assert client.get_cookie("sid") is not None
    assert len(store.threads) == 4
    assert not any("websocket-test" in name for name in store.threads)
