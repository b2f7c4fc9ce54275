"""Where something was registered, so that a conflict can name both of its sides.

Sites are taken at setup time only; nothing here is called while a request is served.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Site:
    """A line in a file; `str()` gives `file:line`, which editors and terminals can open."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @classmethod
    def of(cls, function: object) -> Site | None:
        """Where `function` is defined, through partials and decorators that keep `__wrapped__`.

        `None` for a callable that has no Python code (a builtin, say).
        """
        if isinstance(function, partial):
            return cls.of(function.func)
        inner = getattr(function, "__wrapped__", None)
        if inner is not None:
            return cls.of(inner)
        code = getattr(function, "__code__", None)
        if code is None:  # an instance with __call__
            code = getattr(vars(type(function)).get("__call__"), "__code__", None)
        return None if code is None else cls(code.co_filename, code.co_firstlineno)

    @classmethod
    def caller(cls) -> Site:
        """The nearest line on the stack that is the user's own.

        That is one outside this package and not in an `add_url_rule` that overrides ours.

        Within `registering_at` it is the site given there: a blueprint replays its registrations
        long after they were written down.
        """
        given = _registering_at.get()
        if given is not None:
            return given
        frame: FrameType = sys._getframe(1)
        while frame.f_back is not None and _passes_on(frame):
            frame = frame.f_back
        return cls(frame.f_code.co_filename, frame.f_lineno)


_registering_at: ContextVar[Site | None] = ContextVar("demijohn.registering_at", default=None)


def _passes_on(frame: FrameType) -> bool:
    if frame.f_code.co_name == "add_url_rule":
        return True
    return str(frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE


@contextmanager
def registering_at(site: Site) -> Iterator[None]:
    """For the block, `Site.caller` is `site`."""
    token = _registering_at.set(site)
    try:
        yield
    finally:
        _registering_at.reset(token)
