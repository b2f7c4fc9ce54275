"""The posts and their comments: list, read, write, edit, delete, answer."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from demijohn import (
    Blueprint,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    url_for,
)
from demijohn.typing import ResponseReturnValue

from .accounts import login_required
from .database import get_db
from .forms import Form
from .mailing import Mail, send_mail

bp = Blueprint("posts", __name__)

LONGEST_TITLE = 120
LONGEST_BODY = 10_000
LONGEST_COMMENT = 2_000
LARGEST_ID = 2**63 - 1  # SQLite's integers end here


@dataclass(frozen=True)
class Page:
    """Where we are in the list; the newest posts are on page 1."""

    number: int
    last: int

    @property
    def newer(self) -> int | None:
        """The page before this one, if there is one."""
        return self.number - 1 if self.number > 1 else None

    @property
    def older(self) -> int | None:
        """The page after this one, if there is one."""
        return self.number + 1 if self.number < self.last else None


@bp.get("/")
def browse() -> ResponseReturnValue:
    """Show one page of the list, newest first; a page that does not exist is a 404."""
    db = get_db()
    size: int = current_app.config["PAGE_SIZE"]
    count = db.execute("SELECT count(*) FROM post").fetchone()[0]
    page = Page(request.args.get("page", 1, type=int), max(1, -(-count // size)))
    if not 1 <= page.number <= page.last:
        abort(404)
    posts = db.execute(
        "SELECT post.id, title, body, written_at, name AS author,"
        " (SELECT count(*) FROM comment WHERE post_id = post.id) AS comments"
        " FROM post JOIN member ON member.id = author_id"
        " ORDER BY post.id DESC LIMIT ? OFFSET ?",
        (size, (page.number - 1) * size),
    ).fetchall()
    return render_template("posts/browse.html", posts=posts, page=page)


def find_post(post_id: int) -> sqlite3.Row:
    """Return the post with its author's name, or answer 404."""
    row: sqlite3.Row | None = None
    if post_id <= LARGEST_ID:
        row = (
            get_db()
            .execute(
                "SELECT post.*, name AS author FROM post"
                " JOIN member ON member.id = author_id WHERE post.id = ?",
                (post_id,),
            )
            .fetchone()
        )
    if row is None:
        abort(404)
    return row


def find_own_post(post_id: int) -> sqlite3.Row:
    """Return the post if it is the current member's, or answer 404 or 403."""
    post = find_post(post_id)
    if post["author_id"] != g.user["id"]:
        abort(403)
    return post


def show_post(post: sqlite3.Row, comment_form: Form) -> str:
    """Render a post with its comments, oldest first, and the form for a new one."""
    comments = get_db().execute(
        "SELECT comment.*, name AS author FROM comment"
        " JOIN member ON member.id = author_id WHERE post_id = ? ORDER BY comment.id",
        (post["id"],),
    )
    return render_template(
        "posts/read.html",
        post=post,
        comments=comments.fetchall(),
        form=comment_form,
        longest=LONGEST_COMMENT,
    )


@bp.get("/posts/<int:post_id>")
def read(post_id: int) -> ResponseReturnValue:
    """Show one post."""
    return show_post(find_post(post_id), Form())


@bp.post("/posts/<int:post_id>/comments")
@login_required
def comment(post_id: int) -> ResponseReturnValue:
    """Add a comment; the post's author gets a mail, unless it is the author who comments."""
    post = find_post(post_id)
    form = Form.sent("body")
    body = form.need_text("body", "The comment", LONGEST_COMMENT)
    if not form.is_good:
        return show_post(post, form), 422
    with get_db() as db:
        comment_id = db.execute(
            "INSERT INTO comment (post_id, author_id, body) VALUES (?, ?, ?)",
            (post_id, g.user["id"], body),
        ).lastrowid
    place = url_for("posts.read", post_id=post_id, _anchor=f"comment-{comment_id}")
    if post["author_id"] != g.user["id"]:
        subject = f"{g.user['name']} commented on “{post['title']}”"
        send_mail(Mail(post["author_id"], subject, body, place))
    flash("Your comment is there.", "good")
    return redirect(place)


def check_post(form: Form) -> tuple[str, str]:
    """Return the title, on one line, and the body; note in the form what is wrong with them."""
    title = form.need_text("title", "The title", LONGEST_TITLE)
    body = form.need_text("body", "The text", LONGEST_BODY)
    return " ".join(title.split()), body


def show_editor(form: Form, post: sqlite3.Row | None = None) -> str:
    """Render the form for a new post, or for a change to `post`."""
    return render_template(
        "posts/editor.html",
        form=form,
        post=post,
        longest={"title": LONGEST_TITLE, "body": LONGEST_BODY},
    )


@bp.route("/posts/new", methods=["GET", "POST"])
@login_required
def write() -> ResponseReturnValue:
    """Write a new post."""
    if request.method == "GET":
        return show_editor(Form())
    form = Form.sent("title", "body")
    title, body = check_post(form)
    if not form.is_good:
        return show_editor(form), 422
    with get_db() as db:
        post_id = db.execute(
            "INSERT INTO post (author_id, title, body) VALUES (?, ?, ?)",
            (g.user["id"], title, body),
        ).lastrowid
    flash("Your post is up.", "good")
    return redirect(url_for("posts.read", post_id=post_id))


@bp.route("/posts/<int:post_id>/edit", methods=["GET", "POST"])
@login_required
def edit(post_id: int) -> ResponseReturnValue:
    """Change a post of one's own."""
    post = find_own_post(post_id)
    if request.method == "GET":
        return show_editor(Form({"title": post["title"], "body": post["body"]}), post)
    form = Form.sent("title", "body")
    title, body = check_post(form)
    if not form.is_good:
        return show_editor(form, post), 422
    with get_db() as db:
        db.execute(
            "UPDATE post SET title = ?, body = ?, edited_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"
            " WHERE id = ?",
            (title, body, post_id),
        )
    flash("Your changes are saved.", "good")
    return redirect(url_for("posts.read", post_id=post_id))


@bp.route("/posts/<int:post_id>/delete", methods=["GET", "POST"])
@login_required
def delete(post_id: int) -> ResponseReturnValue:
    """Ask, then delete a post of one's own with its comments."""
    post = find_own_post(post_id)
    if request.method == "GET":
        return render_template("posts/delete.html", post=post)
    with get_db() as db:
        db.execute("DELETE FROM post WHERE id = ?", (post_id,))
    flash(f"“{post['title']}” is deleted.", "note")
    return redirect(url_for("posts.browse"))
