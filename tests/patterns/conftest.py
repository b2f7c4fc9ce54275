"""For the tests of known patterns: both frameworks as a fixture, and a check that nothing is left.

A test that takes `framework` runs on Demijohn and on Flask 3.1.3, with the same assertions.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import ModuleType

import flask
import pytest

import demijohn


@pytest.fixture(params=[demijohn, flask], ids=["demijohn", "flask"])
def framework(request: pytest.FixtureRequest) -> ModuleType:
    """The module that an application imports its names from."""
    module: ModuleType = request.param
    return module


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail the test that leaves a context pushed or a thread running."""
    threads = set(threading.enumerate())
    yield
    for module in (demijohn, flask):
        assert not module.has_request_context(), f"a request context of {module.__name__} is left"
        assert not module.has_app_context(), f"an app context of {module.__name__} is left"
    for thread in set(threading.enumerate()) - threads:
        if "-sync-" in thread.name:
            continue  # a worker of the ASGI edge: it waits for the next request
        thread.join(timeout=5)  # one that is about to end, asgiref's for an async view for one
        assert not thread.is_alive(), f"{thread} is left"
