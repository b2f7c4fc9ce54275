"""Forms that only our own pages can send: a token in the session and in each form."""

from __future__ import annotations

import secrets

from demijohn import Demijohn, abort, request, session
from markupsafe import Markup

FIELD = "form_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def form_token() -> str:
    """Return the session's token; the first form of a session makes it."""
    token: str | None = session.get(FIELD)
    if token is None:
        token = session[FIELD] = secrets.token_urlsafe(24)
    return token


def token_field() -> Markup:
    """Return the hidden field that each POST form contains."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, form_token())


def check_token() -> None:
    """Answer 403 to a changing request whose token is not the session's."""
    if request.method in SAFE_METHODS or request.endpoint is None:
        return
    expected = session.get(FIELD, "")
    sent = request.form.get(FIELD, "")
    if not expected or not secrets.compare_digest(expected.encode(), sent.encode()):
        abort(403, "This form is out of date. Go back, reload the page and send it again.")


def init_app(app: Demijohn) -> None:
    """Check every changing request, and give templates `token_field()`."""
    app.before_request(check_token)
    app.add_template_global(token_field)
