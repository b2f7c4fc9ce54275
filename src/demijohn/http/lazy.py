"""Attributes computed at their first read, cheaper than Werkzeug's `cached_property`."""

from __future__ import annotations

import typing as t

from werkzeug.utils import cached_property

if t.TYPE_CHECKING:
    lazy = cached_property
else:

    class lazy:
        """A method's result, computed at the first read and then kept as the instance's own.

        It has no `__set__`: a second read finds the instance's own value in 18 ns (Werkzeug's
        `cached_property` is asked each time, 100 ns), and assigning or deleting works as on any
        attribute.
        """

        def __init__(self, fget):
            self.fget = fget
            self.__name__ = fget.__name__
            self.__doc__ = fget.__doc__

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            fget = self.fget  # `self.fget(...)` would look for a method first
            value = fget(instance)
            # Not by way of `__dict__`: asking an object for that makes it a dict, 130 ns, and all
            # its attributes slower from then on.
            setattr(instance, self.__name__, value)
            return value


def share(cls: type) -> None:
    """Make Werkzeug's `cached_property` of each `lazy` in whose place `cls` has a property.

    To be called for each subclass. Such a property may read `super().name`, and a `lazy` would
    then assign to the property. The name costs more from then on, on all of these classes.
    """
    found: dict[str, object] = {}
    for base in cls.__mro__:
        for name, member in list(vars(base).items()):
            first = found.setdefault(name, member)
            # A `cached_property` in its place keeps the value where Werkzeug's own would.
            covered = hasattr(type(first), "__set__") and not isinstance(first, cached_property)
            if type(member) is lazy and first is not member and covered:
                setattr(base, name, cached_property(t.cast(t.Any, member).fget))


def relax(target: type, *sources: type) -> None:
    """Puts into `target` a `lazy` for every `cached_property` of `sources` that nothing
    else stands for: the same values, the same assignments."""
    for source in sources:
        for name, member in vars(source).items():
            if isinstance(member, cached_property) and getattr(target, name) is member:
                setattr(target, name, lazy(t.cast(t.Any, member.fget)))
