"""A kind of context: its name, the variable that holds the current one, proxies and resources.

What a context is, is `stack`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Generic, TypeVar, cast
from weakref import WeakValueDictionary

from .forks import in_forked
from .proxy import make_proxy
from .resources import Lifetime, Resource, ResourceDecorator, present
from .scope import Scope

C = TypeVar("C")


class ContextStack(Generic[C]):
    """One kind of context and the variable that says which one is current.

    `ContextStack("database")` makes the kind; `class DatabaseContext(Context, stack=databases)` its
    contexts.
    """

    def __init__(self, name: str, var: ContextVar[Any] | None = None) -> None:
        self.name = name
        # A cleared variable holds None: a copied Context cannot be given back the state "never
        # set".
        self.var: ContextVar[Any] = ContextVar(f"demijohn.{name}") if var is None else var
        self._make_lock()
        in_forked(self, ContextStack._make_lock)
        self.scope = Scope(self)
        #: The fields that carry, by name: see `fields`.
        self.carrying: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def _make_lock(self) -> None:
        # Guards the decision who runs an end where somebody else than the owner might.
        # Reentrant: the garbage collector may drop a hold while its thread is inside.
        self.lock = threading.RLock()

    @property
    def current(self) -> C | None:
        """The current context of this kind in the calling code, or None."""
        context: C | None = self.var.get(None)
        return context

    def proxy(self, attribute: str | None = None) -> Any:
        """An object that forwards everything to the current context's `attribute`.

        Without `attribute` it forwards to the context itself.

        Outside any context its use raises `RuntimeError`, which says where the code runs.
        """
        return make_proxy(
            self.var,
            attribute,
            f"Working outside of {self.name} context.",
            f"There is no current {self.name} context.",
            f"Put this code under a pushed {self.name} context (`with`).",
        )

    @property
    def resource(self) -> ResourceDecorator:
        """Declares a resource of these contexts: `@stack.resource`, see `demijohn.resource`."""
        return cast("ResourceDecorator", partial(_declare, self))

    def __repr__(self) -> str:
        return f"<ContextStack {self.name!r}>"


def _declare(
    stack: ContextStack[Any],
    function: Callable[[], Any] | None = None,
    /,
    *,
    lifetime: Lifetime = "context",
    transaction: Callable[[Any, Any], object] | None = None,
    dirty: Callable[[Any], object] | None = None,
) -> Any:
    outside = f"Working outside of {stack.name} context."
    find = partial(stack.var.get, None)

    def finder(lifetime: Lifetime) -> Callable[[], Any]:
        return find

    def declare(function: Callable[[], Any]) -> Any:
        return present(Resource(function, finder, outside, lifetime, transaction, dirty))

    return declare if function is None else declare(function)
