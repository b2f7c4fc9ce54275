"""Promise 1 by hand: pops in the wrong order are refused, pops elsewhere end a context there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from context_kit import (
    PLACES,
    current_state,
    in_copy,
    in_empty,
    in_greenlet,
    in_task,
    in_thread,
    make_app,
    refused,
)

from demijohn import current_app, g, has_request_context, request
from demijohn.context import ContextWarning, State
from demijohn.globals import app_ctx, request_ctx

MakeContext = Callable[[Any], Any]
FOREIGN_KINDS = pytest.mark.parametrize("kind", ["app", "request"])
MAKE: dict[str, MakeContext] = {
    "app": lambda app: app.app_context(),
    "request": lambda app: app.test_request_context(),
}


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("kind", MAKE)
def test_the_lower_one_of_a_kind_cannot_be_popped(kind: str, same: bool) -> None:
    """Of two contexts of a kind the lower one's pop is refused; then both can be popped in
    order.
    """
    app = make_app()
    first, second = MAKE[kind](app), MAKE[kind](app if same else make_app())
    first.push()
    second.push()
    refused(first, kind)
    assert app.log == []
    second.pop()
    first.pop()
    assert current_state() == (None, None)


def test_a_request_under_an_app_context() -> None:
    """A request whose app context another one covers cannot be popped before that one."""
    app, other = make_app(), make_app()
    ctx, cover = app.test_request_context(), other.app_context()
    ctx.push()
    cover.push()
    refused(ctx, "request")
    assert (app.log, other.log) == ([], [])
    cover.pop()
    ctx.pop()
    assert (app.log, other.log) == (["request ok", "app ok"], ["app ok"])
    assert current_state() == (None, None)


def test_an_app_context_under_its_request() -> None:
    """Somebody's pop of the app context that a request brought leaves the request to its own
    pop.
    """
    app = make_app()
    ctx = app.test_request_context()
    ctx.push()
    own = app_ctx._get_current_object()
    own.pop()
    ctx.pop()
    assert app.log == ["app ok", "request ok"]
    assert current_state() == (None, None)


def test_an_app_context_that_a_request_joined() -> None:
    """An app context popped under a request that joined it leaves the request to its own pop, and
    nothing after.
    """
    app = make_app()
    outer, ctx = app.app_context(), app.test_request_context()
    outer.push()
    ctx.push()
    try:
        outer.pop()
    except RuntimeError:
        ctx.pop()
        outer.pop()
    else:
        ctx.pop()
    assert sorted(app.log) == ["app ok", "request ok"]
    assert current_state() == (None, None)


@pytest.mark.parametrize("kind", MAKE)
def test_a_pop_without_a_push(kind: str) -> None:
    """A context that was never pushed, or was popped already, cannot be popped, and nothing
    runs.
    """
    app = make_app()
    ctx = MAKE[kind](app)
    refused(ctx, kind)
    with ctx:
        pass
    log = list(app.log)
    refused(ctx, kind)
    with MAKE[kind](app):
        refused(ctx, kind)
        del app.log[:]
    assert len(log) == (1 if kind == "app" else 2)


@pytest.mark.parametrize("kind", MAKE)
def test_a_refused_pop_names_both(kind: str) -> None:
    """The error of a refused pop names the context that is on top and the one that was popped."""
    lower, upper = MAKE[kind](make_app()), MAKE[kind](make_app())
    upper.app.name = "upper"
    with lower:
        with upper, pytest.raises(RuntimeError) as caught:
            lower.pop()
        assert repr(lower) in str(caught.value)
        assert repr(upper) in str(caught.value)


# -- other Contexts --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@FOREIGN_KINDS
def test_a_pop_elsewhere_ends_the_context_there(kind: str, place: Any) -> None:
    """A pop in another Context than the push's ends the context there, once, and a warning says
    where.
    """
    app = make_app()
    ends = ["app ok"] if kind == "app" else ["request ok", "app ok"]
    ctx = MAKE[kind](app)
    ctx.push()
    seen: list[tuple[Any, Any]] = []

    def pop() -> None:
        with pytest.warns(ContextWarning, match="was pushed in .* and popped in"):
            ctx.pop()
        seen.append(current_state())

    place(pop)
    assert app.log == ends
    assert ctx.state is State.ENDED
    # Here the variable still holds it; its own pop puts that right and ends nothing again.
    assert (app_ctx if kind == "app" else request_ctx)._get_current_object() is ctx
    ctx.pop()
    assert app.log == ends
    assert current_state() == (None, None)


@pytest.mark.parametrize("place", PLACES)
@FOREIGN_KINDS
def test_a_second_pop_elsewhere_is_refused(kind: str, place: Any) -> None:
    """Once a context was ended elsewhere, another pop elsewhere is refused."""
    app = make_app()
    ctx = MAKE[kind](app)

    def pop() -> None:
        with pytest.warns(ContextWarning):
            ctx.pop()
        with pytest.raises(RuntimeError, match="Popped wrong"):
            ctx.pop()

    with ctx:
        place(pop)
        log = list(app.log)
        with pytest.raises(RuntimeError, match="Popped wrong"):
            place(ctx.pop)
    assert app.log == log


@pytest.mark.parametrize("place", PLACES)
def test_teardown_functions_elsewhere_see_their_context(place: Any) -> None:
    """Where a foreign pop ends a request, teardown functions see its request, `g` and app."""
    app = make_app()
    seen: list[Any] = []

    @app.teardown_request
    def teardown(exc: BaseException | None) -> None:
        seen.append((request.path, g.user, current_app._get_current_object() is app))

    @app.teardown_appcontext
    def teardown_app(exc: BaseException | None) -> None:
        seen.append((has_request_context(), g.user))

    ctx = app.test_request_context("/path")
    ctx.push()
    g.user = "pushed"

    def pop() -> None:
        with pytest.warns(ContextWarning):
            ctx.pop()

    place(pop)
    assert seen[0] == ("/path", "pushed", True)
    # A task or a copied Context has inherited the request's variable, which is not the core's to
    # reset.
    assert seen[1][1] == "pushed"
    ctx.pop()
    assert current_state() == (None, None)


def test_a_request_over_a_joined_context_popped_elsewhere() -> None:
    """A foreign pop of a request that joined an app context ends the request alone."""
    app = make_app()
    with app.app_context():
        g.user = "outer"
        ctx = app.test_request_context()
        ctx.push()

        def pop() -> None:
            with pytest.warns(ContextWarning):
                ctx.pop()

        in_thread(pop)
        assert app.log == ["request ok"]
        ctx.pop()
        assert g.user == "outer"
        assert not has_request_context()
        assert app.log == ["request ok"]
    assert app.log == ["request ok", "app ok"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", MAKE)
def test_a_borrowing_push_elsewhere(kind: str, place: Any) -> None:
    """A context that is pushed and popped elsewhere while it lives is borrowed: nothing ends,
    nothing stays there.
    """
    app = make_app()
    ctx = MAKE[kind](app)

    def borrow() -> tuple[str, tuple[Any, Any]]:
        before = current_state()
        with ctx:
            user = g.user
        assert current_state() == before
        return user, before

    with ctx:
        g.user = "owner's"
        assert place(borrow)[0] == "owner's"
        assert app.log == []
    assert len(app.log) == (1 if kind == "app" else 2)


@pytest.mark.parametrize(
    "place",
    [
        in_thread,
        in_greenlet,
        in_empty,
        in_task,
        in_copy,
    ],
)
def test_a_borrowing_push_of_a_request_that_joined(place: Any) -> None:
    """A request that joined an app context has that one's `g` also where it is borrowed."""
    app = make_app()
    with app.app_context():
        g.user = "joined"
        ctx = app.test_request_context()

        def borrow() -> str:
            with ctx:
                return str(g.get("user"))

        with ctx:
            assert place(borrow) == "joined"
            assert app.log == []
            assert g.user == "joined"
        assert app.log == ["request ok"]
