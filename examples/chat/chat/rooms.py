"""Rooms: who is there, what was said last, and what each member has yet to be sent.

Everything happens on one event loop, between two awaits: there are no locks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Event = dict[str, Any]


class Member:
    """Somebody in a room, by one connection.

    `inbox` is bounded: a client that does not read may not fill the server's memory. When it is
    full, `send_away` is called, once.
    """

    def __init__(self, name: str, waiting: int, send_away: Callable[[], object]) -> None:
        self.name = name
        self.inbox: asyncio.Queue[Event] = asyncio.Queue(waiting)
        self._send_away: Callable[[], object] | None = send_away

    def tell(self, event: Event) -> None:
        """Put an event into the inbox; nothing waits for this member."""
        try:
            self.inbox.put_nowait(event)
        except asyncio.QueueFull:
            send_away, self._send_away = self._send_away, None
            if send_away is not None:
                send_away()


class Room:
    """One room. What is said goes to all members, the speaker too, in the same order."""

    def __init__(self, kept: int, waiting: int) -> None:
        self.members: list[Member] = []
        self._said: deque[Event] = deque(maxlen=kept)
        self._waiting = waiting

    @contextmanager
    def joined(self, name: str, send_away: Callable[[], object]) -> Iterator[Member]:
        """Be a member for a block. The inbox begins with what was said last."""
        member = Member(name, self._waiting + len(self._said), send_away)
        for event in self._said:
            member.tell(event)
        self.members.append(member)
        self._tell_who()
        try:
            yield member
        finally:
            self.members.remove(member)
            self._tell_who()

    def say(self, name: str, text: str) -> None:
        """Tell all members."""
        event = {"kind": "said", "name": name, "text": text}
        self._said.append(event)
        self._tell(event)

    def _tell_who(self) -> None:
        self._tell({"kind": "here", "names": sorted({member.name for member in self.members})})

    def _tell(self, event: Event) -> None:
        for member in list(self.members):
            member.tell(event)


class Rooms:
    """The rooms of one server process, by name; an empty one is forgotten."""

    def __init__(self, kept: int, waiting: int) -> None:
        self._rooms: dict[str, Room] = {}
        self._kept = kept
        self._waiting = waiting

    @contextmanager
    def joined(
        self, name: str, member: str, send_away: Callable[[], object]
    ) -> Iterator[tuple[Room, Member]]:
        """Be a member of a room for a block; see `Room.joined`."""
        room = self._rooms.setdefault(name, Room(self._kept, self._waiting))
        try:
            with room.joined(member, send_away) as joined:
                yield room, joined
        finally:
            if not room.members:
                self._rooms.pop(name, None)

    def __len__(self) -> int:
        return len(self._rooms)
