"""Stepping an iterator or a generator in a Context of its own, from outside it.

`Steps` runs every step and the close of an iterator in one Context, whichever thread asks for it.
Nothing is left behind in the code that steps: it sees before and after exactly what it saw.
Borrowed steps, where a context is pushed and popped around each one, are the framework's
(`framework.streams`).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Steps(Generic[T]):
    """An iterator whose steps, close and end run in `context`.

    `finish(error)` is called once, in that Context, after the last step or at `close()`, whichever
    is first, and also when the object is dropped; `error` is what the iterator or its `close`
    raised, None after a good end. What the iterator raises is raised to the caller after the end.

    `left` is called in that Context when the object is closed or dropped before the iterator's end,
    and before that is closed.
    """

    __slots__ = ("__weakref__", "_context", "_finish", "_iterable", "_left", "_run", "_step")

    def __init__(
        self,
        context: contextvars.Context,
        iterable: Iterable[T],
        finish: Callable[[BaseException | None], object],
        left: Callable[[], object] | None = None,
    ) -> None:
        self._left = left
        self._context = context
        self._run = context.run
        self._iterable = iterable
        # The iterator's own `__next__`, once there is one: a frame less a step, 60 ns of 280.
        self._step: Callable[[], T] | None = None
        self._finish: Callable[[BaseException | None], object] | None = finish

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._finish is None:
            raise StopIteration
        try:
            return self._run(self._step or self._begin)
        except StopIteration:
            self._left = None
            self.close()
            raise
        except BaseException as error:
            if self._is_refused(error):
                raise _being_stepped() from None
            self._end(error)
            raise

    def close(self) -> None:
        """Close the iterator and end; a second call does nothing.

        Raises `RuntimeError`, and changes nothing, while other code steps.
        """
        self._end(None)

    def __del__(self) -> None:
        self._end(None)

    def _begin(self) -> T:
        step: Callable[[], T] = iter(self._iterable).__next__
        self._step = step
        return step()

    def _end(self, error: BaseException | None) -> None:
        finish, self._finish = self._finish, None
        if finish is None:
            return
        try:
            self._context.run(self._close_and_finish, finish, error)
        except RuntimeError as refused:
            if not self._is_refused(refused):
                raise
            self._finish = finish
            raise _being_stepped() from None

    def _close_and_finish(
        self, finish: Callable[[BaseException | None], object], error: BaseException | None
    ) -> None:
        iterable, self._iterable = self._iterable, ()
        left, self._left = self._left, None
        try:
            if left is not None and error is None:
                left()
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
            # A generator that only this object knows is closed by being dropped: here, before the
            # end.
            self._step = None
        except BaseException as close_error:
            finish(error or close_error)
            raise
        finish(error)

    def _is_refused(self, error: BaseException) -> bool:
        """Whether CPython refused to enter the Context twice, in the very frame that catches
        `error`."""
        traceback = error.__traceback__
        return (
            isinstance(error, RuntimeError)
            and traceback is not None
            and traceback.tb_next is None
            and str(error).startswith(f"cannot enter context: {self._context!r}")
        )


def _being_stepped() -> RuntimeError:
    return RuntimeError("This body is being stepped by other code at this moment.")
