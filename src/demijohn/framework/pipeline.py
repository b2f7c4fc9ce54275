"""The one request pipeline: from a context to a response, for every edge and for steps by hand.

Its parts are generators. They call sync functions on the spot when `inline` is true and otherwise
hand them out (yield a `Call`), so that an edge may make the call elsewhere; nothing here knows WSGI
or ASGI or does I/O. `serve_request` is a whole request at an edge; the other parts are what the
application's public methods step by hand with `step_sync`.

A user's `StopIteration` cannot leave a generator as itself; it travels in a `Stopped`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from werkzeug.exceptions import BadRequestKeyError, HTTPException, InternalServerError
from werkzeug.routing import RoutingException

from ..http.coerce import quick
from ..http.response import assemble
from .signals import (
    got_request_exception,
    request_finished,
    request_started,
)
from .wrappers import Response

Part: TypeAlias = Generator[Any, Any, Any]


class Call:
    """A call that is handed out; the driver sends back `(True, value)` or `(False, error)`."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args


class Raised:
    """The answer of a request whose exception leaves the application."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Stopped(Exception):
    """Carries a user's `StopIteration` out of a generator."""

    def __init__(self, stop: StopIteration) -> None:
        self.stop = stop


def unwrap(error: BaseException) -> BaseException:
    """The user's error: `error` itself, or the `StopIteration` that became it.

    One that a user's function raised comes out of a generator of this module as a `RuntimeError`
    (PEP 479), which then starts in this module; one that a user's own generator raised starts
    there.
    """
    if type(error) is Stopped:
        return error.stop
    if type(error) is RuntimeError and type(error.__cause__) is StopIteration:
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        if traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
            return error.__cause__
    return error


def wrap(error: BaseException) -> BaseException:
    """`error` in the form that may be raised inside a generator."""
    return Stopped(error) if isinstance(error, StopIteration) else error


def call(app: Any, function: Callable[..., Any], inline: bool, *args: Any) -> Part:
    """Call a user's function, sync or async."""
    return (yield from call_step(app.ensure_sync(function) if inline else function, inline, *args))


def call_step(step: Callable[..., Any], inline: bool, *args: Any) -> Part:
    """Call an overridden public step: a sync method, which `ensure_sync` does not see."""
    if inline:
        try:
            return step(*args)
        except StopIteration as stop:
            raise Stopped(stop) from None
    done, value = yield Call(step, args)
    if done:
        return value
    raise wrap(value)


def step_sync(part: Part) -> Any:
    """Step a part to its end on the spot and return its value: the driver used by hand."""
    reply: Any = None
    try:
        while True:
            handed = part.send(reply)
            try:
                reply = (True, handed.function(*handed.args))
            except Exception as error:
                reply = (False, error)
    except StopIteration as stop:
        return stop.value
    except (Stopped, RuntimeError) as error:
        user_error = unwrap(error)
        if user_error is error:
            raise
        raise user_error from None


# -- one request at an edge -----------------------------------------------------------------------


def serve_request(app: Any, environ: Any, joined: Any, inline: bool) -> Part:
    """A request from its begin to its end.

    Yields the context and its answer once, for the edge to send: a response object, a
    `(status, headers, body)` tuple, or a `Raised`. When the last byte is out the edge sends back
    the error that sending met, or None, and the context ends. Then the errors of that end are
    yielded, if there are any. `joined` is the app context that a test client brings, None at a
    server edge.
    """
    ctx = app.request_context(environ)
    plans = app._plans
    error: BaseException | None = None
    answer: Any
    try:
        try:
            overrides = plans.overrides  # as of now: the context looked, when it was made
            ctx._begin_at_edge(joined)
            if overrides.full_dispatch_request:
                answer = yield from call_step(app.full_dispatch_request, inline)
            else:
                answer = yield from full_dispatch(ctx, app, inline, overrides, True)
        except Exception as caught:
            error = unwrap(caught)
            if plans.overrides_now(app, "handle_exception"):
                answer = yield from call_step(app.handle_exception, inline, error)
            else:
                answer = yield from handle_exception(ctx, app, error, inline)
    except BaseException as caught:
        answer = Raised(unwrap(caught))
        # The end is told of the first error, not of one that answering it met.
        error = error or answer.error
    try:
        failed = yield ctx, answer
        answer = None
        if failed is not None and error is None:
            error = failed
        if error is not None and app.should_ignore_error(error):
            error = None
        errors = yield from ctx._end_at_edge(error, inline)
        if errors:
            yield errors
    finally:
        # The error's traceback holds this frame: without this they would keep each other alive.
        error = answer = failed = errors = None


def full_dispatch(ctx: Any, app: Any, inline: bool, overrides: Any, may_be_quick: bool) -> Part:
    """Before hooks, view, error handlers, after hooks: a response, or perhaps a quick answer."""
    try:
        if not app._got_first_request:
            app._got_first_request = True
        if request_started.receivers:
            request_started.send(app, _async_wrapper=app.ensure_sync)
        rv = None
        if overrides.preprocess_request:
            rv = yield from call_step(app.preprocess_request, inline)
        elif app.before_request_funcs or app.url_value_preprocessors:
            rv = yield from preprocess(ctx, app, inline)
        if rv is None:
            if overrides.dispatch_request:
                rv = yield from call_step(app.dispatch_request, inline)
            else:
                view, args, plain = select_view(ctx, app)
                if inline and plain:
                    rv = view(**args)
                else:
                    rv = yield from call_view(app, view, args, inline)
    except Exception as caught:
        error = unwrap(caught)
        try:
            if app._plans.overrides_now(app, "handle_user_exception"):
                rv = yield from call_step(app.handle_user_exception, inline, error)
            else:
                rv = yield from handle_user_exception(ctx, app, error, inline)
            if not isinstance(error, HTTPException):
                ctx._outcome = "handled"
            if error is ctx.request.routing_exception:
                # Request, exception, traceback and frames would keep each other alive.
                error.__traceback__ = None
        finally:
            del error
    if (
        may_be_quick
        and overrides.quick
        and not ctx._is_observed(app)
        and overrides.stock_response
        and (sent := quick(rv, app.json, app.config)) is not None
    ):
        ctx._final = True
        body, content_type = sent
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        return "200 OK", headers, () if ctx.request.method == "HEAD" else (body,)
    try:
        if overrides.finalize_request:
            return (yield from call_step(app.finalize_request, inline, rv))
        return (yield from finalize(ctx, app, rv, inline, overrides, False))
    finally:
        rv = None  # it may be an exception, whose traceback has this frame


def preprocess(ctx: Any, app: Any, inline: bool) -> Part:
    """URL value preprocessors, then before hooks, the application's before a blueprint's.

    The first value of a hook that is not None is the answer.
    """
    plans = app._plans
    rule = ctx.request.url_rule
    plan = plans.of[rule and rule.endpoint]
    if plan.preprocessors:
        request = ctx.request
        for preprocessors in plan.preprocessors:
            for preprocessor in preprocessors:
                try:
                    preprocessor(request.endpoint, request.view_args)
                except StopIteration as stop:
                    raise Stopped(stop) from None
        plan = plans.of[rule and rule.endpoint]
    wrapped = plans.wrapped
    for hooks in plan.before:
        for hook in hooks:
            try:
                direct = inline and not wrapped[hook]
            except TypeError:
                direct = False
            if direct:
                try:
                    rv = hook()
                except StopIteration as stop:
                    raise Stopped(stop) from None
            else:
                rv = yield from call(app, hook, inline)
            if rv is not None:
                return rv
    return None


def select_view(ctx: Any, app: Any) -> tuple[Callable[..., Any], dict[str, Any], bool]:
    """The view of the matched rule, its arguments, and whether it is a plain sync function.

    Raises what matching raised; stands in for the view where OPTIONS is answered automatically.
    """
    request = ctx.request
    if request.routing_exception is not None:
        app.raise_routing_exception(request)
    rule = request.url_rule
    if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
        return app.make_default_options_response, {}, True
    view = app.view_functions[rule.endpoint]
    try:
        plain = not app._plans.wrapped[view]
    except TypeError:
        plain = False
    return view, request.view_args, plain


def call_view(app: Any, view: Callable[..., Any], args: dict[str, Any], inline: bool) -> Part:
    """Call a view that is async, or elsewhere."""
    if not inline:
        return (yield from call(app, lambda: view(**args), inline))
    try:
        return app.ensure_sync(view)(**args)
    except StopIteration as stop:
        raise Stopped(stop) from None


def dispatch(ctx: Any, app: Any, inline: bool) -> Part:
    """The view's return value, whatever it is."""
    view, args, _ = select_view(ctx, app)
    return (yield from call_view(app, view, args, inline))


# -- errors ---------------------------------------------------------------------------------------


def _names(ctx: Any) -> list[str]:
    blueprints: list[str] = ctx.request.blueprints
    return blueprints


def handle_http_exception(ctx: Any, app: Any, error: HTTPException, inline: bool) -> Part:
    """The registered handler's answer to an HTTP exception, or the exception, itself an answer."""
    # A code of None marks a proxy exception, a RoutingException is routing's own: no handler sees
    # them.
    if error.code is None or isinstance(error, RoutingException):
        return error
    handler = app._find_error_handler(error, _names(ctx))
    if handler is None:
        return error
    return (yield from call(app, handler, inline, error))


def handle_user_exception(ctx: Any, app: Any, error: Any, inline: bool) -> Part:
    """The answer of whoever handles `error`; raises it again when nobody does."""
    if isinstance(error, BadRequestKeyError) and (
        app.debug or app.config["TRAP_BAD_REQUEST_ERRORS"]
    ):
        error.show_exception = True
    if isinstance(error, HTTPException) and not app.trap_http_exception(error):
        if app._plans.overrides_now(app, "handle_http_exception"):
            return (yield from call_step(app.handle_http_exception, inline, error))
        return (yield from handle_http_exception(ctx, app, error, inline))
    handler = app._find_error_handler(error, _names(ctx))
    try:
        if handler is None:
            raise wrap(error)
        return (yield from call(app, handler, inline, error))
    finally:
        # The traceback has this frame: they would keep each other alive.
        del error


def handle_exception(ctx: Any, app: Any, error: Any, inline: bool) -> Part:
    """The 500 answer to an error that nobody handled; raises it where exceptions propagate."""
    if got_request_exception.receivers:
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)
    if app._propagates:
        try:
            raise wrap(error)
        finally:
            del error  # as in handle_user_exception
    app.log_exception((type(error), error, error.__traceback__))
    answer: Any = InternalServerError(original_exception=error)
    handler = app._find_error_handler(answer, _names(ctx))
    if handler is not None:
        answer = yield from call(app, handler, inline, answer)
    overrides = app._plans.overrides
    if overrides.finalize_request:
        return (
            yield from call_step(
                lambda: app.finalize_request(answer, from_error_handler=True), inline
            )
        )
    return (yield from finalize(ctx, app, answer, inline, overrides, True))


# -- responses ------------------------------------------------------------------------------------


def finalize(
    ctx: Any, app: Any, rv: Any, inline: bool, overrides: Any, from_error_handler: bool
) -> Part:
    """A return value made final: coerced, through the after hooks, its session saved."""
    response: Any = None
    if overrides.stock_response and not overrides.make_response:
        plain = quick(rv, app.json, app.config)
        if plain is not None:
            body, content_type = plain
            response = assemble(Response, body, content_type)
    if response is None:
        try:
            response = app.make_response(rv)
        except BaseException:
            _discard(app, rv)
            raise
    try:
        if overrides.process_response:
            response = yield from call_step(app.process_response, inline, response)
        else:
            response = yield from process_response(ctx, app, response, inline)
        if request_finished.receivers:
            request_finished.send(app, _async_wrapper=app.ensure_sync, response=response)
    except BaseException as error:
        if not (from_error_handler and isinstance(error, Exception)):
            _discard(app, response)
            raise
        app.logger.exception("Request finalizing failed with an error while handling an error")
    if ctx._sharing is None:
        ctx._final = True
    else:
        ctx._now_final()
    return response


def _discard(app: Any, rv: Any) -> None:
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


def process_response(ctx: Any, app: Any, response: Any, inline: bool) -> Part:
    """After hooks, then the session is saved.

    This request's own hooks come first, then a blueprint's before the application's, each scope's
    last registered first.
    """
    if ctx._after is not None:
        for hook in ctx._after:
            response = yield from call(app, hook, inline, response)
    if app.after_request_funcs:
        plans = app._plans
        wrapped = plans.wrapped
        rule = ctx.request.url_rule
        for hooks in plans.of[rule and rule.endpoint].after:
            for hook in reversed(hooks):
                try:
                    direct = inline and not wrapped[hook]
                except TypeError:
                    direct = False
                if direct:
                    try:
                        response = hook(response)
                    except StopIteration as stop:
                        raise Stopped(stop) from None
                else:
                    response = yield from call(app, hook, inline, response)
    if (
        ctx._opened is not None
        or app._plans.idle_interface is None
        or "HTTP_COOKIE" in ctx.request.environ
    ):
        ctx._save_session(response)
    return response
