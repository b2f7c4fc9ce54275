"""Resources and callbacks of application contexts, as users write them.

The application's part of `context.resources`: which context holds a resource for a lifetime, and
what the edge gives back before a body streams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Any, TypeVar, overload

from ..context.callbacks import Callbacks
from ..context.errors import outside_message
from ..context.held import Held
from ..context.loops import drive
from ..context.releasing import Released, releasing_clean
from ..context.resources import (
    AsyncResource,
    Declare,
    Lifetime,
    Resource,
    present,
)
from ..context.unit import callbacks_of
from .globals import NO_APP, current_app_ctx, current_request_ctx

T = TypeVar("T")


_of_app_ctx: Callable[[], Any] = partial(current_app_ctx, None)


def _of_request() -> Any:
    """The request context, where its application context is the current one; else that."""
    below = current_app_ctx(None)
    ctx = current_request_ctx(None)
    return below if ctx is None or ctx.app_ctx is not below else ctx


def finder(lifetime: Lifetime) -> Callable[[], Any]:
    """What finds the context that holds a resource of this lifetime for the calling code."""
    return _of_request if lifetime in ("view", "body") else _of_app_ctx


@overload
def resource(function: Callable[[], AbstractContextManager[T]], /) -> T: ...
@overload
def resource(function: Callable[[], Iterator[T]], /) -> T: ...
@overload
def resource(function: Callable[[], AbstractAsyncContextManager[T]], /) -> AsyncResource[T]: ...
@overload
def resource(function: Callable[[], AsyncIterator[T]], /) -> AsyncResource[T]: ...
@overload
def resource(
    *,
    lifetime: Lifetime = "context",
    transaction: Callable[[Any, Any], object] | None = None,
    dirty: Callable[[Any], object] | None = None,
) -> Declare: ...
def resource(
    function: Callable[[], Any] | None = None,
    /,
    *,
    lifetime: Lifetime = "context",
    transaction: Callable[[Any, Any], object] | None = None,
    dirty: Callable[[Any], object] | None = None,
) -> Any:
    """Declare what is opened at its first use in a context, once, and closed at that context's end.

        @resource(lifetime="view", dirty=lambda c: c.in_transaction)
        def conn() -> Iterator[sqlite3.Connection]:
            with closing(sqlite3.connect(current_app.config["DATABASE"])) as c:
                yield c

        conn.execute("select 1")

    Decorates a generator function that yields once, or a function that returns a context manager.
    The name then stands for the value, typed as such. What the function needs it takes from
    `current_app`; no application need exist yet. An error that ended the context is raised at the
    `yield`, and a `GeneratorExit` where it is released or the end is not good (an error was
    handled, the client left): code after the `yield` runs when the outcome is `ok`, and only then.
    Async ones are async generator functions and are awaited: `c = await conn`.

    Args:
        lifetime: how long it stays open; see `demijohn.context.Lifetime`.
        transaction: `transaction(value, events)` is called at each opening; it has `events.begun`,
            `events.committed` and `events.rolled_back` called, for `on_commit`.
        dirty: whether a value holds work that a release would lose. Such a one is not released.

    Raises `RuntimeError` when used outside a context, and `ContextEnded` after the context's end.
    """
    return declaring(None, function, lifetime=lifetime, transaction=transaction, dirty=dirty)


def declaring(
    owner: Any,
    function: Callable[[], Any] | None = None,
    /,
    *,
    lifetime: Lifetime = "context",
    transaction: Callable[[Any, Any], object] | None = None,
    dirty: Callable[[Any], object] | None = None,
) -> Any:
    """The declared name, or the decorator that makes it; `owner` is the application it is for."""

    def declare(function: Callable[[], Any]) -> Any:
        return present(
            Resource(function, finder, NO_APP, lifetime, transaction, dirty, owner=owner)
        )

    return declare if function is None else declare(function)


def released(*resources: object) -> Released:
    """Hold nothing while the block waits: `with released():`, `async with released():`.

    Gives back the open resources of lifetime `view`, or those that are named; each is opened again
    at its next use. Raises `DirtyResource`, and gives nothing back, where one holds work that is
    neither committed nor rolled back.

    Raises `RuntimeError` outside a context.
    """
    return Released(_current(), resources)


def held_resources() -> list[Held]:
    """What is open in the current context, with age and opener; first opened first."""
    held: list[Held] = _current()[0].held()
    return held


def on_commit(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
    """Call `function(*args, **kwargs)` once what this code does is kept for sure.

    Right after the commit of the innermost open transaction of this context, never after its
    rollback. Without an open transaction: at the context's end, if its outcome is `ok` and its
    resources closed without an error.

    Raises `RuntimeError` outside a context and `ContextEnded` after its end.
    """
    ctx, callbacks = _registering()
    if not callbacks.on_commit(partial(_call, ctx.app, function, args, kwargs)):
        raise ctx.ended_error("register a function for its commit")


def on_end(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
    """Call `function(*args, **kwargs)` at the context's end, whatever its outcome.

    After its resources are closed; what the function opens is closed after it. Functions run in the
    order of their registration, and an error in one keeps none from running.

    Raises `RuntimeError` outside a context and `ContextEnded` after its end.
    """
    ctx, callbacks = _registering()
    if not callbacks.on_end(partial(_call, ctx.app, function, args, kwargs)):
        raise ctx.ended_error("register a function for its end")


def _registering() -> tuple[Any, Callbacks]:
    ctx = current_app_ctx(None)
    if ctx is None:
        raise RuntimeError(outside_message(NO_APP, "This code registers a callback on it."))
    if ctx.ended:
        raise ctx.ended_error("register a callback")
    return ctx, callbacks_of(ctx)


def _call(app: Any, function: Callable[..., object], args: Any, kwargs: Any) -> object:
    return app.ensure_sync(function)(*args, **kwargs)


def _current() -> list[Any]:
    """The contexts that hold the calling code's resources, the request's first."""
    below = current_app_ctx(None)
    if below is None:
        raise RuntimeError(outside_message(NO_APP, "This code asks for its resources."))
    above = _of_request()
    return [below] if above is below else [above, below]


def release_for_stream(ctx: Any) -> list[BaseException]:
    """Give back what the request need not hold while its body streams; what that raised.

    What an app context holds that the request joined is its owner's.
    """
    own = ctx._own_app_ctx
    return drive(releasing_clean((ctx,) if own is None else (ctx, own)))
