"""Pattern 4: a sqlite3 connection on `g`, closed by `teardown_appcontext`; its `LocalProxy`."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from edges import EDGE
from werkzeug.local import LocalProxy

from demijohn import Demijohn, g


class Shop:
    """An application as the documentation writes it, and the connections that it opened."""

    def __init__(self, framework: ModuleType, database: Path) -> None:
        g, current_app, request = framework.g, framework.current_app, framework.request
        self.opened: list[sqlite3.Connection] = []
        self.app = app = framework.Flask("shop")
        app.config["DATABASE"] = str(database)

        def get_db() -> sqlite3.Connection:
            if "db" not in g:
                g.db = sqlite3.connect(current_app.config["DATABASE"])
                g.db.row_factory = sqlite3.Row
                self.opened.append(g.db)
            connection: sqlite3.Connection = g.db
            return connection

        @app.teardown_appcontext
        def close_db(exc: BaseException | None) -> None:
            connection = g.pop("db", None)
            if connection is not None:
                connection.close()

        self.get_db = get_db
        self.db: Any = LocalProxy(get_db)
        db = self.db

        @app.post("/notes")
        def add() -> tuple[dict[str, int], int]:
            cursor = db.execute("insert into note (text) values (?)", [request.form["text"]])
            db.commit()
            return {"id": cursor.lastrowid}, 201

        @app.get("/notes")
        def list_notes() -> list[str]:
            return [row["text"] for row in db.execute("select text from note order by id")]

        @app.get("/twice")
        def twice() -> str:
            return str(get_db() is get_db())

        @app.get("/without")
        def without() -> str:
            return "no database"

        @app.get("/fails")
        def fails() -> str:
            db.execute("insert into note (text) values ('lost')")
            raise ValueError("after the insert")

        with app.app_context():
            get_db().execute("create table note (id integer primary key, text text)")
        self.opened.clear()


@pytest.fixture
def shop(framework: ModuleType, tmp_path: Path) -> Shop:
    return Shop(framework, tmp_path / "shop.db")


def assert_closed(connection: sqlite3.Connection) -> None:
    # By ASGI a view has a thread of its own, and sqlite3 looks at that first.
    words = "closed" if EDGE == "wsgi" else "closed|same thread"
    with pytest.raises(sqlite3.ProgrammingError, match=words):
        connection.execute("select 1")


def test_one_connection_a_context(shop: Shop) -> None:
    """`get_db()` gives the same connection all through a context, and another one in the next."""
    with shop.app.app_context():
        first = shop.get_db()
        assert shop.get_db() is first
        assert first.execute("select 1").fetchone()[0] == 1
    assert_closed(first)
    with shop.app.app_context():
        assert shop.get_db() is not first


def test_requests_write_and_read(shop: Shop) -> None:
    """Requests see what earlier ones committed, each over a connection that is closed after it."""
    client = shop.app.test_client()
    assert client.post("/notes", data={"text": "milk"}).get_json() == {"id": 1}
    assert client.post("/notes", data={"text": "bread"}).get_json() == {"id": 2}
    assert client.get("/notes").get_json() == ["milk", "bread"]
    assert len(shop.opened) == 3
    for connection in shop.opened:
        assert_closed(connection)


def test_connection_is_opened_late(shop: Shop) -> None:
    """A request that does not touch the database opens no connection."""
    assert shop.app.test_client().get("/without").text == "no database"
    assert shop.opened == []


def test_same_connection_in_a_view(shop: Shop) -> None:
    """Two calls of `get_db()` in one view give one connection."""
    assert shop.app.test_client().get("/twice").text == "True"
    assert len(shop.opened) == 1


def test_closed_and_rolled_back_after_an_error(shop: Shop) -> None:
    """A view that fails after a write leaves a closed connection and nothing written."""
    client = shop.app.test_client()
    assert client.get("/fails").status_code == 500
    assert_closed(shop.opened[0])
    assert client.get("/notes").get_json() == []


def test_local_proxy_follows_the_context(shop: Shop) -> None:
    """`db = LocalProxy(get_db)` is the connection of the current context, a nested one too."""
    with shop.app.app_context():
        outer = shop.get_db()
        assert shop.db._get_current_object() is outer
        assert isinstance(shop.db, sqlite3.Connection)
        with shop.app.app_context():
            inner = shop.get_db()
            assert inner is not outer
            assert shop.db._get_current_object() is inner
        assert_closed(inner)
        assert shop.db._get_current_object() is outer
        assert shop.db.execute("select count(*) from note").fetchone()[0] == 0
    assert_closed(outer)


def test_local_proxy_outside_raises(shop: Shop) -> None:
    """Outside of a context the user's own proxy gives the framework's error."""
    with pytest.raises(RuntimeError, match=r"^Working outside of application context"):
        shop.db.execute("select 1")


def test_test_in_a_pushed_context_shares_its_connection(shop: Shop) -> None:
    """The test client's request inside `with app.app_context()` joins that and its connection."""
    with shop.app.app_context():
        connection = shop.get_db()
        assert shop.app.test_client().get("/twice").text == "True"
        assert shop.opened == [connection]
        # The test's context is the test's to end: its connection is still open.
        assert connection.execute("select 1").fetchone()[0] == 1
    assert_closed(connection)


def test_connection_is_closed_though_another_teardown_fails(tmp_path: Path) -> None:
    """A teardown function that raises does not keep the connection from being closed.

    In Flask the function registered later runs first, raises, and `close_db` is never called.
    """
    app = Demijohn("shop")

    @app.teardown_appcontext
    def close_db(exc: BaseException | None) -> None:
        g.pop("db").close()

    @app.teardown_appcontext
    def broken(exc: BaseException | None) -> None:
        raise OSError("log file gone")

    with pytest.raises(OSError, match="log file gone"), app.app_context():
        g.db = connection = sqlite3.connect(tmp_path / "shop.db")
    assert_closed(connection)


def test_good_response_survives_a_failing_teardown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When a teardown function fails after a good view, the client gets the answer still.

    In Flask the error leaves the application, and the server answers 500.
    """
    app = Demijohn("shop")
    closed: list[bool] = []

    @app.get("/")
    def index() -> str:
        g.db = sqlite3.connect(tmp_path / "shop.db")
        return "done"

    @app.teardown_appcontext
    def close_db(exc: BaseException | None) -> None:
        g.pop("db").close()
        closed.append(True)

    @app.teardown_appcontext
    def broken(exc: BaseException | None) -> None:
        raise OSError("log file gone")

    response = app.test_client().get("/")
    assert (response.status_code, response.text) == (200, "done")
    assert closed == [True]
    assert "log file gone" in caplog.text
