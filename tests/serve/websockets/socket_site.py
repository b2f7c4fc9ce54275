"""The application that the servers of these tests serve; what ends it writes as a line."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from demijohn import Demijohn, abort, app_ctx, g, session, task_group, websocket

app = Demijohn(__name__, static_folder=None)
app.config["SECRET_KEY"] = "key"


@app.before_websocket
def before() -> None:
    g.name = websocket.args.get("name", "nobody")


@app.teardown_websocket
def teardown(error: BaseException | None) -> None:
    # In one piece: these functions run on threads.
    sys.stderr.write(f"ended {g.get('name')} {app_ctx.outcome}\n")
    sys.stderr.flush()


@app.websocket("/echo")
async def echo() -> None:
    offered = websocket.requested_subprotocols
    await websocket.accept(offered[0] if offered else None, {"X-Name": g.name})
    async for message in websocket:
        async with websocket.message_context():
            g.message = message
            await asyncio.sleep(0)
            await websocket.send(g.message)


@app.websocket("/name")
async def name() -> None:
    session["seen"] = session.get("seen", 0) + 1
    await websocket.accept()
    async for _ in websocket:
        await websocket.send_json({"name": g.name, "seen": session["seen"]})


@app.websocket("/waits")
async def waits() -> None:
    await websocket.send("ready")
    await asyncio.Event().wait()


@app.websocket("/tasks")
async def tasks() -> None:
    async def ticks() -> None:
        while True:
            await websocket.send("tick")
            await asyncio.sleep(0.01)

    async with task_group() as tg:
        tg.create_task(ticks())
        async for message in websocket:
            await websocket.send(message)


@app.websocket("/floods")
async def floods() -> None:
    sent = 0
    try:
        while True:
            await websocket.send(b"x" * 65536)
            sent += 1
            print("sent", sent, file=sys.stderr, flush=True)
    finally:
        print("flooded", file=sys.stderr, flush=True)


@app.websocket("/closes")
async def closes() -> None:
    await websocket.accept()
    await websocket.close(4001, "bye")


@app.websocket("/fails")
async def fails() -> None:
    await websocket.accept()
    raise LookupError("a fault")


@app.websocket("/json")
async def json() -> None:
    while True:
        await websocket.send_json(await websocket.receive_json())


@app.websocket("/refuses")
async def refuses() -> Any:
    abort(409, "not now")
