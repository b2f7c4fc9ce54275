"""A depot's orders and files: exports that are made while they are sent, uploads that are hashed
while they arrive. It is served by ASGI or by WSGI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demijohn import Demijohn


def create_app(test_config: Mapping[str, Any] | None = None) -> Demijohn:
    """Return the application; its database is made when there is none yet, with made-up orders."""
    from . import database, exports, uploads

    app = Demijohn(__name__, instance_relative_config=True)
    app.config.from_mapping(
        DATABASE=f"{app.instance_path}/orders.sqlite3",
        UPLOADS=f"{app.instance_path}/uploads",  # the folder of the files that were sent
        SAMPLES=100_000,  # made-up orders in a new database
        PAGE=500,  # orders that an export reads at a time
        MAX_CONTENT_LENGTH=1_000_000_000,  # bytes of an upload
    )
    app.config.from_prefixed_env("DEPOT")
    app.config.from_mapping(test_config or {})
    app.register_blueprint(exports.bp)
    app.register_blueprint(uploads.bp)
    Path(app.config["UPLOADS"]).mkdir(parents=True, exist_ok=True)
    database.make_ready(Path(app.config["DATABASE"]), app.config["SAMPLES"])
    return app
