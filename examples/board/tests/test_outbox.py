"""Mail sent by threads in the background, and the page that shows it."""

from __future__ import annotations

import logging
import threading

import pytest
from demijohn import Demijohn
from visitor import Visitor

from board import mailing
from board.database import get_db
from board.mailing import Courier, Mail


def test_welcome_mail(member: Visitor) -> None:
    """A new member finds a welcome mail."""
    page = member.mails()
    assert "Welcome, nadia" in page
    assert "To nadia" in page


def test_comment_sends_a_mail_to_the_author(member: Visitor, other: Visitor) -> None:
    """The author gets a mail with the comment and a link to it; nobody else sees that mail."""
    path = member.write("Lost: one glove")
    other.send(f"{path}/comments", form_on=path, body="Look under the bench.")
    page = member.mails()
    assert "piet commented on “Lost: one glove”" in page
    assert "Look under the bench." in page
    assert f'href="{path}#comment-1"' in page
    assert "commented on" not in other.mails()


def test_own_comment_sends_none(member: Visitor) -> None:
    """Whoever comments on their own post gets no mail."""
    path = member.write()
    member.send(f"{path}/comments", form_on=path, body="Found it.")
    assert "commented on" not in member.mails()


def test_unread_count(member: Visitor, other: Visitor) -> None:
    """Every page says how many mails are unread, until they are marked as read."""
    member.mails()
    other.mails()
    assert "1<span" in member.open("/")
    assert member.send("/mailbox/read", form_on="/mailbox/").location == "/mailbox/"
    assert "unread" not in member.open("/")
    assert "Welcome, nadia" in member.mails()
    assert "1<span" in other.open("/"), "another member's mail was marked"


def test_delivery_is_in_the_background(
    app: Demijohn, auth: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the visitor does not wait for the mail, which a thread delivers."""
    may_deliver = threading.Event()
    delivered_by: list[threading.Thread] = []

    def late(app: Demijohn, mail: Mail) -> None:
        assert may_deliver.wait(10)
        delivered_by.append(threading.current_thread())
        deliver(app, mail)

    deliver = mailing.deliver
    monkeypatch.setattr(mailing, "deliver", late)
    assert auth.sign_up().status_code == 302
    assert "No mail yet." in auth.open("/mailbox/")
    may_deliver.set()
    assert "Welcome, nadia" in auth.mails()
    assert delivered_by != [threading.main_thread()]


def test_waiting_has_an_end(app: Demijohn, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wait` names the mail that does not arrive in time."""
    release = threading.Event()
    monkeypatch.setattr(mailing, "deliver", lambda app, mail: release.wait(10))
    courier: Courier = app.extensions["courier"]
    with app.app_context():
        mailing.send_mail(Mail(7, "late", "", "/"))
    with pytest.raises(TimeoutError, match="mail to 7"):
        courier.wait(timeout=0)
    release.set()


def test_lost_mail_is_logged(app: Demijohn, caplog: pytest.LogCaptureFixture) -> None:
    """A mail that cannot be stored is named in the app's log and harms nothing else."""
    with app.app_context(), caplog.at_level(logging.ERROR):
        mailing.send_mail(Mail(404, "To nobody", "", "/"))
        app.extensions["courier"].wait()
    assert "A mail to member 404 was lost: To nobody" in caplog.text


def test_each_mail_has_its_own_connection(app: Demijohn, member: Visitor) -> None:
    """Twenty mails sent at once all arrive, while the sender's own connection stays open."""
    with app.app_context():
        db = get_db()
        for number in range(20):
            mailing.send_mail(Mail(1, f"number {number}", "", "/"))
        app.extensions["courier"].wait()
        count = db.execute("SELECT count(*) FROM mail WHERE subject LIKE 'number %'").fetchone()[0]
    assert count == 20
