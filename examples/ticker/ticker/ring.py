"""The last events, numbered: for any number of readers, none of which can hold up who writes."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event; `data` is JSON."""

    id: str
    name: str
    data: str

    def __str__(self) -> str:
        """As it is sent."""
        return f"id: {self.id}\nevent: {self.name}\ndata: {self.data}\n\n"


class Ring:
    """The last `size` events; for the tasks of one event loop.

    An id is the ring's own name and the event's number: after a restart the old ids mean nothing.
    """

    def __init__(self, size: int) -> None:
        self._name = secrets.token_hex(4)
        self._kept: deque[Event] = deque(maxlen=size)
        self._last = 0
        self._written = asyncio.Event()

    def write(self, name: str, data: Any) -> None:
        """Add an event; `data` is plain data. Who reads is woken."""
        self._last += 1
        self._kept.append(Event(f"{self._name}-{self._last}", name, json.dumps(data)))
        written, self._written = self._written, asyncio.Event()
        written.set()

    def number_of(self, last_id: str | None) -> int | None:
        """The number in the id that a client saw last; None for no id, or one of another ring."""
        name, _, number = (last_id or "").partition("-")
        if name != self._name or not number.isdecimal() or len(number) > 18:
            return None
        return min(int(number), self._last)

    async def follow(self, after: int | None, heartbeat: float) -> AsyncGenerator[Event | None]:
        """What is kept after event number `after`, then each event as it is written, for ever.

        None after each silent `heartbeat` seconds. Who was too slow, or away for too long, gets an
        event "gap" with the number of those that are lost. Without a number it begins with the
        event that was written last.
        """
        if after is None:
            after = max(self._last - 1, 0)
        while True:
            first = self._last - len(self._kept)  # the number before the oldest that is kept
            if after < first:
                lost = json.dumps({"lost": first - after})
                after = first
                yield Event(f"{self._name}-{after}", "gap", lost)
            elif after < self._last:
                event = self._kept[after - first]
                after += 1
                yield event
            elif not await self._is_written(heartbeat):
                yield None

    async def _is_written(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._written.wait()
        except TimeoutError:
            return False
        return True
