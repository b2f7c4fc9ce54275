"""Release: what is not needed for now is given back, asked for and while a body streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from resource_kit import Boom, Served, Site, logged

import demijohn
from demijohn import held_resources, released, resource
from demijohn.context import ContextWarning
from demijohn.context.errors import DirtyResource


@pytest.fixture
def engine(tmp_path: Any) -> Iterator[Any]:
    """A real pool of two connections, which waits for nobody."""
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="pip install sqlalchemy")
    engine = sqlalchemy.create_engine(
        f"sqlite:///{tmp_path}/a.db",
        poolclass=sqlalchemy.QueuePool,
        pool_size=2,
        max_overflow=0,
        pool_timeout=0,
        connect_args={"check_same_thread": False},
    )
    yield engine
    engine.dispose()


def pooled(engine: Any, **options: Any) -> Any:
    """A connection of the pool as a resource."""

    @resource(lifetime="view", **options)
    def connection() -> Iterator[Any]:
        with engine.connect() as opened:
            yield opened

    return connection


QUERY = "select 1"


def in_transaction(connection: Any) -> bool:
    return bool(connection.in_transaction())


def test_a_pool_is_whole_in_the_block(engine: Any) -> None:
    """In the block the pool has its connection back; it is taken again at the next use."""
    connection = pooled(engine, dirty=in_transaction)
    pool = engine.pool
    app = demijohn.Demijohn("site")

    @app.get("/")
    def view() -> str:
        for _ in range(3):
            assert connection.exec_driver_sql(QUERY).scalar() == 1
            connection.commit()
            assert pool.checkedout() == 1
            with released():
                assert pool.checkedout() == 0
                assert held_resources() == []
            assert pool.checkedout() == 0
        with released():
            assert connection.exec_driver_sql(QUERY).scalar() == 1
            assert pool.checkedout() == 1
        connection.rollback()
        return "text"

    for _ in range(3):
        assert app.test_client().get("/").text == "text"
        assert pool.checkedout() == 0


def test_a_dirty_one_refuses(engine: Any) -> None:
    """An open transaction refuses, by the resource's name and its opener's; nothing is released."""
    connection = pooled(engine, dirty=in_transaction)
    site = Site()
    with site.app.test_request_context():
        site.use("view")
        connection.exec_driver_sql(QUERY)
        with pytest.raises(DirtyResource, match="'connection'") as caught, released():
            pytest.fail("the block was entered")
        assert f"opened by {__file__}:" in str(caught.value)
        assert engine.pool.checkedout() == 1
        assert site.log == ["open view"]
        # What is named is asked for alone.
        with released(site.resources["view"]):
            assert site.log == ["open view", "left view", "close view"]
        connection.rollback()
        with released(connection):
            assert engine.pool.checkedout() == 0


def test_only_view_resources_are_released() -> None:
    """Those of lifetime `context` and `body` stay, and are refused by name when asked for."""
    site = Site()
    with site.app.test_request_context():
        site.use()
        with released():
            assert [held.name for held in held_resources()] == ["context", "body"]
        for name in ("context", "body"):
            with pytest.raises(TypeError, match=f"'{name}'.* cannot be released: its lifetime"):
                released(site.resources[name])
        with pytest.raises(TypeError, match="5 is no resource"):
            released(5)


def test_in_an_app_context() -> None:
    """In an application context alone its `view` resources are released."""
    site = Site()
    with site.app.app_context():
        site.use()
        with released():
            assert [held.name for held in held_resources()] == ["context", "body"]


def test_an_error_in_the_block() -> None:
    """An error in the block leaves it as itself; what is taken again sees it at the end."""
    site = Site()
    with pytest.raises(Boom), site.app.app_context():
        site.use("view")
        with released():
            assert site.resources["view"].number == 1
            raise Boom
    assert [entry for entry in site.log if entry.endswith(" view")] == [
        *("open view", "left view", "close view"),
        *("open view", "Boom in view", "close view"),
    ]


def test_last_opened_first() -> None:
    """A release closes what is opened from another before that other, whichever was asked first."""
    log: list[str] = []

    @resource(lifetime="view")
    def below() -> Iterator[int]:
        yield 1
        log.append("good")

    @resource(lifetime="view")
    def above() -> Iterator[int]:
        try:
            yield below + 1
        finally:
            log.append(f"above, with {[held.name for held in held_resources()]}")

    app = demijohn.Demijohn("site")
    with app.test_request_context():
        assert above == 2
        with released():
            assert log == ["above, with ['below']"]


def test_errors_in_releasing() -> None:
    """What a release raises comes out of the `with`, after everything else is released."""
    site = Site()

    @resource(lifetime="view")
    def failing() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise Boom

    with site.app.test_request_context():
        site.use("view")
        assert failing == 1
        with pytest.raises(Boom), released():
            pytest.fail("the block was entered")
        assert held_resources() == []
        assert site.log == ["open view", "left view", "close view"]


def test_a_transaction_is_dropped_with_its_resource() -> None:
    """A release drops the callbacks of a transaction that its resource left open."""
    log: list[str] = []
    value = logged(log, "value", lifetime="view", transaction=lambda value, events: events.begun())
    app = demijohn.Demijohn("site")
    with app.app_context():
        assert value.name == "value"
        demijohn.on_commit(log.append, "never")
        with released():
            pass
        demijohn.on_commit(log.append, "at the end")
    assert log == ["open value", "left value", "close value", "at the end"]


# -- while a body streams --------------------------------------------------------------------------


def test_a_pool_is_whole_while_bodies_stream(engine: Any) -> None:
    """Any number of idle bodies hold nothing of a pool of two; each takes one when it needs it."""
    connection = pooled(engine, dirty=in_transaction)
    pool = engine.pool
    app = demijohn.Demijohn("site")

    @app.get("/")
    def view() -> Any:
        def body() -> Iterator[str]:
            yield str(pool.checkedout())
            yield str(connection.exec_driver_sql(QUERY).scalar())
            connection.rollback()
            yield str(pool.checkedout())

        connection.exec_driver_sql(QUERY)
        connection.rollback()
        assert pool.checkedout() == 1
        return body()

    bodies = []
    for _ in range(5):
        served = Served(app)
        assert next(iter(served.body)) == b"0"
        bodies.append(served)
    assert pool.checkedout() == 0
    for served in bodies:
        assert b"".join(served.body) == b"11"
        served.close()
        assert pool.checkedout() == 0


@pytest.mark.parametrize("caller", ["edge", "client"])
def test_a_dirty_one_is_kept_while_its_body_streams(engine: Any, caller: str) -> None:
    """One that is dirty then stays open, and a warning names it and its opener."""
    connection = pooled(engine, dirty=in_transaction)
    site = Site()

    @site.view
    def view() -> Any:
        site.use("view")
        connection.exec_driver_sql(QUERY)
        mine = connection._get_current_object()
        return (str(mine is connection._get_current_object()) for _ in "a")

    with pytest.warns(ContextWarning, match=r"'connection'.*is dirty.*is kept open") as found:
        if caller == "edge":
            assert Served(site.app).read() == b"True"
        else:
            assert site.app.test_client().get("/").text == "True"
    [warning] = found
    assert f"opened by {__file__}:" in str(warning.message)
    opener = " test_a_dirty_one_is_kept_while_its_body_streams.<locals>.view in thread"
    assert opener in str(warning.message)
    assert site.log[:3] == ["open view", "left view", "close view"]
    assert engine.pool.checkedout() == 0


def test_that_warning_as_an_error(engine: Any) -> None:
    """Where warnings are errors it is reported, and the body is delivered all the same."""
    connection = pooled(engine, dirty=in_transaction)
    site = Site()

    @site.view
    def view() -> Any:
        site.use("view")
        connection.exec_driver_sql(QUERY)
        return (part for part in "ab")

    assert Served(site.app).read() == b"ab"
    assert [type(error) for error in site.errors.found] == [ContextWarning]
    assert site.log[:3] == ["open view", "left view", "close view"]


def test_context_and_body_ones_stay_while_a_body_streams() -> None:
    """Only those of lifetime `view` are given back for a body."""
    site = Site()

    @site.view
    def view() -> Any:
        site.use()
        numbers = {name: value.number for name, value in site.resources.items()}
        return (str(site.resources[name].number - numbers[name]) for name in numbers)

    assert Served(site.app).read() == b"010"


def test_an_error_in_that_release() -> None:
    """An error in the release is reported, and the body is delivered all the same."""
    site = Site()

    @resource(lifetime="view")
    def failing() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise Boom

    @site.view
    def view() -> Any:
        site.use("view")
        assert failing == 1
        return (part for part in "ab")

    assert Served(site.app).read() == b"ab"
    assert [type(error) for error in site.errors.found] == [Boom]


def test_a_plain_body_releases_nothing() -> None:
    """A response that is data ends at once: its resources go on after their `yield`."""
    site = Site()
    site.view(lambda: site.use() or "text")
    assert Served(site.app).read() == b"text"
    assert "left view" not in site.log


# -- async -----------------------------------------------------------------------------------------


def awaited(log: list[str], **options: Any) -> Any:
    @resource(lifetime="view", **options)
    async def value() -> AsyncIterator[int]:
        log.append("open")
        try:
            await asyncio.sleep(0)
            yield len(log)
            log.append("good")
        finally:
            await asyncio.sleep(0)
            log.append("close")

    return value


def test_async_with_released() -> None:
    """`async with released()` awaits the release of async resources before the block."""
    log: list[str] = []
    value = awaited(log)
    app = demijohn.Demijohn("site")

    @app.get("/")
    async def view() -> str:
        await value
        async with released():
            assert log == ["open", "close"]
        await value
        return "text"

    assert app.test_client().get("/").text == "text"
    assert log == ["open", "close", "open", "good", "close"]


def test_a_plain_with_cannot_await() -> None:
    """A plain `with released()` refuses an async one on the running loop; nothing is released."""
    log: list[str] = []
    value = awaited(log)
    site = Site()

    @site.app.get("/")
    async def view() -> str:
        await value
        site.use("view")
        with pytest.raises(RuntimeError, match="Use `async with released"), released():
            pytest.fail("the block was entered")
        assert len(held_resources()) == 2
        return "text"

    assert site.app.test_client().get("/").text == "text"


def test_a_dirty_async_one_refuses() -> None:
    """An async one that is dirty refuses as well."""
    value = awaited([], dirty=lambda value: True)
    app = demijohn.Demijohn("site")

    @app.get("/")
    async def view() -> str:
        await value
        with pytest.raises(DirtyResource, match="'value'"):
            async with released():
                pytest.fail("the block was entered")
        return "text"

    assert app.test_client().get("/").text == "text"


def test_an_async_one_while_a_body_streams() -> None:
    """An async one is given back on its own loop when the body streams."""
    log: list[str] = []
    value = awaited(log)
    app = demijohn.Demijohn("site")

    @app.get("/")
    async def view() -> Any:
        await value
        return (",".join(log) for _ in "a")

    assert Served(app).read() == b"open,close"
    assert log == ["open", "close"]
