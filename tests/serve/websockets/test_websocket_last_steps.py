"""The last steps of a WebSocket: clients that take no close, cancels there, what errors keep."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from typing import Any

import pytest
from socket_wire import Wire, make_app, run, talk, talking, until

from demijohn import WebSocketBadMessage, WebSocketDisconnected, app_ctx, request, websocket


def test_a_close_that_the_client_does_not_take_holds_nothing_up() -> None:
    """When the server stops, a client that reads no more keeps a connection for a second."""
    app = make_app()
    ended: list[str] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await asyncio.Event().wait()

    @app.teardown_websocket
    def teardown(error: BaseException | None) -> None:
        ended.append(app_ctx.outcome)

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            await until(lambda: wire.accepted)
            wire.reads.clear()
            app.stopping.begin()

    run(main)
    assert ended == ["cancelled"]


def test_a_task_that_sends_to_such_a_client_goes_on() -> None:
    """A task that outlives its view does not wait for ever for a client that reads no more, and the
    client is told of the stop."""
    app = make_app()
    tasks: list[asyncio.Task[None]] = []

    class Full(Wire):
        async def send(self, message: dict[str, Any]) -> None:
            if message["type"] == "websocket.send":
                self.reads.clear()
            else:
                self.reads.set()
            await super().send(message)

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        tasks.append(asyncio.create_task(websocket.send("much")))
        await asyncio.Event().wait()

    async def main() -> None:
        wire = Full()
        async with talking(app, wire):
            await until(lambda: not wire.reads.is_set())
            app.stopping.begin()
        with pytest.raises(WebSocketDisconnected):
            await tasks[0]
        assert wire.close == (1012, "shutdown")

    run(main)


def test_cancelled_while_it_is_closed_for_the_stop() -> None:
    """A cancel that comes while the client is told of the stop does not skip the end."""
    app = make_app()
    ended: list[str] = []
    told = asyncio.Event()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await asyncio.Event().wait()

    @app.teardown_websocket
    def teardown(error: BaseException | None) -> None:
        ended.append(app_ctx.outcome)

    class Slow(Wire):
        async def send(self, message: dict[str, Any]) -> None:
            if message["type"] == "websocket.close":
                told.set()
            await super().send(message)

    async def main() -> None:
        wire = Slow()
        with pytest.raises(asyncio.CancelledError):
            async with talking(app, wire) as task:
                await until(lambda: wire.accepted)
                wire.reads.clear()
                app.stopping.begin()
                await told.wait()
                task.cancel()

    run(main)
    assert ended == ["cancelled"]


@pytest.mark.parametrize("long", ["é" * 200, "\ud800" + "x" * 200])
def test_reasons_that_are_too_long_are_cut(long: str) -> None:
    """The reason of a cancel, or of a message's error, may be longer than a close frame holds."""
    app = make_app()

    @app.websocket("/cancelled")
    async def cancelled() -> None:
        await websocket.accept()
        app_ctx.cancel(long)
        await asyncio.Event().wait()

    @app.websocket("/bad")
    async def bad() -> None:
        await websocket.accept()
        raise WebSocketBadMessage(long, 4000)

    for path, code in (("/cancelled", 1013), ("/bad", 4000)):
        closed = talk(app, path).close
        assert closed is not None and closed[0] == code
        assert 100 < len(closed[1].encode()) <= 123
    with pytest.raises(ValueError, match="no code for a close frame"):
        WebSocketBadMessage("", 99)


@pytest.mark.parametrize("path", ["/fails", "/missing"])
def test_errors_are_no_garbage(path: str) -> None:
    """What ends with an error is let go of without the cyclic collector, like everything else."""
    app = make_app()
    app.logger.disabled = True  # what collects records keeps their errors
    seen: list[weakref.ref[Any]] = []

    @app.before_websocket
    @app.before_request
    def before() -> None:
        seen.append(weakref.ref(request._get_current_object()))

    @app.websocket("/fails")
    async def fails() -> None:
        await websocket.accept()
        raise LookupError("a fault")

    talk(app, path)
    gc.collect()
    gc.disable()
    try:
        talk(app, path)
        assert len(seen) == 2
        # A worker thread may be about to let go of what it did last.
        until = time.monotonic() + 10
        while seen[-1]() is not None:
            assert time.monotonic() < until
            time.sleep(0.001)
    finally:
        gc.enable()
        app.logger.disabled = False
