"""Three recipes for work that takes long: create, fetch and update, then ask the language model.

Each gives its connection back to the pool before it asks: it keeps the values that it needs and
calls `db.session.close()`. While the model thinks, other requests have the connection.
"""

from __future__ import annotations

from flask import Blueprint, abort, request

from . import language_model
from .models import App, db

bp = Blueprint("apps", __name__, url_prefix="/apps")


@bp.post("")
def create():
    """Make an app, then have a greeting written for it."""
    app = App(name=request.form["name"])
    db.session.add(app)
    db.session.commit()
    db.session.refresh(app)  # the id, and what the table filled in
    app_id = app.id
    task = f"{app.prompt} Greet the users of {app.name}."
    db.session.close()

    greeting = language_model.complete(task)
    return {"id": app_id, "greeting": greeting}, 201


@bp.get("/<int:app_id>/answer")
def answer(app_id: int):
    """Answer a question with an app's prompt."""
    app = db.session.query(App).filter(App.id == app_id).first()
    if app is None:
        abort(404)
    task = f"{app.prompt} {request.args['question']}"
    db.session.close()

    return {"answer": language_model.complete(task)}


@bp.post("/<int:app_id>/prompt")
def change_prompt(app_id: int):
    """Give an app another prompt, then try it out."""
    app = db.session.query(App).filter(App.id == app_id).first()
    if app is None:
        abort(404)
    app.prompt = request.form["prompt"]
    db.session.commit()
    task = f"{app.prompt} Say who you are."  # after a commit the row is read again
    db.session.close()

    return {"trial": language_model.complete(task)}
