"""The page, and the stream of events that it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from demijohn import Blueprint, current_app, render_template, request

from .market import OPENING
from .ring import Ring

bp = Blueprint("ticker", __name__)
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would keep events back otherwise
}


class Watchers:
    """How many streams are open."""

    count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *error: object) -> None:
        self.count -= 1


def watchers() -> Watchers:
    """Those of the current application."""
    found: Watchers = current_app.extensions.setdefault("watchers", Watchers())
    return found


@bp.get("/")
def page() -> str:
    """The page; its script opens the stream."""
    return render_template("ticker.html", names=[*OPENING])


@bp.get("/events")
async def events() -> tuple[AsyncIterator[str], dict[str, str]]:
    """Prices as they change, for ever.

    `Last-Event-ID` is where a client left: the browser sends it when it connects again.
    """
    ring: Ring = current_app.extensions["ring"]
    last = ring.number_of(request.headers.get("Last-Event-ID"))

    async def body() -> AsyncIterator[str]:
        kept = ring.follow(last, current_app.config["HEARTBEAT"])
        # When the client leaves the generator is closed, and both blocks are left.
        with watchers():
            async with aclosing(kept) as found:
                async for event in found:
                    yield ": alive\n\n" if event is None else str(event)

    return body(), HEADERS


@bp.get("/watchers")
async def count() -> dict[str, Any]:
    """How many streams are open."""
    return {"watchers": watchers().count}
