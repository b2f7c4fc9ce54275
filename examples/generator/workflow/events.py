"""A run's events: numbered, encoded once, kept in one bounded log that any number of views read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

TERMINAL = frozenset({"finished", "failed", "stopped"})
MOST_EVENTS = 1000


class Event(NamedTuple):
    """One event; `data` is JSON."""

    number: int
    name: str
    data: str

    @property
    def is_last(self) -> bool:
        """Whether it ends the run."""
        return self.name in TERMINAL


class EventLog:
    """What happened in one run, in order. A full log loses its oldest, and says so.

    Nobody who reads it can hold up who writes.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._dropped = 0
        self._changed = threading.Condition()

    def write(self, name: str, **data: Any) -> None:
        """Add an event of plain data. Nothing can follow a terminal one."""
        encoded = json.dumps(data)
        with self._changed:
            if self._events and self._events[-1].is_last:
                raise RuntimeError(f"The run has ended; {name!r} comes too late.")
            number = self._dropped + len(self._events) + 1
            self._events.append(Event(number, name, encoded))
            if len(self._events) > MOST_EVENTS:
                del self._events[0]
                self._dropped += 1
            self._changed.notify_all()

    def read(self, after: int, heartbeat: float) -> Iterator[Event | None]:
        """The events after number `after`, to the last one; None after each silent `heartbeat`
        seconds. A gap comes as an event of its own."""
        while True:
            with self._changed:
                if self._end() <= after:
                    self._changed.wait(heartbeat)
                if self._end() <= after:
                    event = None
                elif after < self._dropped:
                    lost = json.dumps({"lost": self._dropped - after})
                    event = Event(self._dropped, "gap", lost)
                else:
                    event = self._events[after - self._dropped]
            yield event
            if event is not None:
                after = event.number
                if event.is_last:
                    return

    def _end(self) -> int:
        return self._dropped + len(self._events)


def as_sse(events: Iterator[Event | None]) -> Iterator[str]:
    """Server-sent events: a frame for each event, a comment for each heartbeat."""
    yield "retry: 2000\n\n"
    for event in events:
        if event is None:
            yield ": alive\n\n"
        else:
            yield f"id: {event.number}\nevent: {event.name}\ndata: {event.data}\n\n"
