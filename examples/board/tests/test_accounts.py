"""Signing up, logging in and out, sessions and form tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from demijohn import Demijohn, g, session
from visitor import PASSWORD, Visitor

from board.csrf import FIELD


def test_sign_up_logs_in(auth: Visitor) -> None:
    """A new member is logged in at once and is told so on the next page."""
    response = auth.sign_up("nadia")
    assert (response.status_code, response.location) == (302, "/")
    page = auth.open("/")
    assert "Welcome, nadia. You are logged in." in page
    assert "Log out" in page
    assert "Welcome, nadia" not in auth.open("/")


@pytest.mark.parametrize(
    ("name", "password", "problem"),
    [
        ("", PASSWORD, "Use 2 to 24 letters"),
        ("x", PASSWORD, "Use 2 to 24 letters"),
        ("two words", PASSWORD, "Use 2 to 24 letters"),
        ("_hidden", PASSWORD, "Use 2 to 24 letters"),
        ("n" * 25, PASSWORD, "Use 2 to 24 letters"),
        ("nadia", "short", "Use at least 8 characters"),
        ("nadia", "x" * 201, "Use at most 200 characters"),
    ],
)
def test_sign_up_refuses(auth: Visitor, name: str, password: str, problem: str) -> None:
    """A bad name or password is explained at its field, the typed name stays, nobody is made."""
    response = auth.sign_up(name, password)
    assert response.status_code == 422
    assert problem in response.text
    assert 'aria-invalid="true"' in response.text
    assert f'value="{name}"' in response.text
    if password:
        assert password not in response.text
    assert auth.log_in(name, password).status_code == 422


def test_name_is_taken_in_any_case(member: Visitor, newcomer: Callable[[], Visitor]) -> None:
    """Two members never differ by upper and lower case only."""
    response = newcomer().sign_up("NADIA")
    assert response.status_code == 422
    assert "The name NADIA is taken already." in response.text


def test_log_out_and_in_again(member: Visitor) -> None:
    """Logging out ends the session and the password opens a new one."""
    member.log_out()
    page = member.open("/")
    assert "You are logged out." in page
    assert "Log out" not in page
    assert member.log_in().location == "/"
    assert "Hello again, nadia." in member.open("/")


@pytest.mark.parametrize(("name", "password"), [("nadia", "wrong password"), ("nobody", PASSWORD)])
def test_log_in_refuses(member: Visitor, name: str, password: str) -> None:
    """A wrong password and an unknown name get the same answer; the typed name stays."""
    member.log_out()
    response = member.log_in(name, password)
    assert response.status_code == 422
    assert "No member has this name and password." in response.text
    assert f'value="{name}"' in response.text


def test_sample_members_cannot_log_in(app: Demijohn, auth: Visitor) -> None:
    """The hash that sample members have fits no password."""
    from board.database import get_db
    from board.samples import NO_PASSWORD, add_member

    with app.app_context(), get_db() as db:
        add_member(db, "mirela")
    for password in ("", NO_PASSWORD):
        assert auth.log_in("mirela", password).status_code == 422


@pytest.mark.parametrize("path", ["/posts/new", "/posts/1/edit", "/posts/1/delete", "/mailbox/"])
def test_guest_logs_in_and_comes_back(auth: Visitor, path: str) -> None:
    """A guest who opens a members' page is sent to log in, then to that page."""
    response = auth.client.get(path)
    assert response.status_code == 302
    assert response.location.startswith("/account/log-in?next=")
    assert "Please log in first." in auth.open(response.location)
    query = response.location.partition("?")[2]
    assert auth.sign_up(query=f"?{query}").location == path


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example/",
        "//elsewhere.example",
        r"/\elsewhere.example",
        "/%09/x",
        "x",
        "",
    ],
)
def test_way_back_stays_here(auth: Visitor, target: str) -> None:
    """Logging in never leads to another host."""
    assert auth.sign_up(query=f"?next={target}").location == "/"


def test_user_follows_the_session(app: Demijohn, member: Visitor) -> None:
    """`g.user` is the session's member, and None once that member is gone."""
    from board.database import get_db

    with member.client as client:
        client.get("/")
        assert g.user["name"] == "nadia"
        assert session["member_id"] == g.user["id"]
    with app.app_context(), get_db() as db:
        db.execute("DELETE FROM member")
    with member.client as client:
        assert client.get("/").status_code == 200
        assert g.user is None


def test_log_in_renews_the_session(auth: Visitor) -> None:
    """A form token from before the log-in is worth nothing after it."""
    before = auth.token()
    auth.sign_up()
    response = auth.client.post("/posts/new", data={FIELD: before, "title": "x", "body": "y"})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/account/sign-up", "/account/log-in", "/account/log-out", "/posts/new", "/mailbox/read"],
)
@pytest.mark.parametrize("token", [None, "", "guessed", "gueßed"])
def test_forms_need_their_token(member: Visitor, path: str, token: str | None) -> None:
    """A POST without the session's token is refused with an explanation, and changes nothing."""
    fields = {"name": "mallory", "password": PASSWORD, "title": "x", "body": "y"}
    if token is not None:
        fields[FIELD] = token
    response = member.client.post(path, data=fields)
    assert response.status_code == 403
    assert "This form is out of date." in response.text
    page = member.open("/")
    assert "nadia" in page
    assert "Nothing is pinned here yet" in page


def test_post_without_any_session_is_refused(auth: Visitor) -> None:
    """An empty token never equals a missing one."""
    assert auth.client.post("/account/log-in", data={FIELD: ""}).status_code == 403
