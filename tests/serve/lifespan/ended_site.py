"""The application that servers of these tests serve, and stop.

It writes what it does to the file named by `SITE_LOG`, a line each.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from demijohn import Demijohn, current_app, resource
from demijohn.globals import app_ctx

LOG = os.environ["SITE_LOG"]
GATES = Path(os.environ["SITE_GATES"])
EVENTS = {"Content-Type": "text/event-stream"}

app = Demijohn(__name__, static_folder=None)


def log(line: str) -> None:
    with open(LOG, "a") as file:
        file.write(f"{line}\n")


@resource(lifetime="app")
async def pool() -> AsyncIterator[str]:
    log("open pool")
    yield "pool"
    log("close pool")


@app.before_serving
def before() -> None:
    log("before")


@app.while_serving
async def around() -> AsyncIterator[None]:
    log("enter")
    yield
    log("leave")


@app.after_serving
async def after() -> None:
    log("after")


@app.get("/")
async def index() -> str:
    # Only an edge with one loop can have it.
    return await pool if "asgi" in os.environ.get("SITE_EDGE", "asgi") else "no pool"


@app.get("/wait/<name>")
async def wait(name: str) -> str:
    log(f"{name} began")
    while not (GATES / name).exists():
        await asyncio.sleep(0.01)
    return f"waited, stopping: {bool(current_app.stopping)}"


@app.get("/download")
def download() -> Any:
    def parts() -> Iterator[str]:
        yield "first "
        while not (GATES / "download").exists():
            time.sleep(0.01)
        yield f"last, cancelled: {app_ctx.cancelled}"

    return parts()


@app.get("/events")
async def events() -> Any:
    async def sent() -> AsyncIterator[str]:
        try:
            yield "data: 1\n\n"
            await asyncio.sleep(600)
        finally:
            log(f"events {app_ctx.cancel_reason}")

    return sent(), EVENTS


@app.get("/events/sync")
def sync_events() -> Any:
    def sent() -> Iterator[str]:
        try:
            yield "data: 1\n\n"
            app_ctx.wait_cancelled(600)
        finally:
            log(f"events {app_ctx.cancel_reason}")

    return sent(), EVENTS


@app.get("/stuck")
def stuck() -> str:
    log("stuck began")
    time.sleep(600)
    return ""
