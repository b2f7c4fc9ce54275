"""Error pages in the board's own layout."""

from __future__ import annotations

from demijohn import Demijohn, render_template
from demijohn.typing import ResponseReturnValue
from werkzeug.exceptions import Forbidden, HTTPException

HEADINGS = {
    403: "That is not yours to do",
    404: "Nothing is pinned here",
    413: "That is too much at once",
    500: "Something broke on our side",
}
ADVICE = {
    403: "Only its author can change or delete a post.",
    404: "The page may have been taken down, or the address has a typing error.",
    413: "Shorten the text and send it again.",
    500: "The error is in the log. Try again in a moment.",
}


def show_error(error: HTTPException) -> ResponseReturnValue:
    """Render the page for `error`; a 403 raised with its own description shows that one."""
    code = error.code or 500
    if error.response is not None or code < 400:
        return error  # a ready response, or a redirect
    advice = ADVICE.get(code, error.description)
    if code == 403 and error.description != Forbidden.description:
        advice = error.description
    heading = HEADINGS.get(code, error.name)
    page = render_template("error.html", code=code, heading=heading, advice=advice)
    # Keep what belongs to the status: 405 says which methods are allowed.
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    return page, code, headers


def init_app(app: Demijohn) -> None:
    """Use these pages for every HTTP error, and for exceptions nobody handled (500)."""
    app.register_error_handler(HTTPException, show_error)
