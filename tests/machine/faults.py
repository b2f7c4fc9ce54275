"""Seeded bugs in Demijohn's contexts, each of which the machine must find.

Each is a function that breaks one thing, through pytest's `monkeypatch`; nothing else changes.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from demijohn.context.stack import Context, Hold
from demijohn.framework import contexts, ends, globals, streams
from demijohn.serve import wsgi, wsgi_request

Fault = Callable[[pytest.MonkeyPatch], None]


def token_not_reset(patch: pytest.MonkeyPatch) -> None:
    """A pop ends the context and leaves its variable as it was."""
    pop = Context._pop

    def faulty(self: Context, exc: BaseException | None, *claims: Any) -> Any:
        top = self._var.get(None)
        errors = pop(self, exc, *claims)
        self._var.set(top)
        return errors

    patch.setattr(Context, "_pop", faulty)


def restores_nothing(patch: pytest.MonkeyPatch) -> None:
    """A pop clears the variable instead of restoring what was current before."""
    pop = Context._pop

    def faulty(self: Context, exc: BaseException | None, *claims: Any) -> Any:
        errors = pop(self, exc, *claims)
        self._var.set(None)
        return errors

    patch.setattr(Context, "_pop", faulty)


def double_end(patch: pytest.MonkeyPatch) -> None:
    """The teardown functions of a request run twice."""
    teardown = contexts.RequestContext._teardown

    def faulty(self: Any, exc: BaseException | None) -> Any:
        teardown(self, exc)
        return teardown(self, exc)

    patch.setattr(contexts.RequestContext, "_teardown", faulty)


def teardown_stops_at_first_error(patch: pytest.MonkeyPatch) -> None:
    """The teardown functions after one that fails do not run."""
    run_all = ends.run_all

    def faulty(app: Any, lists: Any, signal: Any, exc: Any) -> Any:
        for functions in lists:
            for hook in functions[::-1]:
                if errors := run_all(app, ([hook],), None, exc):
                    return errors
        return run_all(app, (), signal, exc)

    patch.setattr(ends, "run_all", faulty)


def error_of_an_end_is_lost(patch: pytest.MonkeyPatch) -> None:
    """Of several errors of an end only the first is reported."""
    run_all = ends.run_all

    def faulty(app: Any, lists: Any, signal: Any, exc: Any) -> Any:
        return run_all(app, lists, signal, exc)[:1]

    patch.setattr(ends, "run_all", faulty)


def foreign_pop_raises_value_error(patch: pytest.MonkeyPatch) -> None:
    """A pop in another Context is what `ContextVar.reset` makes of it."""

    def faulty(self: Context, exc: BaseException | None) -> None:
        raise ValueError(f"{self._token!r} was created in a different Context")

    patch.setattr(Context, "_pop_foreign", faulty)


def foreign_pop_ends_again(patch: pytest.MonkeyPatch) -> None:
    """The owner's pop ends once more what a foreign pop has ended."""
    foreign = Context._pop_foreign

    def faulty(self: Context, exc: BaseException | None) -> Any:
        errors = foreign(self, exc)
        self._state = contexts._CURRENT
        return errors

    patch.setattr(Context, "_pop_foreign", faulty)


def wrong_pop_pops(patch: pytest.MonkeyPatch) -> None:
    """A wrong pop is reported after it has popped."""
    pop, refuse = Context._pop, Context._refuse

    def faulty(self: Context, exc: BaseException | None, *claims: Any) -> Any:
        top = self._var.get(None)
        if top is not None and top is not self and self._token is not None:
            Context._pop(top, exc)
        return pop(self, exc, *claims)

    assert refuse is not None
    patch.setattr(Context, "_pop", faulty)


def failed_push_stays(patch: pytest.MonkeyPatch) -> None:
    """What a begin that fails has pushed stays pushed."""
    patch.setattr(Context, "_undo", lambda self, error: [])


def borrowed_step_leaves_the_context(patch: pytest.MonkeyPatch) -> None:
    """A step of a stream outside an edge does not pop what it pushed."""

    def faulty(self: Any, step: Callable[[], Any]) -> Any:
        if not self._ctx.ended and globals._cv_request.get(None) is not self._ctx:
            self._ctx.push()
        return step()

    patch.setattr(streams.ContextStream, "_borrowing", faulty)


def stream_holds_nothing(patch: pytest.MonkeyPatch) -> None:
    """An unfinished stream does not put off the end of its context."""

    def faulty(self: Context) -> Hold:
        hold = Hold(self)
        hold._context = None
        return hold

    patch.setattr(Context, "hold", faulty)


def one_context_for_all_requests(patch: pytest.MonkeyPatch) -> None:
    """Every request on a thread runs in the same `contextvars.Context`."""
    shared: dict[int, contextvars.Context] = {}

    def faulty() -> contextvars.Context:
        import threading

        ident = threading.get_ident()
        if ident not in shared:
            shared[ident] = contextvars.copy_context()
        return shared[ident]

    patch.setattr(wsgi, "copy_context", faulty)


def request_in_its_callers_context(patch: pytest.MonkeyPatch) -> None:
    """A request and its body run in the Context of whoever calls and steps."""

    class Here:
        def run(self, function: Any, *args: Any) -> Any:
            return function(*args)

    patch.setattr(wsgi, "copy_context", Here)


def edge_joins(patch: pytest.MonkeyPatch) -> None:
    """A request at a server edge joins an app context that it finds."""
    enclosing = wsgi.enclosing

    def faulty(app: Any, mark: Any) -> Any:
        context, joined = enclosing(app, mark)
        found = globals._cv_app.get(None)
        if found is not None and found.app is app and not found.ended:
            context.run(globals._cv_app.set, found)
            joined = found
        return context, joined

    patch.setattr(wsgi, "enclosing", faulty)


def body_ends_with_the_view(patch: pytest.MonkeyPatch) -> None:
    """The context of a streamed body ends before its first byte."""

    def faulty(context: Any, body: Any, finish: Any) -> Any:
        finish(None)
        return body

    patch.setattr(wsgi_request, "Steps", faulty)


def copy_tears_down_its_parent(patch: pytest.MonkeyPatch) -> None:
    """The end of a copied request context runs `teardown_request` functions."""
    copy = contexts.RequestContext.copy

    def faulty(self: Any) -> Any:
        child = copy(self)
        child._parent = None
        return child

    patch.setattr(contexts.RequestContext, "copy", faulty)


def teardown_in_order_of_registration(patch: pytest.MonkeyPatch) -> None:
    """Teardown functions run first registered first."""
    run_all = ends.run_all

    def faulty(app: Any, lists: Any, signal: Any, exc: Any) -> Any:
        return run_all(app, tuple(functions[::-1] for functions in lists), signal, exc)

    patch.setattr(ends, "run_all", faulty)


FAULTS: list[Fault] = [
    token_not_reset,
    restores_nothing,
    double_end,
    teardown_stops_at_first_error,
    error_of_an_end_is_lost,
    foreign_pop_raises_value_error,
    foreign_pop_ends_again,
    wrong_pop_pops,
    failed_push_stays,
    borrowed_step_leaves_the_context,
    stream_holds_nothing,
    one_context_for_all_requests,
    request_in_its_callers_context,
    edge_joins,
    body_ends_with_the_view,
    copy_tears_down_its_parent,
    teardown_in_order_of_registration,
]
