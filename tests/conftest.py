"""What holds for every test: none leaves a context current, and the process is as it was."""

from __future__ import annotations

import gc
import logging
import os
import sys
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from demijohn.framework import plan

EDGE_VARIABLE = "DEMIJOHN_TEST_EDGE"
FORM_VARIABLE = "DEMIJOHN_TEST_FORM"

pytest_plugins = ["demijohn.testing.plugin"]

# No deadline: how long an example takes says more of the machine's load than of the code. In CI the
# examples are the same each time.
settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("suite")

# Hypothesis also draws constants that it finds in the source of whatever modules are loaded, and so
# other examples where a test runs alone, or with other tests before it. Here they come from the
# seed only.
if hasattr(providers, "_get_local_constants"):
    providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_finish() -> None:
    """Keep what is alive before the first test out of the collector's sight.

    No test makes garbage of it, and there is so much of it (all tests, all modules) that looking
    through it took a fourth of the suite's time.
    """
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the suite's own marker."""
    config.addinivalue_line(
        "markers",
        "wsgi_only(reason): the test is about WSGI itself; it is left out where"
        f" {EDGE_VARIABLE}=asgi sends the tests' requests to the other edge.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has no sense at the edge of this run."""
    if os.environ.get(EDGE_VARIABLE) != "asgi":
        return
    left_out = [item for item in items if item.get_closest_marker("wsgi_only")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("wsgi_only")]


@pytest.fixture(autouse=True)
def same_loggers() -> Iterator[None]:
    """Put loggers back as they were: applications of one name have one logger."""
    known = logging.root.manager.loggerDict

    def state() -> dict[str, tuple[bool, bool, int, list[logging.Handler]]]:
        return {
            name: (logger.disabled, logger.propagate, logger.level, list(logger.handlers))
            for name, logger in list(known.items())
            if isinstance(logger, logging.Logger)
        }

    before, level = state(), logging.root.level
    yield
    logging.root.setLevel(level)
    for name, found in state().items():
        wanted = before.get(name, (False, True, logging.NOTSET, []))
        if found != wanted:
            logger = logging.getLogger(name)
            logger.disabled, logger.propagate = wanted[:2]
            logger.setLevel(wanted[2])
            logger.handlers[:] = wanted[3]


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


@pytest.fixture
def in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve requests by `wsgi_flat`, as in production.

    The plugin's leak check has a method of contexts replaced, and so the pipeline's parts serve.
    """
    for cls, name, method in plan._methods:
        monkeypatch.setattr(cls, name, method)


@pytest.fixture(autouse=True)
def form_of_this_run(request: pytest.FixtureRequest) -> None:
    """Let every test have the pipeline in one piece, where the variable says "flat"."""
    if os.environ.get(FORM_VARIABLE) == "flat":
        request.getfixturevalue("in_one_piece")
