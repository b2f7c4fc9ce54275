"""A run from its request to its last event, and everything that may come between."""

from __future__ import annotations

import sqlite3
import threading
from functools import partial
from typing import Any

import pytest
from conftest import (
    WAIT,
    CountedConnection,
    TestModel,
    body,
    client_of,
    eventually,
    frames,
    only_run,
)
from demijohn import Demijohn
from demijohn.testing import FlaskClient

RUN = "/workflows/run"
TERMINAL = {"finished", "failed", "stopped"}


def test_streamed(client: FlaskClient) -> None:
    """A stream has every event once, numbered from one, and ends with the only terminal one."""
    response = client.post(RUN, json=body())
    events = frames(response.response)
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.mimetype == "text/event-stream"
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [name for _, name, _ in events if name in TERMINAL] == ["finished"]
    assert events[0][1] == "started" and events[-1][1] == "finished"
    assert events[-1][2]["outputs"]["article"].startswith("ONE: OUTLINE ARTICLE 1 ON DEMIJOHNS")
    started = {data["step"] for _, name, data in events if name == "step_started"}
    assert started == {"outline", "write One", "facts One", "write Two", "facts Two", "edit"}


def test_blocking(client: FlaskClient) -> None:
    """Blocking mode drains the same events and answers with the result."""
    answer = client.post(RUN, json=body("blocking"))
    assert answer.status_code == 200
    assert answer.json["state"] == "finished"
    record = client.get(f"/workflows/runs/{answer.json['run']}").json
    assert record["state"] == "finished"
    assert record["outputs"] == answer.json["outputs"]
    events = frames(client.get(f"/workflows/runs/{answer.json['run']}/events").response)
    assert events[-1][2]["outputs"] == answer.json["outputs"]


def test_context_of_steps(client: FlaskClient, model: TestModel) -> None:
    """Every step, nested and side by side, has the caller's user, trace and language."""
    headers = {"X-Trace-Id": "t-1", "Accept-Language": "de"}
    answer = client.post(RUN, json=body("blocking"), headers=headers)
    assert answer.json["outputs"]["by"] == "ada"
    assert answer.json["outputs"]["trace"] == "t-1"
    assert len(model.seen) == 6
    seen = {(one["user"], one["trace"]) for one in model.seen}
    assert seen == {("ada", "t-1")}
    assert model.seen[0]["language"] == model.seen[-1]["language"] == "de"
    assert {one["language"] for one in model.seen} == {"de"}


@pytest.mark.parametrize("mode", ["streaming", "blocking"])
def test_nothing_held(
    mode: str, client: FlaskClient, model: TestModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a step waits, no connection is open: not the worker's, not that of who watches."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=CountedConnection))
    monkeypatch.setattr(CountedConnection, "open", 0)
    model.gate.clear()
    answers: list[Any] = []
    watching = threading.Thread(
        target=lambda: answers.append(client.post(RUN, json=body(mode)).get_data())
    )
    watching.start()
    try:
        assert model.asked.wait(WAIT)
        assert eventually(lambda: CountedConnection.open == 0)
    finally:
        model.gate.set()
        watching.join(WAIT)
    assert answers and CountedConnection.open == 0
    assert [one["held"] for one in model.seen] == [[]] * 6


def test_two_users(app: Demijohn, model: TestModel) -> None:
    """Two runs at once keep to their users."""
    model.gate.clear()
    ada, bob = client_of(app, "ada-key"), client_of(app, "bob-key")
    streams = [ada.post(RUN, json=body()), bob.post(RUN, json=body())]
    model.gate.set()
    users = []
    for response in streams:
        events = frames(response.response)
        users.append({data["user"] for _, name, data in events if name == "step_started"})
    assert users == [{"ada"}, {"bob"}]


def test_stop(client: FlaskClient, app: Demijohn, model: TestModel) -> None:
    """A stop ends the run with its reason; a second one says that it is too late."""
    model.gate.clear()
    response = client.post(RUN, json=body())
    assert model.asked.wait(WAIT)
    run = only_run(app)
    assert client.post(f"/workflows/runs/{run.id}/stop").json == {"result": "requested"}
    events = frames(response.response)
    assert events[-1][1:] == ("stopped", {"outputs": None, "reason": "user"})
    assert client.post(f"/workflows/runs/{run.id}/stop").json == {"result": "finished"}
    assert client.get(f"/workflows/runs/{run.id}").json["reason"] == "user"


def test_stop_in_branches(client: FlaskClient, app: Demijohn, model: TestModel) -> None:
    """A stop reaches branches of branches, and no further step is started."""
    model.gate.clear()
    model.holds = lambda prompt: not prompt.startswith("Outline")
    response = client.post(RUN, json=body())
    assert eventually(lambda: len(model.seen) == 5)  # the outline, and four side by side
    assert only_run(app).stop("user") == "requested"
    events = frames(response.response)
    assert events[-1][1] == "stopped"
    assert [data["step"] for _, name, data in events if name == "step_finished"] == ["outline"]
    assert len(model.seen) == 5


def test_time_limit(client: FlaskClient, app: Demijohn, model: TestModel) -> None:
    """A run that takes too long is stopped with the reason "deadline", whoever watches."""
    app.config["RUN_LIMIT"] = 0.05
    model.gate.clear()
    answer = client.post(RUN, json=body("blocking"))
    assert answer.status_code == 409
    assert answer.json["state"] == "stopped"
    assert answer.json["reason"] == "deadline"


def test_client_leaves(client: FlaskClient, app: Demijohn, model: TestModel) -> None:
    """A client that leaves after the first event does not disturb the run."""
    model.gate.clear()
    response = client.post(RUN, json=body())
    next(iter(response.response))
    run = only_run(app)
    response.close()
    model.gate.set()
    assert run.finished.wait(WAIT)
    assert client.get(f"/workflows/runs/{run.id}").json["state"] == "finished"


def test_nobody_reads(client: FlaskClient, app: Demijohn, model: TestModel) -> None:
    """A stream that nobody reads holds no run up."""
    response = client.post(RUN, json=body())
    try:
        record: Any = None
        with app.app_context():
            from workflow.worker import runs

            for run in [*runs._live.values(), *runs._ended.values()]:
                assert run.finished.wait(WAIT)
                record = client.get(f"/workflows/runs/{run.id}").json
        assert record["state"] == "finished"
    finally:
        response.close()


def test_resume(client: FlaskClient) -> None:
    """A client that comes back gets what came after the event that it saw last."""
    first = frames(client.post(RUN, json=body()).response)
    url = f"/workflows/runs/{first[0][2]['run']}/events"
    later = frames(client.get(url, headers={"Last-Event-ID": "3"}).response)
    assert later == first[3:]
    assert frames(client.get(url, headers={"Last-Event-ID": "x"}).response) == first


def test_heartbeat(app: Demijohn, client: FlaskClient, model: TestModel) -> None:
    """A silent stream says that it is alive."""
    app.config["HEARTBEAT"] = 0.01
    model.gate.clear()
    response = client.post(RUN, json=body())
    stream = iter(response.response)
    for part in stream:
        if part == b": alive\n\n":
            break
    model.gate.set()
    assert frames(stream)[-1][1] == "finished"


def test_failure(client: FlaskClient, model: TestModel) -> None:
    """An error in a branch ends the run with one "failed" event, which tells its kind alone."""
    model.error = ValueError("a secret")
    response = client.post(RUN, json=body())
    events = frames(response.response)
    assert events[-1][1:] == ("failed", {"outputs": None, "reason": "ValueError"})
    assert [name for _, name, _ in events if name in TERMINAL] == ["failed"]


def test_shutdown(client: FlaskClient, app: Demijohn, model: TestModel) -> None:
    """Closing the application stops the runs, with that reason, and waits for them."""
    model.gate.clear()
    response = client.post(RUN, json=body())
    assert model.asked.wait(WAIT)
    run = only_run(app)
    app.close()
    assert run.finished.is_set()
    assert frames(response.response)[-1][2]["reason"] == "shutdown"


def test_stranger(client: FlaskClient, app: Demijohn) -> None:
    """Nobody else's run can be seen, watched or stopped, and without a key nothing can."""
    run = client.post(RUN, json=body("blocking")).json["run"]
    bob = client_of(app, "bob-key")
    assert bob.get(f"/workflows/runs/{run}").status_code == 404
    assert bob.get(f"/workflows/runs/{run}/events").status_code == 404
    assert bob.post(f"/workflows/runs/{run}/stop").status_code == 404
    assert app.test_client().post(RUN, json=body()).status_code == 401


@pytest.mark.parametrize("settings", [{"TESTING": True, "HEARTBEAT": WAIT, "MOST_RUNS": 1}])
def test_too_many(client: FlaskClient, app: Demijohn, model: TestModel) -> None:
    """More runs than the process may work on are refused, and a place is free again after one."""
    model.gate.clear()
    response = client.post(RUN, json=body())
    refused = client.post(RUN, json=body())
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "5"
    model.gate.set()
    frames(response.response)
    assert client.post(RUN, json=body("blocking")).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {"inputs": {}},
        {"inputs": {"topic": ""}},
        {"inputs": {"topic": "x" * 201}},
        {"inputs": {"topic": "x", "sections": []}},
        {"inputs": {"topic": "x", "sections": ["a"] * 9}},
        {"inputs": {"topic": "x", "sections": [1]}},
        {"inputs": {"topic": "x"}, "response_mode": "later"},
    ],
)
def test_bad_input(client: FlaskClient, app: Demijohn, wrong: Any) -> None:
    """What is not valid is refused with 400, and starts nothing."""
    assert client.post(RUN, json=wrong).status_code == 400
    with app.app_context():
        from workflow.worker import runs

        assert not runs._live and not runs._ended
