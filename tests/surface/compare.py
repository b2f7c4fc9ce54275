"""Comparing one thing of Flask's with ours: kind, value, signature, bases, options of a command.

Each function yields sentences about what does not fit, as a user would see it; none means equal.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import MethodType, ModuleType
from typing import Any, TypeVar, get_origin

import blinker
import click
from werkzeug.local import LocalProxy
from werkzeug.utils import cached_property

from demijohn.context.proxy import Proxy

from .walk import RELIED_ON_OF_OBJECTS, counterpart_name, own_value, public_attributes

_FUNCTIONS = (type(lambda: 0), MethodType, type(len), type(str.join), type(object.__init__))
_EMPTY = inspect.Parameter.empty


def kind_of(value: object) -> str:
    """What a user would call it: a class, a function, a proxy, a constant, ..."""
    # By type(): a proxy answers isinstance() for what it stands for.
    if issubclass(type(value), (LocalProxy, Proxy)):
        return "proxy"
    for types, kind in _KINDS:
        if isinstance(value, types):
            return kind
    if get_origin(value) is not None:
        return "alias"
    # A cached property, a header, a slot: whatever computes what is read on an object.
    return "property" if hasattr(type(value), "__get__") else "constant"


_KINDS: tuple[tuple[Any, str], ...] = (
    (ModuleType, "module"),
    (TypeVar, "type variable"),
    (staticmethod, "static method"),
    (classmethod, "class method"),
    ((property, cached_property), "property"),
    (click.Command, "command"),
    (blinker.NamedSignal, "signal"),
    (type, "class"),
    (_FUNCTIONS, "function"),
)


def counterpart(value: Any) -> Any:
    """What stands here for a class, function or module of Flask's; other values as they are."""
    if isinstance(value, ModuleType):
        home, path = value.__name__, ""
    else:
        home, path = getattr(value, "__module__", None) or "", getattr(value, "__qualname__", "")
    if home.partition(".")[0] != "flask" or not (path or isinstance(value, ModuleType)):
        return value
    found: Any = importlib.import_module(counterpart_name(home))
    for part in path.split(".") if path else ():
        found = getattr(found, part, None)
    return found


def value_gaps(theirs: Any, ours: Any) -> Iterator[str]:
    """How one public value differs: kind first, then what a value of that kind shows."""
    kind, our_kind = kind_of(theirs), kind_of(ours)
    if kind != our_kind:
        yield f"is a {our_kind}, not a {kind}"
        return
    if kind in {"function", "class method", "static method"}:
        yield from signature_gaps(_plain(theirs), _plain(ours))
    elif kind == "property":
        yield from _property_gaps(theirs, ours)
    elif kind == "class":
        expected = counterpart(theirs)
        # A class of another library may be a subclass of it here.
        if expected is not ours and not (expected is theirs and issubclass(ours, theirs)):
            yield f"is {ours!r}, not what stands for {theirs!r}"
    elif kind == "module":
        if counterpart(theirs) is not ours:
            yield f"is {ours!r}"
    elif kind == "command":
        yield from command_gaps(theirs, ours)
    elif kind == "signal":
        if theirs.name != ours.name:
            yield f"is named {ours.name!r}, not {theirs.name!r}"
    elif kind == "constant":
        yield from constant_gaps(theirs, ours)


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, (staticmethod, classmethod)) else value


def constant_gaps(theirs: Any, ours: Any) -> Iterator[str]:
    """How two values differ that are no code: in type, or, where that can be seen, in value."""
    expected = counterpart(type(theirs))
    if expected is not None and not isinstance(ours, expected):
        yield f"is a {type(ours).__name__}, not a {type(theirs).__name__}"
    elif not same_value(theirs, ours):
        yield f"is {ours!r}, not {theirs!r}"


def same_value(theirs: Any, ours: Any) -> bool:
    """Whether two values are equal; classes and functions by what stands for them here."""
    if isinstance(theirs, (str, bytes, int, float, frozenset, set, type(None))):
        return bool(type(theirs) is type(ours) and theirs == ours)
    if isinstance(theirs, (tuple, list)):
        return len(theirs) == len(ours) and all(map(same_value, theirs, ours))
    if isinstance(theirs, dict):
        return theirs.keys() == ours.keys() and all(
            same_value(value, ours[key]) for key, value in theirs.items()
        )
    if isinstance(theirs, (type, *_FUNCTIONS)):
        return counterpart(theirs) is ours
    # Of anything else the type is all that can be compared.
    return True


def signature_gaps(theirs: Any, ours: Any, *, method: bool = False) -> Iterator[str]:
    """How a call that fits theirs may not fit ours. Ours may add keyword-only parameters.

    Of a method of a class the first parameter is left out: it is called on an object.
    """
    try:
        expected = _parameters(theirs, method)
    except ValueError:
        # Built into Python without a signature, so not Flask's.
        return
    found = _parameters(ours, method)
    for parameter in found.values():
        if parameter.name not in expected and (
            parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is _EMPTY
        ):
            yield f"takes {str(parameter)!r}"
    order = [p.name for p in found.values() if p.name in expected]
    if order != [name for name in expected if name in found]:
        yield f"takes its parameters as {order}, not as {list(expected)}"
    for name, parameter in expected.items():
        if name not in found:
            yield f"lacks the parameter {str(parameter)!r}"
        else:
            yield from _parameter_gaps(parameter, found[name])


def _parameters(function: Any, method: bool) -> dict[str, inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    return {p.name: p for p in parameters[method:]}


def _parameter_gaps(theirs: inspect.Parameter, ours: inspect.Parameter) -> Iterator[str]:
    if theirs.kind is not ours.kind:
        yield f"takes {theirs.name!r} as {ours.kind.description}, not {theirs.kind.description}"
    has_default = theirs.default is not _EMPTY
    if has_default != (ours.default is not _EMPTY) or (
        has_default and not same_value(theirs.default, ours.default)
    ):
        yield f"{theirs.name!r} has the default {ours.default!r}, not {theirs.default!r}"


def _property_gaps(theirs: Any, ours: Any) -> Iterator[str]:
    for what, method in (("set", "__set__"), ("deleted", "__delete__")):
        if _allows(theirs, method) and not _allows(ours, method):
            yield f"cannot be {what}"


def _allows(descriptor: Any, method: str) -> bool:
    if isinstance(descriptor, property) and not isinstance(descriptor, cached_property):
        return (descriptor.fset if method == "__set__" else descriptor.fdel) is not None
    # Werkzeug's cached property is a property only by inheritance; its methods always work.
    return not getattr(descriptor, "read_only", False)


def command_gaps(theirs: Any, ours: Any) -> Iterator[str]:
    """How two commands differ in parameters and commands; ours may have more of both.

    A parameter that only ours has must be one that can be left out.
    """
    expected = {p.name: p for p in theirs.params}
    found = {p.name: p for p in ours.params}
    for name in sorted({*expected, *found}):
        if name not in found:
            yield f"lacks the parameter {name!r}"
            continue
        if name not in expected:
            if found[name].required or not isinstance(found[name], click.Option):
                yield f"needs the parameter {name!r}"
            continue
        for attribute in ("opts", "secondary_opts", "nargs", "required", "multiple", "is_flag",
                          "is_eager", "expose_value", "default", "hidden"):  # fmt: skip
            left = getattr(expected[name], attribute, None)
            right = getattr(found[name], attribute, None)
            if left != right:
                yield f"{attribute} of its parameter {name!r} is {right!r}, not {left!r}"
        if counterpart(type(expected[name].type)) is not type(found[name].type):
            yield f"the type of its parameter {name!r} is {found[name].type!r}"
    if isinstance(theirs, click.Group):
        for name in theirs.commands.keys() - ours.commands.keys():
            yield f"lacks the command {name!r}"


def class_gaps(theirs: type, ours: type) -> Iterator[tuple[str, str]]:
    """How two classes differ, as pairs of an attribute (empty: the class itself) and a sentence."""
    for base in theirs.__mro__[1:]:
        if counterpart(base) not in ours.__mro__:
            yield "", f"is no subclass of what stands for {base.__module__}.{base.__qualname__}"
    for name in public_attributes(theirs):
        if not hasattr(ours, name):
            yield name, "is missing"
            continue
        for gap in attribute_gaps(name, own_value(theirs, name), own_value(ours, name)):
            yield name, gap
    # Special methods of object are compared as far as Flask wrote them; a call always is.
    if "__init__" not in public_attributes(theirs):
        for gap in signature_gaps(theirs, ours):
            yield "", gap


def attribute_gaps(name: str, theirs: Any, ours: Any) -> Iterator[str]:
    """How an attribute of a class differs; `self` and what Python itself calls have no names."""
    if kind_of(theirs) != "function" or kind_of(ours) != "function":
        yield from value_gaps(theirs, ours)
    elif name not in {"__init__", "__call__"} and name.startswith("__"):
        if _arity(theirs) != _arity(ours):
            yield f"takes {_arity(ours)} arguments, not {_arity(theirs)}"
    else:
        yield from signature_gaps(theirs, ours, method=True)


def _arity(function: Any) -> tuple[int, bool]:
    """How many arguments fit at most, and whether any number does."""
    parameters = inspect.signature(function).parameters.values()
    free = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return sum(p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD} for p in parameters), free


def instance_gaps(theirs: object, ours: object) -> Iterator[tuple[str, str]]:
    """How two objects of counterpart classes differ in the attributes that they are made with."""
    for name, value in sorted(getattr(theirs, "__dict__", {}).items()):
        if name.startswith("_") and name not in RELIED_ON_OF_OBJECTS:
            continue
        if not hasattr(ours, name):
            yield name, "is missing"
            continue
        mine = getattr(ours, name)
        expected = counterpart(type(value))
        if expected is not None and not isinstance(mine, expected):
            yield name, f"is a {type(mine).__name__}, not a {type(value).__name__}"
