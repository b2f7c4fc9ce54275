"""What is mounted: an application, its prefix, and how it is called. Serving it is `mounts`'."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..framework.app_base import AppBase
from ..framework.plan import is_async
from ..framework.sites import Site

Interface: TypeAlias = Literal["wsgi", "asgi"]


@dataclass(frozen=True, slots=True, eq=False)
class Mount:
    """One application under a prefix."""

    prefix: str
    """What its paths begin with, without a slash at the end."""
    app: Any
    """The application."""
    interface: Literal["wsgi", "asgi", "both"]
    """How it is called. "both" is an application of this package."""
    site: Site
    """Where it was mounted."""


def checked(prefix: str) -> str:
    """A prefix without a slash at its end; `ValueError` where it is none."""
    kept = prefix.rstrip("/")
    if not prefix.startswith("/") or not kept or "//" in kept:
        raise ValueError(
            f"mount({prefix!r}, ...): a prefix begins with a slash and names at least one segment,"
            ' as in "/admin".'
        )
    return kept


def interface_of(other: Any, said: Interface | None) -> Literal["wsgi", "asgi", "both"]:
    """How an application is called: as it was said, else as its signature tells.

    Raises `TypeError` where that tells nothing.
    """
    if said not in (None, "wsgi", "asgi"):
        raise ValueError(f'interface={said!r}: "wsgi" or "asgi".')
    if not callable(other) or isinstance(other, type):
        what = "a class; mount what it makes" if isinstance(other, type) else "no application"
        raise TypeError(f"{other!r} is {what}.")
    if said is not None:
        return said
    if isinstance(other, AppBase):
        return "both"
    if is_async(other) or is_async(other.__call__):
        return "asgi"
    if _takes(other, 2) and not _takes(other, 3):
        return "wsgi"
    raise TypeError(
        f"Whether {other!r} is a WSGI or an ASGI application does not show in its signature:"
        ' say mount(..., interface="wsgi") or interface="asgi".'
    )


def _takes(function: Any, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True
