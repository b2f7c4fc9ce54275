"""What holds for every test: none leaves a context current, and the process is as it was."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["demijohn.testing.plugin"]

# No deadline: how long an example takes says more of the machine's load than of the code. In CI the
# examples are the same each time.
settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Keep what is alive before the first test out of the collector's sight.

    No test makes garbage of it, and there is so much of it (all tests, all modules) that looking
    through it took a fourth of the suite's time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Put the process's environment back: commands, and what they run, set variables in it."""
    before = dict(os.environ)
    yield
    before["PYTEST_CURRENT_TEST"] = os.environ.get("PYTEST_CURRENT_TEST", "")
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


def slowing() -> tuple[object, ...]:
    """What a test may switch in the process that would slow down, or alter, all tests after it."""
    switches = (gc.isenabled(), gc.get_threshold(), gc.get_debug(), sys.getswitchinterval())
    return (tracemalloc.is_tracing(), sys.gettrace(), sys.getprofile(), *switches)


@pytest.fixture(autouse=True)
def same_speed() -> Iterator[None]:
    """The process traces and collects as before the test."""
    before = slowing()
    yield
    assert slowing() == before
