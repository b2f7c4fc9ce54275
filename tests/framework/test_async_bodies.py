"""Async bodies at the WSGI edge: on the loop of a thread, and where no loop may run there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from context_kit import in_thread, make_app

import demijohn
from demijohn import g


def body_app(log: list[str]) -> Any:
    """An application with an async body whose steps need the loop on which the first one ran."""
    app = make_app()

    @app.get("/<path:end>")
    def view(end: str) -> Any:
        g.name = end

        async def inner() -> AsyncIterator[str]:
            queue: asyncio.Queue[str] = asyncio.Queue()
            for number in range(3):
                # A queue is its first loop's.
                asyncio.get_running_loop().call_soon(queue.put_nowait, f"{number} {g.name}\n")
                yield await queue.get()

        async def parts() -> AsyncIterator[str]:
            try:
                async for part in inner():
                    yield part
                if end == "fails":
                    raise LookupError("in the stream")
            finally:
                log.append(f"closed {end} {g.name}")

        return parts()

    @app.teardown_request
    def log_end(error: BaseException | None) -> None:
        log.append(f"ended {type(error).__name__}")

    return app


def plainly(call: Callable[[], Any]) -> Any:
    return call()


def in_greenlet(call: Callable[[], Any]) -> Any:
    return gevent.spawn(call).get()


def in_loop(call: Callable[[], Any]) -> Any:
    """Called on a thread whose event loop runs."""

    async def main() -> Any:
        return call()

    return asyncio.run(main())


PLACES = [plainly, in_thread, in_greenlet, in_loop]


@pytest.mark.parametrize("place", PLACES)
def test_a_body_arrives_whole(place: Callable[..., Any]) -> None:
    """Every part of an async body arrives, wherever its steps run, and it is closed once."""
    log: list[str] = []
    app = body_app(log)
    assert place(lambda: app.test_client().get("/name").text) == "0 name\n1 name\n2 name\n"
    assert log == ["closed name name", "ended NoneType"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.leaves_behind("variable")
def test_a_body_that_fails(place: Callable[..., Any]) -> None:
    """An error in the middle reaches the server, and the request ends with it."""
    log: list[str] = []
    app = body_app(log)

    def call() -> Any:
        with pytest.raises(LookupError, match="in the stream"):
            _ = app.test_client().get("/fails").data

    place(call)
    assert log == ["closed fails fails", "ended LookupError"]


@pytest.mark.parametrize("place", PLACES)
def test_a_body_that_nobody_reads_on(place: Callable[..., Any]) -> None:
    """A body that is closed in the middle is closed in its context, and the request ends."""
    log: list[str] = []
    app = body_app(log)

    def call() -> None:
        response = app.test_client().get("/left", buffered=False)
        steps = iter(response.response)
        assert next(steps) == b"0 left\n"
        response.close()

    place(call)
    assert log == ["closed left left", "ended NoneType"]


PATCHED = """
from gevent import monkey
monkey.patch_all()
import asyncio, gevent
from demijohn import Flask

app = Flask("site", static_folder=None)

@app.get("/<name>")
def view(name):
    async def parts():
        for number in range(3):
            await asyncio.sleep(0.01)
            yield f"{name}{number} "
    return parts()

ask = lambda n: app.test_client().get(f"/{n}").text
jobs = [gevent.spawn(ask, n) for n in "abcdefghijklmnop"]
gevent.joinall(jobs, raise_error=True)
print("".join(job.value for job in jobs))
"""


def test_bodies_in_patched_greenlets() -> None:
    """With gevent's patches, more async bodies than its pool has threads arrive whole."""
    done = subprocess.run(
        [sys.executable, "-c", PATCHED],
        env={"PYTHONPATH": str(Path(demijohn.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    wanted = "".join(f"{name}{number} " for name in "abcdefghijklmnop" for number in range(3))
    assert (done.stdout, done.stderr) == (f"{wanted}\n", "")
