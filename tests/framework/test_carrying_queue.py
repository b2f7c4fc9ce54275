"""A carrier in the headers of a Celery message: what was put in here is there for the task."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task
from celery.contrib.testing.worker import start_worker

from demijohn import ContextField, Demijohn, app_ctx, g, has_app_context

PATIENCE = 60.0  # seconds

app = Demijohn("queue", static_folder=None)
app.carry("user_id")
tenant = ContextField("queue_tenant", default="", carries=True)
ends: list[Any] = []


@app.teardown_appcontext
def note(exc: BaseException | None) -> None:
    ends.append(g.get("user_id"))


class ContextTask(Task):  # type: ignore[misc]
    """Posts with the carrier of the current context, and runs in one of its own made from it.

    A task that another one calls directly joins that one's context.
    """

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        if has_app_context():
            headers = options.pop("headers", None) or {}
            options["headers"] = {**headers, "carrier": app_ctx.carrier()}
        return super().apply_async(args, kwargs, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with app.app_context(nested="join", carrier=self.request.get("carrier")):
            return self.run(*args, **kwargs)


queue = Celery("queue", broker="memory://", backend="cache+memory://", task_cls=ContextTask)
queue.conf.broker_transport_options = {"polling_interval": 0.01}  # seconds


@queue.task
def seen() -> list[Any]:
    return [g.get("user_id"), g.get("secret"), tenant.get()]


@queue.task
def calls_another() -> Any:
    g.user_id = 99
    return seen.apply().get(disable_sync_subtasks=False)


@pytest.fixture(scope="module")
def worker() -> Iterator[None]:
    level = logging.root.level
    try:
        # Celery's worker sets the root logger's level, and leaves it so.
        with start_worker(queue, perform_ping_check=False, pool="solo"):
            yield
    finally:
        logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def fresh() -> None:
    ends.clear()


def test_a_task_has_what_was_declared(worker: None) -> None:
    """The task reads the declared values of the code that posted it, and ends its own context."""
    with app.app_context():
        g.user_id, g.secret = 7, "stays"
        tenant.set("acme")
        result = seen.delay()
        g.user_id = 8
        assert result.get(timeout=PATIENCE, interval=0.01) == [7, None, "acme"]
    assert sorted(ends) == [7, 8]


def test_a_task_that_was_posted_outside_has_nothing(worker: None) -> None:
    """Posted where no context is current, a task starts fresh; nothing of earlier tasks is left."""
    assert seen.delay().get(timeout=PATIENCE, interval=0.01) == [None, None, ""]
    assert ends == [None]


def test_a_task_that_is_called_by_another_joins_it(worker: None) -> None:
    """A task called directly shares its caller's context, which ends once."""
    assert calls_another.delay().get(timeout=PATIENCE, interval=0.01) == [99, None, ""]
    assert ends == [99]
