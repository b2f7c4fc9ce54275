"""What keeps the end of a context away for whom still needs it: an unfinished stream, say."""

from __future__ import annotations

from typing import Any


class Hold:
    """What keeps a context's end away: released once, by `release` or when it is dropped."""

    __slots__ = ("__weakref__", "_context")

    def __init__(self, context: Any) -> None:
        self._context = context

    def release(self, exc: BaseException | None = None) -> None:
        """Let go. The last release of a context that its owner has left runs the end, here.

        Raises what the end raised.
        """
        context, self._context = self._context, None
        if context is not None:
            context._let_go(exc)

    def __del__(self) -> None:
        self.release()
