"""The graph: what a run does, step by step, some of it side by side.

Each step takes and returns plain data and tells the run what happens. Branches are children of the
worker's context: the user, the trace and the language are there, and a stop reaches all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Protocol

from demijohn import app_ctx, current_app, g, parallel, released, resource

from . import database, language, trace_id
from .entity import RunRequest
from .events import EventLog


class Model(Protocol):
    """A language model."""

    def complete(self, prompt: str) -> str:
        """Return the answer; takes its time."""


class SlowModel:
    """A made-up model: thinks for a while and says little."""

    def complete(self, prompt: str) -> str:
        """Return the prompt in other words, unless the work is stopped meanwhile."""
        app_ctx.wait_cancelled(current_app.config["MODEL_DELAY"])
        app_ctx.check()
        return f"[{language.get()}] {prompt}."


@resource(lifetime="app")
def model() -> Iterator[Model]:
    """The model that all runs share."""
    yield SlowModel()


def ask(prompt: str) -> str:
    """Ask the model, and hold nothing while it thinks."""
    app_ctx.check()
    with released():
        return model.complete(prompt)


def run_graph(request: RunRequest, log: EventLog) -> dict[str, str]:
    """Outline, then all sections side by side, then the article."""
    earlier = database.count_runs(g.user_id)
    prompt = f"Outline article {earlier} on {request.topic}"
    outline = step(log, "outline", lambda: ask(prompt))
    with parallel(max_workers=4, context=copy_context()) as branches:
        for section in request.sections:
            branches.submit(write_section, log, section, outline)
    article = step(log, "edit", lambda: ask(" ".join(branches.results)))
    return {"article": article, "by": g.user_id, "trace": trace_id.get()}


def write_section(log: EventLog, section: str, outline: str) -> str:
    """A section is written and its facts are looked up at the same time."""
    with parallel(context=copy_context()) as branches:
        text = branches.submit(step, log, f"write {section}", lambda: ask(f"{section}: {outline}"))
        facts = branches.submit(step, log, f"facts {section}", lambda: ask(f"Facts on {section}"))
    return f"{text.result()} ({facts.result()})"


def step(log: EventLog, name: str, work: Callable[[], str]) -> str:
    """Run one step between its two events."""
    log.write("step_started", step=name, user=g.user_id, trace=trace_id.get())
    result = work()
    log.write("step_finished", step=name, result=result)
    return result
