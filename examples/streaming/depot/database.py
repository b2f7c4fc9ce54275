"""The orders: a connection for plain functions, and one that is awaited.

Async drivers (asyncpg, psycopg, aiomysql) have something like `AsyncReader`. Here it is made of
sqlite3 and a thread, so that the example needs no server.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from demijohn import current_app, resource

P = ParamSpec("P")
T = TypeVar("T")
GOODS = ("Bottle", "Cork", "Demijohn", "Funnel", "Wicker")
COLUMNS = ("id", "what", "count", "cents")
ALL_ORDERS = f"select {', '.join(COLUMNS)} from orders order by id"


def make_ready(path: Path, samples: int) -> None:
    """Make a database with so many made-up orders, where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)
    with closing(sqlite3.connect(path)) as connection, connection:
        if connection.execute("select 1 from sqlite_master").fetchone():
            return
        connection.execute(
            "create table orders (id integer primary key, what text, count integer, cents integer)"
        )
        connection.executemany(
            "insert into orders (what, count, cents) values (?, ?, ?)",
            (
                (chance.choice(GOODS), chance.randint(1, 12), chance.randint(50, 5000))
                for _ in range(samples)
            ),
        )


class AsyncReader:
    """Reads a result page by page; on a thread of its own, which a sqlite3 connection needs."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "reader")
        self._connection: sqlite3.Connection
        self._rows: sqlite3.Cursor
        # What the thread has opened. Who waits for that may be cancelled meanwhile.
        self._opened = ExitStack()
        #: How many pages were read.
        self.pages = 0

    async def open(self, path: str) -> None:
        """Connect."""
        await self._call(self._connect, path)

    def _connect(self, path: str) -> None:
        self._connection = self._opened.enter_context(closing(sqlite3.connect(path)))

    async def execute(self, query: str) -> None:
        """Run a query, whose rows `page` gives."""
        self._rows = await self._call(self._connection.execute, query)

    async def page(self, size: int) -> list[Any]:
        """The next rows; none at the end."""
        self.pages += 1
        return await self._call(self._rows.fetchmany, size)

    async def close(self) -> None:
        """Disconnect, and let the thread end; also where nobody can wait for that any more."""
        self._thread.submit(self._opened.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def _call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))


@resource(lifetime="body")
async def reader() -> AsyncIterator[AsyncReader]:
    """An `AsyncReader` on the orders, until the body that it fills is over."""
    found = AsyncReader()
    try:
        await found.open(current_app.config["DATABASE"])
        yield found
    finally:
        await found.close()


@resource(lifetime="body")
def db() -> Iterator[sqlite3.Connection]:
    """A connection to the orders, until the body that it fills is over."""
    with closing(sqlite3.connect(current_app.config["DATABASE"])) as connection:
        yield connection
