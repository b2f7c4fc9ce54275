"""The one request pipeline: from a context to a response, for every edge and for steps by hand.

Nothing here knows WSGI or ASGI or does I/O. `respond` is a request at an edge up to its answer; the
other parts are also what the application's public methods do when they are called by hand.
"""

from __future__ import annotations

from typing import Any

from werkzeug.exceptions import BadRequestKeyError, HTTPException
from werkzeug.routing import RoutingException

from ..http.coerce import quick
from ..http.headers import length_header
from ..http.response import assemble
from .awaiting import explain_await
from .contexts import RequestContext, new_request
from .ends import end_at_edge
from .limits import answer_to
from .plan import Lists, call
from .signals import got_request_exception, request_finished, request_started, send_signal
from .wrappers import Response


class Raised:
    """The answer of a request whose exception leaves the application."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


# -- one request at an edge -----------------------------------------------------------------------


def respond(
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
            ctx._begin_at_edge(joined)
            if overrides.full_dispatch_request:
                answer = app.full_dispatch_request()
            else:
                answer = full_dispatch(ctx, app, overrides, True)
        except Exception as caught:
            error = caught
            if plans.overrides_now(app, "handle_exception"):
                answer = app.handle_exception(error)
            else:
                answer = handle_exception(ctx, app, error)
    except BaseException as caught:
        answer = Raised(caught)
        # The end is told of the first error, not of one that answering it met.
        error = error or caught
    try:
        return ctx, answer, error
    finally:
        # The error's traceback holds this frame: without this they would keep each other alive.
        error = answer = None


def end(
    ctx: Any, app: Any, error: BaseException | None, failed: BaseException | None = None
) -> list[BaseException] | None:
    """End a request's context; returns what that raised.

    `error` is what `respond` gave, `failed` what sending the answer met.
    """
    try:
        error = error or failed
        if error is not None and app.should_ignore_error(error):
            error = None
        errors: list[BaseException] | None = end_at_edge(ctx, error)
        return errors
    finally:
        error = failed = errors = None  # as in `respond`


def full_dispatch(ctx: Any, app: Any, overrides: Any, may_be_quick: bool) -> Any:
    """Before hooks, view, error handlers, after hooks: a response, or perhaps a quick answer."""
    try:
        if not app._got_first_request:
            app._end_setup(ctx.request.environ)
        if request_started.receivers:
            send_signal(app, request_started)
        rv = None
        if overrides.preprocess_request:
            rv = app.preprocess_request()
        elif app.before_request_funcs or app.url_value_preprocessors:
            rv = preprocess(ctx, app)
        if rv is None:
            rv = app.dispatch_request() if overrides.dispatch_request else dispatch(ctx, app)
    except Exception as error:
        if app._plans.overrides_now(app, "handle_user_exception"):
            rv = app.handle_user_exception(error)
        else:
            rv = handle_user_exception(ctx, app, error)
        if not isinstance(error, HTTPException):
            ctx._outcome = "handled"
        if error is ctx.request.routing_exception:
            # Request, exception, traceback and frames would keep each other alive.
            error.__traceback__ = None
    try:
        if overrides.finalize_request:
            return app.finalize_request(rv)
        return finalize(ctx, app, rv, overrides, may_be_quick)
    finally:
        rv = None  # it may be an exception, whose traceback has this frame


def preprocess(ctx: Any, app: Any) -> Any:
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
                preprocessor(request.endpoint, request.view_args)
        plan = plans.of[None if rule is None else rule.endpoint]
    plain = plans.plain
    for hooks in plan.before:
        for hook in hooks:
            try:
                direct = hook in plain
            except TypeError:
                direct = False
            rv = hook() if direct else call(app, hook)
            if rv is not None:
                return rv
    return None


def dispatch(ctx: Any, app: Any) -> Any:
    """What the matched view returns; raises what matching raised."""
    request = ctx.request
    if request.routing_exception is not None:
        app.raise_routing_exception(request)
    rule = request.url_rule
    if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
        return app.make_default_options_response()
    return call_view(app, app.view_functions[rule.endpoint], request.view_args)


def call_view(app: Any, view: Any, args: dict[str, Any] | None) -> Any:
    """Call a view, sync or async, with the values from the URL."""
    try:
        first = app._plans.plain[view]
    except (KeyError, TypeError):
        first = False  # not known yet, or not to be known
    if first is False:
        return call(app, view, **(args or {}))
    if not args:
        return view()
    if type(args) is dict and len(args) == 1 and first in args:
        # By position, where that is the same: 65 ns, where a dict of arguments costs 95. From a
        # mapping of another class `**` may take other values than its items.
        return view(args[first])
    return view(**args)


# -- errors ---------------------------------------------------------------------------------------


def _names(ctx: Any) -> list[str]:
    blueprints: list[str] = ctx.request.blueprints
    return blueprints


def handle_http_exception(ctx: Any, app: Any, error: HTTPException) -> Any:
    """The registered handler's answer to an HTTP exception, or the exception, itself an answer."""
    # A code of None marks a proxy exception, a RoutingException is routing's own: no handler sees
    # them.
    if error.code is None or isinstance(error, RoutingException):
        return error
    handler = app._find_error_handler(error, _names(ctx))
    if handler is None:
        return error
    return call(app, handler, error)


def handle_user_exception(ctx: Any, app: Any, error: Any) -> Any:
    """The answer of whoever handles `error`; raises it again when nobody does."""
    if isinstance(error, BadRequestKeyError) and (
        app.debug or app.config["TRAP_BAD_REQUEST_ERRORS"]
    ):
        error.show_exception = True
    if isinstance(error, HTTPException) and not app.trap_http_exception(error):
        if app._plans.overrides_now(app, "handle_http_exception"):
            return app.handle_http_exception(error)
        return handle_http_exception(ctx, app, error)
    handler = app._find_error_handler(error, _names(ctx))
    try:
        if handler is None:
            raise error
        return call(app, handler, error)
    finally:
        # The traceback has this frame: they would keep each other alive.
        del error


def handle_exception(ctx: Any, app: Any, error: Any) -> Any:
    """The 500 answer to an error that nobody handled; raises it where exceptions propagate."""
    try:
        reported(app, error)
        answer: Any = answer_to(error)
    finally:
        del error  # as in handle_user_exception
    handler = app._find_error_handler(answer, _names(ctx))
    if handler is not None:
        answer = call(app, handler, answer)
    overrides = app._plans.overrides
    if overrides.finalize_request:
        return app.finalize_request(answer, from_error_handler=True)
    return finalize(ctx, app, answer, overrides, False, True)


def reported(app: Any, error: Any) -> None:
    """Tell of an error that nobody handled, once; raises it where exceptions propagate."""
    if isinstance(error, TypeError):
        explain_await(error)
    try:
        if got_request_exception.receivers:
            send_signal(app, got_request_exception, exception=error)
        if app._propagates:
            raise error
        app.log_exception((type(error), error, error.__traceback__))
    finally:
        del error  # as in handle_user_exception


# -- responses ------------------------------------------------------------------------------------


def finalize(
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
            response = app.make_response(rv)
        except BaseException:
            discard(app, rv)
            raise
    try:
        if overrides.process_response:
            response = app.process_response(response)
        else:
            response = process_response(ctx, app, response, after)
        if request_finished.receivers:
            send_signal(app, request_finished, response=response)
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


def discard(app: Any, rv: Any) -> None:
    """Close the body of an answer that will not be sent.

    The error that stopped it keeps the answer alive for as long as it is handled, and a stream in
    it would hold the context's end back until then.
    """
    body = rv[0] if isinstance(rv, tuple) and rv else getattr(rv, "response", rv)
    close = getattr(body, "close", None)
    if callable(close):
        try:
            close()
        except Exception:
            app.logger.exception("Closing a body that will not be sent failed")


def after_hooks(ctx: Any, app: Any) -> Lists:
    """The lists of the after hooks for a request, a blueprint's before the application's; none
    where all of them are empty."""
    rule = ctx.request.url_rule
    lists: Lists = app._plans.of[None if rule is None else rule.endpoint].after
    for hooks in lists:
        if hooks:
            return lists
    return ()


def process_response(ctx: Any, app: Any, response: Any, after: Lists | None = None) -> Any:
    """After hooks, then the session is saved.

    This request's own hooks come first, then those of `after_hooks`, which may be given, each
    scope's last registered first.
    """
    plans = app._plans
    if ctx._after is not None:
        for hook in ctx._after:
            response = call(app, hook, response)
        after = None
    if after is None:
        after = after_hooks(ctx, app)
    if after:
        plain = plans.plain
        for hooks in after:
            for hook in reversed(hooks):
                try:
                    direct = hook in plain
                except TypeError:
                    direct = False
                response = hook(response) if direct else call(app, hook, response)
    if (
        ctx._opened is not None
        or plans.idle_interface is None
        or "HTTP_COOKIE" in ctx.request.environ
    ):
        ctx._save_session(response)
    return response
