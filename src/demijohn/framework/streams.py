"""Streaming a generator with its request's context, outside the framework's edges too.

At an edge every step of a body runs in the request's own Context already, and these streams step
through. Elsewhere (under `test_request_context`, say) each step borrows the contexts: they are
pushed if they are not current and popped after it, so the code that steps sees no change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import update_wrapper
from typing import Any, Generic, TypeVar

from .contexts import RequestContext
from .globals import _cv_request

T = TypeVar("T")


class ContextStream(Generic[T]):
    """An iterator whose steps see `ctx`. As long as it is unfinished, the context does not end."""

    def __init__(self, ctx: RequestContext, iterator: Iterator[T]) -> None:
        self._ctx = ctx
        self._iterator: Iterator[T] | None = iterator
        self._hold = ctx.hold()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        iterator = self._iterator
        if iterator is None:
            raise StopIteration
        try:
            return self._borrowing(iterator.__next__)
        except StopIteration:
            self.close()
            raise
        except BaseException as error:
            self._finish(error)
            raise

    def close(self) -> None:
        """Close the iterator in its context and let go of the context; a second call does nothing."""
        self._finish(None)

    def __del__(self) -> None:
        if "_hold" in self.__dict__:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            return
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                self._borrowing(close)
        finally:
            self._hold.release(error)

    def _borrowing(self, step: Callable[[], Any]) -> Any:
        ctx = self._ctx
        if _cv_request.get(None) is ctx or ctx.ended:
            return step()
        ctx.push()
        try:
            return step()
        finally:
            ctx.pop(None)


def stream_with_context(generator_or_function: Any) -> Any:
    """Keep the current request's context for a generator that runs after the view returned.

    Takes an iterator, or decorates a generator function. Raises `RuntimeError` outside a request.
    """
    if not isinstance(generator_or_function, Iterable) and not hasattr(
        generator_or_function, "__next__"
    ):
        if not callable(generator_or_function):
            iter(generator_or_function)  # raises the TypeError that says what it is

        def decorator(*args: Any, **kwargs: Any) -> Any:
            return stream_with_context(generator_or_function(*args, **kwargs))

        return update_wrapper(decorator, generator_or_function)
    iterator = iter(generator_or_function)
    ctx = _cv_request.get(None)
    if ctx is None:
        raise RuntimeError(
            "'stream_with_context' can only be used when a request context is active, such as in"
            " a view function."
        )
    return ContextStream(ctx, iterator)
