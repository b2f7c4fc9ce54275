"""Resources: declared once, opened at their first use in a context, closed at its end.

Holds the declaration, what its name stands for, and overriding. How one is opened is `opening`'s,
what a context holds `held`'s, how it is given back early `releasing`'s.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import partial
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

from .callbacks import TransactionEvents
from .errors import outside_message
from .held import Holdings
from .opening import Declared, Opened
from .proxy import Proxy
from .unit import callbacks_of, holdings_of

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Lifetime: TypeAlias = Literal["context", "view", "body", "app"]
"""How long a resource stays open.

- `"context"`: until the end of the application context.
- `"view"`: the same, but given back when a request's response is final and its body streams, and by
  `released()`; opened again at its next use.
- `"body"`: until the end of the request, so through its streamed body.
- `"app"`: as long as the application in this process.
"""

LIFETIMES: tuple[Lifetime, ...] = ("context", "view", "body", "app")


Finder: TypeAlias = Callable[[Lifetime], Callable[[], Any]]
"""Gives the function that finds the context which holds a resource of a lifetime for the calling
code, None outside of any."""


class Resource(Declared):
    """The declaration of one resource.

    `outside` is the first line of the error outside of a context.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        finder: Finder,
        outside: str,
        lifetime: Lifetime = "context",
        transaction: Callable[[Any, Any], object] | None = None,
        dirty: Callable[[Any], object] | None = None,
        owner: Any = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"{function!r} is no function: `@resource` decorates one.")
        self.function = function
        self.name: str = getattr(function, "__name__", None) or repr(function)
        code = getattr(inspect.unwrap(function), "__code__", None)
        place = "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
        self._title = f"resource {self.name!r}{place}"
        if lifetime not in LIFETIMES:
            raise ValueError(
                f"The {self} has lifetime={lifetime!r}: it is one of {', '.join(LIFETIMES)}."
            )
        if inspect.iscoroutinefunction(inspect.unwrap(function)):
            raise TypeError(
                f"The {self} is a coroutine function: write `yield` where it has `return`, so that"
                " it can be closed, too."
            )
        self.lifetime: Lifetime = lifetime
        self.is_async = _is_async(function)
        if lifetime == "app" and transaction is not None:
            raise TypeError(f"The {self} has lifetime='app': a transaction belongs to one context.")
        #: Finds what holds it for the calling code.
        self.find = finder(lifetime)
        self.transaction = transaction
        self.dirty = dirty
        #: The only application that it may be used with; None for any.
        self.owner = owner
        #: Application -> what stands in for the value there, the last one counts.
        self.fakes: dict[Any, list[_Fake]] = {}
        self._outside = outside

    def __str__(self) -> str:
        return self._title

    def take(self) -> Any:
        """The value for the calling code, opened if it is not."""
        ctx, fake = self._holder()
        if fake is not None:
            return fake.value
        ended = partial(self._ended, ctx)
        if self.lifetime == "app":
            if ctx.ended:
                raise ended()
            scope = ctx.scope
            scope.watch()
            return scope.held.take(self, ended, None, scope.around).value
        held = holdings_of(ctx, ended)
        opened = held.take(self, ended, self._wired_to(ctx))
        # Another thread may have ended the context while nothing was open.
        if ctx.ended and held.give_back(opened):
            opened.release()
            raise ended()
        return opened.value

    async def take_async(self) -> Any:
        """The same for an async resource, awaited."""
        ctx, fake = self._holder()
        if fake is not None:
            return fake.value
        ended = partial(self._ended, ctx)
        if self.lifetime == "app":
            if ctx.ended:
                raise ended()
            scope = ctx.scope
            scope.watch()
            await _drop_of_closed_loop(scope.held, self)
            opened = await scope.held.take_async(self, ended, None, scope.around)
        else:
            held = holdings_of(ctx, ended)
            opened = await held.take_async(self, ended, self._wired_to(ctx))
            if ctx.ended and held.give_back(opened):
                await opened.release()
                raise ended()
        import asyncio

        if opened.loop is not asyncio.get_running_loop():
            way_out = (
                "It needs a server with one loop, which ASGI servers have."
                if self.lifetime == "app"
                else "Give it back there by `async with released():`, or have the code run in a"
                " context of its own."
            )
            raise RuntimeError(
                f"The {opened} belongs to the event loop on which it was opened, and this code runs"
                f" on another. {way_out}"
            )
        return opened.value

    def _holder(self) -> tuple[Any, _Fake | None]:
        """The context that holds it for the calling code, and what stands in for it there."""
        ctx = self.find()
        if ctx is None:
            raise RuntimeError(outside_message(self._outside, f"This code needs the {self}."))
        if self.owner is None and not self.fakes:
            return ctx, None
        app = ctx.scope.app
        if self.owner is not None and app is not self.owner:
            raise RuntimeError(
                f"The {self} belongs to {self.owner!r}, and the current context to {app!r}. Declare"
                " it with `@resource` for any application."
            )
        try:
            return ctx, self.fakes[app][-1]
        except LookupError:  # the last one may be gone at any moment
            return ctx, None

    def present_value(self) -> tuple[bool, Any]:
        """Whether there is a value for the calling code now, and the value; opens nothing."""
        ctx = self.find()
        if ctx is None:
            return False, None
        fake = self._holder()[1]
        if fake is not None:
            return True, fake.value
        if self.lifetime == "app":
            held = ctx.scope.held
        else:
            held = None if ctx._unit is None else ctx._unit.held
        opened = None if held is None else held.opened.get(self)
        return (False, None) if opened is None else (True, opened.value)

    def _ended(self, ctx: Any) -> Exception:
        error: Exception = ctx.ended_error(f"open the {self}")
        return error

    def _wired_to(self, ctx: Any) -> Callable[[Opened], None] | None:
        """What wires the transaction of an opened one to the context's callbacks, if it has one."""
        hook = self.transaction
        if hook is None:
            return None

        def wire(opened: Opened) -> None:
            callbacks = callbacks_of(ctx.callbacks_context)
            opened.events = TransactionEvents(callbacks, str(self))
            hook(opened.value, opened.events)

        return wire

    def is_dirty(self, opened: Opened) -> bool:
        """Whether a release would lose work."""
        return self.dirty is not None and bool(self.dirty(opened.value))


async def _drop_of_closed_loop(held: Holdings, resource: Resource) -> None:
    """Give up what was opened on a loop that is closed: it is opened anew."""
    opened = held.opened.get(resource)
    if opened is not None and opened.loop.is_closed() and held.give_back(opened):
        await opened.release()


def _is_async(function: Any) -> bool:
    unwrapped = inspect.unwrap(function)
    if inspect.isclass(unwrapped):
        return hasattr(unwrapped, "__aenter__") and not hasattr(unwrapped, "__enter__")
    return inspect.isasyncgenfunction(unwrapped)


# -- what a declared name stands for ---------------------------------------------------------------


class ResourceProxy(Proxy):
    """A resource as its users see it: its value, opened at the first use in each context."""

    __slots__ = ()
    _resource: ClassVar[Resource]

    # These answer outside a context, and never open anything there. An error of the opening is not
    # taken for "no context".
    def __bool__(self) -> bool:
        return type(self)._resource.find() is not None and bool(type(self)._resolve())

    def __eq__(self, other: object) -> Any:
        if type(self)._resource.find() is None:
            return NotImplemented
        return type(self)._resolve() == other

    def __ne__(self, other: object) -> Any:
        if type(self)._resource.find() is None:
            return NotImplemented
        return type(self)._resolve() != other

    __hash__ = Proxy.__hash__

    def __repr__(self) -> str:
        """That of the value where there is one; looking at it does not open it."""
        found, value = type(self)._resource.present_value()
        return repr(value) if found else f"<{type(self)._resource}, not open>"

    def __dir__(self) -> Any:
        return [] if type(self)._resource.find() is None else dir(type(self)._resolve())


# What has an answer outside a context: tools that look at a module's names ask for it.
_OWN = frozenset({"__class__", "__doc__", "__wrapped__", "__name__", "__module__", "__qualname__"})

# A source of its own for each resource keeps the attribute reads in it of one type, which CPython
# makes fast; `open` is the way to the value where it is open already.
_THROUGH_HELD = """\
def resolve(find=find, resource=resource, fakes=fakes, take=take):
    if not fakes:
        try:
            return {open}.value
        except (AttributeError, LookupError):
            pass
    return take()

def __getattribute__(self, name, find=find, resource=resource, fakes=fakes, getattr=getattr):
    if not fakes:
        try:
            value = {open}.value
        except (AttributeError, LookupError):
            pass
        else:
            try:
                return getattr(value, name)
            except AttributeError:
                if name == "_get_current_object":
                    return resolve
                raise
    return missing(name)
"""
# Where that code says it is: within this package, so that no opener is looked for there.
_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "<resource>")
_IN_CONTEXT = "find()._unit.held.opened[resource]"
_IN_SCOPE = "find().scope.held.opened[resource]"


def _make_proxy(resource: Resource) -> Any:
    def missing(name: str) -> Any:
        if name == "_get_current_object":
            return resolve
        if name in _OWN and resource.find() is None:
            return proxy_type if name == "__class__" else getattr(resource.function, name, None)
        return getattr(resource.take(), name)

    names: dict[str, Any] = {name: getattr(resource, name) for name in ("find", "fakes", "take")}
    names |= {"resource": resource, "missing": missing}
    way = _IN_SCOPE if resource.lifetime == "app" else _IN_CONTEXT
    exec(compile(_THROUGH_HELD.format(open=way), _HERE, "exec"), names)
    resolve = names["resolve"]
    members = {
        "__slots__": (),
        "_resource": resource,
        "_resolve": staticmethod(resolve),
        "__getattribute__": names["__getattribute__"],
    }
    proxy_type = type("Resource", (ResourceProxy,), members)
    return proxy_type()


class AsyncResource(Generic[T_co]):
    """An async resource as its users see it: `value = await resource`."""

    __slots__ = ("_resource",)

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def __await__(self) -> Generator[Any, Any, T_co]:
        """The value, opened at the first use in each context."""
        return self._resource.take_async().__await__()

    def __repr__(self) -> str:
        return f"<async {self._resource}>"


def present(resource: Resource) -> Any:
    """What the declared name stands for: a proxy of its own type, or an `AsyncResource`."""
    if resource.is_async:
        return AsyncResource[Any](resource)
    return _make_proxy(resource)


def declaration(declared: object) -> Resource:
    """The declaration behind a declared name; `TypeError` for anything else."""
    kind = type(declared)
    if issubclass(kind, ResourceProxy):
        return kind._resource
    if isinstance(declared, AsyncResource):
        return declared._resource
    raise TypeError(f"{declared!r} is no resource; make one with `@resource`.")


class Declare(Protocol):
    """What `resource(...)` returns: decorates a function, and types its name as the value."""

    @overload
    def __call__(self, function: Callable[[], AbstractContextManager[T]], /) -> T: ...
    @overload
    def __call__(self, function: Callable[[], Iterator[T]], /) -> T: ...
    @overload
    def __call__(
        self, function: Callable[[], AbstractAsyncContextManager[T]], /
    ) -> AsyncResource[T]: ...
    @overload
    def __call__(self, function: Callable[[], AsyncIterator[T]], /) -> AsyncResource[T]: ...


class ResourceDecorator(Protocol):
    """What `app.resource` and `stack.resource` are: `@resource`, with or without options."""

    @overload
    def __call__(self, function: Callable[[], AbstractContextManager[T]], /) -> T: ...
    @overload
    def __call__(self, function: Callable[[], Iterator[T]], /) -> T: ...
    @overload
    def __call__(
        self, function: Callable[[], AbstractAsyncContextManager[T]], /
    ) -> AsyncResource[T]: ...
    @overload
    def __call__(self, function: Callable[[], AsyncIterator[T]], /) -> AsyncResource[T]: ...
    @overload
    def __call__(
        self,
        *,
        lifetime: Lifetime = "context",
        transaction: Callable[[Any, Any], object] | None = None,
        dirty: Callable[[Any], object] | None = None,
    ) -> Declare: ...


class _Fake:
    """What stands in for a resource's value; a box, so that two equal ones are told apart."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


# Reentrant: the garbage collector may close what holds such a block inside.
_overriding = threading.RLock()


@contextmanager
def overridden(declared: object, app: Any, fake: Any) -> Iterator[None]:
    """Have a resource stand for `fake` in every context of `app`, within the block."""
    resource = declaration(declared)
    fakes, mine = resource.fakes, _Fake(fake)
    with _overriding:
        fakes.setdefault(app, []).append(mine)
    try:
        yield
    finally:
        with _overriding:
            fakes[app].remove(mine)
            if not fakes[app]:
                del fakes[app]
