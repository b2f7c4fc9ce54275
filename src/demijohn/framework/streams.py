"""Streaming a generator with its request's context, outside the framework's edges too.

At an edge every step of a body runs in the request's own Context already, and these streams step
through. Elsewhere (under `test_request_context`, say) each step borrows the contexts: they are
pushed if they are not current and popped after it, so the code that steps sees no change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ..context.ending import raise_errors, run_all
from .contexts import RequestContext
from .globals import _cv_app, _cv_request

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class ContextStream(Generic[T]):
    """An iterator whose steps see `ctx`. As long as it is unfinished, the context does not end."""

    def __init__(self, ctx: RequestContext, iterator: Iterator[T]) -> None:
        self._ctx = ctx
        self._iterator: Iterator[T] | None = iterator
        # Held by whoever steps or closes: a second one is refused, and changes nothing.
        self._busy = threading.Lock()
        # The app context that the request runs with, joined or its own, is needed as well.
        self._app_hold = ctx.app_ctx.hold() if ctx.app_ctx is not None else None
        self._hold = ctx.hold()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        self._enter()
        try:
            iterator = self._iterator
            if iterator is None:
                raise StopIteration
            try:
                step: T = self._borrowing(iterator.__next__)
            except StopIteration:
                self._finish(None)
                raise
            except BaseException as error:
                self._finish(error)
                raise
            return step
        finally:
            self._busy.release()

    def close(self) -> None:
        """Close the iterator in its context, and let go of that; once.

        Raises `RuntimeError`, and changes nothing, while other code steps.
        """
        self._enter()
        try:
            self._finish(None)
        finally:
            self._busy.release()

    def __del__(self) -> None:
        if "_hold" in self.__dict__:
            self._finish(None)

    def _enter(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("This stream is being stepped by other code at this moment.")

    def _finish(self, error: BaseException | None) -> None:
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            return
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                self._borrowing(close)
        finally:
            releases = [
                partial(hold.release, error) for hold in (self._hold, self._app_hold) if hold
            ]
            raise_errors(run_all(releases), f"Errors at the end of {self._ctx!r}")

    def _borrowing(self, step: Callable[[], R]) -> R:
        ctx = self._ctx
        # At an edge the Context is the request's: what the body pushed over it is the body's own.
        if ctx.ended or (
            _cv_request.get(None) is ctx and (ctx._at_edge or _cv_app.get(None) is ctx.app_ctx)
        ):
            return step()
        ctx.push()
        try:
            return step()
        finally:
            ctx.pop(None)


@overload
def stream_with_context(generator_or_function: Iterator[T]) -> Iterator[T]: ...
@overload
def stream_with_context(
    generator_or_function: Callable[P, Iterator[T]],
) -> Callable[P, Iterator[T]]: ...
def stream_with_context(generator_or_function: Any) -> Any:
    """Keep the current request's context for a generator that runs after the view returned.

    Takes an iterator, or decorates a generator function. Raises `RuntimeError` outside a request.
    """
    try:
        iterator = iter(generator_or_function)
    except TypeError:
        function = generator_or_function
        if not callable(function):
            raise

        def decorator(*args: Any, **kwargs: Any) -> Any:
            made: Any = function(*args, **kwargs)
            return stream_with_context(made)

        return update_wrapper(decorator, function)
    ctx = _cv_request.get(None)
    if ctx is None:
        raise RuntimeError(
            "'stream_with_context' can only be used when a request context is active, such as in"
            " a view function."
        )
    return ContextStream(ctx, iterator)
