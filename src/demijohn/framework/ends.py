"""The functions that run at the end of a context, and in which order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from ..context.cancel import outcome_of
from ..context.lifecycle import State
from ..context.loops import drive
from ..context.unit import closing
from .globals import (
    current_app_ctx,
    current_request_ctx,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from .plan import Lists, call
from .signals import appcontext_popped, appcontext_tearing_down, request_tearing_down, send_signal
from .wrappers import Request

_CLOSE = Request.close
_CURRENT, _ENDING, _ENDED = State.CURRENT, State.ENDING, State.ENDED


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
        send_signal(app, signal, exc=exc)
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


def end_at_edge(ctx: Any, exc: BaseException | None) -> list[BaseException] | None:
    """The request's end, then its own app context's, in promise 5's order; returns the errors.

    The events of `Context._end`, in one piece, as every request comes through here: what an
    application does not have is not asked for twice. A variable is reset where somebody is left to
    look; the Context itself goes with the request.
    """
    app = ctx.app
    overrides = app._plans.overrides
    own = ctx._own_app_ctx
    errors: list[BaseException] | None = None
    now = monotonic()
    looked_at = (
        app.teardown_appcontext_funcs
        or appcontext_tearing_down.receivers
        or appcontext_popped.receivers
        or overrides.do_teardown_appcontext
    )
    token = ctx._token
    if token is not None and ctx._state is _CURRENT:
        if ctx._holds is not None and ctx._leave():
            ctx._reset_at_edge(own)
            return None
        if exc is not None:
            ctx._outcome = outcome_of(exc)
        if own is not None:
            own._outcome = ctx._outcome
        ctx._state = _ENDING
        if (
            app.teardown_request_funcs
            or overrides.do_teardown_request
            or request_tearing_down.receivers
        ):
            # A context that the view or the body left pushed covers neither.
            if current_request_ctx(None) is not ctx:
                set_request_ctx(ctx)
            if current_app_ctx(None) is not ctx.app_ctx:
                set_app_ctx(ctx.app_ctx)
            if overrides.do_teardown_request:
                errors = ctx._teardown(exc)
            else:
                errors = teardown_request(ctx, app, exc)
        if ctx._unit is not None:
            errors = [*(errors or ()), *close_unit(ctx, exc)]
        request = ctx.request
        if (
            request._form_loaded
            or ctx._sharing is not None
            or (not overrides.stock_request and type(request).close is not _CLOSE)
        ):
            errors = ctx._let_go_last(errors)
            if ctx._unit is not None:
                # What the request's own `close` opened.
                errors = [*(errors or ()), *close_unit(ctx, exc)]
        looked_at = looked_at or (own is not None and own._unit is not None)
        if looked_at or own is None:
            reset_request_ctx(token)
        ctx._token = None
        ctx._state = _ENDED
        ctx._ended_at = now
        request.environ["werkzeug.request"] = None
    if own is not None and (token := own._token) is not None and own._state is _CURRENT:
        if looked_at:
            own._state = _ENDING
            if current_app_ctx(None) is not own:
                set_app_ctx(own)
            if overrides.do_teardown_appcontext:
                more = own._teardown(exc)
            else:
                more = teardown_appcontext(app, exc)
            if more:
                errors = [*(errors or ()), *more]
            if own._unit is not None:
                errors = [*(errors or ()), *close_unit(own, exc)]
            reset_app_ctx(token)
        own._token = None
        own._state = _ENDED
        own._ended_at = now
        if appcontext_popped.receivers:
            try:
                send_signal(app, appcontext_popped)
            except BaseException as error:
                errors = [*(errors or ()), error]
    try:
        return errors
    finally:
        # The errors' tracebacks lead to this frame.
        errors, more = None, []
