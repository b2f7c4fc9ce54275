"""An application with one of each framework mounted, for real servers; it prints what ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from demijohn import Demijohn

from .mounted_apps import KINDS

app = Demijohn(__name__, static_folder=None)
app.config["PROPAGATE_EXCEPTIONS"] = False


@app.get("/")
def index() -> str:
    return "the parent's"


def by_wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
    """An endless body."""
    start_response("200 OK", [("X-Own", "wsgi")])
    try:
        while True:
            yield b"x" * 10_000
    finally:
        print("closed by WSGI", flush=True)


async def by_asgi(scope: Any, receive: Any, send: Any) -> None:
    """The same, with a lifespan."""
    if scope["type"] == "lifespan":
        await receive()
        print("mount starts", flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("mount stops", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    listening = asyncio.ensure_future(_left(receive))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"asgi")]})
    try:
        while not listening.done():
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            await asyncio.sleep(0)  # uvicorn's `send` does not wait
    except OSError:
        pass
    finally:
        listening.cancel()
        print("closed by ASGI", flush=True)


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


for kind, make in KINDS.items():
    app.mount(f"/{kind}", make())
app.mount("/endless/wsgi", by_wsgi)
app.mount("/endless/asgi", by_asgi)
