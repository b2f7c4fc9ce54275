"""What goes along from an application context: fields and names of `g` that are declared to carry.

Everything else stays where it is; `Cookie` and `Authorization` too, unless a program declares a
value that it took from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from ..context import fields
from ..context.cancel import CancelToken
from ..context.carrier import Carried, plain, read_carrier, write_carrier
from ..context.proxy import UNMADE
from ..context.unit import unit_of
from .globals import NO_APP, app_stack

T = TypeVar("T")

INSTEAD = (
    "For a thread or a process pool wrap the function in `in_child`. Anywhere else hand over"
    " `app_ctx.carrier()`, the values declared to carry as plain data, and open `with"
    " app.app_context(carrier=...):` there."
)
"""What to do instead of pickling or copying a context."""


class ContextField(fields.ContextField[T]):
    """A value of type `T` that each application context has for itself; a request's, for instance.

        tenant = ContextField[str | None]("tenant", default=None, carries=True)

    Declare it at module level; it needs no application. A context where it was not set has
    `default`, or what `default_factory()` makes at the first `get()`; without either, `get()`
    raises `LookupError`. With `carries` it holds plain data only and goes into children and
    carriers. Two live fields that carry must have two names: `ValueError` names both places.
    """

    _first_line: ClassVar[str] = NO_APP
    _remedy: ClassVar[str | None] = None

    def __init__(
        self,
        name: str,
        *,
        default: T = fields.UNSET,
        default_factory: Callable[[], T] | None = None,
        carries: bool = False,
    ) -> None:
        super().__init__(
            name,
            stack=app_stack,
            default=default,
            default_factory=default_factory,
            carries=carries,
        )


def check_names(names: tuple[object, ...]) -> None:
    """Raise `TypeError` or `ValueError` for what `app.carry` cannot take."""
    for name in names:
        if type(name) is not str:
            raise TypeError(f"carry() takes names in g, as in carry('user_id'), not {name!r}.")
        if not name.isidentifier() or name.startswith("__"):
            raise ValueError(f"carry() takes names in g, as in carry('user_id'), not {name!r}.")


def carried(ctx: Any) -> Carried:
    """A copy of what an `AppContext` hands on: what is declared to carry, and has a value.

    Raises `TypeError`, with the name in it, for a value that is not plain data.
    """
    return Carried(carried_g(ctx), fields.carried_values(ctx))


def carried_g(ctx: Any) -> dict[str, Any]:
    """The part of it that is in `g`."""
    taken = {}
    g = ctx._g
    if g is not UNMADE:
        for name in ctx.app._carried_names:
            value = getattr(g, name, UNMADE)
            if value is not UNMADE:
                taken[name] = plain(value, f"g.{name}")
    return taken


def fill(ctx: Any, values: Carried) -> None:
    """Give a new `AppContext` what another one handed on, as far as its application declares it."""
    for name, value in values.g.items():
        if name in ctx.app._carried_names:
            setattr(ctx.g, name, value)
    fields.set_carried_values(ctx, values.fields)


def carrier_of(ctx: Any) -> dict[str, Any]:
    """The carrier that `AppContext.carrier` gives: what is carried, and the deadline."""
    return write_carrier(ctx.app.name, replace(carried(ctx), deadline=ctx.deadline))


def fill_from(ctx: Any, carrier: object) -> None:
    """Fill a new `AppContext` from a carrier; raises `CarrierError` when it cannot be read."""
    values = read_carrier(carrier)
    fill(ctx, values)
    if values.deadline is not None:
        unit_of(ctx).cancel = CancelToken(values.deadline, ctx._cancel_above())
