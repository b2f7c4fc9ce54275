"""A Celery worker over a real Redis runs tasks of an application, which a web server posts.

The application is examples/recipes with the `FlaskTask` of Flask's documentation, moved by the
alias and by Demijohn's own names; the same on Flask is what to compare with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celery
import pytest
from celery.result import AsyncResult
from moving import WAYS, copy, environment
from servers import PATIENCE, redis, running

OBSERVED = Path(__file__).with_name("observed.py")
CLI = {"alias": "demijohn", "names": "demijohn", "flask": "flask"}


@dataclass
class Site:
    """The moved application in its folder, its worker running, and this process's way to it."""

    way: str
    folder: Path
    variables: dict[str, str]
    posting: celery.Celery

    def post(self, name: str, *arguments: object) -> AsyncResult[Any]:
        """Post a task of observed.py."""
        return self.posting.send_task(f"observed.{name}", arguments)

    def run(self, name: str, *arguments: object) -> Any:
        """Post a task and wait for what it returns."""
        return self.post(name, *arguments).get(timeout=PATIENCE)

    def ends(self, result: AsyncResult[Any]) -> list[str]:
        """Return how the app contexts ended that ended during a task."""
        lines = [line.split(" ", 2) for line in (self.folder / "ends").read_text().splitlines()]
        return [outcome for task, _, outcome in lines if task == result.id]


@contextmanager
def site(folder: Path, way: str, *pool: str) -> Iterator[Site]:
    """Move the application into `folder`, create its tables and start a worker."""
    copy(folder, way, OBSERVED)
    with redis() as broker:
        variables = dict(
            environment(
                STUDIO_BROKER=broker,
                STUDIO_MODEL_SECONDS="0",
                STUDIO_DATABASE=f"sqlite:///{folder / 'studio.sqlite3'}",
                OBSERVED_ENDS=str(folder / "ends"),
            )
        )
        command = [sys.executable, "-m", CLI[way], "--app", "wsgi", "create-tables"]
        subprocess.run(command, cwd=folder, env=variables, check=True, timeout=PATIENCE)
        worker = [sys.executable, "-m", "celery", "-A", "observed:celery_app", "worker"]
        worker += ["--loglevel", "INFO", "--without-gossip", "--without-mingle", *pool]
        with (
            celery.Celery(set_as_current=False, broker=broker, backend=broker) as posting,
            running(worker, r"celery@\S+ ready", cwd=folder, environment=variables) as started,
        ):
            assert started.ready is not None, started.output
            yield Site(way, folder, variables, posting)
        assert "CRITICAL" not in started.output, started.output


@pytest.fixture(scope="module", params=WAYS)
def prefork(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Yield a site whose worker runs its tasks in one child process, one after the other."""
    folder = tmp_path_factory.mktemp("prefork") / "studio"
    with site(folder, request.param, "--pool", "prefork", "--concurrency", "1") as started:
        yield started


@pytest.fixture(scope="module", params=WAYS)
def threads(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Yield a site whose worker runs two tasks at a time, in threads."""
    folder = tmp_path_factory.mktemp("threads") / "studio"
    with site(folder, request.param, "--pool", "threads", "--concurrency", "2") as started:
        yield started


def fetch(method: str, url: str, body: bytes | None = None) -> tuple[int, Any]:
    """Send one HTTP request; return the status and the JSON of the answer."""
    request = urllib.request.Request(url, data=body, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return response.status, json.load(response)


def polled(url: str) -> Any:
    """Ask for a task's result until it is there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        _, found = fetch("GET", url)
        if found["done"]:
            return found
    pytest.fail("The task did not end.")


def test_web_posts_a_task_and_polls_its_result(prefork: Site) -> None:
    """A client has an app published by the worker, over HTTP, and sees the worker's work."""
    server = [sys.executable, "-m", CLI[prefork.way], "--app", "wsgi", "run", "--port", "0"]
    with running(
        server,
        r"Running on (http://127\.0\.0\.1:\d+)",
        cwd=prefork.folder,
        environment=prefork.variables,
    ) as web:
        assert web.ready is not None, web.output
        address = web.ready[1]
        status, made = fetch("POST", f"{address}/apps", b"name=Desk")
        assert status == 201
        status, posted = fetch("POST", f"{address}/apps/{made['id']}/publish", b"")
        assert status == 202
        found = polled(address + posted["result"])
        page = "Be brief. Write a page about Desk. It depends."
        assert found == {"done": True, "value": {"page": page, "publisher": "studio"}}
        _, shown = fetch("GET", f"{address}/apps/{made['id']}")
        assert shown == {"name": "Desk", "status": "published"}
        task = AsyncResult(posted["result"].rpartition("/")[2], app=prefork.posting)
        assert prefork.ends(task) == ["None"]
        _, posted = fetch("POST", f"{address}/apps/77/publish", b"")
        assert polled(address + posted["result"]) == {"done": True, "error": "There is no app 77."}
    assert "Traceback" not in web.output, web.output


def test_each_task_has_a_context_of_its_own(prefork: Site) -> None:
    """Tasks of one process have the application, an empty `g`, no request, and one end each."""
    results = [prefork.post("visit", word) for word in ("ada", "ben", "cleo")]
    found = [result.get(timeout=PATIENCE) for result in results]
    for seen in found:
        assert seen["framework"] == CLI[prefork.way]
        assert (seen["app"], seen["g"], seen["request"]) == ("studio", [], False)
    assert len({seen["process"] for seen in found}) == 1
    first = found[0]["users"]
    assert [seen["users"] for seen in found] == [first, first + 1, first + 2]
    assert [prefork.ends(result) for result in results] == [["None"]] * 3


def test_failing_task_ends_its_context_with_its_error(prefork: Site) -> None:
    """The exception of a task reaches the end of its context, and whoever asks for the result."""
    result = prefork.post("fail")
    with pytest.raises(ValueError, match="no such report"):
        result.get(timeout=PATIENCE)
    assert prefork.ends(result) == ["ValueError('no such report')"]
    assert prefork.run("visit", "after")["g"] == []


def test_two_tasks_at_once_do_not_share_g(threads: Site) -> None:
    """Two tasks that run at the same time in one process keep what each left on `g`."""
    results = [threads.post("meet", word) for word in ("ada", "ben")]
    ada, ben = (result.get(timeout=PATIENCE) for result in results)
    assert ada["framework"] == ben["framework"] == CLI[threads.way]
    assert ada["process"] == ben["process"]
    assert (ada["g"], ben["g"]) == ([], [])
    assert (ada["kept"], ben["kept"]) == ("ada", "ben")
    assert ada["context"] != ben["context"]
    assert [threads.ends(result) for result in results] == [["None"]] * 2


def test_ends_are_counted(threads: Site) -> None:
    """A control: a task that opens a second context is seen to end two."""
    result = threads.post("nest")
    result.get(timeout=PATIENCE)
    assert threads.ends(result) == ["None", "None"]


def test_task_without_the_recipe_has_no_context(threads: Site) -> None:
    """A control: a task that is not a `FlaskTask` finds no application, and none has ended."""
    result = threads.post("bare")
    with pytest.raises(RuntimeError, match=r"^Working outside of application context") as caught:
        result.get(timeout=PATIENCE)
    assert threads.ends(result) == []
    if threads.way != "flask":
        assert "with app.app_context():" in str(caught.value)
