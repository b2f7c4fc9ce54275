"""The end of an application context alone, at an edge with an event loop: awaited.

Its steps are those of `context.ends`, its calls those of `handing`.
"""

from __future__ import annotations

from typing import Any

from ..context.cancel import outcome_of
from ..context.ends import over
from .globals import reset_app_ctx, set_app_ctx
from .handing import close_unit, hand
from .pipeline_async import teardown_appcontext


async def end_app_context(ctx: Any, exc: BaseException | None) -> list[BaseException]:
    """The end that `ctx._claim_end` gave to the caller; returns what it raised.

    In the Context that this runs in the context is current for just that long.
    """
    app = ctx.app
    ctx._failed = exc is not None and outcome_of(exc)
    errors: list[BaseException] = []
    token = set_app_ctx(ctx)
    try:
        if ctx._overridden():
            errors += await hand(ctx._teardown, exc)
        else:
            errors += await teardown_appcontext(app, exc)
        if ctx._unit is not None:
            errors += await close_unit(ctx, exc)
    finally:
        reset_app_ctx(token)
        errors = over(ctx, errors) or []
    try:
        return errors
    finally:
        # The errors' tracebacks lead to this frame.
        del errors, exc
