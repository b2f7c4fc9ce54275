"""Run in a process of its own: Flask-SQLAlchemy with a pool of two connections, used by children.

Takes the path of an SQLite file. Prints one JSON object: how the children ended, what the pool has
given out at the end, and how many sessions there were.
"""

from __future__ import annotations

import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import demijohn

demijohn.install_as_flask()

from flask import Flask, request  # noqa: E402
from flask_sqlalchemy import SQLAlchemy  # noqa: E402
from sqlalchemy import QueuePool, text  # noqa: E402

from demijohn import ContextThread, ContextThreadPoolExecutor, in_child, parallel  # noqa: E402

CHILDREN = 100
THREADS = 8

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{sys.argv[1]}"
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
    "poolclass": QueuePool,
    "pool_size": 2,
    "max_overflow": 0,
    "pool_timeout": 30,
    "connect_args": {"check_same_thread": False},
}
db = SQLAlchemy(app)
sessions: set[int] = set()
parents: list[bool] = []


def query(n: int) -> int:
    """Take a connection, and leave it to the context's end to give it back."""
    sessions.add(id(db.session()))
    found = db.session.execute(text("select :n"), {"n": n}).scalar_one()
    if n % 10 == 0:
        raise LookupError(n)
    return int(found)


def outcome(function: Any, n: int) -> int:
    try:
        return int(function(n))
    except LookupError:
        return -1


@app.get("/<way>")
def view(way: str) -> dict[str, Any]:
    mine = db.session()
    numbers = range(CHILDREN)
    wrapped = in_child(query) if way != "copied" else demijohn.copy_current_request_context(query)
    if way == "threads":
        done: list[int] = []
        for n in numbers:
            thread = ContextThread(target=lambda n=n: done.append(outcome(query, n)))
            thread.start()
            thread.join()
    elif way == "executor":
        with ContextThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(query, n) for n in numbers]
            done = [outcome(lambda n, job=job: job.result(), 0) for job in jobs]
    elif way == "parallel":
        with parallel(max_workers=THREADS) as p:
            branches = [p.submit(outcome, query, n) for n in numbers]
        done = [branch.result() for branch in branches]
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            done = [*pool.map(lambda n: outcome(wrapped, n), numbers)]
    parents.append(db.session() is mine)
    return {"done": done, "path": request.path}


def main() -> None:
    warnings.simplefilter("error")
    client = app.test_client()
    found = {}
    for way in ("threads", "executor", "parallel", "in_child", "copied"):
        answer = client.get(f"/{way}")
        with app.app_context():
            found[way] = {"status": answer.status_code, "held": db.engine.pool.checkedout()}
            found[way]["done"] = answer.json["done"] if answer.status_code == 200 else None
    print(json.dumps({"found": found, "parents": parents}))


main()
