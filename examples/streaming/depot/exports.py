"""All orders as one file, read from the database while the client takes it.

Twice the same: once written for an async driver, once in plain functions. Neither has more than one
page of orders in memory, and both close their connection when the client leaves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from demijohn import Blueprint, current_app

from .database import ALL_ORDERS, COLUMNS, db, reader

bp = Blueprint("exports", __name__)
HEADERS = {
    "Content-Type": "text/csv; charset=utf-8",
    "Content-Disposition": 'attachment; filename="orders.csv"',
}


def as_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Lines of a file of comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@bp.get("/orders.csv")
async def orders() -> tuple[AsyncIterator[str], dict[str, str]]:
    """The export by an async generator: while it waits, it holds no thread."""
    found = await reader
    # Here, not in the body: what fails before the first byte is answered with 500.
    await found.execute(ALL_ORDERS)
    size = current_app.config["PAGE"]

    async def body() -> AsyncIterator[str]:
        yield as_csv([COLUMNS])
        while page := await found.page(size):
            yield as_csv(page)

    return body(), HEADERS


@bp.get("/plain/orders.csv")
def plain_orders() -> tuple[Iterator[str], dict[str, str]]:
    """The export by a generator: each step runs on the thread on which the view ran."""
    rows = db.execute(ALL_ORDERS)
    size = current_app.config["PAGE"]

    def body() -> Iterator[str]:
        yield as_csv([COLUMNS])
        while page := rows.fetchmany(size):
            yield as_csv(page)

    return body(), HEADERS
