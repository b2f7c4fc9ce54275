"""A request that several contexts hold, and who closes it."""

from __future__ import annotations

import threading
from typing import Any

from werkzeug.datastructures import MultiDict


class Sharing:
    """One request that several contexts hold; it is closed when the last of them lets go.

    With None there is nothing to close.
    """

    def __init__(self, request: Any) -> None:
        self._unclosed = [] if request is None else [request]
        self._holders: list[None] = []
        #: Held by a child while it reads the body.
        self.lock = threading.Lock()
        #: Whether a holder writes to the session, too.
        self.lends_session = False

    def take(self) -> Share:
        """A holder's share."""
        self._holders.append(None)
        return Share(self)

    def let_go(self) -> None:
        self._holders.pop()
        if not self._holders:
            # list.pop is atomic: of several that let go at once, one closes.
            try:
                request = self._unclosed.pop()
            except IndexError:
                return
            request.close()


class Share:
    """What one context holds of a shared request: given back once, at its end or with it."""

    def __init__(self, sharing: Sharing) -> None:
        self.sharing = sharing
        self._held = True
        #: Of a child whose request may read the body itself, that request: its files are its own.
        self.reader: Any = None

    def let_go(self) -> None:
        if self._held:
            self._held = False
            reader, self.reader = self.reader, None
            if reader is not None:
                for _, file in vars(reader).get("files", MultiDict()).items(multi=True):
                    file.close()
            self.sharing.let_go()

    def __del__(self) -> None:
        self.let_go()
