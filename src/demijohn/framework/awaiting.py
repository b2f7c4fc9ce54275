"""A hint for code that awaits what is a plain value here, as code written for Quart does."""

from __future__ import annotations

import re

_PLAIN_AWAITED = re.compile(
    r"object \w+ can't be used in 'await' expression|object can't be awaited"
)
_HINT = (
    "With Demijohn, request.get_json(), request.form, render_template(), make_response(), flash()"
    " and the like are plain calls, in async functions too: leave their `await` out."
    " See docs/howto/from-quart.md."
)


def explain_await(error: TypeError) -> None:
    """Add a note to the error of an `await` of something plain; to another error, none."""
    if _PLAIN_AWAITED.search(str(error)) and _HINT not in getattr(error, "__notes__", ()):
        error.add_note(_HINT)
