"""Exports: what they hold, and what is held while they are read."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
from contextlib import closing

import pytest
from demijohn import Demijohn, app_ctx
from demijohn.testing import FlaskClient

from depot import database

PATHS = ["/orders.csv", "/plain/orders.csv"]


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[database.AsyncReader]:
    """The readers that were made."""
    found: list[database.AsyncReader] = []

    class Noted(database.AsyncReader):
        def __init__(self) -> None:
            super().__init__()
            found.append(self)

    monkeypatch.setattr(database, "AsyncReader", Noted)
    return found


def is_closed(reader: database.AsyncReader) -> bool:
    """Whether its thread takes no more work."""
    return reader._thread._shutdown


@pytest.mark.parametrize("path", PATHS)
def test_all_orders(app: Demijohn, client: FlaskClient, path: str) -> None:
    """An export has every order once, in order, under a line of names."""
    response = client.get(path)
    assert response.mimetype == "text/csv"
    assert response.headers["Content-Disposition"] == 'attachment; filename="orders.csv"'
    first, *rows = csv.reader(response.text.splitlines())
    assert tuple(first) == database.COLUMNS
    with closing(sqlite3.connect(app.config["DATABASE"])) as connection:
        expected = [tuple(map(str, row)) for row in connection.execute(database.ALL_ORDERS)]
    assert [tuple(row) for row in rows] == expected and len(rows) == 1000


@pytest.mark.parametrize("path", PATHS)
def test_an_error_before_the_first_byte(app: Demijohn, client: FlaskClient, path: str) -> None:
    """A database that cannot be read is a plain 500, and no file that ends too soon."""
    app.testing = False
    with closing(sqlite3.connect(app.config["DATABASE"])) as connection, connection:
        connection.execute("drop table orders")
    assert client.get(path).status_code == 500


@pytest.mark.parametrize("path", PATHS)
def test_read_while_it_is_sent(
    app: Demijohn, path: str, readers: list[database.AsyncReader]
) -> None:
    """Pages are read as the client takes them; when it leaves, the connection is closed."""
    outcomes: list[str | None] = []

    @app.teardown_request
    def note(error: BaseException | None) -> None:
        outcomes.append(app_ctx.outcome)

    async def main() -> None:
        async with asyncio.timeout(30), app.async_test_client().stream("GET", path) as response:
            lines = await anext(response) + await anext(response) + await anext(response)
            assert lines.count(b"\n") == 201
            for reader in readers:
                assert reader.pages in (2, 3) and not is_closed(reader)
            await response.disconnect()

    asyncio.run(main())
    assert outcomes == ["disconnected"]
    assert all(map(is_closed, readers)) and len(readers) == (path == PATHS[0])


def test_by_wsgi_too(app: Demijohn, readers: list[database.AsyncReader]) -> None:
    """Under WSGI the async export is read step by step as well."""
    response = app.test_client().get(PATHS[0], buffered=False)
    parts = iter(response.response)
    assert next(parts) == b"id,what,count,cents\n"
    assert next(parts)
    (reader,) = readers
    assert reader.pages in (1, 2)
    response.close()
    assert is_closed(reader)
