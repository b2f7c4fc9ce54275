"""With the cyclic collector off, requests with resources and callbacks leave nothing behind."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from resource_kit import Boom, Handled, Served, environ_for

import demijohn
from demijohn import g, on_commit, on_end, released, resource

# Objects of a loop are others; tests/asgi/test_asgi_growth.py counts these.
pytestmark = pytest.mark.wsgi_only("what it counts are a WSGI request's objects")
CALLS = 1000


class Value:
    """What can be referred to weakly."""


alive: weakref.WeakSet[Value] = weakref.WeakSet()


def make() -> Value:
    value = Value()
    alive.add(value)
    return value


@resource
def generator() -> Iterator[Value]:
    yield make()


@resource
@contextmanager
def managed() -> Iterator[Value]:
    yield make()


@resource(lifetime="view", transaction=lambda value, events: events.begun())
def view_one() -> Iterator[Value]:
    yield make()


@resource(lifetime="body")
def body_one() -> Iterator[Value]:
    assert view_one
    yield make()


@resource
async def awaited() -> AsyncIterator[Value]:
    yield make()


@resource
def failing() -> Iterator[Value]:
    try:
        yield make()
    finally:
        raise Boom


@resource
def broken() -> Iterator[Value]:
    raise Boom
    yield make()


def callback() -> None:
    assert generator


def failing_callback() -> None:
    raise Boom


def use() -> None:
    assert generator and managed and view_one and body_one
    on_end(callback)
    on_commit(callback)


def view(kind: str) -> Any:
    use()
    if kind == "released":
        with released():
            pass
        assert view_one
    elif kind == "handled":
        raise Handled
    elif kind == "raise":
        raise Boom
    elif kind == "failing":
        assert failing
        on_end(failing_callback)
    elif kind == "teardown":
        g.fails = True
    elif kind == "broken":
        assert broken
    elif kind == "stream":
        return (str(bool(view_one)) for _ in "ab")
    return "text"


async def async_view() -> str:
    assert await awaited
    return "text"


KINDS = {
    "return": "200",
    "released": "200",
    "handled": "409",
    "raise": "500",
    "failing": "200",
    "broken": "500",
    "teardown": "200",
    "stream": "200",
    "async": "200",
}


def make_app() -> Any:
    """In the test itself: pytest gives a logger of a fixture a handler that keeps what it gets."""
    app = demijohn.Demijohn("growth", static_folder=None)
    app.logger.propagate = False
    app.logger.handlers[:] = [logging.NullHandler()]
    app.add_url_rule("/<kind>", "view", view)
    app.add_url_rule("/async", "async", async_view)

    @app.teardown_request
    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        if g.get("fails"):
            raise Boom

    app.register_error_handler(Handled, lambda error: ("handled", 409))
    return app


def ask(app: Any, kind: str, calls: int) -> None:
    for _ in range(calls):
        served = Served(app, f"/{kind}")
        served.read()
        assert served.status is not None and served.status.startswith(KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_no_growth(kind: str) -> None:
    """A thousand requests of a kind leave no cyclic garbage, no object and no value more."""
    app = make_app()
    ask(app, kind, CALLS // 4)
    gc.collect()
    gc.disable()
    try:
        objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
        ask(app, kind, CALLS)
        assert len(gc.get_objects()) - objects <= 10
        assert sys.getallocatedblocks() - blocks < CALLS // 2
        assert len(alive) == 0
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_measure_finds_growth() -> None:
    """A resource that keeps its value is found by the measure."""
    app = make_app()
    kept: list[Value] = []

    @resource
    def keeping() -> Iterator[Value]:
        value = make()
        kept.append(value)
        yield value

    app.add_url_rule("/keep", "keep", lambda: str(bool(keeping)))
    gc.collect()
    for _ in range(3):
        Served(app, "/keep").read()
    assert len(alive) == 3
    kept.clear()
    assert len(alive) == 0


def test_a_dropped_body() -> None:
    """An unfinished body that is dropped leaves nothing of its resources."""
    app = make_app()
    ask(app, "stream", 1)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            body = app(environ_for("/stream"), lambda *args: None)
            next(iter(body))
            del body
        assert len(alive) == 0
        assert gc.collect() == 0
    finally:
        gc.enable()
