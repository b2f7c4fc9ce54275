"""Many WebSockets: one after the other, and at the same time."""

from __future__ import annotations

import asyncio
import gc
import threading

from socket_wire import Wire, make_app, run, talking

from demijohn import g, request, session, task_group, websocket
from demijohn.framework.websockets import WebSocketContext


def test_no_growth() -> None:
    """A thousand connections leave no contexts, sockets, tasks or threads behind."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        session.get("x")
        async for message in websocket:
            async with websocket.message_context():
                await websocket.send(message)

    async def main() -> None:
        for _ in range(1000):
            wire = Wire()
            wire.say("x")
            async with talking(app, wire):
                assert await wire.hears(1) == ["x"]
                wire.leave(1000)

    def contexts() -> int:
        gc.collect()
        return sum(type(one) is WebSocketContext for one in gc.get_objects())

    before = contexts()  # what other tests' logs keep
    run(main)
    assert contexts() <= before
    names = [thread.name for thread in threading.enumerate()]
    assert len([name for name in names if "sockets-sync" in name]) <= 2


def test_two_hundred_connections_at_once() -> None:
    """Two hundred connections that talk at the same time keep their own `g` and messages."""
    app = make_app()

    @app.before_websocket
    def before() -> None:
        g.name = request.args["name"]

    @app.websocket("/")
    async def view() -> None:
        async for message in websocket:
            await asyncio.sleep(0)
            async with task_group() as tg:
                tg.create_task(websocket.send(f"{g.name}:{request.args['name']}:{message}"))

    async def one(n: int) -> None:
        wire = Wire(f"/?name={n}")
        async with talking(app, wire):
            for k in range(5):
                wire.say(str(k))
                assert (await wire.hears(k + 1))[-1] == f"{n}:{n}:{k}"
            wire.leave(1000)

    async def main() -> None:
        async with asyncio.TaskGroup() as tg:
            for n in range(200):
                tg.create_task(one(n))

    run(main)
