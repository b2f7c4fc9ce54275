"""What a new board shows, so that it is not empty."""

from __future__ import annotations

import sqlite3

# No password has this hash: nobody can log in as a sample member.
NO_PASSWORD = "!"

WELCOME = """\
This board is yours to try out. Read along as a guest, or sign up with any name: it takes ten \
seconds and nothing leaves this computer.

Once you are in, you can pin up a post, change it or take it down again, and answer what others \
wrote. When somebody answers you, a mail lands in your mailbox, top right. A first one is waiting \
there as soon as you have signed up.
"""

READING_ROOM = """\
From next week the reading room opens on Thursdays, seven to ten in the evening, instead of \
Tuesdays.

The kettle stays. Who can bring a second lamp for the corner by the window?
"""


def pin_up(db: sqlite3.Connection) -> None:
    """Insert two members, a post of each and one comment; the caller commits."""
    mirela = add_member(db, "mirela")
    otto = add_member(db, "otto")
    add_post(db, mirela, "Welcome to the board", WELCOME, "-2 days")
    reading_room = add_post(
        db, otto, "The reading room moves to Thursdays", READING_ROOM, "-5 hours"
    )
    db.execute(
        "INSERT INTO comment (post_id, author_id, body, written_at)"
        " VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-3 hours'))",
        (
            reading_room,
            mirela,
            "I have a green one with a good shade. I will bring it on Thursday.",
        ),
    )


def add_member(db: sqlite3.Connection, name: str) -> int | None:
    """Insert a member whom nobody can log in as and return the id."""
    return db.execute(
        "INSERT INTO member (name, password_hash) VALUES (?, ?)", (name, NO_PASSWORD)
    ).lastrowid


def add_post(
    db: sqlite3.Connection, author_id: int | None, title: str, body: str, age: str
) -> int | None:
    """Insert a post written `age` ago (an SQLite date modifier) and return the id."""
    return db.execute(
        "INSERT INTO post (author_id, title, body, written_at)"
        " VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?))",
        (author_id, title, body.strip(), age),
    ).lastrowid
