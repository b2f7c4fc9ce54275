"""The application's logger: where it writes, and when it gets a handler of its own.

The name of the logger is the application's; setting up logging otherwise is left to the user.
"""

from __future__ import annotations

import logging
import sys
from typing import Final, Protocol, TextIO, cast

from werkzeug.local import LocalProxy

from demijohn.framework.globals import _cv_request


class LoggingApp(Protocol):
    """What the logger has to know of an application."""

    @property
    def name(self) -> str:
        """The name of the logger."""
        ...

    @property
    def debug(self) -> bool:
        """Whether the logger's level becomes DEBUG if it has none."""
        ...


def _errors_stream() -> TextIO:
    """Return `wsgi.errors` of the current request, or `sys.stderr` as it is now (PEP 3333)."""
    context = _cv_request.get(None)
    if context is None:
        return sys.stderr
    return cast("TextIO", context.request.environ["wsgi.errors"])


wsgi_errors_stream: Final[LocalProxy[TextIO]] = LocalProxy(_errors_stream)
"""Stands for the stream that errors belong to at the moment of a write: the server's
(`wsgi.errors`) while a request is current, else `sys.stderr`. In a logging configuration it is
`ext://demijohn.logging.wsgi_errors_stream`."""

default_handler: Final = logging.StreamHandler(cast("TextIO", wsgi_errors_stream))
"""Writes to `wsgi_errors_stream`; `create_logger` adds it where nothing else would write."""

default_handler.setFormatter(
    logging.Formatter("[%(asctime)s] %(levelname)s in %(module)s: %(message)s")
)


def has_level_handler(logger: logging.Logger) -> bool:
    """Return whether some handler would write what `logger` lets through at its effective level.

    Handlers of the loggers above count as far as records propagate.
    """
    level = logger.getEffectiveLevel()
    current: logging.Logger | None = logger
    while current is not None:
        if any(handler.level <= level for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False


def create_logger(app: LoggingApp) -> logging.Logger:
    """Return the application's logger, set up as far as the user has not done it.

    In debug mode a logger without a level gets DEBUG; `default_handler` is added when no handler
    would write at its level.
    """
    logger = logging.getLogger(app.name)
    if app.debug and not logger.level:
        logger.setLevel(logging.DEBUG)
    if not has_level_handler(logger):
        logger.addHandler(default_handler)
    return logger
