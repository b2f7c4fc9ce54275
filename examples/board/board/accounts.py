"""Signing up, logging in and out, and who the current visitor is (`g.user`)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from demijohn import (
    Blueprint,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from demijohn.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from .database import get_db
from .forms import Form
from .mailing import Mail, send_mail

bp = Blueprint("accounts", __name__, url_prefix="/account")

P = ParamSpec("P")

GOOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,23}")
SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 200

WELCOME = """\
Good to have you here. Pin up your first post whenever you like; when somebody answers it, you \
will find a mail like this one.
"""


@bp.before_app_request
def load_user() -> None:
    """Set `g.user` to the logged-in member's row, or None."""
    g.user = None
    member_id = session.get("member_id") if request.endpoint != "static" else None
    if member_id is not None:
        g.user = get_db().execute("SELECT * FROM member WHERE id = ?", (member_id,)).fetchone()


def login_required(
    view: Callable[P, ResponseReturnValue],
) -> Callable[P, ResponseReturnValue]:
    """Let only members into `view`; a guest is sent to log in and then comes back."""

    @wraps(view)
    def members_only(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if g.user is not None:
            return view(*args, **kwargs)
        flash("Please log in first.", "note")
        # Only a page can be returned to; what a form would have sent is gone.
        back = request.full_path.rstrip("?") if request.method == "GET" else None
        return redirect(url_for("accounts.log_in", next=back))

    return members_only


def way_back() -> str:
    """Return the path in `?next=` if it leads to this board, else the list of posts."""
    path = request.args.get("next", "")
    # Browsers read "//host" and "/\host" as another host, and drop control characters before that.
    if re.match(r"/(?![/\\])", path) and path.isprintable():
        return path
    return url_for("posts.browse")


def let_in(member_id: int) -> None:
    """Start a new session for the member; nothing of the guest's session stays valid."""
    session.clear()
    session["member_id"] = member_id


@bp.route("/sign-up", methods=["GET", "POST"])
def sign_up() -> ResponseReturnValue:
    """Make a new member, who is logged in at once and gets a welcome mail."""
    if request.method == "GET":
        return render_template("accounts/sign_up.html", form=Form())
    form = Form.sent("name", "password")
    name = check_new_member(form)
    member_id = insert_member(form, name) if form.is_good else None
    if member_id is None:
        return render_template("accounts/sign_up.html", form=form), 422
    let_in(member_id)
    send_mail(Mail(member_id, f"Welcome, {name}", WELCOME, url_for("posts.write")))
    flash(f"Welcome, {name}. You are logged in.", "good")
    return redirect(way_back())


def check_new_member(form: Form) -> str:
    """Return the name asked for; note in the form what is wrong with it or with the password."""
    name = form.values["name"].strip()
    if not GOOD_NAME.fullmatch(name):
        form.errors["name"] = (
            "Use 2 to 24 letters, digits, hyphens or underscores, beginning with a letter or digit."
        )
    length = len(form.values["password"])
    if length < SHORTEST_PASSWORD:
        form.errors["password"] = f"Use at least {SHORTEST_PASSWORD} characters."
    elif length > LONGEST_PASSWORD:
        form.errors["password"] = f"Use at most {LONGEST_PASSWORD} characters."
    return name


def insert_member(form: Form, name: str) -> int | None:
    """Insert the member and return the id; if the name is taken, note that and return None."""
    method = current_app.config["PASSWORD_METHOD"]
    password_hash = generate_password_hash(form.values["password"], method)
    try:
        with get_db() as db:
            return db.execute(
                "INSERT INTO member (name, password_hash) VALUES (?, ?)", (name, password_hash)
            ).lastrowid
    except sqlite3.IntegrityError:
        form.errors["name"] = f"The name {name} is taken already."
        return None


@bp.route("/log-in", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    """Log a member in."""
    if request.method == "GET":
        return render_template("accounts/log_in.html", form=Form())
    form = Form.sent("name", "password")
    member = (
        get_db()
        .execute("SELECT * FROM member WHERE name = ?", (form.values["name"].strip(),))
        .fetchone()
    )
    if member is None or not check_password_hash(member["password_hash"], form.values["password"]):
        form.errors["password"] = "No member has this name and password."
        return render_template("accounts/log_in.html", form=form), 422
    let_in(member["id"])
    flash(f"Hello again, {member['name']}.", "good")
    return redirect(way_back())


@bp.post("/log-out")
def log_out() -> ResponseReturnValue:
    """End the session."""
    session.clear()
    flash("You are logged out.", "note")
    return redirect(url_for("posts.browse"))
