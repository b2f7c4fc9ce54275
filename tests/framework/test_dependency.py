"""Promise 2: a request context brings an app context, and ends only the one that it made."""

from __future__ import annotations

from typing import Any

import pytest
from context_kit import BOTH, make_app

from demijohn import current_app, g, request


@BOTH
def test_a_request_brings_an_app_context(fw: Any) -> None:
    """A request context makes an app context current where there is none, and ends that one."""
    app = make_app(fw)
    with app.test_request_context("/path"):
        assert fw.current_app._get_current_object() is app
        assert fw.request.path == "/path"
        assert "user" not in fw.g
        assert app.log == []
    assert app.log == ["request ok", "app ok"]
    assert not fw.has_app_context()
    assert not fw.has_request_context()


@BOTH
def test_a_request_joins_its_applications_context(fw: Any) -> None:
    """Under an app context of the same application a request has that `g`, and does not end it."""
    app = make_app(fw)
    with app.app_context():
        fw.g.user = "outer"
        with app.test_request_context():
            assert fw.g.user == "outer"
            fw.g.user = "inner"
        assert app.log == ["request ok"]
        assert fw.g.user == "inner"
    assert app.log == ["request ok", "app ok"]


@BOTH
def test_a_request_does_not_join_another_applications_context(fw: Any) -> None:
    """Under an app context of another application a request brings its own, for as long as it
    lasts.
    """
    app, other = make_app(fw), make_app(fw)
    with other.app_context():
        fw.g.user = "other"
        with app.test_request_context():
            assert fw.current_app._get_current_object() is app
            assert "user" not in fw.g
        assert fw.current_app._get_current_object() is other
        assert fw.g.user == "other"
        assert (app.log, other.log) == (["request ok", "app ok"], [])


@BOTH
def test_two_applications_by_turns(fw: Any) -> None:
    """Contexts of two applications nest in any mixture, each level as it was when it is reached
    again.
    """
    one, two = make_app(fw), make_app(fw)
    with one.test_request_context("/1"):
        fw.g.level = 1
        with two.test_request_context("/2"):
            fw.g.level = 2
            with one.app_context():
                fw.g.level = 3
                with one.test_request_context("/4"):
                    assert (fw.request.path, fw.g.level) == ("/4", 3)
                assert (fw.request.path, fw.g.level) == ("/2", 3)
                assert fw.current_app._get_current_object() is one
            assert (fw.request.path, fw.g.level) == ("/2", 2)
            assert fw.current_app._get_current_object() is two
        assert (fw.request.path, fw.g.level) == ("/1", 1)
    assert one.log == ["request ok", "app ok", "request ok", "app ok"]
    assert two.log == ["request ok", "app ok"]


@BOTH
def test_requests_of_one_application_nest(fw: Any) -> None:
    """A request context inside another of the same application shares `g`, and has its own request
    and session.
    """
    app = make_app(fw)
    with app.test_request_context("/outer"):
        fw.g.user = "outer"
        fw.session["a"] = 1
        with app.test_request_context("/inner"):
            assert (fw.request.path, fw.g.user) == ("/inner", "outer")
            assert "a" not in fw.session
        assert app.log == ["request ok"]
        assert (fw.request.path, fw.session["a"]) == ("/outer", 1)


@BOTH
def test_nested_app_contexts(fw: Any) -> None:
    """Each `app.app_context()` has a `g` of its own and its own end, inside another too."""
    app = make_app(fw)
    with app.app_context():
        fw.g.user = "outer"
        with app.app_context():
            assert "user" not in fw.g
        assert app.log == ["app ok"]
        assert fw.g.user == "outer"
    assert app.log == ["app ok", "app ok"]


@BOTH
@pytest.mark.parametrize("kind", ["app", "request"])
def test_the_same_context_nested(fw: Any, kind: str) -> None:
    """A nested `with` of the same context borrows it: only the outermost ends it."""
    app = make_app(fw)
    ctx = app.app_context() if kind == "app" else app.test_request_context()
    ends = ["app ok"] if kind == "app" else ["request ok", "app ok"]
    with ctx:
        fw.g.user = "same"
        with ctx:
            with ctx:
                assert fw.g.user == "same"
            assert app.log == []
        assert fw.g.user == "same"
        assert app.log == []
    assert app.log == ends


def test_a_request_in_between() -> None:
    """A request context borrowed over another application's context is whole there."""
    app, other = make_app(), make_app()
    ctx = app.test_request_context("/own")
    with ctx:
        g.user = "own"
        with other.app_context(), ctx:
            assert current_app._get_current_object() is app
            assert (request.path, g.user) == ("/own", "own")
        assert app.log == []
        assert other.log == ["app ok"]
        assert (request.path, g.user) == ("/own", "own")
    assert app.log == ["request ok", "app ok"]


@BOTH
def test_an_app_context_over_a_request(fw: Any) -> None:
    """An app context pushed over a request has its own `g`; the request stays readable."""
    app = make_app(fw)
    with app.test_request_context("/path"):
        fw.g.user = "request's"
        with app.app_context():
            assert "user" not in fw.g
            assert fw.request.path == "/path"
        assert fw.g.user == "request's"
