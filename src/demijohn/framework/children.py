"""Work beside a request, or after it, in child contexts of the application: what users call.

How children are run on threads, tasks and processes is the core's (`context.children`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context as Variables
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any, ParamSpec, TypeVar, cast

from ..context.cancel import CancelToken, moment_after
from ..context.carrier import Carried, plain, write_carrier
from ..context.children import child as core
from ..context.children import parallel as branches
from ..context.children import tasks, threads
from ..context.children.processes import InProcess
from ..context.errors import outside_message
from ..context.stack import Context
from . import app_places
from .app_contexts import AppContext
from .carrying import carried_g, fill, fill_from
from .detached import DetachedRequest
from .globals import NO_APP, _cv_app, _cv_request, current_app_ctx, current_request_ctx

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")


class AppFork(core.Fork):
    """What children of an app context are made from, with the request that it is current with."""

    def __init__(self, ctx: Any, request_ctx: Any = None, share_session: bool = False) -> None:
        super().__init__(ctx)
        self._app = ctx.app
        self._g = carried_g(ctx)
        self._request = None
        if request_ctx is not None:
            if request_ctx.ended:
                raise request_ctx.ended_error("start a child")
            self._request = DetachedRequest(request_ctx, share_session)

    def child(self, token: CancelToken) -> Context:
        child = super().child(token)
        if self._g:
            fill(child, Carried(plain(self._g, "g")))
        return child if self._request is None else cast(Context, self._request.around(child))

    def variables(self) -> tuple[ContextVar[Any], ...]:
        return _cv_app, _cv_request

    def as_sync(self, f: Callable[..., Any]) -> Callable[..., Any]:
        made = self._app.ensure_sync(f)
        if made is f and core.is_async(f):
            made = self._app.async_to_sync(f)  # an object that is called by an async method
        return cast("Callable[..., Any]", made)

    def pack(
        self, f: Callable[..., Any], deadline: float | None
    ) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        values = Carried(self._g, self._values, self.token.deadline)
        carrier = write_carrier(self._app.name, values)
        return InProcess, (f, deadline, fork_from, app_places.place_of(self._app), carrier)


def fork() -> AppFork:
    """The fork of the current contexts; the explained `RuntimeError` where there are none."""
    ctx = current_app_ctx(None)
    if ctx is None:
        raise RuntimeError(outside_message(NO_APP, "Children are made of the current context."))
    request_ctx = current_request_ctx(None)
    # Under another application's context, or a later one than it lived to see, the request below
    # is not part of the work.
    if request_ctx is not None and (
        request_ctx.app is not ctx.app or (request_ctx.ended and request_ctx.app_ctx is not ctx)
    ):
        request_ctx = None
    return AppFork(ctx, request_ctx)


def fork_from(place: str, carrier: object) -> AppFork:
    """The fork of an app context in another process, without a request: see `InProcess`."""
    ctx = AppContext(app_places.app_at(place))
    fill_from(ctx, carrier)
    return AppFork(ctx)


def in_child(
    f: Callable[P, T], *, context: Variables | None = None, deadline: float | None = None
) -> core.InChild[P, T]:
    """Wrap `f` so that each call of it runs in a child of what is current now.

    For any executor, thread or callback. A child is an app context of its own: fresh `g` with the
    values declared to carry, own resources, own end. In a request it sees that too, detached: what
    was read of it, and a snapshot of the session. The wrapped function may be called often, by
    several threads at once, and after the response. It starts in an empty Context, or in a copy of
    `context`. Wrapping an async function gives one to await. It pickles, for a process pool.
    `deadline` is how many seconds a call may take, if the work that it is part of has no less.

    Raises `RuntimeError` outside a context and `ContextEnded` after its end.
    """
    return core.in_child(fork, f, context=context, deadline=deadline)


class ContextThread(threads.ContextThread, start_from=fork):
    """A `threading.Thread` that runs in a child of what is current where `start` is called.

    It starts in an empty Context, or in a copy of `context`. `deadline` is how many seconds it may
    take. See `in_child`.
    """


class ContextThreadPoolExecutor(threads.ContextThreadPoolExecutor, start_from=fork):
    """A `ThreadPoolExecutor` each of whose jobs runs in a child of what is current where it is
    submitted. See `in_child`."""


def parallel(
    max_workers: int | None = None,
    *,
    context: Variables | None = None,
    deadline: float | None = None,
) -> branches.Parallel:
    """A block whose branches run on threads, each in a child, and are joined at its end.

        with parallel(max_workers=8) as p:
            price = p.submit(fetch_price, item)
            stock = p.submit(fetch_stock, item)
        return {"price": price.result(), "stock": stock.result()}

    At most `max_workers` run at once, 32 by default, on threads of the block's own. `p.results`
    has the results in the order of submission. The first error cancels the other branches and is
    raised at the end, several as one `ExceptionGroup`; an error of the block cancels them too.
    After `deadline` seconds, or when the work that the block is part of is cancelled, the branches
    are told, and the block raises `DeadlineExceeded` or `Cancelled`.
    """
    return branches.Parallel(fork, max_workers, context, deadline)


def task_group(*, deadline: float | None = None) -> tasks.TaskGroup:
    """An `asyncio.TaskGroup` each of whose tasks runs in a child of its own.

    `async with task_group() as tg: tg.create_task(fetch(url))`. `tg.results` has the results in the
    order of creation. After `deadline` seconds, or when the work that it is part of is cancelled or
    late, the tasks are cancelled, and the block raises `DeadlineExceeded` or `Cancelled`.
    """
    return tasks.TaskGroup(fork, deadline)


@asynccontextmanager
async def child_context(deadline: float | None = None) -> AsyncIterator[None]:
    """A block that runs in a child of what is current, in its own Context: `task_group`'s for code
    that waits for it itself. `deadline` is how many seconds it may take."""
    taken = fork()
    with core.covering(taken, CancelToken(moment_after(deadline), taken.token)) as child:
        async with child:
            yield


def copy_current_request_context(f: F, *, session: str = "share") -> F:
    """Wrap `f` so that each call of it runs in a child of the current request.

    As `in_child`, with the request's own session: what is written to it reaches the client until
    the response is final; after that it can be read, and a write raises `SessionReadOnly`.
    `session="snapshot"` gives the one of `in_child`. An async function is run to its end.

    Raises `RuntimeError` outside a request.
    """
    if session not in ("share", "snapshot"):
        raise ValueError(f"session={session!r}: say 'share' or 'snapshot'.")
    ctx = current_request_ctx(None)
    if ctx is None:
        raise RuntimeError(
            "'copy_current_request_context' can only be used when a request context is active,"
            " such as in a view function."
        )
    # Whatever app context is current over the request: the child has the request's own.
    taken = AppFork(ctx.app_ctx, ctx, session == "share")
    # In the caller's Context, as in Flask: what tools keep in variables of theirs is there.
    run = core.InChild(taken.as_sync(f), taken, here=True)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return run(*args, **kwargs)

    return cast(F, update_wrapper(wrapper, f))
