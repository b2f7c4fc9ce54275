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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celery
import pytest
from celery.result import AsyncResult
from local_servers import PATIENCE, redis, running
from moving import WAYS, copy, environment

OBSERVED = Path(__file__).with_name("observed.py")
CLI = {"alias": "demijohn", "names": "demijohn", "flask": "flask"}


@dataclass
class Site:
    """The moved application in its folder, its workers running, and this process's way to them."""

    way: str
    folder: Path
    variables: Mapping[str, str]
    posting: celery.Celery

    def post(self, name: str, *arguments: object, queue: str = "celery") -> AsyncResult[Any]:
        """Post a task of observed.py."""
        return self.posting.send_task(f"observed.{name}", arguments, queue=queue)

    def run(self, name: str, *arguments: object, queue: str = "celery") -> Any:
        """Post a task of observed.py and wait for what it returns."""
        return self.post(name, *arguments, queue=queue).get(timeout=PATIENCE)

    def ends(self, result: AsyncResult[Any]) -> list[str]:
        """Return how the app contexts ended that ended during a task."""
        lines = [line.split(" ", 2) for line in (self.folder / "ends").read_text().splitlines()]
        return [outcome for task, _, outcome in lines if task == result.id]

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Run both workers: tasks of the queue "threads" run two at a time, others one by one."""
        command = [sys.executable, "-m", "celery", "-A", "observed:celery_app", "worker"]
        command += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
        pools = {
            "celery": ["--pool", "prefork", "--concurrency", "1"],
            "threads": ["--pool", "threads", "--concurrency", "2"],
        }
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    running(
                        [*command, "--queues", queue, "--hostname", f"{queue}@here", *pool],
                        r"\w+@here ready",
                        cwd=self.folder,
                        environment=self.variables,
                    )
                )
                for queue, pool in pools.items()
            ]
            for worker in started:
                worker.started()
            yield
            for worker in started:
                worker.stop()  # so that they end at the same time
        for worker in started:
            assert worker.process.returncode == 0, worker.output
            assert "CRITICAL" not in worker.output, worker.output


@pytest.fixture(scope="module", params=WAYS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Move the application in one of the ways, create its tables and start its workers."""
    way = request.param
    folder = tmp_path_factory.mktemp("moved") / "studio"
    copy(folder, way, OBSERVED)
    (folder / "ends").touch()
    with redis() as broker:
        variables = environment(
            STUDIO_BROKER=broker,
            STUDIO_DATABASE=f"sqlite:///{folder / 'studio.sqlite3'}",
            STUDIO_MODEL_SECONDS="0",
            OBSERVED_ENDS=str(folder / "ends"),
        )
        command = [sys.executable, "-m", CLI[way], "--app", "wsgi", "create-tables"]
        subprocess.run(command, cwd=folder, env=variables, check=True, timeout=PATIENCE)
        with celery.Celery(set_as_current=False, broker=broker, backend=broker) as posting:
            found = Site(way, folder, variables, posting)
            with found.workers():
                yield found


def fetch(method: str, url: str, body: bytes | None = None) -> tuple[int, Any]:
    """Send one HTTP request; return the status and the JSON of the answer."""
    request = urllib.request.Request(url, data=body, method=method)
    client = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with client.open(request, timeout=PATIENCE) as response:
        return response.status, json.load(response)


def polled(url: str) -> Any:
    """Ask for a task's result until it is there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        _, found = fetch("GET", url)
        if found["done"]:
            return found
    pytest.fail("The task did not end.")


def test_web_posts_a_task_and_polls_its_result(site: Site) -> None:
    """A client has an app published by the worker, over HTTP, and sees the worker's work."""
    server = [sys.executable, "-m", CLI[site.way], "--app", "wsgi", "run", "--port", "0"]
    with running(
        server,
        r"Running on (http://127\.0\.0\.1:\d+)",
        cwd=site.folder,
        environment=site.variables,
    ) as web:
        address = web.started()[1]
        status, made = fetch("POST", f"{address}/apps", b"name=Desk")
        assert status == 201
        status, posted = fetch("POST", f"{address}/apps/{made['id']}/publish", b"")
        assert status == 202
        found = polled(address + posted["result"])
        page = "Be brief. Write a page about Desk. It depends."
        assert found == {"done": True, "value": {"page": page, "publisher": "studio"}}
        _, shown = fetch("GET", f"{address}/apps/{made['id']}")
        assert shown == {"name": "Desk", "status": "published"}
        task = AsyncResult(posted["result"].rpartition("/")[2], app=site.posting)
        assert site.ends(task) == ["None"]
        _, posted = fetch("POST", f"{address}/apps/77/publish", b"")
        assert polled(address + posted["result"]) == {"done": True, "error": "There is no app 77."}
    assert "Traceback" not in web.output, web.output


def test_each_task_has_a_context_of_its_own(site: Site) -> None:
    """Tasks of one process have the application, an empty `g`, no request, and one end each."""
    results = [site.post("visit", word) for word in ("ada", "ben", "cleo")]
    found = [result.get(timeout=PATIENCE) for result in results]
    for seen in found:
        assert seen["framework"] == CLI[site.way]
        assert (seen["app"], seen["g"], seen["request"]) == ("studio", [], False)
    assert len({seen["process"] for seen in found}) == 1
    first = found[0]["users"]
    assert [seen["users"] for seen in found] == [first, first + 1, first + 2]
    assert [site.ends(result) for result in results] == [["None"]] * 3


def test_failing_task_ends_its_context_with_its_error(site: Site) -> None:
    """The exception of a task reaches the end of its context, and whoever asks for the result."""
    result = site.post("fail")
    with pytest.raises(ValueError, match="no such report"):
        result.get(timeout=PATIENCE)
    assert site.ends(result) == ["ValueError('no such report')"]
    assert site.run("visit", "after")["g"] == []


def test_two_tasks_at_once_do_not_share_g(site: Site) -> None:
    """Two tasks that run at the same time in one process keep what each left on `g`."""
    results = [site.post("meet", word, queue="threads") for word in ("ada", "ben")]
    ada, ben = (result.get(timeout=PATIENCE) for result in results)
    assert ada["framework"] == ben["framework"] == CLI[site.way]
    assert ada["process"] == ben["process"]
    assert (ada["g"], ben["g"]) == ([], [])
    assert (ada["kept"], ben["kept"]) == ("ada", "ben")
    assert ada["context"] != ben["context"]
    assert [site.ends(result) for result in results] == [["None"]] * 2


def test_ends_are_counted(site: Site) -> None:
    """A control: a task that opens a second context is seen to end two."""
    result = site.post("nest", queue="threads")
    result.get(timeout=PATIENCE)
    assert site.ends(result) == ["None", "None"]


def test_task_without_the_recipe_has_no_context(site: Site) -> None:
    """A control: a task that is not a `FlaskTask` finds no application, and none has ended."""
    result = site.post("bare", queue="threads")
    with pytest.raises(RuntimeError, match=r"^Working outside of application context") as caught:
        result.get(timeout=PATIENCE)
    assert site.ends(result) == []
    if site.way != "flask":
        assert "with app.app_context():" in str(caught.value)


def test_a_context_that_was_left_is_seen(site: Site) -> None:
    """A control: `g` of a context that is left is found by a task without one, and by no other."""
    site.run("leave", "ada")
    try:
        assert site.run("bare")["g"] == ["word"]
        assert site.run("visit", "ben")["g"] == []
    finally:
        site.run("take_away")
