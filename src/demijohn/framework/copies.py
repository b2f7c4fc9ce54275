"""Contexts beside a request: functions taken elsewhere with it, and who closes what they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast

from ..context.errors import SessionReadOnly
from .globals import current_request_ctx

F = TypeVar("F", bound=Callable[..., Any])


class Sharing:
    """One request that several contexts hold; it is closed when the last of them lets go."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._holders: list[None] = []

    def take(self) -> Share:
        """A holder's share."""
        self._holders.append(None)
        return Share(self)

    def let_go(self) -> None:
        # list.pop is atomic, so exactly one holder sees the list run empty.
        self._holders.pop()
        if not self._holders:
            self._request.close()


class Share:
    """What one context holds of a shared request: given back once, at its end or with it."""

    def __init__(self, sharing: Sharing) -> None:
        self.sharing = sharing
        self._held = True

    def let_go(self) -> None:
        if self._held:
            self._held = False
            self.sharing.let_go()

    def __del__(self) -> None:
        self.let_go()


def session_read_only() -> SessionReadOnly:
    return SessionReadOnly(
        "The response is final, so nothing written to the session now can reach the client. "
        'Write before the view returns: `copy_current_request_context(f, session="share")` shares '
        "the session until then, and reading it works after."
    )


def copy_current_request_context(f: F, *, session: str = "share") -> F:
    """Wrap `f` so that each call of it has a context of its own on the current request.

    For threads, greenlets and executors: in `f`, `request` and `session` are readable, `g` is its
    own, and the parent's teardown functions and uploads are left alone. One wrapped function may
    be called many times and by many threads at once. The session is the request's own until the
    response is final; after that it can be read, and a write raises `SessionReadOnly`.

    Raises `RuntimeError` outside a request.
    """
    ctx = current_request_ctx(None)
    if ctx is None:
        raise RuntimeError(
            "'copy_current_request_context' can only be used when a request context is active,"
            " such as in a view function."
        )
    if session != "share":
        raise ValueError(f"session={session!r}: the only way is 'share'.")
    # Kept by the wrapper: the request is not closed as long as the function may be called.
    kept = ctx.copy()

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with kept.copy() as child:
            return child.app.ensure_sync(f)(*args, **kwargs)

    return cast(F, update_wrapper(wrapper, f))
