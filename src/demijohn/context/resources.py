"""Resources: declared once, opened at their first use in a context, closed at its end.

Holds the declaration, its proxy, overriding and releasing. How one is opened is `opening`'s, what a
context holds is `held`'s.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import partial
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

from .callbacks import TransactionEvents
from .ending import raise_errors
from .errors import ContextWarning, DirtyResource, outside_message
from .held import Holdings, Steps
from .loops import drive, drive_async
from .opening import Declared, Opened
from .proxy import Proxy
from .unit import holdings_of, unit_of

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


class Resource(Declared):
    """The declaration of one resource.

    `find` returns the context that holds it for the calling code, None outside of any; `outside` is
    the first line of the error there.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        find: Callable[[Lifetime], Any],
        outside: str,
        lifetime: Lifetime = "context",
        transaction: Callable[[Any, Any], object] | None = None,
        dirty: Callable[[Any], object] | None = None,
        owner: Any = None,
    ) -> None:
        if lifetime not in LIFETIMES:
            raise ValueError(f"lifetime={lifetime!r}: it is one of {', '.join(LIFETIMES)}.")
        self.function = function
        self.find = find
        self.lifetime: Lifetime = lifetime
        self.transaction = transaction
        self.dirty = dirty
        #: The only application that it may be used with; None for any.
        self.owner = owner
        self.name: str = getattr(function, "__name__", None) or repr(function)
        self.is_async = _is_async(function)
        if self.is_async and lifetime == "app":
            raise TypeError(f"{self}: an async resource belongs to one event loop, not to an app.")
        self._outside = outside
        # Application -> what stands in for the value.
        self.fakes: dict[Any, Any] = {}

    def __str__(self) -> str:
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        if code is None:
            return f"resource {self.name!r}"
        return f"resource {self.name!r} ({code.co_filename}:{code.co_firstlineno})"

    def holder(self) -> Any:
        """The context that holds it for the calling code; `RuntimeError` outside of any."""
        ctx = self.find(self.lifetime)
        if ctx is None:
            raise RuntimeError(outside_message(self._outside, f"This code needs the {self}."))
        if self.owner is not None and ctx.scope.app is not self.owner:
            raise RuntimeError(
                f"The {self} belongs to {self.owner!r}, and the current context to"
                f" {ctx.scope.app!r}. Declare it with `@resource` for any application."
            )
        return ctx

    def take(self) -> Any:
        """The value for the calling code, opened if it is not."""
        ctx = self.holder()
        if self.fakes and ctx.scope.app in self.fakes:
            return self.fakes[ctx.scope.app]
        unit = ctx._unit
        if unit is not None and unit.held is not None:
            opened = unit.held.opened.get(self)
            if opened is not None:
                return opened.value
        return self._open(ctx)

    def _open(self, ctx: Any) -> Any:
        ended = partial(ctx.ended_error, f"open the {self}")
        wire = partial(self._wire, ctx)
        if self.lifetime != "app":
            return holdings_of(ctx, ended).take(self, ended, wire).value
        if ctx.ended:
            raise ended()
        return ctx.scope.holdings().take(self, ended, wire, ctx.scope.around).value

    async def take_async(self) -> Any:
        """The same for an async resource, awaited."""
        ctx = self.holder()
        if self.fakes and ctx.scope.app in self.fakes:
            return self.fakes[ctx.scope.app]
        ended = partial(ctx.ended_error, f"open the {self}")
        held = holdings_of(ctx, ended)
        return (await held.take_async(self, ended, partial(self._wire, ctx))).value

    def _wire(self, ctx: Any, opened: Opened) -> None:
        if self.transaction is not None:
            callbacks = unit_of(ctx.callbacks_context).callbacks
            opened.events = TransactionEvents(callbacks, str(self))
            self.transaction(opened.value, opened.events)

    def is_dirty(self, opened: Opened) -> bool:
        """Whether a release would lose work."""
        return self.dirty is not None and bool(self.dirty(opened.value))


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
        resource = type(self)._resource
        return resource.find(resource.lifetime) is not None and bool(resource.take())

    def __eq__(self, other: object) -> Any:
        resource = type(self)._resource
        if resource.find(resource.lifetime) is None:
            return NotImplemented
        return resource.take() == other

    def __ne__(self, other: object) -> Any:
        resource = type(self)._resource
        if resource.find(resource.lifetime) is None:
            return NotImplemented
        return resource.take() != other

    __hash__ = Proxy.__hash__

    def __repr__(self) -> str:
        """That of the value where it is open; looking at it does not open it."""
        resource = type(self)._resource
        ctx = resource.find(resource.lifetime)
        unit = None if ctx is None else ctx._unit
        held = None if unit is None else unit.held
        opened = None if held is None else held.opened.get(resource)
        return f"<{resource}, not open>" if opened is None else repr(opened.value)

    def __dir__(self) -> Any:
        resource = type(self)._resource
        return [] if resource.find(resource.lifetime) is None else dir(resource.take())

    def __getattribute__(self, name: str) -> Any:
        resource = type(self)._resource
        if name == "_get_current_object":
            return resource.take
        if name in _OWN and resource.find(resource.lifetime) is None:
            return type(self) if name == "__class__" else getattr(resource.function, name, None)
        return getattr(resource.take(), name)


# What has an answer outside a context: tools that look at a module's names ask for it.
_OWN = frozenset({"__class__", "__doc__", "__wrapped__", "__name__", "__module__", "__qualname__"})


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
    members = {"__slots__": (), "_resource": resource, "_resolve": staticmethod(resource.take)}
    return type("Resource", (ResourceProxy,), members)()


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


@contextmanager
def overridden(declared: object, app: Any, fake: Any) -> Iterator[None]:
    """Have a resource stand for `fake` in every context of `app`, within the block."""
    fakes = declaration(declared).fakes
    missing = object()
    before = fakes.get(app, missing)
    fakes[app] = fake
    try:
        yield
    finally:
        if before is missing:
            del fakes[app]
        else:
            fakes[app] = before


# -- releasing -------------------------------------------------------------------------------------


class Released:
    """`with released():` gives back what is releasable; it is opened again at its next use.

    The resources go when the block is entered. Raises `DirtyResource`, and gives nothing back, when
    one of them is dirty.
    """

    def __init__(self, contexts: Iterable[Any], resources: Iterable[object] = ()) -> None:
        self._contexts = list(contexts)
        self._wanted = [declaration(one) for one in resources]
        for one in self._wanted:
            if one.lifetime != "view":
                raise TypeError(
                    f"The {one} cannot be released: its lifetime is {one.lifetime!r}. Declare it"
                    ' with lifetime="view".'
                )

    def __enter__(self) -> None:
        raise_errors(drive(self._steps()), "Errors in releasing resources")

    def __exit__(self, *exc: object) -> None:
        pass

    async def __aenter__(self) -> None:
        raise_errors(await drive_async(self._steps()), "Errors in releasing resources")

    async def __aexit__(self, *exc: object) -> None:
        pass

    def _steps(self) -> Steps:
        found = [
            (held, opened)
            for held, opened in releasable(self._contexts)
            if not self._wanted or opened.declared in self._wanted
        ]
        dirty = [opened for _, opened in found if opened.declared.is_dirty(opened)]
        if dirty:
            raise DirtyResource(
                f"Cannot release the {'; the '.join(map(str, dirty))}: it is dirty. Commit or roll"
                " back before the block."
            )
        return (yield from _releasing(found))


def releasable(contexts: Iterable[Any]) -> list[tuple[Holdings, Opened]]:
    """The open `view` resources of some contexts, last opened first, with what holds them."""
    found = []
    for ctx in contexts:
        unit = ctx._unit
        if unit is not None and unit.held is not None:
            found += [
                (unit.held, one) for one in unit.held.all() if one.declared.lifetime == "view"
            ]
    return sorted(found, key=lambda pair: pair[1].since, reverse=True)


def _releasing(found: Iterable[tuple[Holdings, Opened]]) -> Steps:
    errors: list[BaseException] = []
    for held, opened in found:
        if not held.give_back(opened):
            continue
        done, error = yield opened.loop, opened.release
        if opened.events is not None:
            opened.events.closed()
        if not done:
            errors.append(error)
    return errors


def releasing_clean(contexts: Iterable[Any]) -> Steps:
    """Give back what is releasable and clean; warn of what is not, which stays open."""
    clean: list[tuple[Holdings, Opened]] = []
    errors: list[BaseException] = []
    for held, opened in releasable(contexts):
        try:
            dirty = opened.declared.is_dirty(opened)
        except Exception as error:
            errors.append(error)
            dirty = True
        if dirty:
            warnings.warn(
                f"The {opened} is dirty, and the response is final: it is kept open while the body"
                " streams. Commit or roll back before the view returns.",
                ContextWarning,
                stacklevel=2,
            )
        else:
            clean.append((held, opened))
    errors += yield from _releasing(clean)
    return errors
