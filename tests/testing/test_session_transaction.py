"""`client.session_transaction()`: the session of a client, changed from outside of a request."""

from __future__ import annotations

from typing import Any

import pytest
from client_site import BOTH, make_site


@BOTH
def test_a_session_transaction(fw: Any) -> None:
    """What a transaction writes is in the next request's session, and what a request wrote in the
    transaction.
    """
    client = make_site(fw).test_client()
    with client.session_transaction() as opened:
        assert opened == {}
        opened["a"] = "b"
        assert not fw.has_request_context()
    assert client.get("/session").json == {"a": "b"}
    client.post("/session", data={"c": "d"})
    with client.session_transaction() as opened:
        assert opened == {"a": "b", "c": "d"}
        del opened["a"]
    assert client.get("/session").json == {"c": "d"}
    with client.session_transaction() as opened:
        opened.clear()
    assert client.get("/session").json == {}


@BOTH
def test_a_transaction_that_fails(fw: Any) -> None:
    """A block that raises saves nothing."""
    client = make_site(fw).test_client()
    with pytest.raises(KeyError), client.session_transaction() as opened:
        opened["a"] = "b"
        raise KeyError
    assert client.get("/session").json == {}


@BOTH
def test_a_transaction_needs_cookies(fw: Any) -> None:
    """A client without cookies has no session to change."""
    client = make_site(fw).test_client(use_cookies=False)
    with pytest.raises(TypeError, match="Cookies are disabled"), client.session_transaction():
        pass


@BOTH
def test_a_transaction_needs_a_session(fw: Any) -> None:
    """Without a secret key there is no session to change."""
    client = make_site(fw, SECRET_KEY=None).test_client()
    refusing = pytest.raises(RuntimeError, match="did not open a session")
    with refusing, client.session_transaction():
        pass


@BOTH
def test_a_transaction_with_a_null_session(fw: Any) -> None:
    """A session that is null is not saved."""
    app = make_site(fw)

    class Interface(fw.sessions.SecureCookieSessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            return self.make_null_session(app)

        def save_session(self, *args: Any) -> None:
            raise AssertionError

    app.session_interface = Interface()
    with app.test_client().session_transaction() as opened:
        assert opened == {}


@BOTH
def test_a_transaction_for_a_host_and_path(fw: Any) -> None:
    """The arguments are those of `test_request_context`: the session of another host is another
    one.
    """
    client = make_site(fw).test_client()
    with client.session_transaction(base_url="http://own.test/") as opened:
        opened["a"] = "b"
    assert client.get("/session").json == {}
    assert client.get("/session", base_url="http://own.test/").json == {"a": "b"}
    with client.session_transaction("/x", base_url="http://own.test/") as opened:
        assert opened == {"a": "b"}


@BOTH
def test_a_transaction_in_a_block(fw: Any) -> None:
    """In `with client:` a transaction leaves the kept request current."""
    app = make_site(fw)
    with app.test_client() as client:
        client.get("/user?set=a")
        with client.session_transaction() as opened:
            opened["a"] = "b"
            assert fw.request.path == "/user"
        assert (fw.request.path, fw.g.user) == ("/user", "a")
        assert client.get("/session").json == {"a": "b"}


@BOTH
def test_a_transaction_with_an_interface_that_looks_at_the_request(fw: Any) -> None:
    """An interface that reads `request` and `g` finds a request context while it opens and
    saves.
    """
    app = make_site(fw)
    seen: list[str] = []

    class Interface(fw.sessions.SecureCookieSessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            seen.append(f"open {fw.request.path}")
            return super().open_session(app, request)

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            seen.append(f"save {fw.request.path}")
            super().save_session(app, session, response)

    app.session_interface = Interface()
    with app.test_client().session_transaction("/own") as opened:
        del seen[:-1]
        opened["a"] = "b"
    assert seen[0] == "open /own"
    assert seen[-1] == "save /own"
