"""`g`: a namespace that works by attribute and by key. Knows nothing of contexts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

_MISSING: Any = object()


class Namespace:
    """Plain storage for one unit of work. `ns.user` and `ns["user"]` are the same value.

    A missing attribute raises `AttributeError`, a missing key `KeyError`.
    """

    # Instances keep their values in `__dict__` and define no `__getattr__`: an attribute read is a
    # plain one.
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...
        def __delattr__(self, name: str) -> None: ...

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __delitem__(self, name: str) -> None:
        del self.__dict__[name]

    def get(self, name: str, default: Any | None = None) -> Any:
        """The value under `name`, or `default`."""
        return self.__dict__.get(name, default)

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        """Remove `name` and return its value; if it is missing, `default`, else `KeyError`."""
        if default is _MISSING:
            return self.__dict__.pop(name)
        return self.__dict__.pop(name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value under `name`, which becomes `default` if it is missing."""
        return self.__dict__.setdefault(name, default)

    def __contains__(self, item: str) -> bool:
        return item in self.__dict__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __bool__(self) -> bool:
        # An empty one is true: `if g:` asks whether there is a context, as under Flask, whose `g`
        # has no length.
        return True
