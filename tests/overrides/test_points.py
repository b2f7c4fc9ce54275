"""What people override in Flask's classes works as in Flask: same answers, same calls."""

from __future__ import annotations

import flask
import pytest

import demijohn

from . import assigned, named_classes, parts, steps
from .kit import POINTS


def test_all_points_are_there() -> None:
    """The points of all files are tested."""
    assert {point.__module__ for point in POINTS.values()} == {
        module.__name__ for module in (assigned, named_classes, parts, steps)
    }


@pytest.mark.parametrize("name", POINTS)
def test_override_works_as_in_flask(name: str) -> None:
    """An override has the effect that it has in Flask, and has one."""
    ours, theirs = POINTS[name](demijohn), POINTS[name](flask)
    assert ours == theirs
    assert "own" in repr(ours)
