"""Pattern 7: Celery tasks that use an application, run by Celery in eager mode (in the caller)."""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

import celery._state
import pytest
from celery import Celery, Task, shared_task

CELERY = {
    "broker_url": "memory://",
    "result_backend": "cache+memory://",
    "task_always_eager": True,
    "task_eager_propagates": True,
    "task_ignore_result": True,
}


@pytest.fixture(autouse=True)
def fresh_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery's tables of a process, for one test: its current application and shared tasks."""
    monkeypatch.setattr(celery._state, "_on_app_finalizers", set())
    monkeypatch.setattr(celery._state, "_tls", celery._state._TLS())
    monkeypatch.setattr(celery._state, "default_app", None)
    monkeypatch.setattr(celery._state, "_apps", weakref.WeakSet())


def create_app(framework: ModuleType, log: list[Any] | None = None) -> Any:
    """An application factory; `log` gets what happens at the end of its contexts."""
    app = framework.Flask("reports")
    app.config.from_mapping(CELERY=CELERY, RECIPIENT="ops@example.com", SERVER_NAME="example.com")
    app.add_url_rule("/report/<int:number>", "report", view_func=lambda number: str(number))
    if log is not None:

        @app.teardown_appcontext
        def teardown(exc: BaseException | None) -> None:
            log.append(("teardown", exc))

    return app


def celery_init_app(app: Any) -> Celery:
    """The integration of Flask's documentation: each task runs in an app context."""

    class FlaskTask(Task):  # type: ignore[misc]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


def test_task_makes_its_app_and_pushes_a_context(framework: ModuleType) -> None:
    """A task that makes its own application uses `current_app` and `url_for` under its context."""
    log: list[Any] = []
    celery_app = Celery("reports")
    celery_app.config_from_object(CELERY)

    @celery_app.task
    def send_report(number: int) -> str:
        app = create_app(framework, log)
        with app.app_context():
            recipient = framework.current_app.config["RECIPIENT"]
            return f"{framework.url_for('report', number=number)} to {recipient}"

    result = send_report.delay(7)
    assert result.get() == "http://example.com/report/7 to ops@example.com"
    assert log == [("teardown", None)]
    assert not framework.has_app_context()


def test_worker_module_pushes_once(framework: ModuleType) -> None:
    """A module that pushes a context for the life of its worker serves all its tasks with it."""
    celery_app = Celery("reports")
    celery_app.config_from_object(CELERY)

    @celery_app.task
    def recipient() -> str:
        return str(framework.current_app.config["RECIPIENT"])

    ctx = create_app(framework).app_context()
    ctx.push()
    try:
        assert [recipient.delay().get() for _ in range(3)] == ["ops@example.com"] * 3
    finally:
        ctx.pop()
    with pytest.raises(RuntimeError, match=r"^Working outside of application context"):
        recipient.delay()


def test_integration_of_the_documentation(framework: ModuleType) -> None:
    """With the documented task class every task has a context of its own, each ended once."""
    log: list[Any] = []
    app = create_app(framework, log)
    celery_app = celery_init_app(app)
    g = framework.g

    @celery_app.task
    def count() -> int:
        log.append(("found", "n" in g))
        g.n = 1
        return int(g.n)

    assert [count.delay().get(), count.apply().get()] == [1, 1]
    assert log == [("found", False), ("teardown", None)] * 2


def test_task_started_by_a_view(framework: ModuleType) -> None:
    """An eager task that a view starts has its own `g`, and the view's is there again after it."""
    log: list[Any] = []
    app = create_app(framework, log)
    celery_app = celery_init_app(app)
    g = framework.g

    @celery_app.task
    def add(a: int, b: int) -> int:
        log.append(("user" in g, framework.has_request_context()))
        return a + b

    @app.post("/add")
    def start_add() -> dict[str, object]:
        g.user = "ada"
        result = add.delay(framework.request.form.get("a", type=int), b=2)
        return {"result": result.get(), "user": g.user}

    answer = app.test_client().post("/add", data={"a": "1"}).get_json()
    assert answer == {"result": 3, "user": "ada"}
    # Eager means inside the request: its `request` stays readable, as it does in Flask.
    assert log == [(False, True), ("teardown", None), ("teardown", None)]


def test_failing_task(framework: ModuleType) -> None:
    """The exception of a task reaches the context's teardown functions and the caller."""
    log: list[Any] = []
    celery_app = celery_init_app(create_app(framework, log))
    error = ValueError("no such report")

    @celery_app.task
    def fail() -> None:
        raise error

    with pytest.raises(ValueError) as caught:
        fail.delay()
    assert caught.value is error
    assert log == [("teardown", error)]
    assert not framework.has_app_context()


def test_shared_task(framework: ModuleType) -> None:
    """A `shared_task`, declared without an application, runs in the context of the current one."""

    @shared_task(ignore_result=False)
    def recipient() -> str:
        return f"{framework.current_app.name}: {framework.current_app.config['RECIPIENT']}"

    celery_init_app(create_app(framework))
    assert recipient.delay().get() == "reports: ops@example.com"


def test_task_that_starts_a_task(framework: ModuleType) -> None:
    """A task that starts another is in its own context again when that one is done."""
    log: list[Any] = []
    celery_app = celery_init_app(create_app(framework, log))
    g = framework.g

    @celery_app.task
    def inner() -> bool:
        return "name" in g

    @celery_app.task
    def outer() -> tuple[bool, str]:
        g.name = "outer"
        return inner.delay().get(disable_sync_subtasks=False), g.name

    assert outer.delay().get() == (False, "outer")
    assert log == [("teardown", None)] * 2
