"""Noticing that a class was changed: what was concluded from its attributes holds until then."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any


class _Changes:
    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = object()


changes = _Changes()
"""`changes.version` is another object after each change that was told; compared by identity.

The one piece of state of this module: classes belong to the process, not to an application.
"""


def tell() -> None:
    """Say that something changed on which conclusions were kept."""
    changes.version = object()


class Watched(ABCMeta):
    """The type of classes whose attributes are rarely changed, and asked for in each request.

    Comparing a version takes 12 ns, reading one attribute of a class 35 (CPython 3.11). An
    `ABCMeta`, so that subclasses can be abstract classes too.
    """

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        cls._changed()

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        cls._changed()

    def _changed(cls) -> None:
        """Let this class and those below it note anew what they override, then tell."""
        classes: list[Any] = [cls]
        for each in classes:
            note = getattr(each, "_note_overrides", None)
            if note is not None:
                note()
            classes += type.__subclasses__(each)
        tell()
