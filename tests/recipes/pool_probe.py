"""Run in a process of its own: the recipes of examples/recipes, watched from inside the long work.

Takes SQLAlchemy's URL of a database, and perhaps "--careless": then `db.session.close()` does
nothing, and the same code shows what it is for. Prints one JSON object: for each recipe the status,
the answer, and for each piece of long work the connections that the pool had given out, with what
PostgreSQL says of them.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import demijohn

demijohn.install_as_flask()

import sqlalchemy.orm  # noqa: E402
from flask import Flask  # noqa: E402
from studio import create_app, language_model  # noqa: E402
from studio.models import App, db  # noqa: E402

URL = sys.argv[1]
CARELESS = "--careless" in sys.argv
CROWD = 4
"""Requests at the same time, on a pool of one connection."""


class Watch:
    """Takes the place of the long work, and looks at the pool while it is under way."""

    def __init__(self, app: Flask) -> None:
        with app.app_context():
            self.pool: Any = db.engine.pool
        self.held: list[int] = []
        self.states: list[str] = []
        # Another way to the server: the pool that is watched is not used for watching.
        self.observer = sqlalchemy.create_engine(URL, poolclass=sqlalchemy.NullPool)

    def complete(self, prompt: str) -> str:
        """Note what is held; fail where something is, unless that is what is to be shown."""
        held = self.pool.checkedout()
        self.held.append(held)
        if self.observer.dialect.name == "postgresql":
            with self.observer.connect() as connection:
                query = "select state from pg_stat_activity where application_name = 'studio'"
                self.states += connection.execute(sqlalchemy.text(query)).scalars()
        assert CARELESS or held == 0, f"{held} connections are held during: {prompt}"
        return f"done: {prompt}"


def use(app: Flask, watch: Watch, method: str, path: str, **options: Any) -> dict[str, Any]:
    """Send one request; return its answer with what was seen during its long work."""
    watch.held, watch.states = [], []
    response = app.test_client().open(path, method=method, **options)
    found = {"status": response.status_code, "json": response.get_json(silent=True)}
    return {**found, "held": watch.held, "states": watch.states, "after": watch.pool.checkedout()}


def crowd(app: Flask) -> dict[str, Any]:
    """Let several requests meet inside their long work, and use the database meanwhile."""
    together = threading.Barrier(CROWD + 1, timeout=60)
    outcomes: list[Any] = []

    def wait(prompt: str) -> str:
        together.wait()
        together.wait()
        return prompt

    def ask() -> None:
        try:
            response = app.test_client().get("/apps/1/answer", query_string={"question": "Why?"})
            outcomes.append(response.status_code)
        except (sqlalchemy.exc.TimeoutError, threading.BrokenBarrierError) as error:
            outcomes.append(type(error).__name__)
            together.abort()

    language_model.complete = wait
    threads = [threading.Thread(target=ask) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    found: dict[str, Any] = {"outcomes": outcomes}
    try:
        together.wait()
        with app.app_context():
            found["status meanwhile"] = db.session.get_one(App, 1).status
        together.wait()
    except threading.BrokenBarrierError:
        found["status meanwhile"] = None
    for thread in threads:
        thread.join()
    return found


def after_close(app: Flask) -> dict[str, Any]:
    """Read objects after `close()`: one that was loaded, and one that a commit had emptied."""
    with app.app_context():
        loaded, emptied = App(name="loaded"), App(name="emptied")
        db.session.add_all([loaded, emptied])
        db.session.commit()
        db.session.refresh(loaded)
        db.session.close()
        found: dict[str, Any] = {"loaded": [loaded.name, loaded.status]}
        try:
            found["emptied"] = emptied.name
        except sqlalchemy.orm.exc.DetachedInstanceError as error:
            found["emptied"] = type(error).__name__
    return found


def main() -> None:
    """Use every recipe, then all together."""
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
    options["pool_timeout"] = 0.5 if CARELESS else 60  # seconds
    if URL.startswith("postgresql"):
        options["connect_args"] = {"application_name": "studio"}
    app = create_app({"SQLALCHEMY_DATABASE_URI": URL, "SQLALCHEMY_ENGINE_OPTIONS": options})
    app.testing = True
    with app.app_context():
        db.drop_all()
        db.create_all()
    watch = Watch(app)
    language_model.complete = watch.complete
    if CARELESS:
        db.session.close = lambda: None
    found: dict[str, Any] = {"demijohn": isinstance(app, demijohn.Demijohn)}
    found["create"] = use(app, watch, "POST", "/apps", data={"name": "Desk"})
    found["update"] = use(app, watch, "POST", "/apps/1/prompt", data={"prompt": "Rhyme."})
    found["fetch"] = use(app, watch, "GET", "/apps/1/answer?question=Why?")
    found["fetch nothing"] = use(app, watch, "GET", "/apps/2/answer?question=Why?")
    found["crowd"] = crowd(app)
    found["after close"] = after_close(app)
    with app.app_context():
        db.engine.dispose()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
