"""Choices of a generator, each from one source of chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chooser:
    """Draws choices; the same source gives the same ones."""

    def __init__(self, source: Random) -> None:
        self._source = source

    def chance(self, percent: int) -> bool:
        return self._source.random() * 100 < percent

    def one(self, options: Sequence[T]) -> T:
        return self._source.choice(options)

    def number(self, least: int, most: int) -> int:
        return self._source.randint(least, most)

    def some(self, options: Iterable[T], percent: int) -> list[T]:
        """Each option with that chance."""
        return [option for option in options if self.chance(percent)]
