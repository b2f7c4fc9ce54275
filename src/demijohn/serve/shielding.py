"""Ends of requests, which a cancel neither skips nor cuts short: for a time that is limited.

How their coroutines are stepped is `driving`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..context.ending import END_TIMEOUT
from ..framework.limits import end_timeout

T = TypeVar("T")
_logger = logging.getLogger("demijohn")


async def shielded(steps: Awaitable[T], doing: Callable[[], str], ctx: Any) -> T:
    """Await an end in a task of its own; a cancel waits for it, `END_TIMEOUT` seconds at most.

    That is the setting of the application of `ctx`, if there is one. `doing` says, for the log,
    what an end that is given up was waiting for.
    """
    waiting = asyncio.current_task()
    task = asyncio.ensure_future(steps)
    cancelled: asyncio.CancelledError | None = None
    limit = END_TIMEOUT if ctx is None else end_timeout(ctx.app)
    loop = asyncio.get_running_loop()
    # A cancel that has ended the work counts from here.
    was_cancelled = waiting is not None and waiting.cancelling() > 0
    until = loop.time() + limit if was_cancelled else None
    try:
        while not task.done():
            left = None if until is None else until - loop.time()
            if left is not None and left <= 0:
                _logger.error(
                    "The end of %r was not over %s s after it was cancelled, and is given up: %s",
                    *(ctx, limit, doing()),
                )
                task.cancel()
                await asyncio.wait([task], timeout=1)
                break
            try:
                await asyncio.wait([task], timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
                until = until or loop.time() + limit
        if cancelled is None and task.done():
            return task.result()
        raise cancelled or asyncio.CancelledError()
    finally:
        # The error's traceback leads to this frame.
        del cancelled
