"""An event loop in a thread of its own, for code that runs where there is none.

What it is made for, once an application, a mount or a test, is its users'.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """A started thread called `name`, and the loop that runs in it until `stop`."""

    def __init__(self, name: str) -> None:
        #: The loop, for `call_soon_threadsafe` and the like.
        self.loop: Any = None
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)), name=name, daemon=True
        )
        # In an empty Context on every CPython: the loop's tasks would inherit the caller's.
        Context().run(self._thread.start)
        ready.wait()

    async def _main(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        ready.set()
        await self._over.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there; what it returns or raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def stop(self, timeout: float | None = None) -> None:
        """Cancel what is left on the loop and end the thread; wait for it that many seconds."""
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout)
