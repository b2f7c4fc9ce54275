"""What people override in Flask's classes works as in Flask: same answers, same calls."""

from __future__ import annotations

import flask
import pytest

import demijohn

from . import assigned, named_classes, parts, steps
from .kit import POINTS

# What the pipeline in one piece takes as known is what is changed here.
pytestmark = pytest.mark.usefixtures("in_one_piece")


def test_all_points_are_there() -> None:
    """The points of all files are tested."""
    assert {point.__module__ for point in POINTS.values()} == {
        module.__name__ for module in (assigned, named_classes, parts, steps)
    }


ABOUT_WSGI = {"assigned_wsgi_app", "wsgi_app", "wsgi_app_wrapped"}
MARKED = [
    pytest.param(name, marks=[pytest.mark.wsgi_only("it is the WSGI edge")] * (name in ABOUT_WSGI))
    for name in POINTS
]


@pytest.mark.parametrize("name", MARKED)
def test_override_works_as_in_flask(name: str) -> None:
    """An override has the effect that it has in Flask, and has one."""
    ours, theirs = POINTS[name](demijohn), POINTS[name](flask)
    assert ours == theirs
    assert "own" in repr(ours)
