"""A child of a context, and the `Fork` that children are made from.

A fork is taken once, where work is started; each call of the work makes a child of it. Threads,
tasks and processes are in the modules beside this one.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context as Variables
from contextvars import ContextVar, Token
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, cast

from ..cancel import CancelToken, moment_after
from ..carrier import plain
from ..errors import outside_message
from ..fields import carried_values, set_carried_values
from ..kinds import ContextStack
from ..stack import Context
from ..unit import unit_of

P = ParamSpec("P")
T = TypeVar("T")


class Fork:
    """What the children of one context are made from, as it was where the work was started.

    Made of copies: it does not refer to the context, which children may outlive. Safe to use from
    several threads at once. Raises `ContextEnded` for a context that is over.
    """

    def __init__(self, parent: Context) -> None:
        if parent.ended:
            raise parent.ended_error("start a child")
        self._parent = weakref.ref(parent)
        self._make = parent.child_maker()
        self._values = carried_values(parent)
        self._stack = parent.stack
        #: The parent's; children's hang from it.
        self.token = parent._cancel_token()

    def child(self, token: CancelToken) -> Context:
        """One more child, not yet pushed; `token` is its own."""
        child = self._make()
        if self._values:
            set_carried_values(child, plain(self._values, "What was carried"))
        unit = unit_of(child)
        unit.cancel, unit.parent = token, self._parent
        return child

    def variables(self) -> tuple[ContextVar[Any], ...]:
        """The variables that say what is current: a child starts without what they hold."""
        return (self._stack.var,)

    def as_sync(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """`f`, made to run to its end where it is called."""
        if not is_async(f):
            return f

        def run(*args: Any, **kwargs: Any) -> Any:
            from asyncio import run as run_to_the_end

            return run_to_the_end(f(*args, **kwargs))

        return run

    def pack(
        self, f: Callable[..., Any], deadline: float | None
    ) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """What pickles as `f` in a child in another process: a callable and its arguments (see
        `processes`). `deadline` is how many seconds a call may take.

        Raises `TypeError` for a kind of context that has nothing to find it by.
        """
        raise TypeError(
            f"Children of a {self._stack.name} context cannot run in another process: start the"
            " work there with plain data, and push a context of its own."
        )


Start: TypeAlias = ContextStack[Any] | Callable[[], Fork]
"""Where children come from: a kind of context, whose current one is the parent, or what takes the
fork."""


def take(start: Start) -> Fork:
    """The fork of what is current now; the explained `RuntimeError` where nothing is."""
    if not isinstance(start, ContextStack):
        return start()
    parent = start.current
    if parent is None:
        raise RuntimeError(
            outside_message(
                f"Working outside of {start.name} context.",
                f"Children are made of the current {start.name} context.",
                f"Start the work under a pushed {start.name} context (`with`).",
            )
        )
    return Fork(parent)


def is_async(f: Callable[..., Any]) -> bool:
    """Whether calling `f` gives a coroutine."""
    if isinstance(f, InChild):
        return f.is_async
    # An object may be called by an async method of its class.
    return inspect.iscoroutinefunction(f) or inspect.iscoroutinefunction(type(f).__call__)


class InChild(Generic[P, T]):
    """A function, each call of which runs in a child of its own.

    An async function stays one: it is awaited, and its child is current in the task that awaits.
    """

    def __init__(
        self,
        f: Callable[P, T],
        fork: Fork,
        context: Variables | None = None,
        above: CancelToken | None = None,
        here: bool = False,
        deadline: float | None = None,
    ) -> None:
        """`here` has it run in the Context of its caller, with what is current there covered."""
        if inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f):
            raise TypeError(
                f"{f!r} is a generator function: its body would run when its child is over. Wrap a"
                " function that goes through the generator."
            )
        update_wrapper(self, f)
        self._f: Callable[..., Any] = f
        self._fork = fork
        self._variables = None if context is None else context.copy()
        self._above = above or fork.token
        self._here = here
        self._deadline = deadline
        self.is_async = is_async(f)
        if self.is_async:
            if context is not None:
                raise ValueError(
                    "context= is for functions that are called; give it to `create_task` for one"
                    " that is awaited."
                )
            _mark_async(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.is_async:
            return cast(T, self._await(args, kwargs))
        if self._here:
            with covering(self._fork, self._token()) as child, child:
                return cast(T, self._f(*args, **kwargs))
        # Nothing comes along that is not declared, and nothing that the function sets stays.
        variables = Variables() if self._variables is None else self._variables.copy()
        return variables.run(self._call, args, kwargs)

    def _call(self, args: Any, kwargs: Any) -> T:
        token = self._token()
        try:
            if self._variables is not None:
                for variable in self._fork.variables():
                    variable.set(None)
            with self._fork.child(token):
                return cast(T, self._f(*args, **kwargs))
        finally:
            token.retire()

    async def _await(self, args: Any, kwargs: Any) -> Any:
        with covering(self._fork, self._token()) as child:
            async with child:
                return await self._f(*args, **kwargs)

    def _token(self) -> CancelToken:
        return CancelToken(moment_after(self._deadline), self._above)

    def as_sync(self) -> Callable[P, T]:
        """This function, run to its end where it is called."""
        return self._fork.as_sync(self) if self.is_async else self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._variables is not None:
            raise TypeError(
                "A function that was wrapped with context= cannot go to another process: context"
                " variables do not. Have what it needs carried, or hand it over as an argument."
            )
        return self._fork.pack(self._f, self._deadline)


@contextmanager
def covering(fork: Fork, token: CancelToken) -> Iterator[Context]:
    """A child for the calling Context, not yet pushed; what was current is so again afterwards."""
    covered = [(variable, variable.set(None)) for variable in fork.variables()]
    try:
        yield fork.child(token)
    finally:
        token.retire()
        for variable, before in covered:
            _uncover(variable, before)


def _uncover(variable: ContextVar[Any], before: Token[Any]) -> None:
    try:
        variable.reset(before)
    except ValueError:
        # The coroutine was dropped and is closed elsewhere: nothing was covered here.
        pass


def _mark_async(f: Any) -> None:
    """Have `f` taken for an async function by those who ask."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(f)
    else:
        from asyncio import coroutines

        f._is_coroutine = vars(coroutines)["_is_coroutine"]


def in_child(
    start: Start,
    f: Callable[P, T],
    *,
    context: Variables | None = None,
    deadline: float | None = None,
) -> InChild[P, T]:
    """`f`, each call of which runs in a child of what is current now.

    It may be called often, by several threads at once, and after the parent's end. A child starts
    in an empty Context, or in a copy of `context`. `deadline` is how many seconds a call may take.
    """
    return InChild(f, take(start), context, deadline=deadline)


def to_call(
    start: Start,
    f: Callable[P, T],
    context: Variables | None,
    above: CancelToken | None = None,
    deadline: float | None = None,
) -> Callable[P, T]:
    """`f` in a child, for a thread: an async function is run to its end there. What is in a child
    already stays so."""
    if isinstance(f, InChild):
        return f.as_sync()
    fork = take(start)
    return InChild(fork.as_sync(f), fork, context, above, deadline=deadline)
