"""How long a request may take, and what becomes of it when its client leaves.

Declared by `REQUEST_DEADLINE` in the configuration, and by the options `deadline` (seconds) and
`on_disconnect` of a rule. An application that declares none of them does nothing for it. A rule's
`stream_body`, which an edge asks for that reads bodies ahead, is kept with them.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from ..context.cancel import moment_after
from ..context.ending import END_TIMEOUT
from ..context.errors import Cancelled, DeadlineExceeded
from ..http.watch import tell
from .config import DEADLINE, END
from .matching import Matcher

_UNSET: Any = object()


class LimitedMatcher(Matcher):
    """Matching in an application that declares deadlines: begins the request's when its rule is
    known."""

    __slots__ = ()

    def match(self, ctx: Any, app: Any) -> None:
        super().match(ctx, app)
        if ctx._at_edge:
            limit = getattr(ctx.request.url_rule, "deadline", _UNSET)
            if limit is _UNSET and not ctx._converses:
                limit = seconds(app.config.get(DEADLINE), DEADLINE)
            if limit is not _UNSET and (deadline := moment_after(limit)) is not None:
                ctx._cancel_token().limit(deadline)


def choose_matcher(app: Any) -> bool:
    """Give an application the matcher for what it declares now; called when its plans are made.

    Returns whether that is the plain one.
    """
    state = vars(app)
    matcher = state.get("_matcher")
    if matcher is None:
        return False
    declares = state.get("_has_deadlines") or app.config.get(DEADLINE) is not None
    wanted = LimitedMatcher if declares else Matcher
    if type(matcher) is not wanted:
        app._matcher = wanted()
    return not declares


def declare(app: Any, rule: Any, options: dict[str, Any]) -> None:
    """Note on `rule` the options of it that `take_options` found."""
    for name, value in options.items():
        setattr(rule, name, value)
    if "deadline" in options:
        app._has_deadlines = True
        # Plans are made anew, and with them the matcher is chosen.
        tell()


def take_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take out of a rule's options those that are declared here; raises for a wrong value."""
    taken: dict[str, Any] = {
        name: options.pop(name)
        for name in ("deadline", "on_disconnect", "stream_body")
        if name in options
    }
    if "deadline" in taken:
        taken["deadline"] = seconds(taken["deadline"], "deadline")
    if taken.get("on_disconnect", "continue") not in ("continue", "cancel"):
        raise ValueError(f"on_disconnect={taken['on_disconnect']!r}: say 'continue' or 'cancel'.")
    return taken


def end_timeout(app: Any) -> float:
    """How long an end of the application's may go on after it was cancelled, in seconds."""
    limit = seconds(app.config.get(END), END)
    return END_TIMEOUT if limit is None else limit


def seconds(value: Any, name: str) -> float | None:
    """A limit in seconds, None for no limit; raises `ValueError` for anything else."""
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        limit = float(value)
        if isfinite(limit) and limit > 0:
            return limit
    raise ValueError(f"{name}={value!r}: a number of seconds above 0, or None for no limit.")


def left(ctx: Any) -> None:
    """The client has gone before the end of the body, unless it asked for none."""
    if ctx.request.method == "HEAD":
        return
    ctx._outcome = "disconnected"
    if getattr(ctx.request.url_rule, "on_disconnect", None) == "cancel":
        ctx.cancel("disconnect")


def answer_to(error: BaseException) -> HTTPException:
    """The answer to an error that nobody handled.

    That is 500, and 503 where the work was stopped: RFC 9110 has 504 for a gateway whose upstream
    server is late. Both have the error as `original_exception`.
    """
    if not isinstance(error, (Cancelled, DeadlineExceeded)):
        return InternalServerError(original_exception=error)
    answer = ServiceUnavailable()
    setattr(answer, "original_exception", error)
    return answer
