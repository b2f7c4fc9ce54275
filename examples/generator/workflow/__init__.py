"""A workflow generator written by hand: long work that a request starts and a client watches.

A request is validated into plain data (`entity`), a worker runs a small graph of steps in the
background (`worker`, `steps`) and writes numbered events to a log (`events`), which a view streams
(`views`). The worker owns the run from its begin to its one last event; who watches owns nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from demijohn import ContextField, Demijohn, abort, g, request

language: ContextVar[str] = ContextVar("language", default="en")
"""The caller's language: a variable of this program, which the framework knows nothing of."""

trace_id: ContextField[str] = ContextField("trace_id", default="", carries=True)
"""Names one request in logs and events, in whatever it starts."""


def create_app(test_config: Mapping[str, Any] | None = None) -> Demijohn:
    """Return the application; its database is made when there is none yet."""
    from . import database, views

    app = Demijohn(__name__, instance_relative_config=True)
    app.config.from_mapping(
        DATABASE=f"{app.instance_path}/runs.sqlite3",
        # API key -> user; a real application looks these up.
        KEYS={"ada-key": "ada", "bob-key": "bob"},
        RUN_LIMIT=120.0,  # seconds that a run may take
        HEARTBEAT=10.0,  # seconds of silence after which a stream says that it is alive
        MODEL_DELAY=0.5,  # seconds that the made-up language model thinks
        MOST_RUNS=20,  # runs that one process works on at once
    )
    app.config.from_mapping(test_config or {})
    # What work in the background gets to know of a caller; nothing else in `g` goes along.
    app.carry("user_id")
    app.before_request(identify)
    app.register_blueprint(views.bp)
    with app.app_context():
        database.make_ready()
    return app


def identify() -> None:
    """Note who is calling, before each view; 401 for a stranger."""
    from demijohn import current_app

    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    user_id = current_app.config["KEYS"].get(key)
    if user_id is None:
        abort(401, "Send an API key: 'Authorization: Bearer KEY'.")
    g.user_id = user_id
    trace_id.set(request.headers.get("X-Trace-Id") or secrets.token_hex(8))
    language.set(request.accept_languages.best_match(["en", "de", "fr"]) or "en")
