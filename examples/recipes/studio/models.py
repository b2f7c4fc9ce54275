"""The tables, with Flask-SQLAlchemy, and the command that creates them."""

from __future__ import annotations

from datetime import datetime

import click
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()


class User(db.Model):
    """Someone who makes apps."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class App(db.Model):
    """What a user makes: a name, and the prompt that a language model works with."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    # The table fills these in, so Python does not know them until the row is read again.
    prompt: Mapped[str] = mapped_column(server_default="Be brief.")
    status: Mapped[str] = mapped_column(server_default="draft")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


@click.command("create-tables")
def create_tables() -> None:
    """Create the tables that are not there yet."""
    db.create_all()
