"""A request in one piece, for applications that override nothing, by tools/flatten.py.

What it does, and why, stands in `wsgi_request`, `pipeline`, `ends` and `contexts`, from which this
is made.
"""

# Pyright knows of an empty tuple that nothing is in it, here where it is given a name.
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.utils import get_content_type
from werkzeug.wsgi import ClosingIterator

from ..context.proxy import UNMADE
from ..context.stepping import Steps
from ..framework.app_contexts import _NEW as app_contexts_NEW
from ..framework.app_contexts import AppContext
from ..framework.contexts import _CURRENT, _NEW, RequestContext, _new
from ..framework.ends import (
    _CLOSE,
    _ENDED,
    _ENDING,
    _send_end,
    close_unit,
    teardown_appcontext,
)
from ..framework.ends import _CURRENT as ends_CURRENT
from ..framework.globals import (
    current_app_ctx,
    current_request_ctx,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from ..framework.matching import _stay_here
from ..framework.pipeline import (
    Raised,
    after_hooks,
    discard,
    handle_exception,
    handle_user_exception,
)
from ..framework.plan import call
from ..framework.signals import (
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    request_finished,
    request_started,
    request_tearing_down,
    send_signal,
)
from ..framework.streams import SyncSteps
from ..framework.wrappers import Request, Response
from ..http.coerce import _HTML, _JSON
from ..http.headers import _LENGTHS, _MOST_NOTED, Headers
from ..http.json_provider import DefaultJSONProvider, compact_parts
from ..http.response import (
    _SIZES,
    _finish_by_methods,
    _finish_other,
    _is_plain,
    _plain_path,
)
from ..http.response import _new as response_new
from ..http.routing import Miss
from ..http.watch import changes
from .drivers import CLIENT_KEY, report_errors
from .event_stream import ending
from .wsgi_request import _PRESERVE_KEY, _end, _preserve, _release
from .wsgi_request import serve as wsgi_request_serve


def serve(app: Any, environ: Any, start_response: Any, context: Any, joined: Any) -> Any:
    """`wsgi_request.serve`, in one piece."""
    after: Any
    after_2: Any
    answer: Any
    answer_2: Any
    args: Any
    body: Any
    body_2: Any
    body_3: Any
    chunks: Any
    content_type: Any
    ctx: Any
    error: Any
    error_2: Any
    errors: Any
    errors_2: Any
    errors_3: Any
    finished: Any
    json: Any
    lists: Any
    made: Any
    parts: Any
    request: Any
    request_2: Any
    request_3: Any
    response: Any
    response_2: Any
    response_3: Any
    rv: Any
    rv_2: Any
    self: Any
    size: Any
    size_2: Any
    url_map: Any
    view: Any
    plans = app._plans
    if (
        (len(plans._leaf_dict) != plans._leaf_size and [*plans._leaf_dict] != plans._leaf_names)
        or plans._seen is not changes.version
        or (plans._class_dicts and [[*names] for names in plans._class_dicts] != plans._class_names)
    ):
        plans.forget(app)
    overrides = plans.overrides
    if not overrides.flat:
        return wsgi_request_serve(app, environ, start_response, context, joined)
    while True:
        plans_2 = app._plans
        ctx_2 = _new(RequestContext)
        request_3 = _new(Request)
        request_3.environ = environ
        request_3.shallow = False
        request_3.url_rule = request_3.view_args = request_3.routing_exception = None
        request_3._form_loaded = False
        request_3._headers = request_3._stream = None
        try:
            method = environ["REQUEST_METHOD"]
        except KeyError:
            method = "GET"
        request_3.method = method.upper()
        request_2 = request_3
        environ["werkzeug.request"] = request_2
        request_2.json_module = app.json
        request = request_2
        ctx_2.app = app
        ctx_2.request = request
        ctx_2.app_ctx = None
        ctx_2._own_app_ctx = None
        ctx_2._opened = None
        ctx_2._adapter = UNMADE
        ctx_2._after = None
        ctx_2._sharing = None
        ctx_2._final = False
        ctx_2._outcome = "ok"
        ctx_2._state = _NEW
        ctx_2._at_edge = False
        ctx_2._token = ctx_2._holds = ctx_2._unit = None
        error_2 = None
        try:
            try:
                app_2 = ctx_2.app
                if joined is None:
                    app_ctx = _new(AppContext)
                    app_ctx.app = app_2
                    app_ctx._g = UNMADE
                    app_ctx._state = app_contexts_NEW
                    app_ctx._token = app_ctx._borrows = app_ctx._holds = app_ctx._unit = None
                    app_ctx._adapter = UNMADE
                    ctx_2._own_app_ctx = app_ctx
                    app_ctx._made_at_edge = True
                    app_ctx._token = set_app_ctx(app_ctx)
                    app_ctx._state = _CURRENT
                else:
                    app_ctx = joined
                ctx_2.app_ctx = app_ctx
                try:
                    if joined is None and appcontext_pushed.receivers:
                        app_ctx.on_enter()
                finally:
                    ctx_2._token = set_request_ctx(ctx_2)
                    ctx_2._state = _CURRENT
                    ctx_2._at_edge = True
                app_3 = ctx_2.app
                self = app_3._matcher
                while True:
                    request_4 = ctx_2.request
                    environ_2 = request_4.environ
                    overrides_2 = app_3._plans.overrides
                    try:
                        if (
                            environ_2.get("HTTP_HOST") in self._hosts
                            and "HTTP_UPGRADE" not in environ_2
                            and (overrides_2.any_host or app_3.config["TRUSTED_HOSTS"] is None)
                        ):
                            url_map = app_3.url_map
                            if url_map is not self._map or url_map.version is not self._version:
                                self._look_at(url_map)
                            method_2 = request_4.method
                            answer_3 = self._find(environ_2.get("PATH_INFO", "/"), method_2)
                            if type(answer_3) is tuple:
                                request_4.url_rule, request_4.view_args, path = answer_3
                                if path is not None:
                                    request_4.path = path
                                break
                            if isinstance(answer_3, Miss):
                                request_4.routing_exception = answer_3.as_exception(
                                    partial(getattr, ctx_2, "url_adapter")
                                )
                                _stay_here(request_4.routing_exception)
                                break
                        self._match_by_adapter(ctx_2, request_4, environ_2.get("HTTP_HOST"))
                    except HTTPException as error_3:
                        request_4.routing_exception = error_3
                        _stay_here(error_3)
                        error_3.__traceback__ = None
                        if error_3.__suppress_context__:
                            error_3.__context__ = None
                    break
                while True:
                    try:
                        if not app._got_first_request:
                            app._end_setup(ctx_2.request.environ)
                        if request_started.receivers:
                            send_signal(app, request_started)
                        rv = None
                        if app.before_request_funcs or app.url_value_preprocessors:
                            while True:
                                plans_3 = app._plans
                                rule = ctx_2.request.url_rule
                                plan = plans_3.of[None if rule is None else rule.endpoint]
                                if plan.preprocessors:
                                    request_5 = ctx_2.request
                                    for preprocessors in plan.preprocessors:
                                        for preprocessor in preprocessors:
                                            preprocessor(request_5.endpoint, request_5.view_args)
                                    plan = plans_3.of[None if rule is None else rule.endpoint]
                                plain_2 = plans_3.plain
                                for hooks in plan.before:
                                    for hook in hooks:
                                        try:
                                            direct = hook in plain_2
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
                                request_6 = ctx_2.request
                                if request_6.routing_exception is not None:
                                    app.raise_routing_exception(request_6)
                                rule_2 = request_6.url_rule
                                if request_6.method == "OPTIONS" and getattr(
                                    rule_2, "provide_automatic_options", False
                                ):
                                    rv = app.make_default_options_response()
                                    break
                                view = app.view_functions[rule_2.endpoint]
                                args = request_6.view_args
                                while True:
                                    try:
                                        first = app._plans.plain[view]
                                    except (KeyError, TypeError):
                                        first = False
                                    if first is False:
                                        rv = call(app, view, **args or {})
                                        break
                                    if not args:
                                        rv = view()
                                        break
                                    if type(args) is dict and len(args) == 1 and (first in args):
                                        rv = view(args[first])
                                        break
                                    rv = view(**args)
                                    break
                                break
                    except Exception as error_4:
                        if app._plans.overrides_now(app, "handle_user_exception"):
                            rv = app.handle_user_exception(error_4)
                        else:
                            rv = handle_user_exception(ctx_2, app, error_4)
                        if not isinstance(error_4, HTTPException):
                            ctx_2._outcome = "handled"
                        if error_4 is ctx_2.request.routing_exception:
                            error_4.__traceback__ = None
                    try:
                        while True:
                            response = None
                            after = None
                            json = app.json
                            while True:
                                kind = type(rv)
                                if kind is dict or kind is list:
                                    if type(json) is DefaultJSONProvider and (
                                        json._stock is changes.version or json.is_stock()
                                    ):
                                        try:
                                            body_2, content_type = (
                                                ("".join(compact_parts(rv, 0)) + "\n").encode(),
                                                _JSON,
                                            )
                                            break
                                        except RecursionError:
                                            pass
                                    if (
                                        not isinstance(json, DefaultJSONProvider)
                                        or json.has_own_response()
                                    ):
                                        body_2, content_type = (None, _HTML)
                                        break
                                    mimetype = json.mimetype
                                    if mimetype != "application/json":
                                        mimetype = get_content_type(mimetype, "utf-8")
                                    body_2, content_type = (
                                        json.response_bytes(rv),
                                        ("Content-Type", mimetype),
                                    )
                                    break
                                if kind is str:
                                    body_2, content_type = (rv.encode(), _HTML)
                                    break
                                if kind is bytes:
                                    body_2, content_type = (rv, _HTML)
                                    break
                                body_2, content_type = (None, _HTML)
                                break
                            if body_2 is not None:
                                if app.after_request_funcs:
                                    while True:
                                        rule_3 = ctx_2.request.url_rule
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
                                if not after and (not ctx_2._is_observed(app)):
                                    ctx_2._final = True
                                    size = len(body_2)
                                    length = (
                                        _LENGTHS[size]
                                        if size <= _MOST_NOTED
                                        else ("Content-Length", str(size))
                                    )
                                    headers_2 = [content_type, length]
                                    answer_2 = (
                                        "200 OK",
                                        headers_2,
                                        () if ctx_2.request.method == "HEAD" else (body_2,),
                                    )
                                    break
                                response_2 = response_new(Response)
                                headers_3 = response_new(Headers)
                                size_2 = len(body_2)
                                length_2 = (
                                    _LENGTHS[size_2]
                                    if size_2 <= _MOST_NOTED
                                    else ("Content-Length", str(size_2))
                                )
                                headers_3._list = [content_type, length_2]
                                response_2.headers = headers_3
                                response_2._status = "200 OK"
                                response_2._status_code = 200
                                response_2.direct_passthrough = False
                                response_2._on_close = []
                                response_2.response = [body_2]
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
                                plans_4 = app._plans
                                if ctx_2._after is not None:
                                    for hook_2 in ctx_2._after:
                                        response_3 = call(app, hook_2, response_3)
                                    after_2 = None
                                if after_2 is None:
                                    after_2 = after_hooks(ctx_2, app)
                                if after_2:
                                    plain_3 = plans_4.plain
                                    for hooks_3 in after_2:
                                        for hook_2 in reversed(hooks_3):
                                            try:
                                                direct_2 = hook_2 in plain_3
                                            except TypeError:
                                                direct_2 = False
                                            response_3 = (
                                                hook_2(response_3)
                                                if direct_2
                                                else call(app, hook_2, response_3)
                                            )
                                if (
                                    ctx_2._opened is not None
                                    or plans_4.idle_interface is None
                                    or "HTTP_COOKIE" in ctx_2.request.environ
                                ):
                                    ctx_2._save_session(response_3)
                                response = response_3
                                if request_finished.receivers:
                                    send_signal(app, request_finished, response=response)
                            except BaseException:
                                discard(app, response)
                                raise
                            if ctx_2._sharing is None:
                                ctx_2._final = True
                            else:
                                ctx_2._now_final()
                            answer_2 = response
                            break
                        break
                    finally:
                        rv = None
            except Exception as caught:
                error_2 = caught
                if plans_2.overrides_now(app, "handle_exception"):
                    answer_2 = app.handle_exception(error_2)
                else:
                    answer_2 = handle_exception(ctx_2, app, error_2)
        except BaseException as caught:
            answer_2 = Raised(caught)
            error_2 = error_2 or caught
        try:
            ctx, answer, error = (ctx_2, answer_2, error_2)
            break
        finally:
            error_2 = answer_2 = None
    parts = None
    finished = None
    plain = True
    try:
        try:
            if type(answer) is tuple:
                status, headers, body = answer
                start_response(status, headers)
            elif type(answer) is Raised:
                body = answer
            else:
                while True:
                    if not getattr(answer, "_stock_sending", False):
                        finished = _finish_other(answer, environ)
                        break
                    made = answer
                    body_3 = made.response
                    headers_4 = made.headers
                    code = made._status_code
                    if (
                        not (type(body_3) is list or type(body_3) is tuple)
                        or type(headers_4) is not Headers
                        or made.direct_passthrough
                        or (code != 200 and (code < 200 or code == 204 or code == 304))
                    ):
                        finished = _finish_by_methods(made, environ, _is_plain(body_3, environ))
                        break
                    length_3 = location = False
                    for name, value in headers_4._list:
                        if name == "Content-Length":
                            length_3 = True
                        elif len(name) in _SIZES:
                            lowered = name.lower()
                            if lowered == "content-length":
                                length_3 = True
                            elif lowered == "content-location":
                                finished = _finish_by_methods(made, environ, True)
                                break
                            elif lowered == "location":
                                if (
                                    location
                                    or name != "Location"
                                    or made.autocorrect_location_header
                                    or (not _plain_path.fullmatch(value))
                                ):
                                    finished = _finish_by_methods(made, environ, True)
                                    break
                                location = True
                    else:
                        chunks = body_3
                        if len(body_3) != 1 or type(body_3[0]) is not bytes:
                            chunks = [
                                part.encode() if isinstance(part, str) else part for part in body_3
                            ]
                        items = headers_4._list.copy()
                        if not length_3 and made.automatically_set_content_length:
                            items.append(("Content-Length", str(sum(map(len, chunks)))))
                        if environ["REQUEST_METHOD"] == "HEAD":
                            chunks = ()
                        if made._on_close:
                            chunks = ClosingIterator(chunks, made.close)
                        finished = (made._status, items, chunks, True)
                        break
                    break
                if finished is not None:
                    status, headers, body, plain = finished
                    start_response(status, headers)
                else:
                    body = answer(environ, start_response)
                    plain = isinstance(body, (list, tuple))
            if not plain:
                _release(app, ctx, environ)
                parts = getattr(answer, "response", None)
                if hasattr(parts, "__aiter__"):
                    body = SyncSteps(parts, body)
                body = ending(app, ctx, answer, body)
        except BaseException as failed:
            try:
                discard(app, answer)
            finally:
                _end(app, ctx, environ, error, failed)
            raise
        if _PRESERVE_KEY in environ:
            _preserve(environ, ctx)
        if not plain:
            return Steps(context, body, partial(_end, app, ctx, environ, error), ctx._left_early)
        if type(body) is Raised:
            try:
                _end(app, ctx, environ, error, None)
            except BaseException as error_of_end:
                error_of_end.__context__ = error_of_end.__context__ or body.error
                raise
        elif error is not None or CLIENT_KEY in environ:
            _end(app, ctx, environ, error, None)
        else:
            while True:
                app_4 = ctx.app
                overrides_3 = app_4._plans.overrides
                own = ctx._own_app_ctx
                errors_2 = None
                now = monotonic()
                looked_at = (
                    app_4.teardown_appcontext_funcs
                    or appcontext_tearing_down.receivers
                    or appcontext_popped.receivers
                    or overrides_3.do_teardown_appcontext
                )
                token = ctx._token
                if token is not None and ctx._state is ends_CURRENT:
                    if ctx._holds is not None and ctx._leave():
                        ctx._reset_at_edge(own)
                        errors = None
                        break
                    if own is not None:
                        own._outcome = ctx._outcome
                    ctx._state = _ENDING
                    if (
                        app_4.teardown_request_funcs
                        or overrides_3.do_teardown_request
                        or request_tearing_down.receivers
                    ):
                        if current_request_ctx(None) is not ctx:
                            set_request_ctx(ctx)
                        if current_app_ctx(None) is not ctx.app_ctx:
                            set_app_ctx(ctx.app_ctx)
                        if overrides_3.do_teardown_request:
                            errors_2 = ctx._teardown(None)
                        else:
                            rule_4 = ctx.request.url_rule
                            lists_2 = app_4._plans.of[
                                None if rule_4 is None else rule_4.endpoint
                            ].teardown
                            while True:
                                errors_3 = []
                                plain_4 = app_4._plans.plain
                                for functions in lists_2:
                                    for hook_3 in reversed(functions):
                                        try:
                                            direct_3 = hook_3 in plain_4
                                        except TypeError:
                                            direct_3 = False
                                        try:
                                            if direct_3:
                                                hook_3(None)
                                            else:
                                                call(app_4, hook_3, None)
                                        except BaseException as error_7:
                                            errors_3.append(error_7)
                                if request_tearing_down.receivers:
                                    _send_end(app_4, request_tearing_down, None, errors_3)
                                try:
                                    errors_2 = errors_3
                                    break
                                finally:
                                    del errors_3
                    if ctx._unit is not None:
                        errors_2 = [*(errors_2 or ()), *close_unit(ctx, None)]
                    request_7 = ctx.request
                    if (
                        request_7._form_loaded
                        or ctx._sharing is not None
                        or (not overrides_3.stock_request and type(request_7).close is not _CLOSE)
                    ):
                        errors_2 = ctx._let_go_last(errors_2)
                        if ctx._unit is not None:
                            errors_2 = [*(errors_2 or ()), *close_unit(ctx, None)]
                    looked_at = looked_at or (own is not None and own._unit is not None)
                    if looked_at or own is None:
                        reset_request_ctx(token)
                    ctx._token = None
                    ctx._state = _ENDED
                    ctx._ended_at = now
                    request_7.environ["werkzeug.request"] = None
                if (
                    own is not None
                    and (token := own._token) is not None
                    and (own._state is ends_CURRENT)
                ):
                    if looked_at:
                        own._state = _ENDING
                        if current_app_ctx(None) is not own:
                            set_app_ctx(own)
                        if overrides_3.do_teardown_appcontext:
                            more = own._teardown(None)
                        else:
                            more = teardown_appcontext(app_4, None)
                        if more:
                            errors_2 = [*(errors_2 or ()), *more]
                        if own._unit is not None:
                            errors_2 = [*(errors_2 or ()), *close_unit(own, None)]
                        reset_app_ctx(token)
                    own._token = None
                    own._state = _ENDED
                    own._ended_at = now
                    if appcontext_popped.receivers:
                        try:
                            send_signal(app_4, appcontext_popped)
                        except BaseException as error_6:
                            errors_2 = [*(errors_2 or ()), error_6]
                try:
                    errors = errors_2
                    break
                finally:
                    errors_2, more = (None, [])
            if errors:
                report_errors(app, None, errors, repr(ctx))
        return body
    finally:
        if finished is not None:
            body_2 = body_3 = chunks = made = response = response_2 = response_3 = rv = rv_2 = None
        answer = body = parts = finished = error = errors = None
