"""What holds for every test: none leaves a context current on the thread that it runs on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demijohn.globals import _cv_app, _cv_request


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a context current, without failing those after it."""
    yield
    left = [context for var in (_cv_app, _cv_request) if (context := var.get(None)) is not None]
    for var in (_cv_app, _cv_request):
        if var.get(None) is not None:
            var.set(None)
    assert left == []
