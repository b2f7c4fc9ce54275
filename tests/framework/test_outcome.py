"""Promise 6: the outcome of a context, known to its teardown functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from context_kit import make_app

import demijohn
from demijohn.globals import app_ctx


def outcome_app() -> tuple[Any, list[str | None]]:
    """An application that answers in every way, and the outcomes that its teardown functions
    saw.
    """
    app = demijohn.Demijohn("site", static_folder=None)
    seen: list[str | None] = []
    app.teardown_request(lambda exc: seen.append(app_ctx.outcome))
    app.teardown_appcontext(lambda exc: seen.append(app_ctx.outcome))
    app.register_error_handler(LookupError, lambda error: ("handled", 200))
    app.register_error_handler(403, lambda error: ("refused", 403))

    def raising(error: BaseException) -> Callable[[], Any]:
        def view() -> Any:
            raise error

        return view

    def stream(fail: bool) -> Callable[[], Iterator[str]]:
        def view() -> Iterator[str]:
            yield "x"
            if fail:
                raise ValueError

        return view

    app.add_url_rule("/ok", "ok", lambda: "x")
    app.add_url_rule("/abort", "abort", lambda: demijohn.abort(404))
    app.add_url_rule("/refused", "refused", lambda: demijohn.abort(403))
    app.add_url_rule("/handled", "handled", raising(LookupError()))
    app.add_url_rule("/error", "error", raising(ValueError()))
    app.add_url_rule("/stop", "stop", raising(KeyboardInterrupt()))
    app.add_url_rule("/stream", "stream", stream(False))
    app.add_url_rule("/broken", "broken", stream(True))
    return app, seen


CASES = [
    ("/ok", "ok"),
    ("/abort", "ok"),
    ("/refused", "ok"),
    ("/missing", "ok"),
    ("/stream", "ok"),
    ("/handled", "handled"),
    ("/error", "error"),
    ("/stop", "error"),
    ("/broken", "error"),
]


@pytest.mark.parametrize(("path", "outcome"), CASES)
def test_outcomes_at_the_edge(path: str, outcome: str) -> None:
    """teardown_appcontext functions know how the request ended."""
    app, seen = outcome_app()
    try:
        app.test_client().get(path).get_data()
    except (ValueError, KeyboardInterrupt):
        assert path in {"/broken", "/stop"}
    assert seen[1] == outcome


@pytest.mark.parametrize(("path", "outcome"), CASES[:4])
def test_outcomes_in_teardown_request(path: str, outcome: str) -> None:
    """teardown_request functions know how the request ended as well."""
    app, seen = outcome_app()
    app.test_client().get(path).get_data()
    assert seen == [outcome, outcome]


@pytest.mark.parametrize("kind", ["app_context", "test_request_context"])
def test_outcomes_by_hand(kind: str) -> None:
    """A context's outcome is unknown while it lives, then `ok`, or `error` when an exception left
    its block.
    """
    app = make_app()
    with getattr(app, kind)():
        own = app_ctx._get_current_object()
        assert own.outcome is None
    assert own.outcome == "ok"
    with pytest.raises(ValueError), getattr(app, kind)():
        own = app_ctx._get_current_object()
        raise ValueError
    assert own.outcome == "error"


def test_the_outcome_of_a_successor() -> None:
    """A context that is pushed again after an error has an outcome of its own."""
    ctx = make_app().app_context()
    with pytest.raises(ValueError), ctx:
        raise ValueError
    assert ctx.outcome == "error"
    with ctx:
        assert ctx.outcome is None
    assert ctx.outcome == "ok"


@pytest.mark.parametrize("error", [None, ValueError()])
def test_outcomes_of_copies(error: Exception | None) -> None:
    """A copy's outcome is its own."""
    app = make_app()
    seen: list[str | None] = []
    app.teardown_appcontext(lambda exc: seen.append(app_ctx.outcome))

    def work() -> None:
        if error is not None:
            raise error

    with app.test_request_context():
        copied = demijohn.copy_current_request_context(work)
        try:
            copied()
        except ValueError:
            pass
    assert seen == ["ok" if error is None else "error", "ok"]
