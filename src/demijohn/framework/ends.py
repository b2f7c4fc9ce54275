"""The functions that run at the end of a context, and in which order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..context.loops import drive
from ..context.unit import closing
from .plan import Lists, call
from .signals import appcontext_tearing_down, request_tearing_down


def teardown_request(ctx: Any, app: Any, exc: BaseException | None) -> list[BaseException]:
    """Run every `teardown_request` function, a blueprint's before the application's, each scope's
    last registered first, and the signal."""
    rule = ctx.request.url_rule
    lists = app._plans.of[None if rule is None else rule.endpoint].teardown
    return run_all(app, lists, request_tearing_down, exc)


def teardown_appcontext(app: Any, exc: BaseException | None) -> list[BaseException]:
    """Run every `teardown_appcontext` function, last registered first, and the signal."""
    lists = (app.teardown_appcontext_funcs,)
    return run_all(app, lists, appcontext_tearing_down, exc)


def run_all(app: Any, lists: Lists, signal: Any, exc: BaseException | None) -> list[BaseException]:
    """Run teardown functions, each list from its end, then send the signal of that end, if any.

    Invariant: whatever one of them raises, the next one runs. Returns what they raised.
    """
    errors: list[BaseException] = []
    plain = app._plans.plain
    for functions in lists:
        for hook in reversed(functions):
            try:
                direct = hook in plain
            except TypeError:
                direct = False
            try:
                if direct:
                    hook(exc)
                else:
                    call(app, hook, exc)
            except BaseException as error:
                errors.append(error)
    if signal is not None and signal.receivers:
        _send_end(app, signal, exc, errors)
    try:
        return errors
    finally:
        # The errors' tracebacks lead to this frame.
        del errors


def run_step(step: Callable[..., Any], exc: BaseException | None) -> list[BaseException]:
    """Run an overridden step of an end, which `ensure_sync` does not see; what it raised."""
    try:
        step(exc)
    except BaseException as error:
        return [error]
    return []


def _send_end(
    app: Any, signal: Any, exc: BaseException | None, errors: list[BaseException]
) -> None:
    try:
        signal.send(app, _async_wrapper=app.ensure_sync, exc=exc)
    except BaseException as error:
        errors.append(error)
    finally:
        # The error's traceback leads to this frame.
        del errors


def handled_exception() -> BaseException | None:
    """The exception that the calling code is handling, if any."""
    return sys.exc_info()[1]


def close_unit(ctx: Any, exc: BaseException | None) -> list[BaseException]:
    """Close what a context holds and make its callbacks; what they raised."""
    return drive(closing(ctx, ctx._unit, exc))
