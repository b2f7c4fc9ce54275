"""How the pipeline of an edge with an event loop has its calls made; `pipeline_async` awaits these.

What the pipeline cannot do where it stands it asks of whoever steps it (`serve.driving`), by
yielding one of the orders below: to make a sync call on a worker thread, to come back to the loop
before an async function is awaited. Nothing here knows threads or a loop.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from threading import get_ident
from typing import Any, Generic, TypeVar

from blinker import Signal
from werkzeug.wrappers import Response as BaseResponse

from ..context.cancel import is_of_a_task
from ..context.ending import Steps
from ..context.errors import Cancelled, DeadlineExceeded
from ..context.loops import drive_async, is_running, run_on
from ..context.opening import Opened
from ..context.releasing import releasing_clean
from ..context.unit import closing
from .plan import is_async
from .signals import appcontext_pushed

T = TypeVar("T")

STOPPED = (Cancelled, DeadlineExceeded)
"""How work ends that asked whether it should stop."""

INTERRUPTED = "the context says why"
"""The message of the `CancelledError` of an interruption: what tells it from another one."""

# Where the HTTP exceptions are that nobody wrote anew: they answer without waiting for anything.
_STOCK = ("werkzeug.exceptions", "werkzeug.routing.exceptions")

LOADER = "demijohn.load_body"
"""The environ key of the edge's `load(ctx)`: what is to be awaited for the body, if anything."""


class Call:
    """An order: make this sync call on a worker thread, in the request's Context."""

    __slots__ = ("args", "function", "handled", "kwargs")

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.function = function
        self.args: Any = args
        self.kwargs: Any = kwargs
        # What the code that orders the call is handling: an error handler asks for it, to log it.
        self.handled = sys.exc_info()[1]

    def make(self) -> Any:
        """Make the call, once, with the same exception being handled as where it was ordered."""
        handled, self.handled = self.handled, None
        args, kwargs = self.args, self.kwargs
        self.args = self.kwargs = None
        try:
            if handled is None:
                return self.function(*args, **kwargs)
            traceback = handled.__traceback__
            try:
                raise handled
            except BaseException:
                handled.__traceback__ = traceback
                return self.function(*args, **kwargs)
        finally:
            # An error's traceback leads to this frame.
            handled = traceback = args = kwargs = None

    def __await__(self) -> Generator[Any, Any, Any]:
        done, value = yield self
        if done:
            return value
        try:
            raise value
        finally:
            # The error's traceback leads to this frame.
            del value


class Ask:
    """An order: step on on the loop's thread, and answer with `question(driver)`."""

    __slots__ = ("question",)

    def __init__(self, question: Callable[[Any], Any]) -> None:
        self.question = question

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


class Outside:
    """An order: await this outside the request's Context, and answer with what it gives."""

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


def nothing(driver: Any) -> None:
    """What is asked where being on the loop is all that matters."""


class _Nobody:
    """Answers questions where no edge steps the coroutine."""

    def take_interruption(self, marked: bool) -> None:
        """Nobody interrupts."""

    def spare(self) -> None:
        """Nobody is told."""

    cancelled = settle = spare


_NOBODY = _Nobody()


class on_the_spot(Generic[T]):
    """Await this to have a coroutine's orders carried out where it is awaited: sync functions are
    called in between, on the loop's thread. For code that no edge drives: tasks, and children."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        reply: Any = None
        error: BaseException | None = None
        try:
            while True:
                try:
                    if error is None:
                        order = self._coroutine.send(reply)
                    else:
                        order = self._coroutine.throw(error)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                reply = error = None
                try:
                    if type(order) is Call:
                        reply = _made(order)
                    elif type(order) is Ask:
                        reply = order.question(_NOBODY)
                    else:
                        reply = yield order
                except BaseException as raised:
                    error = raised
        finally:
            # An error's traceback leads to this frame.
            reply = error = None


def _made(call: Call) -> tuple[bool, Any]:
    try:
        return True, call.make()
    except BaseException as error:
        return False, error


def hand(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Call:
    """Await this for what a sync function, which may block, returns or raises."""
    return Call(function, args, kwargs)


async def call(app: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a user's function: an async one is awaited, a sync one handed out."""
    plans = app._plans
    try:
        awaited, plain = function in plans.awaited, function in plans.plain
    except TypeError:  # not hashable
        awaited = plain = False
    if not awaited:
        if plain or plans.is_plain(function):
            return await Call(function, args, kwargs)
        if plans.overrides.ensure_sync:
            return await Call(app.ensure_sync(function), args, kwargs)
    await Ask(nothing)
    return await interruptible(function(*args, **kwargs))


async def send_signal(app: Any, signal: Signal, /, **what: Any) -> None:
    """Send a signal of the application's: async receivers are awaited, sync ones handed out.

    As `Signal.send` goes about it: one after the other, and an error of one's is the sender's. What
    receives is noted nowhere, as signals hold their receivers weakly.
    """
    if signal.is_muted:
        return
    for receiver in signal.receivers_for(app):
        if not is_async(receiver):
            await hand(receiver, app, **what)
        elif app._plans.overrides.ensure_sync:
            await hand(app.ensure_sync(receiver), app, **what)
        else:
            await Ask(nothing)
            await interruptible(receiver(app, **what))


def call_view(app: Any, view: Callable[..., Any], args: Any) -> Awaitable[Any]:
    """Call a view with the values from the URL, if any, as `call` does."""
    return call(app, view, **(args or {}))


async def interruptible(awaitable: Awaitable[T]) -> T:
    """Await what a user's async code does. Where it is interrupted, the reason's error comes out
    instead of the `CancelledError`; where it ends in another way, nothing is left of that."""
    try:
        value = await awaitable
    except STOPPED:
        # It asked, and was told: that is enough.
        await Ask(spare)
        raise
    except BaseException as error:
        if not is_of_a_task(error):
            await Ask(settle)
            raise
        reason = await Ask(partial(_why_interrupted, INTERRUPTED in error.args))
        if reason is None:
            raise
        try:
            raise reason from error
        finally:
            # Its traceback leads to this frame.
            del reason
    await Ask(settle)
    return value


def settle(driver: Any) -> None:
    """What is asked where a function is over that may have been interrupted."""
    driver.settle()


def spare(driver: Any) -> None:
    """What is asked where nothing is to be interrupted any more."""
    driver.spare()


def _why_interrupted(marked: bool, driver: Any) -> BaseException | None:
    error: BaseException | None = driver.take_interruption(marked)
    if error is None:
        driver.cancelled()
    return error


async def begin(ctx: Any, joined: Any) -> None:
    """Begin a request's context at its edge, and read the body where the edge says so."""
    if ctx.app._plans.idle_interface is None or (joined is None and appcontext_pushed.receivers):
        # It may look into a database for the session, and receivers may block.
        await hand(ctx._begin_at_edge, joined)
    else:
        ctx._begin_at_edge(joined)
    await Ask(partial(_begun, ctx))
    load = ctx.request.environ.pop(LOADER, None)
    if load is not None and (loading := load(ctx)) is not None:
        await interruptible(Outside(loading))


def _begun(ctx: Any, driver: Any) -> None:
    driver.begun(ctx)


async def make_response(app: Any, rv: Any) -> Any:
    """`app.make_response(rv)`; handed out where it is somebody else's code, or runs some."""
    if app._plans.overrides.make_response or (
        callable(rv) and not isinstance(rv, BaseResponse) and type(rv).__module__ not in _STOCK
    ):
        return await hand(app.make_response, rv)
    return app.make_response(rv)


async def save_session(ctx: Any, response: Any) -> None:
    """Save the session; handed out unless it goes into a cookie."""
    if ctx.app._plans.idle_interface is None:
        await hand(ctx._save_session, response)
    else:
        ctx._save_session(response)


async def close_unit(ctx: Any, exc: BaseException | None) -> list[BaseException]:
    """Close what a context holds and make its callbacks; what they raised."""
    return await made(closing(ctx, ctx._unit, exc))


async def release_for_stream(ctx: Any) -> list[BaseException]:
    """Give back what the request need not hold while its body streams; what that raised."""
    own = ctx._own_app_ctx
    return await made(releasing_clean((ctx,) if own is None else (ctx, own)))


async def made(steps: Steps) -> list[BaseException]:
    """Make the calls of an end: what belongs to this loop is awaited, the rest handed out.

    What was opened on the loop's own thread is closed there: a sqlite3 connection asks for that.
    """
    return await drive_async(steps, _make)


async def _make(loop: Any, call: Callable[[], Any]) -> Any:
    if loop is None:
        here = await Ask(partial(_was_opened_here, call))
        return call() if here else await hand(call)
    if await Ask(partial(_is_ours, loop)):
        return await call()
    return await hand(run_on, loop, call)


def _was_opened_here(call: Any, driver: Any) -> bool:
    opened = getattr(getattr(call, "func", call), "__self__", None)
    return isinstance(opened, Opened) and opened.ident == get_ident()


def _is_ours(loop: Any, driver: Any) -> bool:
    # Asked by an order: then this thread is the loop's.
    return is_running(loop)
