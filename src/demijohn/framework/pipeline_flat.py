"""The pipeline in one piece, for applications that override nothing, by tools/flatten.py.

What it does, and why, stands in `pipeline`, `ends` and `contexts`, from which this is made.
"""

# Pyright knows of an empty tuple that nothing is in it, here where it is given a name.
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.utils import get_content_type

from ..context.cancel import outcome_of
from ..context.proxy import UNMADE
from ..http.coerce import _HTML
from ..http.headers import Headers
from ..http.json_provider import DefaultJSONProvider, compact_parts
from ..http.response import _new as response_new
from ..http.routing import Miss
from ..http.watch import changes
from .app_contexts import _NEW as app_contexts_NEW
from .app_contexts import AppContext
from .contexts import _CURRENT, _NEW, RequestContext, _new
from .ends import (
    _CLOSE,
    _ENDED,
    _ENDING,
    _send_end,
    close_unit,
    teardown_appcontext,
)
from .ends import _CURRENT as ends_CURRENT
from .globals import (
    current_app_ctx,
    current_request_ctx,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from .matching import _stay_here
from .pipeline import (
    Raised,
    after_hooks,
    discard,
    handle_exception,
    handle_user_exception,
)
from .pipeline import respond as pipeline_respond
from .plan import call
from .signals import (
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    request_finished,
    request_started,
    request_tearing_down,
)
from .wrappers import Request, Response


def respond(app: Any, environ: Any, joined: Any) -> tuple[Any, Any, BaseException | None]:
    """`pipeline.respond`, in one piece."""
    after: Any
    after_2: Any
    answer: Any
    config: Any
    json: Any
    plain_2: Any
    request: Any
    request_3: Any
    response_3: Any
    rv: Any
    self: Any
    plans = app._plans
    if (
        (len(plans._leaf_dict) != plans._leaf_size and [*plans._leaf_dict] != plans._leaf_names)
        or plans._seen is not changes.version
        or (plans._class_dicts and [[*names] for names in plans._class_dicts] != plans._class_names)
    ):
        plans.forget(app)
    overrides = plans.overrides
    if not overrides.flat:
        return pipeline_respond(app, environ, joined)
    ctx = _new(RequestContext)
    request_3 = _new(Request)
    request_3.environ = environ
    request_3.shallow = False
    request_3.url_rule = request_3.view_args = request_3.routing_exception = None
    request_3._form_loaded = False
    request_3._headers = request_3._stream = None
    request_3.method = environ.get("REQUEST_METHOD", "GET").upper()
    request_2 = request_3
    environ["werkzeug.request"] = request_2
    request_2.json_module = app.json
    request = request_2
    ctx.app = app
    ctx.request = request
    ctx.app_ctx = None
    ctx._own_app_ctx = None
    ctx._opened = None
    ctx._adapter = UNMADE
    ctx._after = None
    ctx._sharing = None
    ctx._final = False
    ctx._outcome = "ok"
    ctx._state = _NEW
    ctx._at_edge = False
    ctx._token = ctx._holds = ctx._unit = None
    error: BaseException | None = None
    try:
        try:
            app_2 = ctx.app
            if joined is None:
                app_ctx = _new(AppContext)
                app_ctx.app = app_2
                app_ctx._g = UNMADE
                app_ctx._state = app_contexts_NEW
                app_ctx._token = app_ctx._borrows = app_ctx._holds = app_ctx._unit = None
                app_ctx._adapter = UNMADE
                ctx._own_app_ctx = app_ctx
                app_ctx._made_at_edge = True
                app_ctx._token = set_app_ctx(app_ctx)
                app_ctx._state = _CURRENT
            else:
                app_ctx = joined
            ctx.app_ctx = app_ctx
            try:
                if joined is None and appcontext_pushed.receivers:
                    app_ctx.on_enter()
            finally:
                ctx._token = set_request_ctx(ctx)
                ctx._state = _CURRENT
                ctx._at_edge = True
            app_3 = ctx.app
            self = app_3._matcher
            while True:
                request_4 = ctx.request
                environ_2 = request_4.environ
                try:
                    if (
                        environ_2.get("HTTP_HOST") in self._hosts
                        and "HTTP_UPGRADE" not in environ_2
                        and (app_3.config["TRUSTED_HOSTS"] is None)
                    ):
                        url_map = app_3.url_map
                        if url_map is not self._map or url_map.version is not self._version:
                            self._look_at(url_map)
                        method = request_4.method
                        answer_2 = self._find(environ_2.get("PATH_INFO", "/"), method)
                        if type(answer_2) is tuple:
                            request_4.url_rule, request_4.view_args, path = answer_2
                            if path is not None:
                                request_4.path = path
                            break
                        if isinstance(answer_2, Miss):
                            request_4.routing_exception = answer_2.as_exception(
                                partial(getattr, ctx, "url_adapter")
                            )
                            _stay_here(request_4.routing_exception)
                            break
                    self._match_by_adapter(ctx, request_4, environ_2.get("HTTP_HOST"))
                except HTTPException as error_2:
                    request_4.routing_exception = error_2
                    _stay_here(error_2)
                    error_2.__traceback__ = None
                    if error_2.__suppress_context__:
                        error_2.__context__ = None
                break
            while True:
                try:
                    if not app._got_first_request:
                        app._end_setup(ctx.request.environ)
                    if request_started.receivers:
                        request_started.send(app, _async_wrapper=app.ensure_sync)
                    rv = None
                    if app.before_request_funcs or app.url_value_preprocessors:
                        while True:
                            plans_2 = app._plans
                            rule = ctx.request.url_rule
                            plan = plans_2.of[None if rule is None else rule.endpoint]
                            if plan.preprocessors:
                                request_5 = ctx.request
                                for preprocessors in plan.preprocessors:
                                    for preprocessor in preprocessors:
                                        preprocessor(request_5.endpoint, request_5.view_args)
                                plan = plans_2.of[None if rule is None else rule.endpoint]
                            plain = plans_2.plain
                            for hooks in plan.before:
                                for hook in hooks:
                                    try:
                                        direct = hook in plain
                                    except TypeError:
                                        direct = False
                                    rv_2 = hook() if direct else call(app, hook)
                                    if rv_2 is not None:
                                        rv = rv_2
                                        break
                                else:
                                    continue
                                break
                            else:
                                rv = None
                                break
                            break
                    if rv is None:
                        while True:
                            request_6 = ctx.request
                            if request_6.routing_exception is not None:
                                app.raise_routing_exception(request_6)
                            rule_2 = request_6.url_rule
                            if request_6.method == "OPTIONS" and getattr(
                                rule_2, "provide_automatic_options", False
                            ):
                                rv = app.make_default_options_response()
                                break
                            view = app.view_functions[rule_2.endpoint]
                            try:
                                direct_2 = view in app._plans.plain
                            except TypeError:
                                direct_2 = False
                            args = request_6.view_args
                            if direct_2 or app._plans.is_plain(view):
                                rv = view(**args) if args else view()
                                break
                            rv = call(app, view, **args or {})
                            break
                except Exception as error_3:
                    if app._plans.overrides_now(app, "handle_user_exception"):
                        rv = app.handle_user_exception(error_3)
                    else:
                        rv = handle_user_exception(ctx, app, error_3)
                    if not isinstance(error_3, HTTPException):
                        ctx._outcome = "handled"
                    if error_3 is ctx.request.routing_exception:
                        error_3.__traceback__ = None
                try:
                    while True:
                        response = None
                        after = None
                        json = app.json
                        config = app.config
                        while True:
                            kind = type(rv)
                            if kind is dict or kind is list:
                                if (
                                    type(json) is DefaultJSONProvider
                                    and (json._stock is changes.version or json.is_stock())
                                    and (not config["DEBUG"])
                                ):
                                    try:
                                        plain_2 = (
                                            ("".join(compact_parts(rv, 0)) + "\n").encode(),
                                            "application/json",
                                        )
                                        break
                                    except RecursionError:
                                        pass
                                if (
                                    not isinstance(json, DefaultJSONProvider)
                                    or json.has_own_response()
                                ):
                                    plain_2 = None
                                    break
                                mimetype = json.mimetype
                                if mimetype != "application/json":
                                    mimetype = get_content_type(mimetype, "utf-8")
                                plain_2 = (json.response_bytes(rv), mimetype)
                                break
                            if kind is str:
                                plain_2 = (rv.encode(), _HTML)
                                break
                            if kind is bytes:
                                plain_2 = (rv, _HTML)
                                break
                            plain_2 = None
                            break
                        if plain_2 is not None:
                            body, content_type = plain_2
                            if app.after_request_funcs:
                                while True:
                                    rule_3 = ctx.request.url_rule
                                    lists = app._plans.of[
                                        None if rule_3 is None else rule_3.endpoint
                                    ].after
                                    for hooks_2 in lists:
                                        if hooks_2:
                                            after = lists
                                            break
                                    else:
                                        after = ()
                                        break
                                    break
                            else:
                                after = ()
                            if not after and (not ctx._is_observed(app)):
                                ctx._final = True
                                headers = [
                                    ("Content-Type", content_type),
                                    ("Content-Length", str(len(body))),
                                ]
                                answer = (
                                    "200 OK",
                                    headers,
                                    () if ctx.request.method == "HEAD" else (body,),
                                )
                                break
                            response_2 = response_new(Response)
                            headers_2 = response_new(Headers)
                            headers_2._list = [
                                ("Content-Type", content_type),
                                ("Content-Length", str(len(body))),
                            ]
                            response_2.headers = headers_2
                            response_2._status = "200 OK"
                            response_2._status_code = 200
                            response_2.direct_passthrough = False
                            response_2._on_close = []
                            response_2.response = [body]
                            response = response_2
                        if response is None:
                            try:
                                response = app.make_response(rv)
                            except BaseException:
                                discard(app, rv)
                                raise
                        try:
                            response_3 = response
                            after_2 = after
                            plans_3 = app._plans
                            if ctx._after is not None:
                                for hook_2 in ctx._after:
                                    response_3 = call(app, hook_2, response_3)
                                after_2 = None
                            if after_2 is None:
                                after_2 = after_hooks(ctx, app)
                            if after_2:
                                plain_3 = plans_3.plain
                                for hooks_3 in after_2:
                                    for hook_2 in reversed(hooks_3):
                                        try:
                                            direct_3 = hook_2 in plain_3
                                        except TypeError:
                                            direct_3 = False
                                        response_3 = (
                                            hook_2(response_3)
                                            if direct_3
                                            else call(app, hook_2, response_3)
                                        )
                            if (
                                ctx._opened is not None
                                or plans_3.idle_interface is None
                                or "HTTP_COOKIE" in ctx.request.environ
                            ):
                                ctx._save_session(response_3)
                            response = response_3
                            if request_finished.receivers:
                                request_finished.send(
                                    app, _async_wrapper=app.ensure_sync, response=response
                                )
                        except BaseException:
                            discard(app, response)
                            raise
                            app.logger.exception(
                                "Request finalizing failed with an error while handling an error"
                            )
                        if ctx._sharing is None:
                            ctx._final = True
                        else:
                            ctx._now_final()
                        answer = response
                        break
                    break
                finally:
                    rv = None
        except Exception as caught:
            error = caught
            if plans.overrides_now(app, "handle_exception"):
                answer = app.handle_exception(error)
            else:
                answer = handle_exception(ctx, app, error)
    except BaseException as caught:
        answer = Raised(caught)
        error = error or caught
    try:
        return (ctx, answer, error)
    finally:
        error = answer = None


def end_at_edge(ctx: Any, exc: BaseException | None) -> list[BaseException] | None:
    """`ends.end_at_edge`, in one piece."""
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
    if token is not None and ctx._state is ends_CURRENT:
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
            if current_request_ctx(None) is not ctx:
                set_request_ctx(ctx)
            if current_app_ctx(None) is not ctx.app_ctx:
                set_app_ctx(ctx.app_ctx)
            if overrides.do_teardown_request:
                errors = ctx._teardown(exc)
            else:
                rule = ctx.request.url_rule
                lists = app._plans.of[None if rule is None else rule.endpoint].teardown
                while True:
                    errors_2 = []
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
                            except BaseException as error_2:
                                errors_2.append(error_2)
                    if request_tearing_down is not None and request_tearing_down.receivers:
                        _send_end(app, request_tearing_down, exc, errors_2)
                    try:
                        errors = errors_2
                        break
                    finally:
                        del errors_2
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
                errors = [*(errors or ()), *close_unit(ctx, exc)]
        looked_at = looked_at or (own is not None and own._unit is not None)
        if looked_at or own is None:
            reset_request_ctx(token)
        ctx._token = None
        ctx._state = _ENDED
        ctx._ended_at = now
        request.environ["werkzeug.request"] = None
    if own is not None and (token := own._token) is not None and (own._state is ends_CURRENT):
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
                own._after_end()
            except BaseException as error:
                errors = [*(errors or ()), error]
    try:
        return errors
    finally:
        errors, more = (None, [])
