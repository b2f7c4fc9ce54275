"""What `with app.app_context()` is where a context of the same application is current."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from context_kit import make_app
from elsewhere import in_thread

import demijohn
from demijohn import app_ctx, copy_current_request_context, g, request
from demijohn.ctx import AppContext
from demijohn.globals import _cv_app

POLICIES: list[Callable[[Any, str], Any]] = [
    lambda app, policy: app.app_context(nested=policy),
    lambda app, policy: app.config.update(NESTED_APP_CONTEXT=policy) or app.app_context(),
]
said = pytest.mark.parametrize("say", POLICIES, ids=["argument", "config"])


def test_new_is_the_default_and_flasks_way() -> None:
    """Without a policy, and with "new", the inner context has its own `g` and its own end."""
    app = make_app()
    for options in ({}, {"nested": "new"}):
        with app.app_context() as outer:
            g.x = 1
            with app.app_context(**options) as inner:
                assert inner is not outer and "x" not in g
            assert app.log == ["app ok"]
            assert g.x == 1 and app_ctx == outer
        assert app.log == ["app ok", "app ok"]
        app.log.clear()


def test_a_plain_context_is_what_its_class_makes() -> None:
    """`app.app_context()` sets exactly what `AppContext(app)` sets."""
    app = make_app()

    def state(ctx: Any) -> dict[str, Any]:
        assert type(ctx) is AppContext
        return {name: getattr(ctx, name) for name in AppContext.__slots__ if hasattr(ctx, name)}

    assert state(app.app_context()) == state(AppContext(app))


@said
def test_join_is_the_current_context(say: Callable[[Any, str], Any]) -> None:
    """With "join" the inner `with` sees the same `g`, and only the owner ends the context."""
    app = make_app()
    with app.app_context() as outer:
        g.x = 1
        with say(app, "join") as inner:
            assert inner is outer and g.x == 1
            with say(app, "join"):
                g.x = 2
        assert g.x == 2 and app.log == []
    assert app.log == ["app ok"]


@said
def test_join_leaves_errors_to_the_owner(say: Callable[[Any, str], Any]) -> None:
    """An error that leaves the inner `with` ends nothing; the owner's end is told of its own."""
    app = make_app()
    with app.app_context():
        with pytest.raises(LookupError), say(app, "join"):
            raise LookupError
        assert app.log == []
    assert app.log == ["app ok"]


@said
def test_error_names_the_outer_context(say: Callable[[Any, str], Any]) -> None:
    """With "error" nothing is made; the message says where the current context is from."""
    app = make_app()
    with app.app_context() as outer:
        with pytest.raises(RuntimeError) as caught:
            say(app, "error")
        lines = str(caught.value).splitlines()
        assert lines[0] == (
            "An application context of 'site' is current already: pushed in thread 'MainThread'."
        )
        assert 'app.app_context(nested="join")' in lines[1]
        assert _cv_app.get() is outer
    assert app.log == ["app ok"]


def test_error_names_the_line_where_it_is_known() -> None:
    """The line of an outer context that was made under a policy itself is in the message."""
    app = make_app()
    with (
        app.app_context(nested="error"),
        pytest.raises(RuntimeError, match=rf"made at {__file__}:\d+, pushed in thread"),
    ):
        app.app_context(nested="error")


def test_error_names_the_request_of_the_outer_context() -> None:
    """In a request the message says which request brought the current context."""
    app = make_app()
    with (
        app.test_request_context("/orders"),
        pytest.raises(RuntimeError, match=r"already: that of <RequestContext '.*/orders' \[GET\]"),
    ):
        app.app_context(nested="error")


@said
@pytest.mark.parametrize("policy", ["join", "error"])
def test_without_one_of_the_same_application_it_is_new(
    say: Callable[[Any, str], Any], policy: str
) -> None:
    """Outside any context, in another application's and in an ended one, every policy is "new"."""
    app = make_app()
    with say(app, policy) as ended:
        g.x = 1
    assert app.log == ["app ok"]
    with make_app().app_context() as other, say(app, policy) as inner:
        assert inner is not other and "x" not in g
    token = _cv_app.set(ended)
    try:
        with say(app, policy) as inner:
            assert inner is not ended and "x" not in g
    finally:
        _cv_app.reset(token)
    assert len(app.log) == 3
    with app.app_context(nested="new") as outer:
        assert in_thread(lambda: say(app, policy)) is not outer


@pytest.mark.parametrize("policy", ["join", "error"])
def test_a_policy_does_not_reach_requests(policy: str) -> None:
    """Requests, copies of them and the test client work as ever under a configured policy."""
    app = make_app(NESTED_APP_CONTEXT=policy)

    @app.get("/")
    def view() -> dict[str, Any]:
        g.x = request.path
        copied = copy_current_request_context(lambda: [request.path, "x" in g])
        return {"here": copied(), "thread": in_thread(copied), "x": g.x}

    for _ in range(2):
        assert app.test_client().get("/").json == {
            "here": ["/", False],
            "thread": ["/", False],
            "x": "/",
        }
    with app.app_context(), app.test_request_context("/"):
        assert app.test_client().get("/").status_code == 200


def test_an_overridden_app_context_is_still_asked() -> None:
    """An application that overrides `app_context` makes the contexts of its requests."""
    made: list[Any] = []

    class App(demijohn.Demijohn):
        def app_context(self) -> Any:  # type: ignore[override]
            made.append(super().app_context())
            return made[-1]

    app = App("site")
    with app.test_request_context("/") as ctx:
        assert ctx.app_ctx is made[-1]
    app.test_client().get("/")
    assert len(made) == 2


def test_a_joined_context_keeps_its_own_values() -> None:
    """A carrier fills a new context only: the one that is joined stays as its owner filled it."""
    app = make_app()
    app.carry("user_id")
    carrier = {"v": 1, "g": {"user_id": 7}}
    with app.app_context(nested="join", carrier=carrier):
        assert g.user_id == 7
        g.user_id = 8
        with app.app_context(nested="join", carrier=carrier):
            assert g.user_id == 8
        with app.app_context(nested="new", carrier=carrier):
            assert g.user_id == 7


def test_an_unknown_policy_is_refused() -> None:
    """A policy that there is not is a `ValueError` which lists those that there are."""
    app = make_app()
    with pytest.raises(ValueError, match="'new', 'join' and 'error'"):
        app.app_context(nested="same")
