"""What holds for every test: none leaves a context current, and the environment is as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from demijohn.globals import _cv_app, _cv_request

# No deadline: how long an example takes says more of the machine's load than of the code. In CI the
# examples are the same each time.
settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a context current, without failing those after it."""
    yield
    left = [context for var in (_cv_app, _cv_request) if (context := var.get(None)) is not None]
    for var in (_cv_app, _cv_request):
        if var.get(None) is not None:
            var.set(None)
    assert left == []


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Put the process's environment back: commands, and what they run, set variables in it."""
    before = dict(os.environ)
    yield
    before["PYTEST_CURRENT_TEST"] = os.environ.get("PYTEST_CURRENT_TEST", "")
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)
