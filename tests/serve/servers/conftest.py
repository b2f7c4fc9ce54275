"""One running server a kind and module, and servers that a test starts for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .kinds import KINDS, Running, start


@pytest.fixture(scope="module", params=list(KINDS))
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server of each kind, kept for all tests of the module."""
    running = start(KINDS[request.param], tmp_path_factory.mktemp(request.param), HTTP_PROXY="p:1")
    yield running
    running.kill()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """A function that starts the server of that name in `tmp_path/server`; see `kinds.start`."""
    started: list[Running] = []

    def starts(name: str, *args: str, **env: str) -> Running:
        started.append(start(KINDS[name], tmp_path / "server", *args, **env))
        return started[-1]

    yield starts
    for running in started:
        running.kill()
