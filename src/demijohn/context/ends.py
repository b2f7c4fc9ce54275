"""The one end of a context: its steps, in their order, called and awaited.

Who may run it, and when, is `stack`'s; what the steps do is that of each kind of context.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from .cancel import outcome_of
from .lifecycle import State
from .loops import drive, drive_async
from .unit import closing


def run_end(ctx: Any, exc: BaseException | None, needed: Any) -> list[BaseException] | None:
    """The end, which the caller has claimed by setting `ENDING`; returns all errors.

    The context is current for just that long; then what was pushed first, `needed`, is popped.
    """
    ctx._failed = exc is not None and outcome_of(exc)
    errors: list[BaseException] | None = None
    try:
        if not ctx._idle():
            token = ctx._make_current()
            try:
                errors = ctx._tear_down(exc)
                if (unit := ctx._unit) is not None:
                    errors = [*(errors or ()), *drive(closing(ctx, unit, exc))]
                errors = ctx._let_go_last(errors)
            finally:
                ctx._restore(token)
        errors = over(ctx, errors)
        if more := pop_needed(needed, exc):
            errors = [*(errors or ()), *more]
        return errors
    finally:
        # The errors' tracebacks lead to this frame.
        errors = more = None


async def run_end_async(ctx: Any, exc: BaseException | None, needed: Any) -> list[BaseException]:
    """The same, where what belongs to the running event loop is awaited."""
    ctx._failed = exc is not None and outcome_of(exc)
    errors: list[BaseException] = []
    claims: list[Any] = []
    try:
        token = ctx._make_current()
        try:
            errors += await ctx._tear_down_async(exc) or ()
            if (unit := ctx._unit) is not None:
                errors += await drive_async(closing(ctx, unit, exc))
            errors = ctx._let_go_last(errors) or []
        finally:
            ctx._restore(token)
        errors = over(ctx, errors) or []
        errors += pop_needed(needed, exc, claims) or ()
        for below in claims:
            errors += await needed._end_async(exc, below)
        return errors
    finally:
        errors = []


def over(ctx: Any, errors: list[BaseException] | None) -> list[BaseException] | None:
    """Nothing can be opened any more; adds what telling so raises."""
    ctx._state = State.ENDED
    ctx._ended_at = monotonic()
    try:
        unit = ctx._unit
        if unit is not None and unit.held is not None and not unit.held.over:
            # Opened by another thread while nothing was there to be closed.
            errors = [*(errors or ()), *drive(closing(ctx, unit, None))]
        try:
            ctx._after_end()
        except BaseException as error:
            errors = [*(errors or ()), error]
        return errors
    finally:
        # The errors' tracebacks lead to this frame.
        errors = None


def pop_needed(
    needed: Any, exc: BaseException | None, claims: list[Any] | None = None
) -> list[BaseException] | None:
    """Pop what a push brought, unless somebody has done so already; `claims` as for `_pop`."""
    if needed is None or is_gone(needed):
        return None
    errors: list[BaseException] | None = needed._pop(exc, claims)
    return errors


def is_gone(needed: Any) -> bool:
    """Whether it has ended and no push of it is left anywhere."""
    return needed.ended and needed._token is None and not needed._borrows
