"""Giving resources back before their context's end: asked for, and while a body streams."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from .ending import Steps, raise_errors
from .errors import ContextWarning, DirtyResource
from .held import Holdings
from .loops import drive, drive_async, is_running, raise_in_task
from .opening import Opened
from .resources import declaration


class Released:
    """`with released():` gives back what is releasable; it is opened again at its next use.

    The resources go when the block is entered. Raises `DirtyResource`, and gives nothing back, when
    one of them is dirty.
    """

    def __init__(self, contexts: Iterable[Any], resources: Iterable[object] = ()) -> None:
        self._contexts = list(contexts)
        self._wanted = [declaration(one) for one in resources]
        for one in self._wanted:
            if one.lifetime != "view":
                raise TypeError(
                    f"The {one} cannot be released: its lifetime is {one.lifetime!r}. Declare it"
                    ' with lifetime="view".'
                )

    def __enter__(self) -> None:
        found = self._clean()
        awaited = [opened for _, opened in found if opened.loop and is_running(opened.loop)]
        if awaited:
            raise RuntimeError(
                f"Cannot release the {_names(awaited)} in a plain `with` on the running event loop."
                " Use `async with released():`."
            )
        raise_errors(drive(_releasing(found)), "Errors in releasing resources")

    def __exit__(self, *exc: object) -> None:
        pass

    async def __aenter__(self) -> None:
        errors = await drive_async(_releasing(self._clean()))
        try:
            raise_in_task(errors, "Errors in releasing resources")
        finally:
            # The errors' tracebacks lead to this frame.
            del errors

    async def __aexit__(self, *exc: object) -> None:
        pass

    def _clean(self) -> list[tuple[Holdings, Opened]]:
        """What is to be given back; `DirtyResource` when one of it is dirty."""
        found = [
            (held, opened)
            for held, opened in releasable(self._contexts)
            if not self._wanted or opened.declared in self._wanted
        ]
        dirty = [opened for _, opened in found if opened.declared.is_dirty(opened)]
        if dirty:
            raise DirtyResource(
                f"Cannot release the {_names(dirty)}: it is dirty. Commit or roll back before the"
                " block."
            )
        return found


def _names(several: Iterable[Opened]) -> str:
    return "; the ".join(map(str, several))


def releasable(contexts: Iterable[Any]) -> list[tuple[Holdings, Opened]]:
    """The open `view` resources of some contexts, last opened first, with what holds them."""
    found = []
    for ctx in contexts:
        unit = ctx._unit
        if unit is not None and unit.held is not None:
            found += [
                (unit.held, one) for one in unit.held.all() if one.declared.lifetime == "view"
            ]
    return sorted(found, key=lambda pair: pair[1].number, reverse=True)


def _releasing(found: Iterable[tuple[Holdings, Opened]]) -> Steps:
    errors: list[BaseException] = []
    for held, opened in found:
        if held.give_back(opened):
            done, error = yield opened.loop, opened.release
            if not done:
                errors.append(error)
    return errors


def releasing_clean(contexts: Iterable[Any]) -> Steps:
    """Give back what is releasable and clean; warn of what is not, which stays open."""
    clean: list[tuple[Holdings, Opened]] = []
    dirty: list[Opened] = []
    errors: list[BaseException] = []
    for held, opened in releasable(contexts):
        try:
            if opened.declared.is_dirty(opened):
                dirty.append(opened)
            else:
                clean.append((held, opened))
        except Exception as error:
            # It may be dirty: it stays open.
            errors.append(error)
    errors += yield from _releasing(clean)
    for opened in dirty:
        try:
            warnings.warn(
                f"The {opened} is dirty, and the response is final: it is kept open while the body"
                " streams. Commit or roll back before the view returns.",
                ContextWarning,
                stacklevel=2,
            )
        except ContextWarning as warning:
            errors.append(warning)
    return errors
