"""Moves drawn as bytes: one draw a move costs Hypothesis a fifth of what a draw a field does.

Each byte decides one thing and shrinks to zero, which is the plainest choice everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def brief(self: Any) -> str:
    """The `repr` of a dataclass's object: as it is made, without what is as by default."""
    told = [
        f"{field.name}={value.__name__ if isinstance(value, type) else repr(value)}"
        for field in fields(self)
        if (value := getattr(self, field.name)) != field.default
    ]
    return f"{type(self).__name__}({', '.join(told)})"


class Bits:
    """Reads choices from bytes; where they have run out, the plainest."""

    def __init__(self, data: bytes) -> None:
        self._rest = iter(data)

    def below(self, most: int) -> int:
        """A number from 0 to `most` - 1."""
        return next(self._rest, 0) % most

    def one(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.below(len(options))]

    def flag(self) -> bool:
        """Yes, once in two."""
        return next(self._rest, 0) >= 128

    def rarely(self) -> bool:
        """Yes, once in four."""
        return next(self._rest, 0) >= 192

    def some(self, most: int, make: Callable[[Bits], T], least: int = 0) -> list[T]:
        """From `least` to `most` of what `make` makes."""
        return [make(self) for _ in range(least + self.below(most - least + 1))]


def move(size: int, **parts: Callable[[Bits], Any]) -> st.SearchStrategy[Any]:
    """A namespace of choices, read in order from `size` bytes."""

    data = st.binary(min_size=size, max_size=size)

    # Not `map`, which makes Hypothesis print the bytes.
    @st.composite
    def read(draw: Callable[[Any], bytes]) -> SimpleNamespace:
        bits = Bits(draw(data))
        return SimpleNamespace(**{name: make(bits) for name, make in parts.items()})

    return read()
