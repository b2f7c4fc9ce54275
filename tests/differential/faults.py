"""Seeded bugs in Demijohn, each of which the comparison must find.

Each is a function that breaks one thing, through pytest's `monkeypatch`, in the process of
Demijohn's side (`worker`); nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from blinker import Signal
from werkzeug.exceptions import MethodNotAllowed

from demijohn.framework import (
    app_base,
    app_setup,
    contexts,
    ends,
    matching,
    pipeline,
    pipeline_async,
    urls,
)
from demijohn.http import routing
from demijohn.http.json_provider import DefaultJSONProvider
from demijohn.serve import wsgi_request

Fault = Callable[[pytest.MonkeyPatch], None]


def after_hooks_swapped(patch: pytest.MonkeyPatch) -> None:
    """After hooks run first registered first."""
    stock = pipeline.process_response

    def faulty(ctx: Any, app: Any, response: Any, after: Any) -> Any:
        kept = app.after_request_funcs
        app.after_request_funcs = {name: hooks[::-1] for name, hooks in kept.items()}
        try:
            return stock(ctx, app, response)
        finally:
            app.after_request_funcs = kept

    patch.setattr(pipeline, "process_response", faulty)


def vary_lost(patch: pytest.MonkeyPatch) -> None:
    """A response that depends on the session does not say so."""
    stock = contexts.RequestContext._save_session

    def faulty(self: Any, response: Any) -> None:
        stock(self, response)
        response.headers.pop("Vary", None)

    patch.setattr(contexts.RequestContext, "_save_session", faulty)


def head_with_a_body(patch: pytest.MonkeyPatch) -> None:
    """HEAD is answered with the body of GET."""
    stock = wsgi_request.finish
    patch.setattr(
        wsgi_request,
        "finish",
        lambda response, environ: stock(response, {**environ, "REQUEST_METHOD": ""}),
    )


def method_not_allowed_without_allow(patch: pytest.MonkeyPatch) -> None:
    """A 405 does not name the methods that are allowed."""

    def faulty(self: Any, adapter: Any) -> MethodNotAllowed:
        return MethodNotAllowed()

    patch.setattr(routing.WrongMethod, "as_exception", faulty)


def teardown_skipped(patch: pytest.MonkeyPatch) -> None:
    """The last teardown function of an end does not run."""
    stock = ends.run_all

    def faulty(app: Any, lists: Any, signal: Any, exc: Any) -> Any:
        *others, last = lists or [[]]
        return stock(app, (*others, last[1:]), signal, exc)

    patch.setattr(ends, "run_all", faulty)


def blueprint_handler_ignored(patch: pytest.MonkeyPatch) -> None:
    """Error handlers of blueprints are not looked for."""
    stock = app_setup.find_error_handler
    patch.setattr(app_setup, "find_error_handler", lambda app, exc, names: stock(app, exc, ()))


def session_not_saved(patch: pytest.MonkeyPatch) -> None:
    """Changes of the session do not reach the cookie."""
    patch.setattr(contexts.RequestContext, "_save_session", lambda self, response: None)


def wrong_redirect_code(patch: pytest.MonkeyPatch) -> None:
    """The redirect to the path with a slash is a temporary one."""
    stock = routing.PathRedirect.as_exception

    def faulty(self: Any, adapter: Any) -> Any:
        error = stock(self, adapter)
        error.code = 307
        return error

    patch.setattr(routing.PathRedirect, "as_exception", faulty)


def defaults_lost(patch: pytest.MonkeyPatch) -> None:
    """The defaults of a rule are no values of its view."""
    stock = matching.Matcher.match

    def faulty(self: Any, ctx: Any, app: Any) -> None:
        stock(self, ctx, app)
        rule = ctx.request.url_rule
        for name in (rule is not None and rule.defaults) or ():
            ctx.request.view_args.pop(name, None)

    patch.setattr(matching.Matcher, "match", faulty)


def automatic_options_missing(patch: pytest.MonkeyPatch) -> None:
    """OPTIONS is left to the view."""
    stock = pipeline.dispatch

    def faulty(ctx: Any, app: Any) -> Any:
        if ctx.request.url_rule is not None:
            ctx.request.url_rule.provide_automatic_options = False
        return stock(ctx, app)

    patch.setattr(pipeline, "dispatch", faulty)


def url_defaults_ignored(patch: pytest.MonkeyPatch) -> None:
    """`url_for` does not ask the URL default functions."""
    patch.setattr(urls, "inject_url_defaults", lambda app, endpoint, values: None)


def content_length_wrong(patch: pytest.MonkeyPatch) -> None:
    """The length that is announced is one too large."""
    stock = wsgi_request.finish

    def faulty(response: Any, environ: Any) -> Any:
        finished = stock(response, environ)
        if finished is None:
            return None
        status, headers, body, plain = finished
        wrong = [
            (name, str(int(value) + 1) if name == "Content-Length" else value)
            for name, value in headers
        ]
        return status, wrong, body, plain

    patch.setattr(wsgi_request, "finish", faulty)


def before_hook_cannot_answer(patch: pytest.MonkeyPatch) -> None:
    """What a before hook returns is ignored."""
    stock = pipeline.preprocess

    def faulty(ctx: Any, app: Any) -> Any:
        stock(ctx, app)

    patch.setattr(pipeline, "preprocess", faulty)


def http_exceptions_not_trapped(patch: pytest.MonkeyPatch) -> None:
    """`TRAP_HTTP_EXCEPTIONS` and its like change nothing."""
    patch.setattr(app_base.AppBase, "trap_http_exception", lambda self, e: False)


def json_keys_not_sorted(patch: pytest.MonkeyPatch) -> None:
    """JSON objects keep the order of their keys."""
    patch.setattr(DefaultJSONProvider, "sort_keys", False)


def signal_of_errors_not_sent(patch: pytest.MonkeyPatch) -> None:
    """`got_request_exception` is never sent."""
    for module in (pipeline, pipeline_async):
        patch.setattr(module, "got_request_exception", Signal())


def after_this_request_lost(patch: pytest.MonkeyPatch) -> None:
    """Functions registered with `after_this_request` do not run."""
    stock = pipeline.process_response

    def faulty(ctx: Any, app: Any, response: Any, after: Any) -> Any:
        ctx._after = None
        return stock(ctx, app, response, after)

    patch.setattr(pipeline, "process_response", faulty)


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        after_hooks_swapped,
        vary_lost,
        head_with_a_body,
        method_not_allowed_without_allow,
        teardown_skipped,
        blueprint_handler_ignored,
        session_not_saved,
        wrong_redirect_code,
        defaults_lost,
        automatic_options_missing,
        url_defaults_ignored,
        content_length_wrong,
        before_hook_cannot_answer,
        http_exceptions_not_trapped,
        json_keys_not_sorted,
        signal_of_errors_not_sent,
        after_this_request_lost,
    )
}
