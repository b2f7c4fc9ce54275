"""What the parts on servers share: every cell of some rows of docs/servers.md, 50 times each."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from soak import SoakFailure
from tools import proof

SECONDS = 450.0
TIMES = 50
LANES = 4  # servers of each row at once: most cells wait most of the time


def table() -> Any:
    """Return the modules of the table; they lie among the tests."""
    for folder in (proof.ROOT / "tests" / "serve", proof.ROOT / "tests"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from asgi_servers import cells, rows, table

    return cells, rows, table.NAMES


def run(seed: int, seconds: float, *names: str) -> dict[str, object]:
    """Run each cell of these rows until all ran `TIMES` times or the time is over.

    The cells come in random order. Raises `SoakFailure` with the first one that failed.
    """
    cells, rows, columns = table()
    end = monotonic() + seconds
    # What is still to be run, of each row.
    orders = {name: Order(Random(f"{seed} {name}"), columns) for name in names}
    failures: list[str] = []

    def lane(name: str) -> None:
        with TemporaryDirectory() as folder:
            bench = rows.Bench(rows.ROWS[name], Path(folder))
            try:
                for column in orders[name]:
                    if failures or monotonic() > end:
                        break
                    try:
                        cells.COLUMNS[column].run(bench)
                    except Exception:
                        failures.append(f"{name}, {column}:\n{traceback.format_exc()}")
                    else:
                        orders[name].done[column] += 1
            finally:
                bench.close()

    with ThreadPoolExecutor(LANES * len(names)) as pool:
        list(pool.map(lane, [name for name in names for _ in range(LANES)]))
    if failures:
        raise SoakFailure(failures[0])
    return {
        "rows": list(names),
        "columns": columns,
        "cells": len(names) * len(columns),
        "times": min(min(order.done[name] for name in columns) for order in orders.values()),
        "milliseconds": milliseconds(cells.TIMES),
    }


def run_alone(
    seed: int, seconds: float, columns: dict[str, int], limits: dict[str, float]
) -> dict[str, object]:
    """Run these cells so many times under every ASGI server, one at a time, and judge the times.

    `limits` has, for what the cells measure, the milliseconds that 99 of 100 may take. Raises
    `SoakFailure` for a cell that fails, for one over its limit, and when the time is over.
    """
    cells, rows, _ = table()
    end = monotonic() + seconds
    random = Random(seed)
    names = [name for name, row in rows.ROWS.items() if row.edge == "ASGI"]
    for name in random.sample(names, len(names)):
        with TemporaryDirectory() as folder:
            bench = rows.Bench(rows.ROWS[name], Path(folder))
            try:
                for column, times in columns.items():
                    for _ in range(times):
                        if monotonic() > end:
                            raise SoakFailure(f"{name}, {column}: not done in {seconds:g} s")
                        cells.COLUMNS[column].run(bench)
            except AssertionError:
                raise SoakFailure(f"{name}, {column}:\n{traceback.format_exc()}") from None
            finally:
                bench.close()
    found = milliseconds(
        {what: times for what, times in cells.TIMES.items() if what.endswith(tuple(limits))}
    )
    slow = {
        what: figures["p99"]
        for what, figures in found.items()
        if any(what.endswith(measured) and figures["p99"] > limits[measured] for measured in limits)
    }
    if slow:
        raise SoakFailure(f"over the limit, in milliseconds: {slow}; of {found}")
    return {"rows": names, "times": columns, "limits": limits, "milliseconds": found}


class Order:
    """The cells of a row, each `TIMES` times, every round in another order; for several threads."""

    def __init__(self, random: Random, columns: list[str]) -> None:
        self.done: Counter[str] = Counter()
        self._columns = columns
        self._random = random
        self._lock = threading.Lock()
        self._next = self._shuffled()

    def _shuffled(self) -> Iterator[str]:
        for _ in range(TIMES):
            yield from self._random.sample(self._columns, len(self._columns))

    def __iter__(self) -> Iterator[str]:
        while True:
            with self._lock:
                column = next(self._next, None)
            if column is None:
                return
            yield column


def milliseconds(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The median, the 99th percentile and the most of what was measured."""
    found = {}
    for what, seconds in sorted(times.items()):
        ordered = sorted(seconds)
        found[what] = {
            "median": round(ordered[len(ordered) // 2] * 1000, 1),
            "p99": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
            "most": round(ordered[-1] * 1000, 1),
        }
    return found
