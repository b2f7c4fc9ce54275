"""Streams of a request's body: what Werkzeug's limited stream does not tell.

What is read of them is in `request` and `forms`.
"""

from __future__ import annotations

import typing as t

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wsgi import LimitedStream


class Source:
    """A body to read. What a server raises about one that it cannot read (a chunk that is none, a
    connection that is gone) is the client's fault, and told from an error of the parser's files."""

    __slots__ = ("stream",)

    def __init__(self, stream: t.IO[bytes]) -> None:
        self.stream = stream

    def read(self, size: int) -> bytes:
        try:
            return self.stream.read(size)
        except OSError as error:
            raise ClientDisconnected() from error


class UpTo(LimitedStream):
    """A body whose length nobody has announced, and that may have `limit` bytes: one more is a 413.

    Werkzeug's gives `read()` the first `limit` bytes of a longer body as if they were all, and
    refuses one of just that length to who reads until nothing comes.
    """

    _more = False

    def on_exhausted(self) -> None:
        try:
            self._more = self._more or bool(self._stream.read(1))
        except (OSError, ValueError) as error:
            self.on_disconnect(error)
        if self._more:
            raise RequestEntityTooLarge()

    def readall(self) -> bytes:
        data = super().readall()
        if self.is_exhausted:
            self.on_exhausted()
        return data


def read_up_to(source: t.IO[bytes], size: int, position: int) -> t.IO[bytes]:
    """A stream over `source` with a limit of `size` bytes, `position` of them read already."""
    stream = LimitedStream(source, size)
    stream._pos = position
    return t.cast(t.IO[bytes], stream)
