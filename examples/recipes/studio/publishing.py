"""A fourth recipe: work that no request waits for, as a Celery task that a worker runs.

The request that posts a task answers at once; the client asks for the result by the task's id.
"""

from __future__ import annotations

from celery import Celery, Task, shared_task
from celery.result import AsyncResult
from flask import Blueprint, Flask, abort, current_app, url_for

from . import language_model
from .models import App, db

bp = Blueprint("publishing", __name__)


def celery_init_app(app: Flask) -> Celery:
    """Make the application's Celery: each of its tasks runs in an app context of its own."""

    class FlaskTask(Task):
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


@shared_task(ignore_result=False)
def publish(app_id: int) -> dict[str, str]:
    """Have the page of an app written, then publish it; no connection is held while it is."""
    app = db.session.query(App).filter(App.id == app_id).first()
    if app is None:
        raise LookupError(f"There is no app {app_id}.")
    task = f"{app.prompt} Write a page about {app.name}."
    db.session.close()

    page = language_model.complete(task)

    app = db.session.query(App).filter(App.id == app_id).one()
    app.status = "published"
    db.session.commit()
    return {"page": page, "publisher": current_app.name}


@bp.post("/apps/<int:app_id>/publish")
def start(app_id: int):
    """Post the task; the answer says where its result will be."""
    result = publish.delay(app_id)
    return {"result": url_for("publishing.result", task_id=result.id)}, 202


@bp.get("/apps/<int:app_id>")
def show(app_id: int):
    """Show an app."""
    app = db.session.get(App, app_id)
    if app is None:
        abort(404)
    return {"name": app.name, "status": app.status}


@bp.get("/results/<task_id>")
def result(task_id: str):
    """Tell whether a task is done, and what it returned."""
    result = AsyncResult(task_id)
    if not result.ready():
        return {"done": False}
    if result.failed():
        return {"done": True, "error": str(result.result)}
    return {"done": True, "value": result.result}
