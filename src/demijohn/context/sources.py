"""What a resource is made of: a generator or a context manager, sync or async.

Each kind has the same three methods: `start` gives the value, `finish` goes on after it or raises
an error there, `abandon` ends it without going on. The async kinds' are coroutine functions.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import Any, NoReturn, TypeAlias

from .errors import ContextWarning


class SyncGenerator:
    """A resource written as a generator function: opened by its `yield`."""

    def __init__(self, declared: object, generator: Generator[Any, None, None]) -> None:
        self._declared = declared
        self._generator = generator

    def start(self) -> Any:
        try:
            return next(self._generator)
        except StopIteration:
            raise RuntimeError(f"The {self._declared} did not yield a value.") from None

    def finish(self, exc: BaseException | None) -> None:
        """Go on after the `yield`, or raise `exc` there, as `contextlib.contextmanager` does."""
        generator = self._generator
        if exc is None:
            try:
                next(generator)
            except StopIteration:
                return
            self._refuse()
        with _Thrown(exc):
            try:
                generator.throw(exc)
            except StopIteration as stop:
                if stop is exc:
                    raise
                return
            self._refuse()

    def _refuse(self) -> NoReturn:
        twice = _yielded_twice(self._declared)
        try:
            self._generator.close()
        except BaseException as error:
            raise twice from error
        raise twice

    def abandon(self) -> None:
        self.finish(GeneratorExit())


class SyncManager:
    """A resource written as a function that returns a context manager."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def start(self) -> Any:
        return type(self._manager).__enter__(self._manager)

    def finish(self, exc: BaseException | None) -> None:
        with _Thrown(exc):
            type(self._manager).__exit__(self._manager, *_triple(exc))

    def abandon(self) -> None:
        self.finish(GeneratorExit())


class AwaitedGenerator:
    """The same as `SyncGenerator`, awaited."""

    def __init__(self, declared: object, generator: AsyncGenerator[Any, None]) -> None:
        self._declared = declared
        self._generator = generator

    async def start(self) -> Any:
        try:
            return await anext(self._generator)
        except StopAsyncIteration:
            raise RuntimeError(f"The {self._declared} did not yield a value.") from None

    async def finish(self, exc: BaseException | None) -> None:
        generator = self._generator
        if getattr(generator, "ag_frame", self) is None:  # it is over; a compiled one has none
            # A loop closes the generators that were begun on it when it is closed itself.
            if exc is None:
                self._warn_of_closed_loop()
            return
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
            twice = _yielded_twice(self._declared)
            try:
                await generator.aclose()
            except BaseException as error:
                raise twice from error
            raise twice

    def _warn_of_closed_loop(self) -> None:
        warnings.warn(
            f"The {self._declared} was ended by the close of its event loop, before the end of its"
            " context: what it has after the `yield` was not run. Use it in a context that ends on"
            " that loop (`async with`), or on a loop that outlives the context.",
            ContextWarning,
            stacklevel=2,
        )

    async def abandon(self) -> None:
        await self.finish(GeneratorExit())


class AwaitedManager:
    """The same as `SyncManager`, awaited."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def start(self) -> Any:
        return await type(self._manager).__aenter__(self._manager)

    async def finish(self, exc: BaseException | None) -> None:
        with _Thrown(exc):
            await type(self._manager).__aexit__(self._manager, *_triple(exc))

    async def abandon(self) -> None:
        await self.finish(GeneratorExit())


Source: TypeAlias = SyncGenerator | SyncManager | AwaitedGenerator | AwaitedManager


def sync_source(declared: object, made: Any) -> SyncGenerator | SyncManager:
    """The source for what a resource's function returned; `TypeError` for what is none."""
    if isinstance(made, Generator):
        return SyncGenerator(declared, made)
    if hasattr(type(made), "__enter__") and hasattr(type(made), "__exit__"):
        return SyncManager(made)
    hint = ""
    if isinstance(made, AsyncGenerator) or hasattr(type(made), "__aenter__"):
        hint = " An async one is declared as an async generator function."
    raise TypeError(
        f"The {declared} returned {type(made).__name__!r}: a resource is a generator function, or"
        f" a function that returns a context manager.{hint}"
    )


def async_source(declared: object, made: Any) -> AwaitedGenerator | AwaitedManager:
    """The same for an async resource."""
    if isinstance(made, AsyncGenerator):
        return AwaitedGenerator(declared, made)
    if hasattr(type(made), "__aenter__") and hasattr(type(made), "__aexit__"):
        return AwaitedManager(made)
    raise TypeError(
        f"The {declared} returned {type(made).__name__!r}: an async resource is an async generator"
        " function, or returns an async context manager."
    )


def _yielded_twice(declared: object) -> RuntimeError:
    return RuntimeError(f"The {declared} yielded a second time; a resource yields once.")


def _triple(exc: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if exc is None else (type(exc), exc, exc.__traceback__)


class _Thrown:
    """Around code that `exc` is thrown into: its coming out again is no error of that code's.

    Its traceback is left as it was: the frames of the close would stay alive with it.
    """

    __slots__ = ("_exc", "_traceback")

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
        exc, self._exc = self._exc, None
        if exc is not None:
            exc.__traceback__ = self._traceback
        # A StopIteration that leaves a generator becomes a RuntimeError (PEP 479).
        ours = raised is exc or (
            isinstance(exc, (StopIteration, StopAsyncIteration))
            and isinstance(raised, RuntimeError)
            and raised.__cause__ is exc
        )
        return raised is not None and ours
