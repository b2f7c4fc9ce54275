"""A studio in which users make apps: the application that the recipes are about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import apps, publishing
from .models import create_tables, db


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Make the application; `settings` win over those of the environment.

    `STUDIO_DATABASE` is SQLAlchemy's URL of the database, a SQLite file in the instance folder
    unless given; `STUDIO_BROKER` is the URL of the Redis through which tasks and their results go;
    `STUDIO_MODEL_SECONDS` is how long the language model thinks.
    """
    app = Flask("studio")
    broker = os.environ.get("STUDIO_BROKER", "redis://127.0.0.1:6379/0")
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=os.environ.get("STUDIO_DATABASE", "sqlite:///studio.sqlite3"),
        CELERY={"broker_url": broker, "result_backend": broker, "task_ignore_result": True},
        MODEL_SECONDS=float(os.environ.get("STUDIO_MODEL_SECONDS", "3")),
    )
    app.config.from_mapping(settings or {})
    db.init_app(app)
    publishing.celery_init_app(app)
    app.register_blueprint(apps.bp)
    app.register_blueprint(publishing.bp)
    app.cli.add_command(create_tables)
    return app
