"""The local mailbox: what the board would have sent by mail, shown to its addressee only."""

from __future__ import annotations

import sqlite3

from demijohn import Blueprint, g, redirect, render_template, url_for
from demijohn.typing import ResponseReturnValue

from .accounts import login_required
from .database import get_db

bp = Blueprint("outbox", __name__, url_prefix="/mailbox")


@bp.app_context_processor
def count_unread() -> dict[str, int]:
    """Give every page `unread`, the number of the member's unread mails."""
    if g.get("user") is None:
        return {"unread": 0}
    query = "SELECT count(*) FROM mail WHERE to_id = ? AND NOT is_read"
    try:
        return {"unread": get_db().execute(query, (g.user["id"],)).fetchone()[0]}
    except sqlite3.Error:  # the error page must still come when the database is what failed
        return {"unread": 0}


@bp.get("/")
@login_required
def mailbox() -> ResponseReturnValue:
    """Show the member's mails, newest first."""
    mails = get_db().execute("SELECT * FROM mail WHERE to_id = ? ORDER BY id DESC", (g.user["id"],))
    return render_template("outbox/mailbox.html", mails=mails.fetchall())


@bp.post("/read")
@login_required
def mark_read() -> ResponseReturnValue:
    """Mark all of the member's mails as read."""
    with get_db() as db:
        db.execute("UPDATE mail SET is_read = 1 WHERE to_id = ?", (g.user["id"],))
    return redirect(url_for("outbox.mailbox"))
