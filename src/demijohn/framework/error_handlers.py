"""Which registered handler answers an exception.  Registering one is in `scaffold`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from demijohn import typing as ft

    from .protocols import App


def find_error_handler(
    app: App, exc: Exception, blueprints: Sequence[str]
) -> ft.ErrorHandlerCallable | None:
    """The handler for `exc`, or `None`.

    `blueprints` are the registered names of the request's blueprints, innermost first.  Handlers
    for the exception class's status code come before those for no code; within each, blueprints
    come before the app; within one of them, the nearest class in the exception's MRO wins.  The
    containers are read as they are now, and looking leaves no entry in them.
    """
    spec = app.error_handler_spec
    if not spec:
        return None
    exc_class = type(exc)
    code = exc_class.code if issubclass(exc_class, HTTPException) else None
    for wanted in (None,) if code is None else (code, None):
        for name in (*blueprints, None):
            by_code = spec.get(name)
            handlers = by_code.get(wanted) if by_code else None
            if not handlers:
                continue
            for cls in exc_class.__mro__:
                handler = handlers.get(cls)
                if handler is not None:
                    return handler
    return None
