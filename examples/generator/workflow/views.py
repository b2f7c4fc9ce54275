"""The HTTP side: start a run, watch it, stop it, ask how it went."""

from __future__ import annotations

import json
from typing import Any

from demijohn import Blueprint, Response, abort, current_app, g, released, request

from . import database
from .entity import RunRequest
from .events import as_sse
from .worker import Run, runs

bp = Blueprint("workflows", __name__, url_prefix="/workflows")


@bp.post("/run")
def start() -> Any:
    """Start a run, and stream its events or wait for its result."""
    wanted = RunRequest.from_json(request.get_json())
    run = runs.start(wanted)
    if wanted.mode == "blocking":
        return result_of(run)
    return stream(run, after=0)


@bp.get("/runs/<run_id>/events")
def watch(run_id: str) -> Any:
    """Watch a run, from the beginning or after the event that the client saw last."""
    run = runs.get(run_id, g.user_id)
    if run is None:
        abort(404)
    seen = request.headers.get("Last-Event-ID", "0")
    return stream(run, int(seen) if seen.isdecimal() and seen.isascii() else 0)


@bp.post("/runs/<run_id>/stop")
def stop(run_id: str) -> dict[str, str]:
    """Ask a run to stop; the answer says whether it still could."""
    run = runs.get(run_id, g.user_id)
    if run is not None:
        return {"result": run.stop("user")}
    if database.fetch_run(run_id, g.user_id) is None:
        abort(404)
    return {"result": "finished"}


@bp.get("/runs/<run_id>")
def show(run_id: str) -> dict[str, Any]:
    """The record of a run."""
    record = database.fetch_run(run_id, g.user_id)
    if record is None:
        abort(404)
    for name in ("inputs", "outputs"):
        record[name] = json.loads(record[name] or "null")
    return record


def stream(run: Run, after: int) -> Response:
    """The run's events as they come. Who leaves stops reading, and nothing else."""
    events = run.log.read(after, current_app.config["HEARTBEAT"])
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(as_sse(events), mimetype="text/event-stream", headers=headers)


def result_of(run: Run) -> Any:
    """Read the same events to the last one, which has the result; nothing is held meanwhile."""
    last = None
    with released():
        for event in run.log.read(0, current_app.config["HEARTBEAT"]):
            last = event or last
    assert last is not None
    answer = {"run": run.id, "state": last.name, **json.loads(last.data)}
    return answer, 200 if last.name == "finished" else 500 if last.name == "failed" else 409
