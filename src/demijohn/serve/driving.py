"""Stepping coroutines in a request's Context, from outside of it, on an event loop and its threads.

`Work` is one request's (or connection's) driver. Its coroutines run in the task of the server that
awaits `Work.drive`, so that a timeout or a task group in them finds its own task. While a sync
function runs on a thread the task waits outside the Context, which is so never entered twice.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

from ..context.cancel import error_for
from ..framework.handing import INTERRUPTED, STOPPED, Ask, Call, Outside
from .shielding import shielded
from .threads import Lease, Limit, Threads

T = TypeVar("T")
_TAKEN = Exception("An interruption that was met.")


class _Outcome:
    """What a thread brought back: the next order, or how the coroutine ended."""

    __slots__ = ("ended", "error", "order", "value")

    def __init__(self) -> None:
        self.order: Any = None
        self.ended = False
        self.value: Any = None
        self.error: BaseException | None = None


class Work:
    """Runs the coroutines of one request, one after the other, in `context`.

    A sync function that they hand out is called on a thread of `threads`. `free` gives that back.
    What cancels the request's context, its deadline too, interrupts what an async function awaits.

    Args:
        on_begun: told when the request's context has begun.
    """

    __slots__ = (
        "__weakref__",
        "_asked",
        "_awaiting",
        "_cancelling",
        "_context",
        "_held",
        "_interruption",
        "_lease",
        "_loop",
        "_met",
        "_on_begun",
        "_task",
        "_timer",
        "ctx",
        "missed",
        "on_idle_interrupted",
    )

    def __init__(
        self,
        context: Context,
        threads: Threads,
        on_begun: Callable[[Any], object] | None = None,
    ) -> None:
        self._context = context
        self._lease: Lease = threads.lease()
        self._loop = asyncio.get_running_loop()
        self._on_begun = on_begun
        #: The request's context, once it has begun.
        self.ctx: Any = None
        #: Called when it is interrupted while nothing is driven.
        self.on_idle_interrupted: Callable[[], object] | None = None
        #: A cancel of the task that came when the coroutine was over already.
        self.missed: BaseException | None = None
        # The task that awaits `drive`, while what it awaits is an async function's.
        self._task: asyncio.Task[Any] | None = None
        self._awaiting = False
        # Of how many cancels that knew when it began to, and when the function last began to wait.
        self._asked = self._met = 0
        # Why an async function is to be interrupted, and of how many cancels before that the task
        # knew when it was; -1 until it was.
        self._interruption: BaseException | None = None
        self._cancelling = -1
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None

    # -- one coroutine ------------------------------------------------------------------------

    async def drive(
        self,
        coroutine: Coroutine[Any, Any, T],
        limit: Limit | None = None,
        shield: bool = False,
        keep: bool = False,
    ) -> T:
        """What the coroutine returns or raises.

        Args:
            keep: whether its value counts although the task was cancelled while a thread made it;
                the cancel is in `missed` then.
            limit: of the threads that make its calls; by default that of sync functions.
            shield: whether it runs to its end although the task is cancelled; for at most
                `END_TIMEOUT` seconds then, and the `CancelledError` comes after it.
        """
        steps = _Steps(self, coroutine, limit or self._lease.threads.calls)
        if not shield:
            self._task = asyncio.current_task()
            self._asked = self._task.cancelling()  # type: ignore[union-attr]
            try:
                value = await steps
                if self.missed is not None and not keep:
                    self.raise_missed()
                return value
            finally:
                self.settle()
                self._task = None
                # From CPython 3.12 on an error in it leads to this frame.
                value = None  # type: ignore[assignment]
        # Most ends have nothing to wait for.
        if steps.begin():
            return await steps
        app = None if self.ctx is None else self.ctx.app
        return await shielded(steps, steps.doing, self.ctx, app)

    @property
    def threads(self) -> Threads:
        return self._lease.threads

    def free(self) -> None:
        """The request is over: its thread and its timer are not needed any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._lease.give_back()

    def raise_missed(self) -> None:
        """Raise a cancel that came when there was nothing left to cancel."""
        missed, self.missed = self.missed, None
        try:
            if missed is not None:
                raise missed
        finally:
            # Its traceback leads to this frame.
            del missed

    # -- interrupting it ----------------------------------------------------------------------

    def begun(self, ctx: Any) -> None:
        """The request's context has begun: from now on what cancels it interrupts."""
        self.ctx = ctx
        home = ctx._cancel_home()
        home._on_token = partial(_watch_token, weakref.ref(self))
        if home._unit is not None and home._unit.cancel is not None:
            self._watch(home._unit.cancel)
        if self._on_begun is not None:
            self._on_begun(ctx)

    def _watch(self, token: Any) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._set_timer(token)
        elif token.deadline is not None:
            # Of a token above it: a sync function has asked first.
            self._loop.call_soon_threadsafe(self._set_timer, token)
        token.on_cancel(partial(_tell, weakref.ref(self), self._loop))

    def _set_timer(self, token: Any) -> None:
        # Asked for its reason, a token notices that its time is over.
        if token.reason is None and (remaining := token.remaining()) is not None:
            self._timer = self._loop.call_later(remaining, self._set_timer, token)

    def interrupt(self, error: BaseException) -> None:
        """Make what an async function awaits, now or next, end with a `CancelledError`; once.

        `take_interruption` tells whoever meets that why.
        """
        if self._interruption is None:
            self._interruption = error
            task = self._task
            if task is None:
                if self.on_idle_interrupted is not None:
                    self.on_idle_interrupted()
            elif self._awaiting and not self._held:
                # Those that the task has yet to meet may be a task group's, which takes them back.
                self._cancelling = self._met
                task.cancel(INTERRUPTED)

    def raise_pending(self) -> None:
        """Raise the error of an interruption that nothing has met yet, if there is one."""
        error: BaseException | None = None
        if self._cancelling == -1 and self._interruption is not None:
            self._cancelling = -2
            # As in `take_interruption`.
            error, self._interruption = self._interruption, _TAKEN
        try:
            if error is not None:
                raise error
        finally:
            # Its traceback leads to this frame.
            del error

    def take_interruption(self, marked: bool) -> BaseException | None:
        """The error for which a `CancelledError` was just met; None where it was the server that
        cancelled, or somebody else. `marked`: whether it has the message `INTERRUPTED`."""
        task, before = self._task, self._cancelling
        if before < 0 or task is None:
            return None
        self._cancelling = -2
        if not marked:
            # Another cancel came first, and its error was under way when this one was made.
            before = self._asked
        # It is raised: kept here, it would keep itself alive.
        error, self._interruption = self._interruption, _TAKEN
        return None if task.uncancel() > before else error

    def _interrupt_if_pending(self) -> None:
        """Make the interruption that waits for an async function to await something, if any."""
        if self._interruption is not None and self._cancelling == -1 and not self._held:
            # As `asyncio.timeout` counts: each interruption is one cancel, and taken back once.
            self._cancelling = self._met
            self._task.cancel(INTERRUPTED)  # type: ignore[union-attr]

    def is_current(self) -> bool:
        """Whether the calling code is that of the coroutine, and not a task that it started."""
        return self._task is not None and asyncio.current_task() is self._task

    def hold(self) -> None:
        """Put an interruption off, until `let_go` was called as often."""
        self._held += 1

    def let_go(self) -> None:
        """Allow what `hold` has put off: the next that is awaited is interrupted."""
        self._held -= 1

    def spare(self) -> None:
        """Interrupt nothing any more: the code was told in another way, or is over."""
        self._interruption = self._interruption or error_for("user")
        self.settle()
        self._cancelling = -2

    def settle(self) -> None:
        """Take back the cancel of an interruption that has not come out of the function."""
        if self._cancelling >= 0 and self._task is not None:
            self._task.uncancel()
            self._cancelling = -2

    def cancelled(self) -> None:
        """The server cancels the task."""
        if self.ctx is not None:
            self.ctx.cancel("parent")


class _Steps(Generic[T]):
    """One coroutine being stepped: awaited by the task that it is to run in."""

    def __init__(self, work: Work, coroutine: Coroutine[Any, Any, T], limit: Limit) -> None:
        self._work = work
        self._coroutine = coroutine
        self._limit = limit
        self._first: _Outcome | None = None
        # What a thread runs for it now.
        self._calls: Call | None = None

    def begin(self) -> bool:
        """Step to the first order; whether the coroutine came to its end instead."""
        self._first = self._step(None, None)
        return self._first.ended

    def _step(self, reply: Any, error: BaseException | None) -> _Outcome:
        outcome = _Outcome()
        run, coroutine = self._work._context.run, self._coroutine
        try:
            if error is None:
                outcome.order = run(coroutine.send, reply)
            else:
                outcome.order = run(coroutine.throw, error)
        except StopIteration as stop:
            outcome.ended, outcome.value = True, stop.value
        except BaseException as raised:
            outcome.ended, outcome.error = True, raised
        try:
            return outcome
        finally:
            # The error's traceback leads to this frame.
            del error, outcome, reply

    def doing(self) -> str:
        """What the coroutine waits for: a function on a thread, or coroutines, outermost first."""
        if self._calls is not None:
            function = self._calls.function
            return f"{getattr(function, '__qualname__', function)} runs"
        frames = []
        inner: Any = self._coroutine
        while inner is not None and (frame := getattr(inner, "cr_frame", None)) is not None:
            code = frame.f_code
            frames.append(f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})")
            inner = inner.cr_await
        return " -> ".join(frames[-3:])

    def __await__(self) -> Generator[Any, Any, T]:
        outcome, self._first = self._first or self._step(None, None), None
        work = self._work
        reply: Any = None
        error: BaseException | None = None
        try:
            while not outcome.ended:
                order = outcome.order
                reply = error = None
                kind = type(order)
                if kind is Call:
                    outcome, error = yield from self._on_thread(order)
                    if error is None:
                        continue
                elif kind is Ask:
                    reply = order.question(work)
                else:
                    if work._task is not None:
                        work._met = work._task.cancelling()
                        work._interrupt_if_pending()
                    work._awaiting = True
                    try:
                        if kind is Outside:
                            reply = yield from order.awaitable.__await__()
                        else:
                            reply = yield order
                    except BaseException as raised:
                        error = raised
                    work._awaiting = False
                outcome = self._step(reply, error)
            # From CPython 3.12 on the frames of an error that it brings lead to the outcome, as the
            # callers of what they came from: it must not keep them.
            value, error = outcome.value, outcome.error
            outcome.value = outcome.error = None
            if error is not None:
                raise error
            return value  # type: ignore[no-any-return]
        finally:
            # The error's traceback leads to this frame.
            value = outcome = error = reply = None  # type: ignore[assignment]

    def _on_thread(self, order: Call) -> Generator[Any, Any, tuple[_Outcome, BaseException | None]]:
        """Have a call made, and what follows it, until the coroutine needs the loop.

        Returns what it needs. Where the task was cancelled meanwhile, that error instead, to be
        raised in the coroutine: after the function has returned.
        """
        work = self._work
        loop = work._loop
        try:
            yield from self._limit.take(loop)
        except BaseException as cancelled:
            work.cancelled()
            return _Outcome(), cancelled
        visit = _Visit(self, order, loop, self._limit)
        try:
            work._lease.worker().do(visit.work)
        except RuntimeError as no_thread:
            visit.give_back()
            return _Outcome(), no_thread
        cancelled_by: BaseException | None = None
        while (outcome := visit.outcome) is None:
            visit.waiter = loop.create_future()
            try:
                yield from visit.waiter
            except GeneratorExit:
                # Its task was dropped together with its loop.
                visit.abandon()
                raise
            except BaseException as error:
                work.cancelled()
                visit.stop = True
                cancelled_by = error
        visit.give_back()
        try:
            if cancelled_by is not None and outcome.ended:
                work.missed, cancelled_by = cancelled_by, None
            return outcome, cancelled_by
        finally:
            # The errors' tracebacks lead to this frame.
            del outcome, cancelled_by, visit


class _Visit:
    """A coroutine's time on a worker thread."""

    __slots__ = (
        "_abandoned",
        "_back",
        "_loop",
        "_order",
        "_owed",
        "_steps",
        "outcome",
        "stop",
        "waiter",
    )

    def __init__(
        self, steps: _Steps[Any], order: Call, loop: asyncio.AbstractEventLoop, limit: Limit
    ) -> None:
        self._steps = steps
        self._order = order
        self._loop = loop
        # The place that it takes, until it was given back.
        self._owed = [limit]
        # Whether the thread is through with it, and whether nobody waits for that.
        self._back = self._abandoned = False
        self.outcome: _Outcome | None = None
        self.waiter: asyncio.Future[None] | None = None
        #: Whether the coroutine is to come back after the function that runs now.
        self.stop = False

    def work(self) -> None:
        """On the worker: make calls and step the coroutine between them."""
        steps, order = self._steps, self._order
        reply: tuple[bool, Any] | None
        context = steps._work._context
        outcome = _Outcome()
        try:
            while True:
                steps._calls = order
                try:
                    reply = (True, context.run(order.make))
                except BaseException as error:
                    if isinstance(error, STOPPED):
                        steps._work.spare()
                    reply = (False, error)
                if self.stop:
                    outcome.order = order
                    break
                outcome = steps._step(reply, None)
                reply = None
                if outcome.ended or type(outcome.order) is not Call:
                    break
                order = outcome.order
        finally:
            order = reply = None  # type: ignore[assignment]
            self._back = True
            if self._abandoned:
                self.give_back()
            try:
                self._loop.call_soon_threadsafe(self._finish, outcome)
            except RuntimeError:
                # The loop was closed while the function ran: nobody waits for it.
                self.give_back()
            del outcome

    def give_back(self) -> None:
        """Give back the place, and let the worker rest; once."""
        try:
            limit = self._owed.pop()
        except IndexError:
            return
        self._steps._calls = None
        self._steps._work._lease.rest()
        limit.give()

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        self.stop = self._abandoned = True
        if self._back:
            self.give_back()

    def __str__(self) -> str:
        calls = self._steps._calls or self._order
        return getattr(calls.function, "__qualname__", None) or repr(calls.function)

    def _finish(self, outcome: _Outcome) -> None:
        self.outcome = outcome
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


def _tell(work: weakref.ref[Work], loop: asyncio.AbstractEventLoop) -> None:
    """A token was cancelled, on some thread."""
    try:
        loop.call_soon_threadsafe(_interrupt, work)
    except RuntimeError:
        pass  # the loop is closed: nothing is awaited there any more


def _interrupt(ref: weakref.ref[Work]) -> None:
    work = ref()
    if work is not None and work.ctx is not None:
        reason = work.ctx.cancel_reason
        if reason not in (None, "parent"):
            work.interrupt(error_for(reason))


def _watch_token(ref: weakref.ref[Work], token: Any) -> None:
    work = ref()
    if work is not None:
        work._watch(token)
