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


async def shielded(
    steps: Awaitable[T], doing: Callable[[], str], what: object, app: Any, patient: bool = False
) -> T:
    """Await an end in a task of its own; a cancel waits for it, `END_TIMEOUT` seconds at most.

    That is the setting of `app`, if there is one. For the log of an end that is given up: `what`
    ends, and `doing` says what that was waiting for. `patient`: a cancel that has come before does
    not count.
    """
    waiting = asyncio.current_task()
    task = asyncio.ensure_future(steps)
    cancelled: asyncio.CancelledError | None = None
    limit = END_TIMEOUT if app is None else end_timeout(app)
    loop = asyncio.get_running_loop()
    # A cancel that has ended the work counts from here.
    was_cancelled = not patient and waiting is not None and waiting.cancelling() > 0
    until = loop.time() + limit if was_cancelled else None
    try:
        while not task.done():
            left = None if until is None else until - loop.time()
            if left is not None and left <= 0:
                _logger.error(
                    "The end of %r was not over %s s after it was cancelled, and is given up: %s",
                    *(what, limit, doing()),
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
