"""The lifespan of mounted ASGI applications: started and stopped with the one they are mounted in.

Each runs in a task of its own, with its own state. The parent's lifespan does this; on the WSGI
edge, where a server need not run that, `bridge_wsgi` does. What the protocol's messages mean is in
the ASGI specification, "Lifespan".
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import Any

BY_ASGI = "demijohn.by_asgi"
"""The scope key that tells an application of this package whether its requests come by ASGI, for
sure; true where it is missing."""

_logger = logging.getLogger("demijohn")


class MountedLifespan:
    """The lifespan of one mounted application, on the running loop."""

    def __init__(self, app: Any, prefix: str, by_asgi: bool = True) -> None:
        self._app = app
        self._prefix = prefix
        self._by_asgi = by_asgi
        #: What the application keeps for its requests, each of which gets a copy.
        self.state: dict[str, Any] = {}
        #: Where it was started.
        self.loop: Any = None
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
            BY_ASGI: self._by_asgi,
        }
        self.loop = asyncio.get_running_loop()
        # In an empty Context: nothing of who starts it is seen in there.
        self._task = task = self.loop.create_task(self._run(scope), context=Context())
        answer = await self._ask("startup")
        if answer is None:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
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
        await self._app(scope, self._asked.get, self._send)

    async def _send(self, message: dict[str, Any]) -> None:
        if not message["type"].startswith("lifespan."):
            # An application that takes every scope for a request: it has no lifespan.
            raise ValueError(f"{message['type']!r} is no message of a lifespan.")
        self._answers.put_nowait(message)

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


class MountedLifespans:
    """The lifespans of all that is mounted in an application, on the running loop."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._started: list[tuple[str, MountedLifespan]] = []

    async def start(self, by_asgi: bool) -> None:
        """Start each; `by_asgi` says that the server calls by ASGI, for sure. `RuntimeError` when
        one does not start, or cannot be served; `stop` is to be called then, too."""
        mounts = self._app._mounts
        for mount in self._app.mounts:
            if mount.interface == "wsgi":
                if by_asgi:
                    mounts.asgi_of(mount)  # what it needs is installed, or this raises
                continue
            lifespan = MountedLifespan(mount.app, mount.prefix, by_asgi)
            await lifespan.start()
            self._started.append((mount.prefix, lifespan))
            mounts.lifespans[mount.prefix] = lifespan

    async def stop(self) -> list[BaseException]:
        """Stop what was started, the last first; returns what failed."""
        errors: list[BaseException] = []
        while self._started:
            prefix, lifespan = self._started.pop()
            await self._app._mounts.leave(prefix)
            try:
                await lifespan.stop()
            except Exception as error:
                errors.append(error)
        return errors
