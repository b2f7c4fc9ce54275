"""Asyncio tasks that are stepped by hand: each runs until it waits, wherever the loop is run.

A task has a context of its own, is a child, or is a bare one that sees what its starter saw.
"""

from __future__ import annotations

import asyncio
import contextvars
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import demijohn

from .drawn import Bits, brief
from .forks import Forked
from .invariants import judge_log
from .lives import Life, Open, Spot
from .model import Model
from .places import attempt
from .resources import Act, Acts, draw_act, flat
from .watch import Running, Watch

if TYPE_CHECKING:
    from .system import System

KINDS = ["with", "async with", "child", "bare"]


@dataclass(frozen=True, repr=False)
class Script:
    """What a task does: one act a step, a wait between two."""

    kind: str = "with"
    app: int = 0
    count: int = 0
    awaits: bool = False
    """Whether it uses an async resource first."""
    fails_in_step: int = -1
    acts: tuple[Act, ...] = ()

    __repr__ = brief


def draw_script(bits: Bits) -> Script:
    """A task."""
    return Script(
        kind=bits.one(KINDS),
        app=bits.below(3),
        count=bits.below(4),
        awaits=bits.flag(),
        fails_in_step=bits.below(6) - 2,
        acts=tuple(bits.some(4, draw_act)),
    )


class HandTask:
    """One task that is not over."""

    def __init__(self, script: Script, work: Running, spot: Callable[[], Spot]) -> None:
        self.script = script
        self.work = work
        self.spot = spot
        self.position = 0
        self.exc: BaseException | None = None
        self.begun = False
        self.task: Any = None
        self.gate: Any = None

    @property
    def is_last(self) -> bool:
        """Whether the next step is the task's last one."""
        script = self.script
        return self.position in (script.count, script.fails_in_step)


class Tasks:
    """The tasks of one example, and their loop."""

    def __init__(self, system: System, watch: Watch, acts: Acts, error: type[Exception]) -> None:
        self.system = system
        self.watch = watch
        self.acts = acts
        self.error = error
        self.all: list[HandTask] = []
        self.loop = asyncio.SelectorEventLoop()

    def stop(self) -> None:
        """Nothing runs any more."""
        for task in self.all:
            task.task.cancel()
        if self.all:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.spin()
        self.loop.close()

    # -- what a task does ---------------------------------------------------------------------

    def start(
        self, script: Script, forked: Forked | None, spot: Callable[[], Spot], seen: Running | None
    ) -> HandTask:
        """Make one where its starter runs; its first step is yet to come."""
        app = self.system.apps[script.app] if forked is None else forked.app
        request = None if forked is None or forked.path is None else Life()
        path = None if forked is None else forked.path
        own = Spot(Life(), request, request, path)
        work = seen or Running(app, spot=own)
        task = HandTask(script, work, spot if seen else (lambda: own))
        coroutine = self._main(task, forked)
        context = contextvars.copy_context() if seen else contextvars.Context()
        task.task = self.loop.create_task(coroutine, context=context)
        self.all.append(task)
        return task

    def in_child(self, forked: Forked) -> Callable[[], Any]:
        """Start a child here, for a task that awaits it."""

        async def inside() -> Any:
            return await forked.inside()

        return demijohn.in_child(inside)

    async def _main(self, task: HandTask, forked: Forked | None) -> str:
        kind, app = task.script.kind, task.work.app
        if kind == "with":
            with app.app_context():
                return await self._body(task)
        if kind == "async with":
            async with app.app_context():
                return await self._body(task)
        if kind == "child":
            assert forked is not None
            forked.inside = lambda: self._body(task)
            return str(await forked.call())
        return await self._body(task)

    async def _body(self, task: HandTask) -> str:
        task.begun = True
        try:
            for step in range(task.script.count + 1):
                task.work.spot = task.spot()
                self.watch.look(task.work, "task")
                if step == 0 and task.script.awaits and task.script.kind in ("async with", "child"):
                    await self._await_resource(task.work)
                for act in task.script.acts[step : step + 1]:
                    self.acts.do(act, task.work, task.work.app)
                if step == task.script.fails_in_step:
                    raise self.error("task")
                if step < task.script.count:
                    task.gate = self.loop.create_future()
                    await task.gate
            return "done"
        except BaseException as error:
            task.exc = error
            raise

    async def _await_resource(self, work: Running) -> None:
        start, life = len(work.log), work.spot.app
        assert life is not None
        value = await self.system.resources.by_name["awaited"]
        if work.log[start:] != [("open awaited", None)]:
            self.watch.say(8, f"an async resource was opened as {work.log[start:]}")
        if value is not await self.system.resources.by_name["awaited"]:
            self.watch.say(3, "an async resource is not the same twice")
        del work.log[start:]
        life.held.append(Open("awaited", value))

    # -- moving it on -------------------------------------------------------------------------

    def spin(self) -> None:
        """Run the loop until everything waits."""
        while True:
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            if not self.loop._ready:  # type: ignore[attr-defined]
                return

    def move(self, task: HandTask, how: str) -> None:
        """Let one task go on to its next wait, or cancel it."""
        if how == "cancel":
            task.task.cancel()
        elif task.gate is not None:
            gate, task.gate = task.gate, None
            gate.set_result(None)
        self.spin()

    def judge(self, task: HandTask, how: str, model: Model) -> None:
        """Compare with the model what a step did; `model` has the errors of a last one."""
        watch, work = self.watch, task.work
        last = task.is_last or how == "cancel"
        task.position += 1
        if task.task.done() != last:
            watch.say(8, f"{task.script}: done is {task.task.done()} after step {task.position}")
        due = self._end(task, model) if last else []
        if problem := judge_log(work.log, model.expected, f"{task.script}", bool(due)):
            watch.wrong.append(problem)
        work.log.clear()
        if not last:
            return
        self.all.remove(task)
        raised = attempt(task.task.result)[1]
        if flat(raised) != (due or flat(task.exc)) and not (task.task.cancelled() and not due):
            watch.say(10, f"{task.script}: raised {raised!r}, not {due or task.exc}")
        if raised is None and task.exc is None:
            watch.is_over(work) if task.script.kind != "bare" else work.log.clear()
        task.exc = task.task = None

    def _end(self, task: HandTask, model: Model) -> list[BaseException]:
        if not task.begun or task.script.kind == "bare":
            return []
        spot, exc, app = task.work.spot, task.exc, task.work.app
        hooks, good = app is not self.system.apps[2], exc is None
        assert spot.app is not None
        errors: list[BaseException] = []
        if spot.request is not None:
            errors += model.end_of("copy", hooks, False, spot.request, spot.app, exc, good)
        return errors + model.end_of("app", hooks, False, spot.app, spot.app, exc, good)
