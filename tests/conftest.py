"""What holds for every test: none leaves a context current, and the environment is as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["demijohn.testing.plugin"]

# No deadline: how long an example takes says more of the machine's load than of the code. In CI the
# examples are the same each time.
settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Put the process's environment back: commands, and what they run, set variables in it."""
    before = dict(os.environ)
    yield
    before["PYTEST_CURRENT_TEST"] = os.environ.get("PYTEST_CURRENT_TEST", "")
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)
