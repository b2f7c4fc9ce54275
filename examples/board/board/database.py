"""The SQLite connection of the current context, and how the database comes to be.

Queries stand in the views that need them.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click
from demijohn import Demijohn, current_app, g
from demijohn.cli import with_appcontext

from . import samples

TABLES = ("mail", "comment", "post", "member")


def get_db() -> sqlite3.Connection:
    """Return this context's connection: opened at the first call, closed at the context's end."""
    if "db" not in g:
        g.db = sqlite3.connect(current_app.config["DATABASE"])
        g.db.row_factory = sqlite3.Row
        g.db.execute("PRAGMA foreign_keys = ON")
    db: sqlite3.Connection = g.db
    return db


def make_ready() -> bool:
    """Create what the database lacks and return whether it was new.

    A new one gets the sample posts, unless `SAMPLES` is off. What is there is never touched, so
    this may run at every start, and in several workers at once: the first of them does the work.
    """
    Path(current_app.config["DATABASE"]).parent.mkdir(parents=True, exist_ok=True)
    db = get_db()
    if is_made(db):
        return False
    with current_app.open_resource("schema.sql", "r") as schema:
        db.executescript(schema.read())
    with db:
        db.execute("BEGIN IMMEDIATE")
        if is_made(db):  # another worker was quicker
            return False
        if current_app.config["SAMPLES"]:
            samples.pin_up(db)
        db.execute("PRAGMA user_version = 1")
    return True


def is_made(db: sqlite3.Connection) -> bool:
    """Return whether the schema and the samples are in: SQLite's `user_version` remembers it."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version >= 1


def drop_all() -> None:
    """Remove every table with all that is in it; `make_ready` builds them again."""
    db = get_db()
    with db:
        db.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            db.execute(f"DROP TABLE IF EXISTS {table}")
        db.execute("PRAGMA user_version = 0")


@click.command("init-db")
@click.option("--reset", is_flag=True, help="Delete everything first.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@with_appcontext
def init_db_command(reset: bool, yes: bool) -> None:
    """Create the database; one that is there already is kept."""
    if reset:
        if not yes:
            click.confirm("Delete every member, post, comment and mail?", abort=True)
        drop_all()
    make_ready()
    posts = get_db().execute("SELECT count(*) FROM post").fetchone()[0]
    click.echo(f"Database {current_app.config['DATABASE']} is ready; posts: {posts}.")


def init_app(app: Demijohn) -> None:
    """Close the connection at each context's end, and add the command `init-db`."""

    @app.teardown_appcontext
    def close_db(exc: BaseException | None) -> None:
        db: sqlite3.Connection | None = g.pop("db", None)
        if db is not None:
            db.close()

    app.cli.add_command(init_db_command)
