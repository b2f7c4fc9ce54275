"""Copied beside the application by test_celery_worker.py: its worker, with tasks that look around.

Each end of an app context of this process becomes a line of the file that OBSERVED_ENDS names: the
task's id and name.
"""

from __future__ import annotations

import inspect
import os
import threading
from pathlib import Path

from make_celery import celery_app, flask_app  # isort: skip  # moves the application first

from celery import Task, current_task, shared_task
from flask import current_app, g, has_request_context
from flask.ctx import AppContext
from studio.models import User, db

together = threading.Barrier(2, timeout=60)
left: list[AppContext] = []


@flask_app.teardown_appcontext
def note_end(exc: BaseException | None) -> None:
    """Write down whose context ends, and with what."""
    task = f"{current_task.request.id} {current_task.name}" if current_task else "no task"
    line = f"{task} {exc!r}\n"
    with open(os.environ["OBSERVED_ENDS"], "a") as ends:
        ends.write(line)


def see() -> dict[str, object]:
    """What this task finds in its context."""
    return {
        "framework": Path(inspect.getfile(type(flask_app))).parent.name,
        "app": current_app.name,
        "g": list(g),
        "request": has_request_context(),
        "process": os.getpid(),
    }


@shared_task(ignore_result=False)
def visit(word: str) -> dict[str, object]:
    """Look, leave something on `g`, and add a user."""
    found = see()
    g.word = word
    db.session.add(User(name=word))
    db.session.commit()
    return {**found, "session": id(db.session()), "users": User.query.count()}


@shared_task(ignore_result=False)
def meet(word: str) -> dict[str, object]:
    """Leave something on `g`, and look at it again when another task has done so too."""
    found = see()
    g.word = word
    together.wait()
    return {**found, "kept": g.word, "context": id(g._get_current_object())}


@shared_task(ignore_result=False)
def fail() -> None:
    """Fail."""
    raise ValueError("no such report")


@shared_task(ignore_result=False)
def nest() -> None:
    """Open a second context, so that two end during one task."""
    with flask_app.app_context():
        pass


@shared_task(ignore_result=False, base=Task)
def bare() -> dict[str, object]:
    """Look, without the recipe's task class: in no context, or in one that was left."""
    return see()


@shared_task(ignore_result=False, base=Task)
def leave(word: str) -> None:
    """Push a context and leave it, with something on its `g`."""
    left.append(flask_app.app_context())
    left[-1].push()
    g.word = word


@shared_task(ignore_result=False, base=Task)
def take_away() -> None:
    """Pop what `leave` left."""
    left.pop().pop()


__all__ = ["celery_app"]
