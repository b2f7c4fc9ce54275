"""Which error handler answers: Flask's order, on the containers as they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registration_app import FLASK, OURS, view
from werkzeug.exceptions import (
    BadRequest,
    BadRequestKeyError,
    Forbidden,
    HTTPException,
    InternalServerError,
    NotFound,
)

from demijohn.framework.error_handlers import find_error_handler


class NoCode(HTTPException):
    pass


class OwnForbidden(Forbidden):
    pass


class Odd(LookupError, OSError):
    pass


RAISED: list[Exception] = [
    NotFound(),
    OwnForbidden(),
    BadRequestKeyError("k"),
    InternalServerError(),
    NoCode(),
    HTTPException(),
    KeyError(),
    Odd(),
    ValueError(),
    Exception(),
]
KEYS: list[Any] = [400, 403, 404, 500, HTTPException, NoCode, OwnForbidden, BadRequest]
KEYS += [KeyError, LookupError, OSError, Exception]
SCOPES = [None, "a", "a.b"]

registrations = st.lists(
    st.tuples(st.sampled_from(SCOPES), st.sampled_from(KEYS)), max_size=8, unique=True
)


def file_handlers(app: Any, made: list[tuple[str | None, Any]]) -> None:
    """Put a handler for each scope and key straight into the container."""
    for scope, key in made:
        cls, code = app._get_exc_class_and_code(key)
        app.error_handler_spec[scope][code][cls] = view(f"{scope} {key}")


def name(handler: Any) -> str | None:
    return None if handler is None else handler.__name__


@settings(max_examples=200, deadline=None)
@given(registrations, st.sampled_from([[], ["a"], ["a.b", "a"]]))
def test_handler_is_the_one_that_flask_finds(
    made: list[tuple[str | None, Any]], blueprints: list[str]
) -> None:
    """For every exception the same handler is found, whatever is registered where."""
    ours, theirs = OURS.app(), FLASK.app()
    file_handlers(ours, made)
    file_handlers(theirs, made)
    for raised in RAISED:
        got = name(find_error_handler(ours, raised, blueprints))
        assert got == name(theirs._find_error_handler(raised, blueprints)), raised


def test_order_of_blueprints_matters() -> None:
    """The comparison would see blueprints asked in the wrong order (a seeded fault)."""
    app = OURS.app()
    file_handlers(app, [("a", 404), ("a.b", 404)])
    right = find_error_handler(app, NotFound(), ["a.b", "a"])
    wrong = find_error_handler(app, NotFound(), ["a", "a.b"])
    assert (name(right), name(wrong)) == ("a.b 404", "a 404")


def test_looking_leaves_no_entry() -> None:
    """Handling errors does not fill the containers."""
    app = OURS.app()
    app.errorhandler(404)(view())
    before = {scope: dict(codes) for scope, codes in app.error_handler_spec.items()}
    for raised in RAISED:
        find_error_handler(app, raised, ["x.y", "x"])
    assert {scope: dict(codes) for scope, codes in app.error_handler_spec.items()} == before


@pytest.mark.parametrize("plain", [{}, {None: {}}, {None: {None: {}}}], ids=str)
def test_containers_may_be_plain_dicts(plain: Any) -> None:
    """A container replaced by an ordinary dict works, and is read as it is now."""
    app = OURS.app()
    app.error_handler_spec = plain
    assert find_error_handler(app, KeyError(), ["a"]) is None
    handler = view()
    plain.setdefault("a", {}).setdefault(None, {})[LookupError] = handler
    assert find_error_handler(app, KeyError(), ["a"]) is handler
