"""The runs' records, in SQLite. Each function is one short transaction; none waits inside."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from demijohn import current_app, resource

SCHEMA = """
create table if not exists run (
    id text primary key,
    owner text not null,
    state text not null,
    inputs text not null,
    outputs text,
    reason text
)
"""


@resource(lifetime="view", dirty=lambda c: c.in_transaction)
def conn() -> Iterator[sqlite3.Connection]:
    """The connection of the current context."""
    with closing(sqlite3.connect(current_app.config["DATABASE"])) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def make_ready() -> None:
    """Make the table; runs that an earlier process left unfinished are lost."""
    Path(current_app.config["DATABASE"]).parent.mkdir(parents=True, exist_ok=True)
    conn.execute(SCHEMA)
    conn.execute("update run set state = 'failed', reason = 'lost' where state = 'running'")
    conn.commit()


def create_run(run_id: str, owner: str, inputs: dict[str, Any]) -> None:
    """Write the record before anything of the run executes."""
    with conn:
        conn.execute(
            "insert into run (id, owner, state, inputs) values (?, ?, 'running', ?)",
            (run_id, owner, json.dumps(inputs)),
        )


def fetch_run(run_id: str, owner: str) -> dict[str, Any] | None:
    """The record as plain values, None for a stranger's and for one that does not exist."""
    row = conn.execute("select * from run where id = ? and owner = ?", (run_id, owner)).fetchone()
    return None if row is None else dict(row)


def count_runs(owner: str) -> int:
    """How many runs a user has started so far."""
    count: int = conn.execute("select count(*) from run where owner = ?", (owner,)).fetchone()[0]
    return count


def finish_run(run_id: str, state: str, outputs: Any, reason: str | None) -> None:
    """Write how it ended."""
    with conn:
        conn.execute(
            "update run set state = ?, outputs = ?, reason = ? where id = ?",
            (state, json.dumps(outputs), reason, run_id),
        )
