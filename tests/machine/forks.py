"""Children: started in one place, run in any, often and after their parents' ends.

What a child must see, run and raise is said here; how it is run is a rule's choice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .invariants import judge_log
from .lives import Life, Spot
from .model import Model
from .places import Outcome, attempt
from .resources import Acts, flat
from .watch import Running, Slot, Watch

if TYPE_CHECKING:
    from .system import System

variable: ContextVar[str | None] = ContextVar("machine", default=None)
"""A program's own variable: each place sets it, and no new thread sees it."""


@dataclass(eq=False)
class Forked:
    """What a child is made from, as it was at the start."""

    app: Any
    mark: int | None
    """What `g` had that is declared to carry."""
    path: str | None
    """Of the request that it was started in; None outside of one."""
    call: Callable[[], Any] = lambda: None
    inside: Callable[[], Any] = lambda: None


class Forks:
    """The children of one example."""

    def __init__(self, system: System, watch: Watch, acts: Acts) -> None:
        self.system = system
        self.watch = watch
        self.acts = acts
        self.all: list[Forked] = []
        self.pool: Any = None

    def start(self, app: Any, slot: Slot | None, path: str | None) -> Forked:
        """What a child started here is made from."""
        return Forked(app, None if slot is None else slot.mark, path)

    def run(
        self,
        forked: Forked,
        spec: Any,
        fails: dict[str, BaseException],
        late: bool,
        signals: bool,
        move: Callable[[Callable[[], Any]], Outcome],
        shares: bool = False,
    ) -> None:
        """Have `move` run the child, and judge it: what it saw, ran, returned and raised."""
        app, watch = forked.app, self.watch
        request = None if forked.path is None else Life()
        work = Running(app, late=late, spot=Spot(Life(), request, request, forked.path))
        model = Model(signals)
        model.begin(fails, late)
        ran: list[int] = []

        def inside() -> str:
            ran.append(1)
            self._look(forked, work, shares)
            for act in spec.acts:
                self.acts.do(act, work, app)
            if spec.error is not None:
                raise spec.error
            return "done"

        forked.inside = inside

        def call() -> Any:
            with watch.running(work, fails):
                return forked.call()

        result, raised = move(call)
        forked.inside = lambda: None
        due = self._due(work, model, spec.error, bool(ran))
        failed = bool(fails) and bool(due)
        if problem := judge_log(work.log, model.expected, "a child", failed):
            watch.wrong.append(problem)
        if flat(raised) != due:
            watch.say(10, f"a child raised {raised!r}, not {due}")
        elif not due and result != "done":
            watch.say(17, f"a child returned {result!r}")
        if raised is None:
            watch.is_over(work)
        work.clear()

    def _due(
        self, work: Running, model: Model, error: BaseException | None, ran: bool
    ) -> list[BaseException]:
        """What the child must raise: errors of its begin and end, or its own `error`."""
        app, spot = work.app, work.spot
        hooks = app is not self.system.apps[2]
        assert spot.app is not None
        due = model.reach("appcontext_pushed") if model.signals else []
        exc = due[0] if due else error
        if not due and not ran:
            self.watch.say(17, f"a child of {app} did not run")
        if not due and spot.request is not None:
            due += model.end_of("copy", hooks, False, spot.request, spot.app, exc, exc is None)
        due += model.end_of("app", hooks, False, spot.app, spot.app, exc, exc is None)
        return due or flat(exc)

    def _look(self, forked: Forked, work: Running, shares: bool) -> None:
        watch, fw = self.watch, self.system.module
        watch.look(work, "child")
        mark = fw.g.get("mark")
        if mark != forked.mark:
            watch.say(16, f"a child has the mark {mark}, not {forked.mark} as at its start")
        assert work.slot is not None
        fw.g.mark = work.slot.mark = -1
        if not shares and variable.get() is not None:
            watch.say(19, f"a child sees {variable.get()!r}, and nobody asked for that")
        if not shares:
            variable.set("child")
        if forked.path is None:
            return
        if fw.request.path != forked.path:
            watch.say(16, f"a child has the request of {fw.request.path}, not {forked.path}")
        if shares or forked.app is not self.system.apps[0]:
            return
        _, raised = attempt(lambda: fw.session.__setitem__("mark", 1))
        if type(raised).__name__ != "SessionReadOnly":
            watch.say(16, f"a child's write to the session raised {raised!r}")

    def in_new_thread(self, target: Callable[[], Any], thread: Any = threading.Thread) -> Any:
        """Run it on a thread made for it; what it returned or raised."""
        outcome: list[Outcome] = []
        made = thread(target=lambda: outcome.append(attempt(target)))
        made.start()
        made.join()
        result, raised = outcome.pop()
        try:
            if raised is not None:
                raise raised
            return result
        finally:
            del raised

    def start_now(self, how: str, function: Callable[[], Any]) -> Any:
        """Start a child here, and wait for it."""
        fw = self.system.module
        if how == "share":
            return fw.copy_current_request_context(function)()
        if how == "pool":
            if self.pool is None:
                self.pool = fw.ContextThreadPoolExecutor(1)
            return self.pool.submit(function).result()
        if how == "parallel":
            with fw.parallel() as branches:
                branch = branches.submit(function)
            return branch.result()
        return self.in_new_thread(function, fw.ContextThread)

    def stop(self) -> None:
        """End the pool's thread."""
        if self.pool is not None:
            self.pool.shutdown()

    def nothing_seen(self) -> None:
        """On a new thread, nothing is current and no variable is set."""
        fw = self.system.module
        if fw.has_app_context() or fw.has_request_context() or variable.get() is not None:
            self.watch.say(19, f"a new thread sees {self.system.see(self.watch)}")
