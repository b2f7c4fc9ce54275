"""A failing example made smaller: parts, calls and lines left out while it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from .model import Call, Example

MOST_TRIES = 1500


def reduced(example: Example, fails: Callable[[Example], bool]) -> Example:
    """The smallest example found that fails too."""
    tries = 0
    smaller = True
    while smaller:
        smaller = False
        for candidate in candidates(example):
            tries += 1
            if tries > MOST_TRIES:
                return example
            if fails(candidate):
                example, smaller = candidate, True
                break
    return example


def candidates(example: Example) -> Iterator[Example]:
    """The example with one thing left out, large things first."""
    for size in (4, 1):
        for name in ("calls", "parts", "closing", "setup"):
            for start in range(0, len(getattr(example, name)), size):
                yield without(example, name, start, start + size)
    for number, part in enumerate(example.parts):
        for size in (4, 2, 1):
            for start in range(0, len(part.lines), size):
                lines = part.lines[:start] + part.lines[start + size :]
                yield with_item(example, "parts", number, replace(part, lines=lines))
    for number, call in enumerate(example.calls):
        for name, usual in vars(Call()).items():
            if name not in ("path", "features") and getattr(call, name) != usual:
                yield with_item(example, "calls", number, replace(call, **{name: usual}))


def without(example: Example, name: str, start: int, end: int) -> Example:
    """The example without some items of one of its lists."""
    items: list[Any] = getattr(example, name)
    return replace(example, **{name: items[:start] + items[end:]})


def with_item(example: Example, name: str, number: int, item: Any) -> Example:
    """The example with another item in one of its lists."""
    items = list(getattr(example, name))
    items[number] = item
    return replace(example, **{name: items})
