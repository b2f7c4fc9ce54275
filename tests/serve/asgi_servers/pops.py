"""Contexts that are popped out of order, twice, elsewhere; or entered twice (F23, F24)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from demijohn import g, has_app_context, on_end


def refused(action: Callable[[], object]) -> str:
    """The type of the error that an action meets, "nothing" if none."""
    try:
        action()
    except BaseException as error:
        return "RuntimeError" if isinstance(error, RuntimeError) else repr(error)
    return "nothing"


def elsewhere(action: Callable[[], object]) -> str:
    """The same in a thread of its own."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(refused(action)))
    thread.start()
    thread.join()
    return found[0]


async def pops(app: Any, log: Callable[[str], None]) -> dict[str, Any]:
    """What each wrong pop and push meets, and how often each context then ended."""
    ended: list[str] = []
    key = g.key

    def context(name: str) -> Any:
        made = app.app_context()
        made.push()
        g.name = name
        on_end(ended.append, name)
        return made

    results: dict[str, Any] = {}
    outer, inner = context("outer"), context("inner")
    results["out of order"] = [refused(outer.pop), g.name, list(ended)]
    inner.pop()
    outer.pop()
    results["twice"] = [refused(outer.pop), g.get("key"), list(ended)]
    one = context("thread")
    results["another thread"] = [elsewhere(one.pop), g.name, list(ended)]
    results["then here"] = [refused(one.pop), g.get("key"), list(ended)]
    two = context("task")

    async def popped() -> str:
        return refused(two.pop)

    results["another task"] = [await asyncio.create_task(popped()), g.name, list(ended)]
    results["then in this one"] = [refused(two.pop), g.get("key"), list(ended)]
    three = context("twice")

    def enter() -> None:
        with three:
            log(f"{key} entered {g.name}")

    results["entered twice"] = [elsewhere(enter), g.name, list(ended)]
    three.pop()
    results["after"] = [has_app_context(), g.key == key, sorted(ended)]
    return results
