"""Posts: list, pages, reading, writing, editing, deleting, comments."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from demijohn import Demijohn
from visitor import Visitor


def test_empty_board(auth: Visitor) -> None:
    """An empty board says so."""
    assert "Nothing is pinned here yet" in auth.open("/")


def test_write_and_read(member: Visitor, newcomer: Callable[[], Visitor]) -> None:
    """A post is shown to its author and to guests, in the list and on its page."""
    path = member.write("Lost: one glove", "Left hand, grey.\nReward: tea.")
    assert "Your post is up." in member.open(path)
    guest = newcomer()
    page = guest.open(path)
    assert "<h1>Lost: one glove</h1>" in page
    assert "Left hand, grey.\nReward: tea." in page
    assert "nadia" in page
    listed = guest.open("/")
    assert f'href="{path}"' in listed
    assert "No comments yet" in listed


@pytest.mark.parametrize(
    ("title", "body", "problem"),
    [
        ("", "text", "The title is missing."),
        ("  ", "text", "The title is missing."),
        ("t" * 121, "text", "The title has 121 characters; 120 is the most."),
        ("title", " \n ", "The text is missing."),
        ("title", "b" * 10_001, "The text has 10001 characters; 10000 is the most."),
    ],
)
def test_write_refuses(member: Visitor, title: str, body: str, problem: str) -> None:
    """A bad post is explained, what was typed stays in the form, and nothing is stored."""
    response = member.send("/posts/new", title=title, body=body)
    assert response.status_code == 422
    assert problem in response.text
    assert f'value="{title}"' in response.text
    assert f">\n{body}</textarea>" in response.text
    assert "Nothing is pinned here yet" in member.open("/")


def test_longest_post_fits(member: Visitor) -> None:
    """A post of just the allowed size is stored whole, line ends counted once."""
    body = "x\r\n" * 4_999 + "xx"
    path = member.write("t" * 120, body)
    assert body.replace("\r\n", "\n") in member.open(path)


def test_markup_is_text(member: Visitor) -> None:
    """What a member types is shown as typed and never becomes markup."""
    path = member.write("<b>bold</b> & co", "<script>alert(1)</script>")
    for page in ("/", path, f"{path}/edit", f"{path}/delete"):
        html = member.client.get(page).text
        assert "<b>bold" not in html
        assert "<script" not in html
        assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in html


def test_edit(member: Visitor) -> None:
    """The author can change a post; the form starts with what is there."""
    path = member.write("Lost: one glove", "\nLeft hand.")
    assert "edited" not in member.open(path)
    form = member.open(f"{path}/edit")
    assert 'value="Lost: one glove"' in form
    assert ">\nLeft hand.</textarea>" in form
    response = member.send(f"{path}/edit", title="Found: one glove", body="Thanks!")
    assert response.location == path
    page = member.open(path)
    assert "Your changes are saved." in page
    assert "Found: one glove" in page
    assert "edited" in page
    assert "Lost:" not in page


def test_edit_refuses(member: Visitor) -> None:
    """A bad change is explained, what was typed stays, and the post is as before."""
    path = member.write("Lost: one glove")
    response = member.send(f"{path}/edit", title="", body="typed already")
    assert response.status_code == 422
    assert "The title is missing." in response.text
    assert "typed already" in response.text
    assert "Lost: one glove" in member.open(path)


def test_delete(member: Visitor, other: Visitor) -> None:
    """The author is asked, then the post and its comments are gone."""
    path = member.write("Lost: one glove")
    other.send(f"{path}/comments", form_on=path, body="Look under the bench.")
    assert "Delete “Lost: one glove”?" in member.open(f"{path}/delete")
    assert member.send(f"{path}/delete").location == "/"
    assert "“Lost: one glove” is deleted." in member.open("/")
    member.open(path, 404)
    assert "Nothing is pinned here yet" in member.open("/")


@pytest.mark.parametrize("action", ["edit", "delete"])
def test_only_the_author_changes_a_post(member: Visitor, other: Visitor, action: str) -> None:
    """Others are offered no change, and get a 403 when they try one."""
    path = member.write("Lost: one glove")
    assert f"{path}/{action}" in member.open(path)
    assert f"{path}/{action}" not in other.open(path)
    assert "Only its author" in other.open(f"{path}/{action}", 403)
    response = other.send(f"{path}/{action}", form_on="/", title="Mine now", body="Ha")
    assert response.status_code == 403
    assert "Lost: one glove" in member.open(path)


@pytest.mark.parametrize("post_id", ["0", "1", "9223372036854775807", "9223372036854775808"])
@pytest.mark.parametrize("action", ["", "/edit", "/delete"])
def test_missing_post(member: Visitor, post_id: str, action: str) -> None:
    """A post that is not there is a 404, whatever its number."""
    assert "Nothing is pinned here" in member.open(f"/posts/{post_id}{action}", 404)


def test_pages(app: Demijohn, member: Visitor) -> None:
    """The list shows the newest posts first, `PAGE_SIZE` on a page, with links between pages."""
    app.config["PAGE_SIZE"] = 3
    for number in range(1, 8):
        member.write(f"Post {number}")
    shown = [re.findall(r"Post (\d)</a>", member.open(f"/?page={page}")) for page in (1, 2, 3)]
    assert shown == [["7", "6", "5"], ["4", "3", "2"], ["1"]]
    first, middle, last = (member.open(path) for path in ("/", "/?page=2", "/?page=3"))
    assert ("Newer" in first, "Older" in first) == (False, True)
    assert ("Newer" in middle, "Older" in middle) == (True, True)
    assert ("Newer" in last, "Older" in last) == (True, False)
    assert "Page 2 of 3" in middle


@pytest.mark.parametrize("page", ["0", "-1", "2", "99999999999999999999"])
def test_missing_page(auth: Visitor, page: str) -> None:
    """A page that is not there is a 404."""
    auth.open(f"/?page={page}", 404)


def test_page_that_is_no_number(auth: Visitor) -> None:
    """A page that is no number at all means the first."""
    auth.open("/?page=first")


def test_comment(member: Visitor, other: Visitor) -> None:
    """A comment appears under the post, at the place that its author is sent to."""
    path = member.write()
    response = other.send(f"{path}/comments", form_on=path, body="Look under the bench.")
    assert response.location == f"{path}#comment-1"
    page = member.open(path)
    assert 'id="comment-1"' in page
    assert "Look under the bench." in page
    assert "piet" in page
    listed = member.open("/")
    assert "1 comment" in listed
    assert "1 comments" not in listed


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (" ", "The comment is missing."),
        ("c" * 2_001, "The comment has 2001 characters; 2000 is the most."),
    ],
)
def test_comment_refuses(member: Visitor, body: str, problem: str) -> None:
    """A bad comment is explained below its post, and what was typed stays."""
    path = member.write("Lost: one glove")
    response = member.send(f"{path}/comments", form_on=path, body=body)
    assert response.status_code == 422
    assert problem in response.text
    assert "Lost: one glove" in response.text
    assert f">\n{body}</textarea>" in response.text
    assert "No comments yet" in member.open(path)


def test_guests_cannot_comment(
    member: Visitor, auth: Visitor, newcomer: Callable[[], Visitor]
) -> None:
    """A guest sees no comment form, and a comment sent all the same is not stored."""
    path = member.write()
    guest = newcomer()
    page = guest.open(path)
    assert "<textarea" not in page
    assert f"/account/log-in?next={path}" in page
    response = guest.send(f"{path}/comments", form_on="/account/log-in", body="Hello")
    assert response.location == "/account/log-in"
    assert "No comments yet" in guest.open(path)
