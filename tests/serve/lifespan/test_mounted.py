"""Applications of this package that are mounted in another one start and stop with it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .kit import WAYS, Boom, Site

Serve = Callable[[Any, Callable[[], object]], None]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def serve(request: pytest.FixtureRequest) -> Serve:
    way: Serve = request.param
    return way


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    """Each mounted in the one before."""
    sites = [Site() for _ in range(3)]
    for number, site in enumerate(sites):
        site.log = sites[0].log
        site.name = f"site {number}"
        site.add("it", asynchronous=number == 1)
    sites[0].mount("/one", sites[1])
    sites[1].mount("/two", sites[2])
    yield sites
    for site in sites:
        site.close()


def test_they_start_and_stop(sites: list[Site], serve: Serve) -> None:
    """However the outermost is served, what runs around the serving of each runs once."""
    serve(sites[0], lambda: sites[0].log.append("served"))
    log = sites[0].log
    numbers = ["0", "1", "2"]
    for kind, order in (("before", numbers), ("leave", numbers[::-1])):
        assert [line for line in log if line.startswith(kind)] == [
            f"{kind} it in site {number}" for number in order
        ]
    assert log[9] == "served"
    assert len(log) == len(set(log)) == 19
    assert sites[0]._runs_around_serving


def test_they_are_told_of_the_stop(sites: list[Site], serve: Serve) -> None:
    """A stop of the outermost is one of all that is mounted in it, and a new start as well."""
    told: list[bool] = []

    def stop() -> None:
        told.append(any(site.stopping for site in sites))
        sites[0].stopping.begin("because")
        told.extend(site.stopping.reason == "because" for site in sites)

    for _ in range(2):
        serve(sites[0], stop)
    assert told == [False, True, True, True] * 2


def test_handlers_are_taken_away(sites: list[Site]) -> None:
    """After the block a signal is handled as it was before, also where the start fails."""

    async def main(fails: bool) -> None:
        async with sites[0].serving():
            assert signal.getsignal(signal.SIGINT) is not before

    before = signal.getsignal(signal.SIGINT)
    asyncio.run(main(False))
    assert signal.getsignal(signal.SIGINT) is before

    def fail() -> None:
        raise Boom

    sites[2]._got_first_request = False
    sites[2].before_serving(fail)
    with pytest.raises(RuntimeError, match="Boom"):
        asyncio.run(main(True))
    assert signal.getsignal(signal.SIGINT) is before
