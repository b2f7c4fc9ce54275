"""The pages, and the WebSocket of a room."""

from __future__ import annotations

from functools import partial

from demijohn import (
    Blueprint,
    abort,
    app_ctx,
    current_app,
    g,
    redirect,
    render_template,
    request,
    session,
    task_group,
    url_for,
    websocket,
)
from demijohn.typing import ResponseReturnValue

from .rooms import Member, Rooms

bp = Blueprint("chat", __name__)


@bp.route("/", methods=["GET", "POST"])
def enter() -> ResponseReturnValue:
    """Ask for a name and a room."""
    if request.method == "GET":
        return render_template("enter.html", name=session.get("name", ""))
    name = request.form["name"].strip()[:40]
    room = request.form["room"].strip()[:40]
    if not name or not room:
        abort(400, "Say who you are, and which room you want to enter.")
    session["name"] = name
    return redirect(url_for("chat.page", room=room))


@bp.get("/rooms/<room>")
def page(room: str) -> ResponseReturnValue:
    """The page of a room."""
    if "name" not in session:
        return redirect(url_for("chat.enter"))
    return render_template("room.html", room=room, name=session["name"])


@bp.before_websocket
def who() -> None:
    """Let nobody in who has not said a name."""
    g.name = session.get("name") or abort(401)


@bp.websocket("/rooms/<room>/talk")
async def talk(room: str) -> None:
    """Send what is said in a room, and say there what this client sends."""
    rooms: Rooms = current_app.extensions["rooms"]
    send_away = partial(app_ctx.cancel, "too slow")
    await websocket.accept()
    with rooms.joined(room, g.name, send_away) as (here, member):
        async with task_group() as tg:
            tg.create_task(deliver(member))
            while True:
                said = await websocket.receive_json()
                text = said.get("text") if isinstance(said, dict) else None
                if not isinstance(text, str) or len(text) > current_app.config["LONGEST"]:
                    await websocket.close(1008, "No message of the right kind.")
                    return
                if text.strip():
                    here.say(member.name, text)


async def deliver(member: Member) -> None:
    """Send a member what is in the inbox."""
    while True:
        await websocket.send_json(await member.inbox.get())
