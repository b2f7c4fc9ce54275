"""One opened resource: how it is opened, ended and released, and who opened it.

A resource runs in a `contextvars.Context` of its own, a copy of its opener's, from its opening to
its close: a variable that it sets can be reset by it wherever the close happens, and code that uses
the resource sees nothing of that. Which resources a context holds is `held`'s.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from types import TracebackType
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Declared:
    """What is asked of a resource's declaration."""

    name: str
    lifetime: Any
    function: Callable[[], Any]
    is_async: bool

    def is_dirty(self, opened: Opened) -> bool:
        """Whether a release would lose work."""
        raise NotImplementedError

    def __str__(self) -> str:
        """The name and the place of the declaration."""
        return self.name


class _Generator:
    """A resource written as a generator function: opened by its `yield`."""

    def __init__(self, declared: Declared, generator: Generator[Any, None, None]) -> None:
        self._declared = declared
        self._generator = generator

    def start(self) -> Any:
        try:
            return next(self._generator)
        except StopIteration:
            raise RuntimeError(f"{self._declared} did not yield a value.") from None

    def finish(self, exc: BaseException | None) -> None:
        """Go on after the `yield`, or raise `exc` there, as `contextlib.contextmanager` does."""
        generator = self._generator
        with _Thrown(exc):
            try:
                if exc is None:
                    next(generator)
                else:
                    generator.throw(exc)
            except StopIteration as stop:
                if stop is exc:
                    raise
                return
            generator.close()
            raise _twice(self._declared)

    def abandon(self) -> None:
        self._generator.close()


class _Manager:
    """A resource written as a function that returns a context manager."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def start(self) -> Any:
        return type(self._manager).__enter__(self._manager)

    def finish(self, exc: BaseException | None) -> None:
        kind = None if exc is None else type(exc)
        traceback = None if exc is None else exc.__traceback__
        with _Thrown(exc):
            type(self._manager).__exit__(self._manager, kind, exc, traceback)

    def abandon(self) -> None:
        self.finish(GeneratorExit())


class _AsyncGenerator:
    """The same as `_Generator`, awaited."""

    def __init__(self, declared: Declared, generator: AsyncGenerator[Any, None]) -> None:
        self._declared = declared
        self._generator = generator

    async def start(self) -> Any:
        try:
            return await anext(self._generator)
        except StopAsyncIteration:
            raise RuntimeError(f"{self._declared} did not yield a value.") from None

    async def finish(self, exc: BaseException | None) -> None:
        generator = self._generator
        with _Thrown(exc):
            try:
                if exc is None:
                    await anext(generator)
                else:
                    await generator.athrow(exc)
            except StopAsyncIteration as stop:
                if stop is exc:
                    raise
                return
            await generator.aclose()
            raise _twice(self._declared)

    async def abandon(self) -> None:
        await self._generator.aclose()


class _AsyncManager:
    """The same as `_Manager`, awaited."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def start(self) -> Any:
        return await type(self._manager).__aenter__(self._manager)

    async def finish(self, exc: BaseException | None) -> None:
        kind = None if exc is None else type(exc)
        traceback = None if exc is None else exc.__traceback__
        with _Thrown(exc):
            await type(self._manager).__aexit__(self._manager, kind, exc, traceback)

    async def abandon(self) -> None:
        await self.finish(GeneratorExit())


class _Thrown:
    """Around code that `exc` is thrown into: its coming out again is no error of that code's.

    Its traceback is left as it was: the frames of the close would stay alive with it.
    """

    def __init__(self, exc: BaseException | None) -> None:
        self._exc = exc
        self._traceback = None if exc is None else exc.__traceback__

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        exc = self._exc
        if exc is not None:
            exc.__traceback__ = self._traceback
        # A StopIteration that leaves a generator becomes a RuntimeError (PEP 479).
        ours = raised is exc or (
            isinstance(exc, (StopIteration, StopAsyncIteration))
            and isinstance(raised, RuntimeError)
            and raised.__cause__ is exc
        )
        self._exc = None
        return raised is not None and ours


def _twice(declared: Declared) -> RuntimeError:
    return RuntimeError(f"{declared} yielded a second time; a resource yields once.")


class Opened:
    """One opened resource, in a context or an application's scope.

    `value` is what users get. `end` and `release` are coroutine functions where `is_async`; each of
    an `Opened` is called once in all.
    """

    __slots__ = (
        *("around", "context", "declared", "events"),
        *("loop", "opener", "since", "source", "thread", "value"),
    )

    def __init__(
        self, declared: Declared, around: Callable[[], AbstractContextManager[Any]] | None = None
    ) -> None:
        self.declared = declared
        # One that outlives the context in which it was opened must not keep that alive.
        empty = around is not None
        self.context = contextvars.Context() if empty else contextvars.copy_context()
        #: Makes the `with` block in which it is opened and closed, if it has one.
        self.around = nullcontext if around is None else around
        #: The events of its transaction, where its declaration has that hook.
        self.events: Any = None
        #: The running event loop, for an async one.
        self.loop: Any = None
        self.value: Any = None
        self.source: Any = None
        self.thread = threading.current_thread().name
        self.opener = caller()
        #: `time.monotonic()` at the opening.
        self.since = monotonic()

    def open(self) -> None:
        """Call the function and start what it returns."""
        self.context.run(self._open)

    def _open(self) -> None:
        declared = self.declared
        with self.around():
            made = declared.function()
            if isinstance(made, Generator):
                self.source = _Generator(declared, made)
            elif hasattr(type(made), "__enter__"):
                self.source = _Manager(made)
            else:
                raise TypeError(
                    f"{declared} returned {type(made).__name__!r}: a resource is a generator"
                    " function or a function that returns a context manager."
                )
            self.value = self.source.start()

    async def open_async(self) -> None:
        """The same for an async one, on the running loop."""
        import asyncio

        self.loop = asyncio.get_running_loop()
        declared = self.declared
        made: Any = self.context.run(declared.function)
        if isinstance(made, AsyncGenerator):
            self.source = _AsyncGenerator(declared, made)
        elif hasattr(type(made), "__aenter__"):
            self.source = _AsyncManager(made)
        else:
            raise TypeError(
                f"{declared} returned {type(made).__name__!r}: an async resource is an async"
                " generator function or returns an async context manager."
            )
        self.value = await self._awaited(self.source.start())

    def end(self, exc: BaseException | None) -> Any:
        """Its real end: the code after the `yield` runs, or `exc` is raised there."""
        if self.declared.is_async:
            return self._awaited(self.source.finish(exc))
        return self.context.run(self._finish, exc)

    def _finish(self, exc: BaseException | None) -> None:
        with self.around():
            self.source.finish(exc)

    def release(self) -> Any:
        """Give it back before its end: a `GeneratorExit` at the `yield`."""
        if self.declared.is_async:
            return self._awaited(self.source.abandon())
        return self.context.run(self.source.abandon)

    async def _awaited(self, coroutine: Any) -> Any:
        """Run a coroutine in this resource's Context: a task, as only that takes a Context."""
        import asyncio

        return await asyncio.get_running_loop().create_task(coroutine, context=self.context)

    def __str__(self) -> str:
        return f"{self.declared}, opened by {self.opener} in thread {self.thread!r}"


def caller() -> str:
    """`file:line function` of the code outside this package that is running it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} {code.co_qualname}"
