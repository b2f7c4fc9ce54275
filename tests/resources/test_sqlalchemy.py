"""`on_commit` with a real SQLAlchemy session, and its pool of two connections."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from resource_kit import Boom, Handled, serve

import demijohn
from demijohn import on_commit, released
from demijohn.context.errors import DirtyResource

pytest.importorskip("sqlalchemy", reason="pip install sqlalchemy")

import sqlalchemy
from orm_session import session
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import QueuePool


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture
def engine(tmp_path: Any) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{tmp_path}/a.db",
        poolclass=QueuePool,
        pool_size=2,
        max_overflow=0,
        pool_timeout=0,
    )
    Base.metadata.create_all(engine)
    yield engine
    assert engine.pool.checkedout() == 0
    engine.dispose()


@pytest.fixture
def app(engine: Any) -> Any:
    app = demijohn.Demijohn("orders", static_folder=None)
    app.config["ENGINE"] = engine
    app.register_error_handler(Handled, lambda error: ("handled", 409))
    app.logger.propagate = False
    app.logger.handlers[:] = [logging.NullHandler()]
    return app


@pytest.fixture
def log() -> list[Any]:
    return []


def add(text: str = "text") -> Order:
    order = Order(text=text)
    session.add(order)
    return order


def test_after_the_commit(app: Any, log: list[Any]) -> None:
    """A callback is called right after the commit, and may use the session."""

    def note() -> None:
        log.append(session.scalars(sqlalchemy.select(Order.text)).all())
        session.rollback()

    with app.app_context():
        for texts in (["a"], ["a", "b"]):
            add(texts[-1])
            on_commit(note)
            session.flush()
            assert log == []
            session.commit()
            assert log.pop() == texts


def test_rollback_drops(app: Any, log: list[Any]) -> None:
    """A rollback drops it, a close too, and a failed flush with the rollback after it."""
    with app.app_context():
        add()
        on_commit(log.append, "never")
        session.rollback()
        add()
        on_commit(log.append, "never")
        session.close()
        session.add_all([Order(id=1, text="a"), Order(id=1, text="b")])
        on_commit(log.append, "never")
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            session.commit()
        session.rollback()
        add()
        on_commit(log.append, "kept")
        session.commit()
        assert log == ["kept"]
        add()
        on_commit(log.append, "never")
    assert log == ["kept"]


def test_savepoints(app: Any, log: list[Any]) -> None:
    """A savepoint's callbacks wait for the outer commit, and are dropped with it or by itself."""
    with app.app_context():
        add("outer")
        on_commit(log.append, "outer")
        with session.begin_nested():
            add("kept")
            on_commit(log.append, "kept")
        try:
            with session.begin_nested():
                add("dropped")
                on_commit(log.append, "dropped")
                raise Boom
        except Boom:
            pass
        on_commit(log.append, "last")
        assert log == []
        session.commit()
        assert log == ["outer", "kept", "last"]
        with session.begin_nested():
            on_commit(log.append, "never")
        session.rollback()
    assert log == ["outer", "kept", "last"]


@pytest.mark.parametrize("way", ["return", "handled", "raise"])
def test_what_a_request_leaves_open(way: str, app: Any, log: list[Any]) -> None:
    """What a request leaves uncommitted is rolled back, and its callbacks are dropped."""

    @app.get("/")
    def view() -> str:
        add()
        on_commit(log.append, "never")
        if way == "handled":
            raise Handled
        if way == "raise":
            raise Boom
        return "text"

    assert serve(app) is not None
    assert log == []
    with app.app_context():
        assert session.scalars(sqlalchemy.select(Order)).all() == []


def test_release(app: Any, engine: Any) -> None:
    """An open transaction refuses a release; after its end the pool has the connection back."""
    with app.app_context():
        order = add()
        session.flush()
        assert engine.pool.checkedout() == 1
        with pytest.raises(DirtyResource, match="'session'"), released():
            pytest.fail("the block was entered")
        session.commit()
        session.refresh(order)
        session.expunge(order)
        session.rollback()
        with released():
            assert engine.pool.checkedout() == 0
            assert order.text == "text"


def test_an_error_in_a_callback(app: Any, engine: Any, log: list[Any]) -> None:
    """A callback that fails comes out of `commit()`; what was committed is, the session works."""

    def fails() -> None:
        raise Boom

    with app.app_context():
        add()
        on_commit(fails)
        on_commit(log.append, "called")
        with pytest.raises(Boom):
            session.commit()
        assert log == ["called"]
        assert engine.pool.checkedout() == 0
        assert len(session.scalars(sqlalchemy.select(Order)).all()) == 1
        session.rollback()


def test_a_crowd_on_a_pool_of_two(app: Any, engine: Any) -> None:
    """Requests on several threads, two at work at a time, leave the pool whole."""

    @app.get("/")
    def view() -> str:
        with turn:
            session.execute(sqlalchemy.text("select 1"))
            session.rollback()
            with released():
                assert engine.pool.checkedout() <= 1
        return "text"

    turn = threading.Semaphore(2)
    statuses: list[Any] = []
    threads = [threading.Thread(target=lambda: statuses.append(serve(app))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == ["200 OK"] * 10
    assert engine.pool.checkedout() == 0
