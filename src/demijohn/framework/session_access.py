"""The session of a request: opening it, refusing changes, and the snapshot that children read."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from ..context.errors import SessionReadOnly
from ..http.sessions import read_only
from .globals import request_stack


def open_for(ctx: Any) -> Any:
    """The session for a request context that has not opened it: its parent's, or its own."""
    if ctx._parent is not None:
        return ctx._parent._lend_session(ctx)
    session = open_session(ctx)
    if ctx._sharing is None:
        return session
    # A child may ask for it at the same time: the first one wins.
    with request_stack.lock:
        if ctx._opened is None:
            ctx._opened = session
        return ctx._opened


def open_session(ctx: Any) -> Any:
    """A session for the request of `ctx`, opened by its application's interface."""
    interface = ctx.app.session_interface
    session = interface.open_session(ctx.app, ctx.request)
    return interface.make_null_session(ctx.app) if session is None else session


def freeze(session: Any, make_error: Callable[[], Exception]) -> None:
    """Refuse changes from now on, if its class can."""
    method = getattr(session, "freeze", None)
    if method is not None:
        method(make_error)


def guarded(ctx: Any, session: Any) -> Any:
    """The session for code that may have come too late to write: after the end of its request, or
    in a copy of it, which may have outlived the response."""
    parent = ctx._parent
    if parent is None:
        return read_only(session, partial(ctx.ended_error, "write the session"))
    return read_only(session, session_read_only) if parent._final else session


class SessionSource:
    """Where children find their session as it was when they were started, to read only."""

    _final = False  # it is read-only from the start

    def __init__(self, ctx: Any) -> None:
        opened = ctx._opened
        self._session = None if opened is None else _copy_session(opened)
        self._ctx = weakref.ref(ctx)

    @classmethod
    def of(cls, ctx: Any) -> SessionSource:
        """The source for children of `ctx`: of a child, the one that it has."""
        ctx = ctx._parent or ctx
        return ctx if isinstance(ctx, cls) else cls(ctx)

    def _lend_session(self, child: Any) -> Any:
        """The session of one child."""
        ctx = self._ctx()
        if ctx is not None and not ctx._final and not ctx.ended:
            # What the parent answers may depend on what the child reads: `Vary: Cookie`.
            ctx._session.accessed = True
        session = self._session
        session = open_session(child) if session is None else _copy_session(session)
        return read_only(session, _snapshot_only)


def session_read_only() -> SessionReadOnly:
    return SessionReadOnly(
        "The response is final, so nothing written to the session now can reach the client. "
        'Write before the view returns: `copy_current_request_context(f, session="share")` shares '
        "the session until then, and reading it works after."
    )


def _copy_session(session: Any) -> Any:
    try:
        copied = copy.deepcopy(session)
    except Exception as error:
        error.add_note("This session was to be copied for a child of its request.")
        raise
    # Filling the copy counted as changing it.
    if copied.modified != session.modified:
        copied.modified = session.modified
    return copied


def _snapshot_only() -> SessionReadOnly:
    return SessionReadOnly(
        "This is a snapshot of the session, taken when this work was started: what is written to it"
        ' cannot reach the client. `copy_current_request_context(f, session="share")` shares the'
        " request's own session until the response is final. Or return the value, and write it in"
        " the view."
    )
