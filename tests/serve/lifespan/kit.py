"""What the tests of lifespans share: an application that logs, and the ways to serve it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import demijohn
from demijohn import current_app, resource

WAIT = 60.0
"""Seconds until something that does not happen is taken for a failure."""


class Boom(Exception):
    """An error that nobody handles."""


class Site(demijohn.Demijohn):
    """An application that writes what runs around its serving to `log`."""

    def __init__(self) -> None:
        super().__init__("site", static_folder=None)
        self.log: list[str] = []
        self.errors: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.errors.append(record.getMessage())  # type: ignore[method-assign]
        self.logger.handlers = [handler]
        self.logger.propagate = False

    def note(self, line: str) -> None:
        self.log.append(f"{line} in {current_app.name}")

    def add(self, name: str, asynchronous: bool) -> None:
        """Register one function of each kind, and have them open a resource."""
        opened = engine(self, name, asynchronous)

        def before() -> None:
            self.note(f"before {name}")

        def after() -> None:
            self.note(f"after {name}")

        def around() -> Iterator[None]:
            assert opened
            self.note(f"enter {name}")
            yield
            self.note(f"leave {name}")

        async def before_async() -> None:
            before()
            await asyncio.sleep(0)

        async def after_async() -> None:
            await asyncio.sleep(0)
            after()

        async def around_async() -> AsyncIterator[None]:
            assert await opened
            self.note(f"enter {name}")
            await asyncio.sleep(0)
            yield
            await asyncio.sleep(0)
            self.note(f"leave {name}")

        self.before_serving(before_async if asynchronous else before)
        self.while_serving(around_async if asynchronous else around)
        self.after_serving(after_async if asynchronous else after)


def engine(site: Site, name: str, asynchronous: bool) -> Any:
    """A resource of lifetime `app` that logs."""

    def sync() -> Iterator[bool]:
        site.note(f"open {name}")
        yield True
        site.note(f"close {name}")

    async def awaited() -> AsyncIterator[bool]:
        await asyncio.sleep(0)
        for value in sync():
            yield value
            await asyncio.sleep(0)

    declare: Any = resource(lifetime="app")
    return declare(awaited if asynchronous else sync)


class Server:
    """A server in memory, of one application's lifespan."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sent: list[dict[str, Any]] = []
        self._messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._told = asyncio.Event()

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self._told.set()

    async def start(self) -> dict[str, Any]:
        """What is answered to the start."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        called: Awaitable[None] = self.app(scope, self._messages.get, self._send)
        self.task = asyncio.ensure_future(called)
        return await self._ask("startup")

    async def stop(self) -> dict[str, Any]:
        """What is answered to the end, once the application has returned."""
        answer = await self._ask("shutdown")
        await self.task
        return answer

    async def _ask(self, what: str) -> dict[str, Any]:
        self._told.clear()
        self._messages.put_nowait({"type": f"lifespan.{what}"})
        told = asyncio.ensure_future(self._told.wait())
        await asyncio.wait([told, self.task], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        return self.sent[-1]


@asynccontextmanager
async def by_server(app: Any) -> AsyncIterator[None]:
    server = Server(app)
    assert await server.start() == {"type": "lifespan.startup.complete"}
    yield
    assert await server.stop() == {"type": "lifespan.shutdown.complete"}


def served_by_server(app: Any, work: Callable[[], object]) -> None:
    """Serve by the protocol of ASGI servers, and do some work meanwhile."""

    async def main() -> None:
        async with by_server(app):
            work()

    asyncio.run(main())


def served_async(app: Any, work: Callable[[], object]) -> None:
    async def main() -> None:
        async with app.serving():
            work()

    asyncio.run(main())


def served_sync(app: Any, work: Callable[[], object]) -> None:
    with app.serving():
        work()


WAYS = [served_by_server, served_async, served_sync]
"""How an application is served."""
