"""What requests over ASGI leave behind when they have ended, however that was: nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from demijohn import Demijohn, g, request, resource, session

from .asgi_kit import Peer, ask, scope

KINDS = (
    *("sync", "async", "missing", "sync-error", "async-error", "handled", "session", "deadline"),
    *("stream", "async-stream", "stream-error", "leaves", "cancelled", "resources", "body"),
)


def make_app() -> Demijohn:
    app = Demijohn("growing")
    app.secret_key = "k"

    @app.before_request
    def before() -> None:
        g.user = "user"

    @app.before_request
    async def async_before() -> None:
        await asyncio.sleep(0)

    @app.teardown_request
    async def ends(exc: BaseException | None) -> None:
        await asyncio.sleep(0)

    @app.teardown_appcontext
    def app_ends(exc: BaseException | None) -> None:
        g.pop("user")

    @app.errorhandler(ArithmeticError)
    def handler(error: Exception) -> Any:
        return str(error), 418

    @resource
    async def one() -> Any:
        yield object()

    @resource(lifetime="view")
    def other() -> Iterator[Any]:
        yield [1]

    @app.route("/<kind>", methods=["GET", "POST"])
    def sync(kind: str) -> Any:
        if kind == "sync-error":
            raise LookupError(kind)
        if kind == "session":
            session["a"] = 1
        if kind == "stream":
            return (str(number) for number in range(3))
        return {"got": request.get_data(as_text=True)}

    @app.get("/async", endpoint="async")
    @app.get("/async-error", endpoint="async-error")
    @app.get("/handled", endpoint="handled")
    async def async_view() -> Any:
        await asyncio.sleep(0)
        if request.endpoint == "async-error":
            raise LookupError
        if request.endpoint == "handled":
            raise ZeroDivisionError
        return "async"

    @app.get("/deadline", deadline=0.001)
    @app.get("/cancelled", endpoint="cancelled")
    async def waits() -> str:
        await asyncio.sleep(30)
        return "never"

    @app.get("/resources")
    async def resources() -> str:
        await one
        return str(len(other))

    @app.get("/async-stream")
    @app.get("/stream-error", endpoint="stream-error")
    @app.get("/leaves", endpoint="leaves")
    async def stream() -> Any:
        async def parts() -> AsyncIterator[str]:
            yield "first"
            await asyncio.sleep(0)
            if request.endpoint == "stream-error":
                raise LookupError
            if request.endpoint == "leaves":
                await asyncio.sleep(30)
            yield "second"

        return parts()

    return app


async def one_request(app: Demijohn, kind: str) -> None:
    if kind == "missing":
        await ask(app, "/a/b")
    elif kind == "body":
        await ask(app, "/body", "POST", b"x" * 1000)
    elif kind == "stream-error":
        with pytest.raises(LookupError):
            await ask(app, "/stream-error")
    elif kind in ("leaves", "cancelled"):
        peer = Peer()
        call = app.asgi_app(scope(path=f"/{kind}"), peer.receive, peer.send)
        task = asyncio.ensure_future(call)
        if kind == "leaves":
            await peer.until(lambda peer: peer.data)
            peer.leave()
            await task
        else:
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    else:
        await ask(app, f"/{kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_grows(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """With the cyclic collector off, no object of ours stays, and none has to be collected."""
    app = make_app()
    app.logger.disabled = True
    caplog.set_level(logging.CRITICAL)

    async def main() -> tuple[int, Counter[str]]:
        for _ in range(30):
            await one_request(app, kind)
        gc.collect()
        gc.disable()
        try:
            before = len(gc.get_objects())
            for _ in range(50):
                await one_request(app, kind)
            after = len(gc.get_objects())
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return after - before, Counter(type(found).__qualname__ for found in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    grown, garbage = asyncio.run(main())
    assert grown < 50 and sum(garbage.values()) < 50, (grown, garbage.most_common(12))


def test_the_check_can_fail() -> None:
    """An application that keeps its requests is found."""
    app = make_app()
    kept: list[Any] = []
    app.before_request(lambda: kept.append([request.headers]))

    async def main() -> int:
        await one_request(app, "async")
        before = len(gc.get_objects())
        for _ in range(50):
            await one_request(app, "async")
        return len(gc.get_objects()) - before

    assert asyncio.run(main()) >= 50
