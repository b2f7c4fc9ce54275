"""The application's logger, compared with Flask's where both can be asked."""

from __future__ import annotations

import io
import itertools
import logging
import sys
from types import SimpleNamespace

import flask.logging
import pytest

from demijohn import Demijohn
from demijohn.framework.logging import (
    create_logger,
    default_handler,
    has_level_handler,
    wsgi_errors_stream,
)

ABOVE = "demijohn_logging_test"
NAME = f"{ABOVE}.app"


@pytest.fixture(autouse=True)
def no_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loggers of these tests do not exist yet."""
    for name in (NAME, ABOVE):
        monkeypatch.delitem(logging.root.manager.loggerDict, name, raising=False)


def above() -> logging.Logger:
    """Return the logger above the application's, which stands for the root.

    It does not propagate, so what the test runner adds to the root stays out of it. The runner
    adds to loggers of that kind too, those that exist when the test starts; hence no fixture.
    """
    logger = logging.getLogger(ABOVE)
    logger.propagate = False
    return logger


def app(debug: bool = False) -> SimpleNamespace:
    above()
    return SimpleNamespace(name=NAME, debug=debug)


def test_level_and_handler_of_a_new_logger() -> None:
    """Without debug the level is left unset, and the default handler is added once."""
    logger = create_logger(app())
    assert (logger.name, logger.level, logger.handlers) == (NAME, 0, [default_handler])
    assert create_logger(app()) is logger
    assert logger.handlers == [default_handler]


@pytest.mark.parametrize(("before", "after"), [(0, logging.DEBUG), (logging.ERROR, logging.ERROR)])
def test_debug_sets_only_a_missing_level(before: int, after: int) -> None:
    """Debug mode gives DEBUG to a logger without a level and keeps one that the user set."""
    logging.getLogger(NAME).setLevel(before)
    assert create_logger(app(debug=True)).level == after


def test_handler_above_suffices() -> None:
    """No handler is added where one above writes already, unless it is out of reach."""
    above().handlers = [logging.NullHandler()]
    assert create_logger(app()).handlers == []
    logging.getLogger(NAME).propagate = False
    assert create_logger(app()).handlers == [default_handler]


LEVELS = [logging.NOTSET, logging.INFO, logging.WARNING, logging.ERROR]


@pytest.mark.parametrize("propagate", [True, False])
@pytest.mark.parametrize("where", ["logger", "above", "both"])
@pytest.mark.parametrize(("logger_level", "handler_level"), list(itertools.product(LEVELS, LEVELS)))
def test_level_handler_like_flask(
    logger_level: int, handler_level: int, where: str, propagate: bool
) -> None:
    """Whether a handler would write is judged as Flask judges it."""
    logger = logging.getLogger(NAME)
    logger.setLevel(logger_level)
    logger.propagate = propagate
    handler = logging.NullHandler()
    handler.setLevel(handler_level)
    for place, target in (("logger", logger), ("above", above())):
        if where in (place, "both"):
            target.handlers = [handler]
    assert has_level_handler(logger) is flask.logging.has_level_handler(logger)


def test_format_is_flasks() -> None:
    """The default handler writes lines of Flask's form."""
    ours, theirs = default_handler.formatter, flask.logging.default_handler.formatter
    assert ours is not None and theirs is not None
    assert ours._fmt == theirs._fmt


def test_stream_outside_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a request a message goes to what `sys.stderr` is at that moment."""
    create_logger(app())
    for text in ("first", "second"):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logging.getLogger(NAME).error(text)
        assert stream.getvalue().endswith(f"ERROR in test_logging: {text}\n")
    assert wsgi_errors_stream._get_current_object() is stream


def test_stream_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a request a message goes to the server's `wsgi.errors` (PEP 3333)."""
    stderr, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    logger = create_logger(app())
    with Demijohn(__name__).test_request_context(errors_stream=errors):
        logger.error("inside")
        assert wsgi_errors_stream._get_current_object() is errors
    logger.error("outside")
    assert "inside" in errors.getvalue() and "outside" not in errors.getvalue()
    assert "outside" in stderr.getvalue() and "inside" not in stderr.getvalue()
