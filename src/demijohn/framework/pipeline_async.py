"""The pipeline for an edge with an event loop, which tools/asyncify.py writes.

Async functions are awaited, sync ones handed out (`handing`): the edge calls them on threads. What
the functions do, and why, stands in `pipeline` and `ends`, from which this is made.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from werkzeug.exceptions import BadRequestKeyError, HTTPException
from werkzeug.routing import RoutingException

from ..context.cancel import outcome_of
from ..http.coerce import quick
from ..http.headers import length_header
from ..http.response import assemble
from .awaiting import explain_await
from .contexts import RequestContext, new_request
from .ends import _CLOSE, _CURRENT, _ENDED, _ENDING
from .globals import (
    current_app_ctx,
    current_request_ctx,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from .handing import (
    begin,
    call,
    call_view,
    close_unit,
    hand,
    make_response,
    save_session,
    send_signal,
)
from .limits import answer_to
from .pipeline import Raised, _names, after_hooks, discard
from .plan import Lists
from .signals import (
    appcontext_popped,
    appcontext_tearing_down,
    got_request_exception,
    request_finished,
    request_started,
    request_tearing_down,
)
from .wrappers import Response


async def respond(
    app: Any, environ: Any, joined: Any, overrides: Any
) -> tuple[Any, Any, BaseException | None]:
    """A request from its begin to its answer: its context, the answer, and the error that it met.

    The answer is a response object, a `(status, headers, body)` tuple, or a `Raised`. When the last
    byte is out the edge ends the context, with `end`. `joined` is the app context that a test
    client brings, None at a server edge. `overrides` are those that are current.
    """
    plans = app._plans
    if overrides.request_context:
        ctx = app.request_context(environ)
        overrides = plans.overrides  # the context looked again
    else:
        ctx = RequestContext(app, environ, new_request(app, environ, overrides))
    error: BaseException | None = None
    answer: Any
    try:
        try:
            await begin(ctx, joined)
            if overrides.full_dispatch_request:
                answer = await hand(app.full_dispatch_request)
            else:
                answer = await full_dispatch(ctx, app, overrides, True)
        except Exception as caught:
            error = caught
            if plans.overrides_now(app, "handle_exception"):
                answer = await hand(app.handle_exception, error)
            else:
                answer = await handle_exception(ctx, app, error)
    except BaseException as caught:
        answer = Raised(caught)
        # The end is told of the first error, not of one that answering it met.
        error = error or caught
    try:
        return ctx, answer, error
    finally:
        # The error's traceback holds this frame: without this they would keep each other alive.
        error = answer = None


async def end(
    ctx: Any, app: Any, error: BaseException | None, failed: BaseException | None = None
) -> list[BaseException] | None:
    """End a request's context; returns what that raised.

    `error` is what `respond` gave, `failed` what sending the answer met.
    """
    try:
        error = error or failed
        if error is not None and app.should_ignore_error(error):
            error = None
        errors: list[BaseException] | None = await end_at_edge(ctx, error)
        return errors
    finally:
        error = failed = errors = None


async def full_dispatch(ctx: Any, app: Any, overrides: Any, may_be_quick: bool) -> Any:
    """Before hooks, view, error handlers, after hooks: a response, or perhaps a quick answer."""
    try:
        if not app._got_first_request:
            app._end_setup(ctx.request.environ)
        if request_started.receivers:
            await send_signal(app, request_started)
        rv = None
        if overrides.preprocess_request:
            rv = await hand(app.preprocess_request)
        elif app.before_request_funcs or app.url_value_preprocessors:
            rv = await preprocess(ctx, app)
        if rv is None:
            rv = (
                await hand(app.dispatch_request)
                if overrides.dispatch_request
                else await dispatch(ctx, app)
            )
    except Exception as error:
        if app._plans.overrides_now(app, "handle_user_exception"):
            rv = await hand(app.handle_user_exception, error)
        else:
            rv = await handle_user_exception(ctx, app, error)
        if not isinstance(error, HTTPException):
            ctx._outcome = "handled"
        if error is ctx.request.routing_exception:
            # Request, exception, traceback and frames would keep each other alive.
            error.__traceback__ = None
    try:
        if overrides.finalize_request:
            return await hand(app.finalize_request, rv)
        return await finalize(ctx, app, rv, overrides, may_be_quick)
    finally:
        rv = None


async def preprocess(ctx: Any, app: Any) -> Any:
    """URL value preprocessors, then before hooks, the application's before a blueprint's.

    The first value of a hook that is not None is the answer.
    """
    plans = app._plans
    rule = ctx.request.url_rule
    plan = plans.of[None if rule is None else rule.endpoint]
    if plan.preprocessors:
        request = ctx.request
        for preprocessors in plan.preprocessors:
            for preprocessor in preprocessors:
                await hand(preprocessor, request.endpoint, request.view_args)
        plan = plans.of[None if rule is None else rule.endpoint]
    for hooks in plan.before:
        for hook in hooks:
            rv = await call(app, hook)
            if rv is not None:
                return rv
    return None


async def dispatch(ctx: Any, app: Any) -> Any:
    """What the matched view returns; raises what matching raised."""
    request = ctx.request
    if request.routing_exception is not None:
        app.raise_routing_exception(request)
    rule = request.url_rule
    if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
        return app.make_default_options_response()
    return await call_view(app, app.view_functions[rule.endpoint], request.view_args)


async def handle_http_exception(ctx: Any, app: Any, error: HTTPException) -> Any:
    """The registered handler's answer to an HTTP exception, or the exception, itself an answer."""
    # A code of None marks a proxy exception, a RoutingException is routing's own: no handler sees
    # them.
    if error.code is None or isinstance(error, RoutingException):
        return error
    handler = app._find_error_handler(error, _names(ctx))
    if handler is None:
        return error
    return await call(app, handler, error)


async def handle_user_exception(ctx: Any, app: Any, error: Any) -> Any:
    """The answer of whoever handles `error`; raises it again when nobody does."""
    if isinstance(error, BadRequestKeyError) and (
        app.debug or app.config["TRAP_BAD_REQUEST_ERRORS"]
    ):
        error.show_exception = True
    if isinstance(error, HTTPException) and not app.trap_http_exception(error):
        if app._plans.overrides_now(app, "handle_http_exception"):
            return await hand(app.handle_http_exception, error)
        return await handle_http_exception(ctx, app, error)
    handler = app._find_error_handler(error, _names(ctx))
    try:
        if handler is None:
            raise error
        return await call(app, handler, error)
    finally:
        # The traceback has this frame: they would keep each other alive.
        del error


async def handle_exception(ctx: Any, app: Any, error: Any) -> Any:
    """The 500 answer to an error that nobody handled; raises it where exceptions propagate."""
    try:
        await reported(app, error)
        answer: Any = answer_to(error)
    finally:
        del error  # as in handle_user_exception
    handler = app._find_error_handler(answer, _names(ctx))
    if handler is not None:
        answer = await call(app, handler, answer)
    overrides = app._plans.overrides
    if overrides.finalize_request:
        return await hand(app.finalize_request, answer, from_error_handler=True)
    return await finalize(ctx, app, answer, overrides, False, True)


async def reported(app: Any, error: Any) -> None:
    """Tell of an error that nobody handled, once; raises it where exceptions propagate."""
    if isinstance(error, TypeError):
        explain_await(error)
    try:
        if got_request_exception.receivers:
            await send_signal(app, got_request_exception, exception=error)
        if app._propagates:
            raise error
        await hand(app.log_exception, (type(error), error, error.__traceback__))
    finally:
        del error


async def finalize(
    ctx: Any,
    app: Any,
    rv: Any,
    overrides: Any,
    may_be_quick: bool = False,
    from_error_handler: bool = False,
) -> Any:
    """A return value made final: coerced, through the after hooks, its session saved.

    A quick answer, if it may be one and nobody but the server looks at it.
    """
    response: Any = None
    after: Lists | None = None
    if overrides.plain_bodies:
        body, content_type = quick(rv, app.json)
        if body is not None:
            after = after_hooks(ctx, app) if app.after_request_funcs else ()
            if may_be_quick and overrides.quick and not after and not ctx._is_observed(app):
                ctx._final = True
                length = length_header(len(body))
                headers = [content_type, length]
                return "200 OK", headers, () if ctx.request.method == "HEAD" else (body,)
            response = assemble(Response, body, content_type)
    if response is None:
        try:
            response = await make_response(app, rv)
        except BaseException:
            discard(app, rv)
            raise
    try:
        if overrides.process_response:
            response = await hand(app.process_response, response)
        else:
            response = await process_response(ctx, app, response, after)
        if request_finished.receivers:
            await send_signal(app, request_finished, response=response)
    except BaseException as error:
        if not (from_error_handler and isinstance(error, Exception)):
            discard(app, response)
            raise
        app.logger.exception("Request finalizing failed with an error while handling an error")
    if ctx._sharing is None:
        ctx._final = True
    else:
        ctx._now_final()
    return response


async def process_response(ctx: Any, app: Any, response: Any, after: Lists | None = None) -> Any:
    """After hooks, then the session is saved.

    This request's own hooks come first, then those of `after_hooks`, which may be given, each
    scope's last registered first.
    """
    plans = app._plans
    if ctx._after is not None:
        for hook in ctx._after:
            response = await call(app, hook, response)
        after = None
    if after is None:
        after = after_hooks(ctx, app)
    if after:
        for hooks in after:
            for hook in reversed(hooks):
                response = await call(app, hook, response)
    if (
        ctx._opened is not None
        or plans.idle_interface is None
        or "HTTP_COOKIE" in ctx.request.environ
    ):
        await save_session(ctx, response)
    return response


async def teardown_request(ctx: Any, app: Any, exc: BaseException | None) -> list[BaseException]:
    """Run every `teardown_request` function, a blueprint's before the application's, each scope's
    last registered first, and the signal."""
    rule = ctx.request.url_rule
    lists = app._plans.of[None if rule is None else rule.endpoint].teardown
    return await run_all(app, lists, request_tearing_down, exc)


async def teardown_appcontext(app: Any, exc: BaseException | None) -> list[BaseException]:
    """Run every `teardown_appcontext` function, last registered first, and the signal."""
    lists = (app.teardown_appcontext_funcs,)
    return await run_all(app, lists, appcontext_tearing_down, exc)


async def run_all(
    app: Any, lists: Lists, signal: Any, exc: BaseException | None
) -> list[BaseException]:
    """Run teardown functions, each list from its end, then send the signal of that end, if any.

    Invariant: whatever one of them raises, the next one runs. Returns what they raised.
    """
    errors: list[BaseException] = []
    for functions in lists:
        for hook in reversed(functions):
            try:
                await call(app, hook, exc)
            except BaseException as error:
                errors.append(error)
    if signal is not None and signal.receivers:
        await _send_end(app, signal, exc, errors)
    try:
        return errors
    finally:
        # The errors' tracebacks lead to this frame.
        del errors


async def _send_end(
    app: Any, signal: Any, exc: BaseException | None, errors: list[BaseException]
) -> None:
    try:
        await send_signal(app, signal, exc=exc)
    except BaseException as error:
        errors.append(error)
    finally:
        # The error's traceback leads to this frame.
        del errors


async def end_at_edge(ctx: Any, exc: BaseException | None) -> list[BaseException] | None:
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
                errors = await hand(ctx._teardown, exc)
            else:
                errors = await teardown_request(ctx, app, exc)
        if ctx._unit is not None:
            errors = [*(errors or ()), *await close_unit(ctx, exc)]
        request = ctx.request
        if (
            request._form_loaded
            or ctx._sharing is not None
            or (not overrides.stock_request and type(request).close is not _CLOSE)
        ):
            errors = ctx._let_go_last(errors)
            if ctx._unit is not None:
                # What the request's own `close` opened.
                errors = [*(errors or ()), *await close_unit(ctx, exc)]
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
                more = await hand(own._teardown, exc)
            else:
                more = await teardown_appcontext(app, exc)
            if more:
                errors = [*(errors or ()), *more]
            if own._unit is not None:
                errors = [*(errors or ()), *await close_unit(own, exc)]
            reset_app_ctx(token)
        own._token = None
        own._state = _ENDED
        own._ended_at = now
        if appcontext_popped.receivers:
            try:
                await send_signal(app, appcontext_popped)
            except BaseException as error:
                errors = [*(errors or ()), error]
    try:
        return errors
    finally:
        # The errors' tracebacks lead to this frame.
        errors, more = None, []
