"""Resources in contexts that are pushed by hand: nested, joined, succeeded, popped elsewhere."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from typing import Any

import pytest
from elsewhere import in_thread
from resource_kit import OPENED, Boom, Site, logged, the_end

import demijohn
from demijohn import on_commit, on_end, resource
from demijohn.context import ContextEnded, ContextWarning, WrongContextError
from demijohn.globals import app_ctx, request_ctx

APP_ORDER = ["context", "view", "body"]
"""Outside a request every lifetime but "app" is that of the application context."""


def the_end_of_app(exc: str = "None", good: bool = True) -> list[str]:
    """The end of an application context in which one of each lifetime is open."""
    how = "good" if good else f"{exc} in"
    closed = [f"{step} {name}" for name in APP_ORDER[::-1] for step in (how, "close")]
    return [
        f"teardown_appcontext {exc}",
        "appcontext_tearing_down",
        *closed,
        *(["on_commit"] if good else []),
        "on_end",
        "appcontext_popped",
    ]


def test_an_app_context() -> None:
    """An application context closes what was opened in it, last opened first."""
    site = Site()
    with site.app.app_context():
        site.use()
        assert [held.name for held in app_ctx.held()] == APP_ORDER
    assert site.log == OPENED + the_end_of_app()


def test_an_app_context_with_an_error() -> None:
    """An error that leaves the block is raised at each `yield`, and leaves as itself."""
    site = Site()
    with pytest.raises(Boom), site.app.app_context():
        site.use()
        raise Boom
    assert site.log == OPENED + the_end_of_app("Boom", good=False)


def test_an_error_in_closing_leaves_the_block() -> None:
    """A `with` raises what a close raised, after everything else is closed."""
    site = Site()

    @resource
    def failing() -> Iterator[int]:
        yield 1
        raise Boom

    with pytest.raises(Boom), site.app.app_context():
        site.use()
        assert failing == 1
    assert site.log == [entry for entry in OPENED + the_end_of_app() if entry != "on_commit"]


def test_a_request_context() -> None:
    """A request context by hand ends in the order of promise 5."""
    site = Site()
    with site.app.test_request_context():
        site.use()
    assert site.log == OPENED + the_end()


def test_a_request_context_with_an_error() -> None:
    """An error that leaves its block is raised at each `yield`."""
    site = Site()
    with pytest.raises(Boom), site.app.test_request_context():
        site.use()
        raise Boom
    assert site.log == OPENED + the_end("Boom", good=False)


def test_a_request_in_an_app_context() -> None:
    """A request by hand that joins an application context ends its own resources only."""
    site = Site()
    with site.app.app_context():
        with site.app.test_request_context():
            site.use()
        joined = [entry for entry in the_end() if "context" not in entry and "on_" not in entry]
        assert site.log == OPENED + joined
        site.log.clear()
    owned = ["good context", "close context", "on_commit", "on_end"]
    assert site.log == [
        "teardown_appcontext None",
        "appcontext_tearing_down",
        *owned,
        "appcontext_popped",
    ]


def test_a_borrowed_push_ends_nothing() -> None:
    """A nested push of the same context shares its resources and ends none of them."""
    site = Site()
    with site.app.app_context() as ctx:
        site.use()
        with ctx:
            assert site.resources["view"].number == 0
        assert site.log == OPENED
    assert site.log == OPENED + the_end_of_app()


@pytest.mark.parametrize("nested", ["new", "join"])
def test_nested_app_contexts(nested: Any) -> None:
    """A nested application context has resources of its own; one that joins shares them."""
    site = Site()
    with site.app.app_context():
        site.use()
        with site.app.app_context(nested=nested):
            number = site.resources["context"].number
            assert number == (1 if nested == "new" else 0)
        assert site.resources["context"].number == 0
    assert site.log.count("open context") == site.log.count("close context") == number + 1


def test_an_app_context_within_a_request() -> None:
    """Within a request's nested application context every lifetime belongs to that."""
    site = Site()
    with site.app.test_request_context():
        outer = site.resources["view"].number
        with site.app.app_context():
            assert site.resources["view"].number != outer
        assert site.log[-3:] == ["good view", "close view", "appcontext_popped"]
        assert site.resources["view"].number == outer


def test_two_applications() -> None:
    """Each application's context opens its own; what is declared on one is refused in the other."""
    log: list[str] = []
    one, other = demijohn.Demijohn("one"), demijohn.Demijohn("other")
    shared = logged(log, "shared")
    owned = logged(log, "owned", one.resource)
    with one.app_context():
        assert shared.number == 0
        assert owned.number == 0
        with other.app_context():
            assert shared.number == 1
            with pytest.raises(RuntimeError, match=r"'owned' \(.*belongs to <Demijohn 'one'>"):
                owned.number  # noqa: B018
        assert log[-1] == "close shared"
    assert sorted(log[-4:]) == ["close owned", "close shared", "good owned", "good shared"]


def test_a_successor_opens_anew() -> None:
    """Pushing an ended context again starts with nothing open, and ends again."""
    site = Site()
    ctx = site.app.app_context()
    for number in range(3):
        site.log.clear()
        with ctx:
            assert ctx.held() == []
            site.use()
            assert site.resources["context"].number == number
        assert site.log == OPENED + the_end_of_app()


def test_with_client() -> None:
    """`with client:` pushes a successor: the request's resources are closed, its own end later."""
    site = Site()
    site.view(lambda: site.use() or "text")
    with site.app.test_client() as client:
        client.get("/")
        assert site.log == OPENED + the_end()
        assert request_ctx.held() == []
        site.log.clear()
        site.use()
        assert [held.name for held in request_ctx.held()] == ["context", "view", "body"]
    assert site.log == OPENED + the_end()


def test_a_client_in_an_app_context() -> None:
    """A test's request joins the test's application context: `context` ones stay the test's."""
    site = Site()
    site.view(lambda: site.use() or "text")
    with site.app.app_context():
        number = site.resources["context"].number
        site.app.test_client().get("/")
        assert site.resources["context"].number == number
        assert [held.name for held in app_ctx.held()] == ["context"]
        assert "on_end" not in site.log
    assert site.log[-5:] == [
        "good context",
        "close context",
        "on_commit",
        "on_end",
        "appcontext_popped",
    ]


def test_a_streamed_body_leaves_the_tests_own() -> None:
    """A body that streams in a test releases the request's, not what the test itself opened."""
    site = Site()
    site.view(lambda: (part for part in "ab"))
    with site.app.app_context():
        assert site.resources["view"].number == 0
        assert site.app.test_client().get("/").text == "ab"
        assert site.resources["view"].number == 0
        assert site.log.count("open view") == 1


def test_a_foreign_pop() -> None:
    """Popped on another thread, the context ends there: everything closes there, once."""
    site = Site()
    ctx = site.app.app_context()
    ctx.push()
    site.use()
    with pytest.warns(ContextWarning, match="popped in"):
        in_thread(lambda: ctx.pop(None))
    assert site.log == OPENED + the_end_of_app()
    with pytest.raises(ContextEnded, match="'context'"):
        site.resources["context"].number  # noqa: B018
    ctx.pop(None)
    assert site.log == OPENED + the_end_of_app()


def test_a_refused_pop_closes_nothing() -> None:
    """A pop of what is not on top changes nothing."""
    site = Site()
    with site.app.app_context() as outer:
        site.use()
        with site.app.app_context():
            with pytest.raises(WrongContextError):
                outer.pop()
            assert site.log == OPENED
            assert [held.name for held in outer.held()] == APP_ORDER
        assert site.log == [*OPENED, "teardown_appcontext None", *OTHERS]


OTHERS = ["appcontext_tearing_down", "appcontext_popped"]


def test_what_is_opened_in_the_end() -> None:
    """What a teardown function, a close or a callback opens and registers is part of the end."""
    log: list[str] = []
    late = logged(log, "late")
    later = logged(log, "later")
    app = demijohn.Demijohn("site")
    app.teardown_appcontext(lambda exc: log.append(f"teardown {late.name}"))

    @resource
    def early() -> Iterator[int]:
        yield 1
        on_end(lambda: log.append(f"callback {later.name}"))

    with app.app_context() as ctx:
        assert early == 1
    assert log == [
        "open late",
        "teardown late",
        "good late",
        "close late",
        "open later",
        "callback later",
        "good later",
        "close later",
    ]
    assert ctx.held() == []


def test_callbacks_that_never_cease() -> None:
    """Callbacks that register each other anew are stopped, and the end says so."""
    app = demijohn.Demijohn("site")
    calls = 0

    def again() -> None:
        nonlocal calls
        calls += 1
        on_end(again)

    with pytest.raises(RuntimeError, match="register each other anew"), app.app_context():
        on_end(again)
    assert 10 <= calls <= 1000


def test_after_the_end() -> None:
    """Work that still sees an ended context opens and registers nothing; it is told why."""
    site = Site()
    with site.app.test_request_context():
        site.use()
        kept = contextvars.copy_context()
    count = len(site.log)
    for name in ("context", "view", "body"):
        with pytest.raises(ContextEnded, match=f"Cannot open the resource '{name}'"):
            kept.run(lambda name=name: site.resources[name].number)
    for register in (on_end, on_commit):
        with pytest.raises(ContextEnded, match="register a callback"):
            kept.run(register, site.log.append, "never")
    assert len(site.log) == count


def test_outside() -> None:
    """Outside a context a use explains itself; questions that tools ask have an answer."""
    site = Site()
    value = site.resources["view"]
    for use in (
        lambda: value.name,
        lambda: value + 1,
        lambda: on_end(print),
        lambda: on_commit(print),
        lambda: demijohn.released(),
        lambda: demijohn.held_resources(),
    ):
        with pytest.raises(RuntimeError, match="Working outside of application context"):
            use()
    assert not value
    assert value != 1
    assert "not open" in repr(value)
    assert dir(value) == []
    assert value.__doc__ is None
    assert site.log == []


def test_looking_does_not_open() -> None:
    """`repr` and `held_resources()` open nothing, and show what is open, with its opener."""
    site = Site()
    with site.app.test_request_context():
        value = site.resources["view"]
        assert "'view'" in repr(value)
        assert "not open" in repr(value)
        assert demijohn.held_resources() == []
        value.name  # noqa: B018
        site.resources["context"].name  # noqa: B018
        assert repr(value) == repr(value._get_current_object())
        view, context = demijohn.held_resources()
        assert (view.name, view.lifetime, view.thread) == ("view", "view", "MainThread")
        assert (context.name, context.lifetime) == ("context", "context")
        assert view.opener.startswith(f"{__file__}:")
        assert view.opener.endswith(" test_looking_does_not_open")
        assert 0 <= context.age <= view.age < 60
