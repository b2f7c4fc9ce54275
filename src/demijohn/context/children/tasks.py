"""Branches of one piece of work as asyncio tasks, joined before it goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import Context as Variables
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from weakref import WeakSet

from ..cancel import CancelToken, error_for, moment_after, seconds_until
from .child import Fork, Start, take

T = TypeVar("T")

_FORGETS = sys.version_info < (3, 13)
"""Whether the base class, while it waits for tasks that it has cancelled, keeps a cancel of its
owner to itself, and leaves one of its own counted."""

# Tasks that are to be cancelled again, for a cancel that a group of theirs has kept to itself.
_owed: WeakSet[asyncio.Task[Any]] = WeakSet()


class TaskGroup(asyncio.TaskGroup):
    """An `asyncio.TaskGroup` each of whose tasks runs in a child of its own.

    A task runs in a copy of the Context of its `create_task`, or of `context`, with the child
    current. When the work that the group is part of is cancelled or reaches its deadline, the
    tasks are cancelled, and the block raises `Cancelled` or `DeadlineExceeded`.
    """

    # The base class's: whether it has cancelled its owner itself.
    _parent_cancel_requested: bool

    def __init__(self, start: Start, deadline: float | None = None) -> None:
        super().__init__()
        self._start = start
        self._deadline = deadline
        self._token: CancelToken | None = None
        self._branches: list[asyncio.Task[Any]] = []
        self._owner: asyncio.Task[Any] | None = None
        self._owners_loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        # How often others had asked the owner to cancel, and whether this group has.
        self._asked = 0
        self._stopped = False

    async def __aenter__(self) -> Self:
        token = CancelToken(moment_after(self._deadline), take(self._start).token)
        token.check()
        await super().__aenter__()
        self._token = token
        self._owner = owner = asyncio.current_task()
        assert owner is not None  # the base class has made sure
        self._asked = owner.cancelling()
        self._owners_loop = loop = asyncio.get_running_loop()
        token.on_cancel(self._tell)
        if token.deadline is not None:
            self._watch_deadline(loop, token, token.deadline)
        return self

    def _watch_deadline(
        self, loop: asyncio.AbstractEventLoop, token: CancelToken, deadline: float
    ) -> None:
        """Have somebody look at the token when its deadline has passed: that cancels it."""
        left = seconds_until(deadline)
        if token.reason is None and left is not None:
            self._timer = loop.call_later(left, self._watch_deadline, loop, token, deadline)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Variables | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[T]:
        """Run a coroutine in a child of what is current now, as a task."""
        token = self._token
        try:
            if token is None:
                raise RuntimeError(
                    "This group is not entered: use `async with task_group() as tg:`."
                )
            fork = take(self._start)
            variables = copy_context() if context is None else context.copy()
            for variable in fork.variables():
                variables.run(variable.set, None)
            branch = _run(fork, CancelToken(None, token), coro)
            try:
                task = super().create_task(branch, name=name, context=variables, **kwargs)
            except BaseException:
                branch.close()
                raise
        except BaseException:
            coro.close()
            raise
        self._branches.append(task)
        # A task that is cancelled before it starts has never looked at its coroutine.
        task.add_done_callback(lambda task: coro.close())
        return task

    @property
    def results(self) -> list[Any]:
        """What the tasks returned, in the order in which they were created."""
        return [task.result() for task in self._branches]

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token, owner = self._token, self._owner
        assert token is not None and owner is not None
        others = False
        own = self._parent_cancel_requested
        # Of the cancels that are counted some may be a plain group's, which has left them.
        counted = owner.cancelling() - own
        met = owner in _owed or isinstance(error, asyncio.CancelledError)
        try:
            try:
                await super().__aexit__(exc_type, error, traceback)
            finally:
                token.off_cancel(self._tell)
                token.retire()
                if self._timer is not None:
                    self._timer.cancel()
                if _FORGETS and self._parent_cancel_requested and not own:
                    owner.uncancel()
                # As in `asyncio.timeout`: what others asked for stays asked for.
                others = self._stopped and owner.uncancel() > self._asked
        except (asyncio.CancelledError, BaseExceptionGroup) as raised:
            # Its traceback leads to a frame of the base class, which keeps it: they would keep each
            # other alive, and the block with them.
            raised.__traceback__ = None
            if isinstance(raised, BaseExceptionGroup):
                if _FORGETS and owner.cancelling() > (self._asked if met else counted):
                    # The next that the owner awaits is cancelled, as from CPython 3.13 on; unless
                    # the cancel is that of a timeout or a group around, and taken back until then.
                    _owed.add(owner)
                    loop = owner.get_loop()
                    loop.call_soon(_cancel_again, owner, self._asked, context=Variables())
                raise
            if not self._stopped or others:
                raise
            raise error_for(token.reason or "user") from None
        finally:
            # The errors' tracebacks hold this frame.
            self._owner = self._timer = None
            del self, error, traceback

    def _abort(self) -> None:
        # The base class's own step when it cancels the tasks, for whatever reason: their contexts
        # are told first.
        failed = any(
            task.done() and not task.cancelled() and task.exception() is not None
            for task in self._branches
        )
        if self._token is not None:
            self._token.off_cancel(self._tell)
            self._token.cancel("sibling" if failed else "parent")
        super()._abort()  # type: ignore[misc]

    def _tell(self) -> None:
        """The work was cancelled, by whatever thread."""
        loop = self._owners_loop
        if loop is not None:
            with suppress(RuntimeError):  # it has been closed
                loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._owner is not None and not self._stopped:
            self._stopped = True
            self._owner.cancel()


def _cancel_again(owner: asyncio.Task[Any], asked: int) -> None:
    _owed.discard(owner)
    if not owner.done() and owner.cancelling() > asked:
        owner.uncancel()
        owner.cancel()


async def _run(
    fork: Fork, token: CancelToken, coro: Generator[Any, None, T] | Coroutine[Any, Any, T]
) -> T:
    try:
        async with fork.child(token):
            return await cast("Coroutine[Any, Any, T]", coro)
    finally:
        token.retire()
