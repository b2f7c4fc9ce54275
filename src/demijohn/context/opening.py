"""One opened resource: how it is opened, ended and released, and who opened it.

A resource runs in a `contextvars.Context` of its own, a copy of its opener's, from its opening to
its close: a variable that it sets can be reset by it wherever the close happens, and code that uses
the resource sees nothing of that. Which resources a context holds is `held`'s.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
)
from time import monotonic
from typing import Any, cast

from .ending import END_TIMEOUT
from .errors import outside_caller
from .sources import Source, async_source, sync_source
from .waiting import Opening, opening


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
        """`resource`, its name and the place of its declaration."""
        raise NotImplementedError


class Opened:
    """One opened resource, in a context or an application's scope.

    `value` is what users get. `end` and `release` return an awaitable where the declaration
    `is_async`; of each `Opened` one of them is called, once.
    """

    __slots__ = (
        *("_around", "_code", "_entered", "_entered_async", "_line", "_source"),
        *("context", "declared", "events", "ident", "loop", "number", "since", "thread", "value"),
    )

    def __init__(
        self,
        declared: Declared,
        around: Callable[[bool], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.declared = declared
        # One that outlives the context in which it was opened must not keep that alive.
        empty = around is not None
        self.context = contextvars.Context() if empty else contextvars.copy_context()
        # Makes the block in which it is opened, or closed (True), if it has one: for `with`, and
        # for `async with` where it is async.
        self._around = around
        self._entered: AbstractContextManager[Any] | None = None
        self._entered_async: AbstractAsyncContextManager[Any] | None = None
        #: The events of its transaction, where its declaration has that hook.
        self.events: Any = None
        #: The running event loop, for an async one.
        self.loop: Any = None
        self.value: Any = None
        # Set when it has been started, so when it is to be ended.
        self._source: Source | None = None
        #: Its place in the order of all openings; 0 before it is registered.
        self.number = 0
        thread = threading.current_thread()
        self.thread = thread.name
        #: The opener's thread, as `threading.get_ident` names it.
        self.ident = thread.ident
        self._code, self._line = outside_caller()
        #: `time.monotonic()` at the opening.
        self.since = monotonic()

    @property
    def opener(self) -> str:
        """`file:line function` of the code whose use of it opened it."""
        return f"{self._code.co_filename}:{self._line} {self._code.co_qualname}"

    @property
    def started(self) -> bool:
        """Whether there is anything to end."""
        return self._source is not None

    def open(self, mine: Opening) -> None:
        """Call the function and start what it returns."""
        self.context.run(self._open, mine)

    def _open(self, mine: Opening) -> None:
        opening.set(mine)
        if self._around is None:
            self._start()
        else:
            block = self._around(False)
            block.__enter__()
            try:
                self._start()
            except BaseException as error:
                block.__exit__(type(error), error, error.__traceback__)
                raise
            self._entered = block

    def leave(self) -> None:
        """Leave the block in which it was opened: once it is registered, as what the block's own
        end runs may use it."""
        entered, self._entered = self._entered, None
        if entered is not None:
            self.context.run(entered.__exit__, None, None, None)

    def _start(self) -> None:
        source = sync_source(self.declared, self.declared.function())
        self.value = source.start()
        self._source = source

    async def open_async(self) -> None:
        """The same for an async one, on the running loop."""
        import asyncio

        self.loop = asyncio.get_running_loop()
        task = self._task(self._start_async())
        try:
            self._source, self.value = await task
        except BaseException:
            # A cancel may reach this task when the start is done already.
            if not task.done():
                task.cancel()
            elif not task.cancelled() and task.exception() is None:
                self._source, self.value = task.result()
            raise

    async def _start_async(self) -> tuple[Source, Any]:
        if self._around is None:
            return await self._started_async()
        block = cast("AbstractAsyncContextManager[Any]", self._around(False))
        await block.__aenter__()
        try:
            started = await self._started_async()
        except BaseException as error:
            await block.__aexit__(type(error), error, error.__traceback__)
            raise
        self._entered_async = block
        return started

    async def _started_async(self) -> tuple[Source, Any]:
        source = async_source(self.declared, self.declared.function())
        return source, await source.start()

    async def leave_async(self) -> None:
        """`leave`, for one that `open_async` opened."""
        entered, self._entered_async = self._entered_async, None
        if entered is not None:
            await self._task(entered.__aexit__(None, None, None))

    def end(self, exc: BaseException | None) -> Any:
        """Its real end: the code after the `yield` runs, or `exc` is raised there."""
        return self._close("finish", exc)

    def release(self) -> Any:
        """End it without going on: a `GeneratorExit` at the `yield`."""
        return self._close("abandon")

    def _close(self, how: str, *args: Any) -> Any:
        source, self._source = self._source, None
        if self.declared.is_async:
            return self._close_async(self._closed_async(getattr(source, how)(*args)))
        return self.context.run(self._close_around, getattr(source, how), args)

    def _close_around(self, close: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            if self._around is None:
                close(*args)
            else:
                with ExitStack() as block:
                    try:
                        block.enter_context(self._around(True))
                    finally:
                        # Where that fails, it is closed all the same.
                        close(*args)
        finally:
            self._over()

    async def _closed_async(self, coroutine: Coroutine[Any, Any, None]) -> None:
        if self._around is None:
            await coroutine
            return
        async with AsyncExitStack() as block:
            try:
                await block.enter_async_context(cast("Any", self._around(True)))
            finally:
                # Where that fails, it is closed all the same.
                await coroutine

    async def _close_async(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Await a close to its end: a cancel waits for it, `END_TIMEOUT` seconds at most."""
        import asyncio

        task = self._task(coroutine)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            try:
                if not task.done():
                    await asyncio.wait([task], timeout=END_TIMEOUT)
            finally:
                if not task.cancel() and not task.cancelled() and (error := task.exception()):
                    message = f"Error in closing the {self} in a cancelled task"
                    handle = asyncio.get_running_loop().call_exception_handler
                    handle({"message": message, "exception": error})
            raise
        finally:
            self._over()

    def _over(self) -> None:
        if self.events is not None:
            self.events.closed()

    def _task(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in this resource's Context: a task, as only that takes a Context."""
        import asyncio

        # Not always the one that it was opened on: that may be closed.
        return asyncio.get_running_loop().create_task(coroutine, context=self.context)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return f"{self.declared}, opened by {self.opener} in thread {self.thread!r}"
