"""What the tests of contexts share: applications, and places where code can run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar

import flask
import pytest
from elsewhere import in_thread

import demijohn
from demijohn import has_app_context, has_request_context
from demijohn.globals import app_ctx, request_ctx

BOTH = pytest.mark.parametrize("fw", [demijohn, flask], ids=["demijohn", "flask"])
"""The same assertions on Flask 3.1.3 and here; `fw` is the package."""

T = TypeVar("T")


def make_app(fw: Any = demijohn, **config: Any) -> Any:
    """An application; `app.log` is what its teardown functions wrote, with the exception's type."""
    app = fw.Flask("site", static_folder=None)
    app.config.update({"SECRET_KEY": "key", **config})
    app.log = log = []
    app.teardown_request(lambda exc: log.append(f"request {name_of(exc)}"))
    app.teardown_appcontext(lambda exc: log.append(f"app {name_of(exc)}"))
    return app


def view_app(view: Callable[..., Any], rule: str = "/", fw: Any = demijohn, **config: Any) -> Any:
    app = make_app(fw, **config)
    app.add_url_rule(rule, "view", view, methods=["GET", "POST"])
    return app


def name_of(exc: BaseException | None) -> str:
    return "ok" if exc is None else type(exc).__name__


def in_task(function: Callable[[], T]) -> T:
    """Call `function` in an asyncio task, which inherits a copy of the caller's Context."""

    async def work() -> T:
        return function()

    return asyncio.run(work())


def in_greenlet(function: Callable[[], T]) -> T:
    """Call `function` in a greenlet, which starts with an empty Context."""
    from greenlet import greenlet

    result: T = greenlet(function).switch()
    return result


def in_copy(function: Callable[[], T]) -> T:
    """Call `function` in a copy of the caller's Context, on the same thread."""
    return copy_context().run(function)


def in_empty(function: Callable[[], T]) -> T:
    """Call `function` in an empty Context, on the same thread."""
    return Context().run(function)


PLACES = [in_thread, in_task, in_greenlet, in_copy, in_empty]

WAYS = [in_thread, in_task, in_greenlet, in_copy, lambda function: function()]
IDS = ["thread", "task", "greenlet", "copied Context", "here"]
EVERYWHERE = pytest.mark.parametrize("place", WAYS, ids=IDS)
"""Each test in every place where a copy may be called."""


def refused(ctx: Any, kind: str) -> None:
    """Assert that a pop of `ctx` is refused and changes nothing."""
    before = (current_state(), ctx.state)
    with pytest.raises(RuntimeError, match=f"Popped wrong {kind} context") as caught:
        ctx.pop()
    assert isinstance(caught.value, AssertionError)
    assert (current_state(), ctx.state) == before


def current_state() -> tuple[Any, Any]:
    """The current contexts themselves, or None."""
    return (
        app_ctx._get_current_object() if has_app_context() else None,
        request_ctx._get_current_object() if has_request_context() else None,
    )
