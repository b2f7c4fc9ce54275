"""The lifespan of mounted ASGI applications: started and stopped with the one they are mounted in.

Each runs in a task of its own, with its own state. On the ASGI edge the parent's lifespan does this
(`mounted`), on the WSGI edge the bridge's loop (`bridge_wsgi`). What the protocol's messages mean
is in the ASGI specification, "Lifespan".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from typing import Any

from .mounted import Mount

_logger = logging.getLogger("demijohn")


class Lifespan:
    """One application's lifespan, on the running loop."""

    def __init__(self, app: Any, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        #: What the application keeps for its requests, each of which gets a copy.
        self.state: dict[str, Any] = {}
        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the application; `RuntimeError` when it says that it cannot.

        One that knows no lifespan (it raises, or returns, before an answer) is left alone.
        """
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        # In an empty Context: nothing of who starts it is seen in there.
        self._task = asyncio.get_running_loop().create_task(self._run(scope), context=Context())
        answer = await self._ask("startup")
        if answer is None:
            if (task := self._task).done() and (error := task.exception()) is not None:
                _logger.debug("What is mounted at %s has no lifespan", self._prefix, exc_info=error)
            self._task = None
        elif answer["type"] != "lifespan.startup.complete":
            await self._over()
            raise RuntimeError(
                f"What is mounted at {self._prefix!r} did not start: {answer.get('message', '')}"
            )

    async def stop(self) -> None:
        """Stop the application, if it was started; `RuntimeError` when it says that it failed."""
        if self._task is None:
            return
        answer = await self._ask("shutdown")
        await self._over()
        if answer is not None and answer["type"] != "lifespan.shutdown.complete":
            raise RuntimeError(
                f"What is mounted at {self._prefix!r} did not stop: {answer.get('message', '')}"
            )

    async def _run(self, scope: dict[str, Any]) -> None:
        await self._app(scope, self._asked.get, self._answers.put)

    async def _ask(self, what: str) -> dict[str, Any] | None:
        """Send one message and wait for its answer; None when the application ended without."""
        task = self._task
        assert task is not None
        self._asked.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._answers.get())
        try:
            await asyncio.wait([task, answer], return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            return None if self._answers.empty() else self._answers.get_nowait()
        finally:
            answer.cancel()

    async def _over(self) -> None:
        """Let the application's task end, which has given its last answer."""
        task, self._task = self._task, None
        assert task is not None
        _, late = await asyncio.wait([task], timeout=5)
        for one in late:
            one.cancel()
            await asyncio.wait([one], timeout=1)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("What is mounted at %s failed", self._prefix, exc_info=error)


@asynccontextmanager
async def mounted(app: Any) -> AsyncIterator[None]:
    """For the block, everything ASGI that is mounted in `app` is started.

    Raises `RuntimeError`, with all stopped again, when one of it does not start.
    """
    async with AsyncExitStack() as stack:
        for mount in app.mounts:
            await stack.enter_async_context(_started(app, mount))
        yield


@asynccontextmanager
async def _started(app: Any, mount: Mount) -> AsyncIterator[None]:
    called = app._mounts.asgi_of(mount)
    if mount.interface == "wsgi":
        # Nothing to start; but what serves it must be installed.
        yield
        return
    lifespan = Lifespan(called, mount.prefix)
    await lifespan.start()
    app._mounts.states[mount.prefix] = lifespan.state
    try:
        yield
    finally:
        app._mounts.states.pop(mount.prefix, None)
        await lifespan.stop()
