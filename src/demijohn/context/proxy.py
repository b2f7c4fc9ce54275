"""Proxies: objects that forward every operation to what is current right now.

Holds the forwarding only. What "current" means is the `ContextVar` that `make_proxy` is given; the
texts of the errors come from `errors`. The operations forwarded are those of
`werkzeug.local.LocalProxy`, asserted by a test.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .errors import outside_message


class Proxy:
    """What every proxy's type derives from.

    `issubclass(type(x), Proxy)` tells a proxy from what it forwards to.
    """

    __slots__ = ()

    @staticmethod
    def _resolve() -> Any:
        """The current object; raises `RuntimeError` outside a context.

        Reached through the type alone: an attribute of the proxy is one of the current object.
        """
        raise NotImplementedError

    # The operations that session and `g` live on are written out: half the cost of the generic
    # forwarding below.
    def __getitem__(self, key: Any) -> Any:
        return type(self)._resolve()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        type(self)._resolve()[key] = value

    def __delitem__(self, key: Any) -> None:
        del type(self)._resolve()[key]

    def __contains__(self, item: Any) -> bool:
        return item in type(self)._resolve()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return type(self)._resolve()(*args, **kwargs)

    def __hash__(self) -> int:
        return hash(type(self)._resolve())

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(type(self)._resolve(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(type(self)._resolve(), name)

    # Five questions have an answer outside a context too.
    def __eq__(self, other: object) -> Any:
        try:
            target = type(self)._resolve()
        except RuntimeError:
            return NotImplemented
        return target == other

    def __ne__(self, other: object) -> Any:
        try:
            target = type(self)._resolve()
        except RuntimeError:
            return NotImplemented
        return target != other

    def __bool__(self) -> bool:
        try:
            return bool(type(self)._resolve())
        except RuntimeError:
            return False

    def __repr__(self) -> str:
        try:
            target = type(self)._resolve()
        except RuntimeError:
            return "<LocalProxy unbound>"
        return repr(target)

    def __dir__(self) -> Any:
        try:
            return dir(type(self)._resolve())
        except RuntimeError:
            return []


def _swapped(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda target, other: operation(other, target)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "matmul": operator.matmul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "divmod": divmod,
    "pow": pow,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
    "and": operator.and_,
    "xor": operator.xor,
    "or": operator.or_,
}
_IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    f"__i{name}__": getattr(operator, f"i{name.removesuffix('_')}")
    for name in _BINARY
    if name != "divmod"
}
_FORWARDED: dict[str, Callable[..., Any]] = {
    "__str__": str,
    "__bytes__": bytes,
    "__format__": format,
    "__lt__": operator.lt,
    "__le__": operator.le,
    "__gt__": operator.gt,
    "__ge__": operator.ge,
    "__len__": len,
    "__length_hint__": operator.length_hint,
    "__iter__": iter,
    "__next__": next,
    "__reversed__": reversed,
    "__instancecheck__": lambda target, instance: isinstance(instance, target),
    "__subclasscheck__": lambda target, subclass: issubclass(subclass, target),
    **{f"__{name}__": function for name, function in _BINARY.items()},
    **{f"__r{name}__": _swapped(function) for name, function in _BINARY.items()},
    "__neg__": operator.neg,
    "__pos__": operator.pos,
    "__abs__": abs,
    "__invert__": operator.invert,
    "__complex__": complex,
    "__int__": int,
    "__float__": float,
    "__index__": operator.index,
    "__round__": round,
    "__trunc__": math.trunc,
    "__floor__": math.floor,
    "__ceil__": math.ceil,
    "__enter__": lambda target: target.__enter__(),
    "__exit__": lambda target, *exc: target.__exit__(*exc),
    "__await__": lambda target: target.__await__(),
    "__aiter__": lambda target: target.__aiter__(),
    "__anext__": lambda target: target.__anext__(),
    "__aenter__": lambda target: target.__aenter__(),
    "__aexit__": lambda target, *exc: target.__aexit__(*exc),
    "__copy__": copy.copy,
    "__deepcopy__": copy.deepcopy,
}


def _forward(name: str, operation: Callable[..., Any]) -> None:
    def method(self: Proxy, *args: Any) -> Any:
        return operation(type(self)._resolve(), *args)

    method.__name__ = name
    setattr(Proxy, name, method)


def _forward_in_place(name: str, operation: Callable[[Any, Any], Any]) -> None:
    # `proxy += x` must leave a proxy in the name, not the object of one unit of work.
    def method(self: Proxy, other: Any) -> Any:
        operation(type(self)._resolve(), other)
        return self

    method.__name__ = name
    setattr(Proxy, name, method)


for _name, _operation in _FORWARDED.items():
    _forward(_name, _operation)
for _name, _operation in _IN_PLACE.items():
    _forward_in_place(_name, _operation)


class Unmade:
    """Stands where a value will be that is made at its first use. It has no attribute whatever."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        raise AttributeError(name)


UNMADE: Any = Unmade()

# A constant attribute name in the source costs an attribute read 54 ns over a plain one (CPython
# 3.11); a second `getattr` by a variable name costs 80, and `LocalProxy` 500.
_THROUGH_ATTRIBUTE = """\
def __getattribute__(self, name):
    try:
        return getattr(get().{held}, name)
    except (AttributeError, LookupError):
        return missing(name)

def __setattr__(self, name, value):
    try:
        context = get()
        target = context.{held}
        if target is unmade:
            target = context.{made}
    except (AttributeError, LookupError):
        target = resolve()
    setattr(target, name, value)
"""
_THROUGH_CONTEXT = """\
def __getattribute__(self, name):
    context = get(None)
    if context is None:
        return missing(name)
    try:
        return getattr(context, name)
    except AttributeError:
        return missing(name)
"""


def make_proxy(
    var: ContextVar[Any],
    attribute: str | None,
    first_line: str,
    need: str,
    remedy: str | None = None,
    doc: str | None = None,
    held: str | None = None,
    maker: str | None = None,
) -> Any:
    """A proxy to `attribute` of the variable's value, or to the value when `attribute` is None.

    A variable that was never set, or is set to None, is unbound: an operation raises `RuntimeError`
    with `first_line`, `need`, where the code runs, and `remedy` (by default the place's own). Each
    proxy has a type of its own. `held` is for an attribute that is made at its first use: the name
    under which the context holds it then, and before that `UNMADE`; `maker` is its method that
    makes it, a call of which costs 60 ns less than a property.
    """
    held = held or attribute
    for name in (attribute, held, maker):
        if name is not None and not name.isidentifier():
            raise ValueError(f"{name!r} is no attribute name")

    def resolve() -> Any:
        context = var.get(None)
        if context is None:
            raise RuntimeError(outside_message(first_line, need, remedy))
        return context if attribute is None else getattr(context, attribute)

    def missing(name: str) -> Any:
        # Called while the first error is handled, so a bare `raise` lets that one through.
        if name == "_get_current_object":
            return resolve
        context = var.get(None)
        if context is not None:
            if held is not None and getattr(context, held) is UNMADE:
                return getattr(resolve(), name)
            raise  # noqa: PLE0704
        if name == "__class__":
            return proxy_type
        if name == "__doc__":
            return doc
        if name == "__wrapped__":
            return var
        raise RuntimeError(outside_message(first_line, need, remedy)) from None

    source = (
        _THROUGH_CONTEXT
        if held is None
        else _THROUGH_ATTRIBUTE.format(held=held, made=f"{maker}()" if maker else attribute)
    )
    members: dict[str, Any] = {"__slots__": (), "_resolve": staticmethod(resolve)}
    exec(
        source, {"get": var.get, "missing": missing, "resolve": resolve, "unmade": UNMADE}, members
    )
    proxy_type = type("Proxy", (Proxy,), members)
    return proxy_type()
