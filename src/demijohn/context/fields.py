"""Typed values of a context: declared once with name, type and default, set and read anywhere.

A field that carries goes into children and carriers, so it holds plain data (see `carrier`), which
is checked where it is set. Knows nothing of `g`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from .carrier import plain
from .errors import outside_caller, outside_message
from .kinds import ContextStack
from .stack import Context
from .unit import unit_of

T = TypeVar("T")

UNSET: Any = object()
"""No default, no value: as the default of an argument."""


class ContextField(Generic[T]):
    """A value of type `T` that each context of `stack` has for itself.

        tenant = ContextField[str | None]("tenant", stack=jobs, default=None, carries=True)

    Declare it at module level. A context where it was not set has `default`, or what
    `default_factory()` makes at the first `get()`; without either, `get()` raises `LookupError`.
    Two live fields of one stack that carry must have two names: `ValueError` names both places.
    """

    # The error outside a context; None for a remedy: the place's own.
    _first_line: ClassVar[str] = "Working outside of {stack} context."
    _remedy: ClassVar[str | None] = "Put this code under a pushed {stack} context (`with`)."

    def __init__(
        self,
        name: str,
        *,
        stack: ContextStack[Any],
        default: T = UNSET,
        default_factory: Callable[[], T] | None = None,
        carries: bool = False,
    ) -> None:
        if type(name) is not str or not name:
            raise TypeError(f"A field's name is text such as 'tenant', not {name!r}.")
        if default is not UNSET and default_factory is not None:
            raise TypeError(f"The field {name!r} has a default and a default_factory: give one.")
        if isinstance(default, (list, dict, set)):
            kind = type(default).__name__
            raise ValueError(
                f"The default of the field {name!r} is a {kind}, which all contexts would share."
                f" Use `default_factory={kind}`."
            )
        if carries and default is not UNSET:
            plain(default, f"The default of the field {name!r}")
        #: Names the field in messages, and in carriers if it carries.
        self.name = name
        #: Whether its value goes into children and carriers.
        self.carries = carries
        self._stack = stack
        self._default = default
        self._factory = default_factory
        code, line = outside_caller()
        self._declared_at = f"{code.co_filename}:{line}"
        # One that carries is known by its name, so that a value that came along before the field's
        # module was imported is found, and goes on to the next process.
        self._key: object = name if carries else self
        if carries:
            _claim_name(self)

    def get(self) -> T:
        """Its value in the current context. Of an ended one it can still be read."""
        ctx = self._stack.var.get(None)
        if ctx is None:
            raise self._outside()
        unit = ctx._unit
        if unit is not None:
            value: T = unit.values.get(self._key, UNSET)
            if value is not UNSET:
                return value
        return self._get_default(ctx)

    def set(self, value: T) -> None:
        """Give it a value in the current context.

        One that carries keeps a copy, and raises `TypeError` for what is not plain data. Raises
        `ContextEnded` when the context is over.
        """
        ctx = self._current_to_change("set")
        if self.carries:
            value = plain(value, f"The field {self.name!r}")
        unit_of(ctx).values[self._key] = value

    def reset(self) -> None:
        """Go back to the default in the current context."""
        ctx = self._current_to_change("reset")
        unit_of(ctx).values.pop(self._key, None)

    def _get_default(self, ctx: Context) -> T:
        if self._factory is None:
            if self._default is UNSET:
                raise LookupError(
                    f"The field {self.name!r} has no value in {ctx!r}, and no default. Set it"
                    f" before it is read; it is declared at {self._declared_at}."
                )
            return self._default
        value = self._factory()
        if self.carries:
            value = plain(value, f"What the default_factory of the field {self.name!r} made")
        if ctx.ended:
            return value
        # The first of several threads wins, and all get its value.
        kept: T = unit_of(ctx).values.setdefault(self._key, value)
        return kept

    def _current_to_change(self, verb: str) -> Context:
        ctx: Context | None = self._stack.current
        if ctx is None:
            raise self._outside()
        if ctx.ended:
            raise ctx.ended_error(f"{verb} the field {self.name!r}")
        return ctx

    def _outside(self) -> RuntimeError:
        stack = self._stack.name
        first_line = self._first_line.format(stack=stack)
        remedy = self._remedy and self._remedy.format(stack=stack)
        return RuntimeError(
            outside_message(first_line, f"The field {self.name!r} belongs to a context.", remedy)
        )

    def __repr__(self) -> str:
        carries = ", carries" if self.carries else ""
        return f"<{type(self).__name__} {self.name!r}{carries}, declared at {self._declared_at}>"


def carried_values(ctx: Context) -> dict[str, Any]:
    """A plain copy of what carries and was set in `ctx`: field's name -> value."""
    unit = ctx._unit
    if unit is None:
        return {}
    return {
        key: plain(value, f"The field {key!r}")
        for key, value in unit.values.copy().items()
        if type(key) is str
    }


def set_carried_values(ctx: Context, values: dict[str, Any]) -> None:
    """Give `ctx` what `carried_values` took elsewhere, also for fields yet to be declared here."""
    if values:
        unit_of(ctx).values.update(values)


def _claim_name(field: ContextField[Any]) -> None:
    fields = field._stack.carrying
    other: ContextField[Any] | None = fields.get(field.name)
    # The same line again is a module that was loaded again.
    if other is not None and other._declared_at != field._declared_at:
        raise ValueError(
            f"Two fields that carry have the name {field.name!r}.\n"
            f"  first:  {other._declared_at}\n"
            f"  second: {field._declared_at}\n"
            "Give one of them another name, or import the first."
        )
    fields[field.name] = field
