"""Streaming a generator with its request's context, outside the framework's edges too.

At an edge every step of a body runs in the request's own Context already, and these streams step
through. Elsewhere (under `test_request_context`, say) each step borrows the contexts: they are
pushed if they are not current and popped after it, so the code that steps sees no change.

An async generator is stepped by an edge with an event loop as it is; for others there is
`SyncSteps`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ..context.ending import raise_errors, run_all
from .aio import Elsewhere, async_to_sync, must_leave_thread
from .contexts import RequestContext
from .globals import _cv_app, _cv_request

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Held:
    """What a stream keeps of its request: as long as it is unfinished, the context does not end."""

    def __init__(self, ctx: RequestContext) -> None:
        self.ctx = ctx
        # Held by whoever steps or closes: a second one is refused, and changes nothing.
        self._busy = threading.Lock()
        # The app context that the request runs with, joined or its own, is needed as well.
        self._holds = [ctx.hold()]
        if ctx.app_ctx is not None:
            self._holds.append(ctx.app_ctx.hold())

    def __enter__(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("This stream is being stepped by other code at this moment.")

    def __exit__(self, *exc: object) -> None:
        self._busy.release()

    def borrows(self) -> bool:
        """Whether a step must make the contexts current: at an edge they are the Context's own, and
        what the body pushed over them is the body's."""
        ctx = self.ctx
        return not ctx.ended and not (
            _cv_request.get(None) is ctx and (ctx._at_edge or _cv_app.get(None) is ctx.app_ctx)
        )

    def release(self, error: BaseException | None) -> None:
        """Let go of the request; raises what its end raises, if that was all it waited for."""
        releases = [partial(hold.release, error) for hold in self._holds]
        raise_errors(run_all(releases), f"Errors at the end of {self.ctx!r}")


class ContextStream(Generic[T]):
    """An iterator whose steps see `ctx`. As long as it is unfinished, the context does not end."""

    def __init__(self, ctx: RequestContext, iterator: Iterator[T]) -> None:
        self._iterator: Iterator[T] | None = iterator
        self._held = _Held(ctx)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._held:
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

    def close(self) -> None:
        """Close the iterator in its context, and let go of that; once.

        Raises `RuntimeError`, and changes nothing, while other code steps.
        """
        with self._held:
            self._finish(None)

    def __del__(self) -> None:
        if "_held" in self.__dict__:
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
            self._held.release(error)

    def _borrowing(self, step: Callable[[], R]) -> R:
        held = self._held
        if not held.borrows():
            return step()
        held.ctx.push()
        try:
            return step()
        finally:
            held.ctx.pop(None)


class AsyncContextStream(Generic[T]):
    """The same for an async iterator."""

    def __init__(self, ctx: RequestContext, iterator: AsyncIterator[T]) -> None:
        self._iterator: AsyncIterator[T] | None = iterator
        self._held = _Held(ctx)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        with self._held:
            iterator = self._iterator
            if iterator is None:
                raise StopAsyncIteration
            try:
                step: T = await self._borrowing(iterator.__anext__)
            except StopAsyncIteration:
                await self._finish(None)
                raise
            except BaseException as error:
                await self._finish(error)
                raise
            return step

    async def aclose(self) -> None:
        """Close the iterator in its context, and let go of that; once.

        Raises `RuntimeError`, and changes nothing, while other code steps.
        """
        with self._held:
            await self._finish(None)

    def __del__(self) -> None:
        # Its iterator is closed by the loop that it ran on, if it ran at all.
        if "_held" in self.__dict__ and self._iterator is not None:
            self._iterator = None
            self._held.release(None)

    async def _finish(self, error: BaseException | None) -> None:
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            return
        try:
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await self._borrowing(aclose)
        finally:
            self._held.release(error)

    async def _borrowing(self, step: Callable[[], Awaitable[R]]) -> R:
        held = self._held
        if not held.borrows():
            return await step()
        held.ctx.push()
        try:
            return await step()
        finally:
            held.ctx.pop(None)


class SyncSteps:
    """The body of an async iterator for an edge without an event loop: each step runs on the loop
    of the thread that asks for it, or where none may run there, on a loop of the body's own.

    Args:
        body: what else is to be closed with it.
    """

    def __init__(self, parts: AsyncIterable[str | bytes], body: Any) -> None:
        self._parts = aiter(parts)
        self._body = body
        self._elsewhere: Elsewhere | None = None
        # The loop and the task of a step that is under way.
        self._stepping: tuple[Any, Any] | None = None
        self._interrupted = False

    def _run(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        if self._elsewhere is None and must_leave_thread():
            self._elsewhere = Elsewhere()
        if self._elsewhere is not None:
            return self._elsewhere.run(function)
        return async_to_sync(function)()

    async def _next(self) -> str | bytes | None:
        asyncio = sys.modules["asyncio"]
        self._stepping = asyncio.get_running_loop(), asyncio.current_task()
        try:
            # After the step is known: `interrupt` looks the other way round.
            return None if self._interrupted else await anext(self._parts, None)
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
            return None
        finally:
            self._stepping = None

    def interrupt(self) -> None:
        """Have the body end now, whatever it awaits: `CancelledError` there. From any thread."""
        self._interrupted = True
        stepping = self._stepping
        if stepping is not None:
            loop, task = stepping
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                pass  # the loop is closed: nothing waits there

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part = self._run(self._next)
        if part is None:
            raise StopIteration
        return part.encode() if isinstance(part, str) else part

    def close(self) -> None:
        """Close the iterator, then the body."""
        aclose = getattr(self._parts, "aclose", None)
        try:
            if aclose is not None:
                self._run(aclose)
        finally:
            try:
                self._body.close()
            finally:
                if self._elsewhere is not None:
                    self._elsewhere.close()


@overload
def stream_with_context(generator_or_function: Iterator[T]) -> Iterator[T]: ...
@overload
def stream_with_context(generator_or_function: AsyncIterator[T]) -> AsyncIterator[T]: ...
@overload
def stream_with_context(
    generator_or_function: Callable[P, Iterator[T]],
) -> Callable[P, Iterator[T]]: ...
@overload
def stream_with_context(
    generator_or_function: Callable[P, AsyncIterator[T]],
) -> Callable[P, AsyncIterator[T]]: ...
def stream_with_context(generator_or_function: Any) -> Any:
    """Keep the current request's context for a generator that runs after the view returned.

    Takes an iterator, sync or async, or decorates a generator function. Raises `RuntimeError`
    outside a request.
    """
    is_async = hasattr(generator_or_function, "__aiter__")
    try:
        iterator = aiter(generator_or_function) if is_async else iter(generator_or_function)
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
    return AsyncContextStream(ctx, iterator) if is_async else ContextStream(ctx, iterator)
