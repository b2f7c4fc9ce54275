"""The contexts of the test client: which app context its requests join, and what `last` keeps."""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from typing import Any

import pytest
from client_site import BOTH, make_site

from demijohn import g, request, session

mark: ContextVar[str] = ContextVar("mark", default="nothing")


@BOTH
def test_a_request_joins_the_tests_app_context(fw: Any) -> None:
    """Test and view share `g` while the test holds an app context, which ends when the test lets it
    go.
    """
    app = make_site(fw)
    with app.app_context():
        fw.g.user = "test's"
        assert app.test_client().get("/user?set=view's").text == "test's"
        assert fw.g.user == "view's"
        assert app.log == ["request /user None"]
    assert app.log == ["request /user None", "app view's None"]


@BOTH
def test_a_request_joins_the_app_context_of_the_tests_request(fw: Any) -> None:
    """Under `test_request_context` the view has that one's `g` and a request of its own."""
    app = make_site(fw)
    with app.test_request_context("/test"):
        fw.g.user = "test's"
        assert app.test_client().get("/user?set=view's").text == "test's"
        assert (fw.g.user, fw.request.path) == ("view's", "/test")


@BOTH
def test_another_applications_context_is_not_joined(fw: Any) -> None:
    """An app context of another application is left alone, and current again after the call."""
    app, other = make_site(fw), make_site(fw)
    with other.app_context():
        fw.g.user = "other's"
        assert app.test_client().get("/user").text == "nobody"
        assert fw.g.user == "other's"
        assert fw.current_app._get_current_object() is other


@BOTH
def test_without_a_context_each_request_has_its_own(fw: Any) -> None:
    """Without a context held, each request starts with an empty `g` and ends its own app
    context.
    """
    app = make_site(fw)
    client = app.test_client()
    assert [client.get("/user?set=a").text for _ in range(2)] == ["nobody", "nobody"]
    assert app.log == ["request /user None", "app a None"] * 2


@pytest.mark.parametrize("how", ["argument", "setting"])
def test_isolated(how: str) -> None:
    """An isolated client's requests join nothing and find nothing to report."""
    app = make_site(TEST_CLIENT_ISOLATED=how == "setting")
    client = app.test_client(isolated=True) if how == "argument" else app.test_client()
    with app.app_context():
        g.user = "test's"
        assert client.get("/user?set=view's").text == "nobody"
        assert g.user == "test's"
        assert app.log == ["request /user None", "app view's None"]


def test_the_argument_wins_over_the_setting() -> None:
    """`isolated=False` joins where the setting says otherwise."""
    app = make_site(TEST_CLIENT_ISOLATED=True)
    with app.app_context():
        g.user = "test's"
        assert app.test_client(isolated=False).get("/user").text == "test's"


def test_isolated_with_a_block() -> None:
    """`with client:` of an isolated client keeps its own request's `g`, over the test's."""
    app = make_site()
    with app.app_context():
        g.user = "test's"
        with app.test_client(isolated=True) as client:
            client.get("/user?set=view's")
            assert g.user == "view's"
        assert g.user == "test's"


def test_a_running_requests_context_is_not_joined() -> None:
    """A client that a view calls has a request with a `g` of its own, without a warning; the view's
    is untouched.
    """
    app = make_site()

    @app.get("/outer")
    def outer() -> str:
        g.user = "outer's"
        inner = app.test_client().get("/user?set=inner's").text
        assert request.path == "/outer"
        return f"{inner} {g.user}"

    assert app.test_client().get("/outer").text == "nobody outer's"
    assert app.log == [
        "request /user None",
        "app inner's None",
        "request /outer None",
        "app outer's None",
    ]


def test_a_running_requests_context_is_not_joined_under_the_tests() -> None:
    """A view that runs in the test's app context has that joined by the clients which it calls."""
    app = make_site()

    @app.get("/outer")
    def outer() -> str:
        return app.test_client().get("/user").text

    with app.app_context():
        g.user = "test's"
        assert app.test_client().get("/outer").text == "test's"


def test_a_context_in_a_view_by_hand_is_joined() -> None:
    """An app context that a view pushes itself is one that code holds, and joined."""
    app = make_site()

    @app.get("/outer")
    def outer() -> str:
        with app.app_context():
            g.user = "pushed"
            return app.test_client().get("/user").text

    assert app.test_client().get("/outer").text == "pushed"


def test_a_view_that_calls_another_applications_client() -> None:
    """A client of another application inside a view neither joins nor reports the view's
    context.
    """
    app, other = make_site(), make_site()

    @app.get("/outer")
    def outer() -> str:
        g.user = "outer's"
        return other.test_client().get("/user").text + g.user

    assert app.test_client().get("/outer").text == "nobodyouter's"


@BOTH
def test_variables_of_the_test_are_seen(fw: Any) -> None:
    """The view sees the context variables that the test set."""
    app = make_site(fw)
    app.add_url_rule("/mark", "mark", mark.get)
    token = mark.set("test's")
    try:
        assert app.test_client().get("/mark").text == "test's"
    finally:
        mark.reset(token)


def test_variables_of_the_view_stay_there() -> None:
    """Context variables that the view sets are not the test's afterwards."""
    app = make_site()
    app.add_url_rule("/mark", "mark", lambda: str(mark.set("view's") is not None))
    app.test_client().get("/mark")
    assert mark.get() == "nothing"


def test_no_client_is_a_server_that_reports() -> None:
    """No request of the test client brings the warning about what was found at a server edge."""
    app = make_site()
    with app.test_request_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({}, {"isolated": True}):
            app.test_client(**options).get("/user")


# -- client.last -----------------------------------------------------------------------------------


def test_last() -> None:
    """`client.last` says what the last request was and left, as plain data."""
    client = make_site().test_client()
    assert client.last is None
    client.post("/session?x=1", data={"a": "b"})
    last = client.last
    assert last is not None
    assert (last.method, last.path, last.endpoint) == ("POST", "/session?x=1", "write_session")
    assert (last.view_args, last.g, last.session) == ({}, {}, {"a": "b"})
    client.get("/echo/a/b")
    assert client.last is not None
    assert client.last.view_args == {"name": "a/b"}
    assert last.path == "/session?x=1"


def test_last_without_a_session() -> None:
    """`client.last` has no session where nothing opened one; it does not open it."""
    client = make_site().test_client()
    client.get("/user?set=x")
    assert client.last is not None
    assert (client.last.g, client.last.session) == ({"user": "x"}, None)


def test_last_is_a_snapshot() -> None:
    """What `client.last` holds does not change with the objects it was taken from."""
    app = make_site()
    with app.test_client() as client:
        client.post("/session", data={"a": "b"})
        session["a"] = "changed"
        g.user = "changed"
        assert client.last is not None
        assert client.last.session == {"a": "b"}
        assert client.last.g == {}


@pytest.mark.parametrize("path", ["/missing", "/fail", "/stream"])
def test_last_of_other_requests(path: str) -> None:
    """`client.last` is there after a 404, a 500 and a streamed answer."""
    client = make_site().test_client()
    client.get(path).get_data()
    assert client.last is not None
    assert client.last.path == path
    assert client.last.endpoint == (None if path == "/missing" else path[1:])


def test_last_after_an_exception() -> None:
    """`client.last` is the request whose exception reached the test."""
    client = make_site(TESTING=True).test_client()
    with pytest.raises(LookupError):
        client.get("/fail")
    assert client.last is not None
    assert client.last.path == "/fail"
    assert client.last.g == {"user": "failed"}
