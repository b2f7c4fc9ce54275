"""Executing runs in the background: started by a request, owned by nobody but themselves."""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict

from demijohn import (
    Cancelled,
    ContextThread,
    DeadlineExceeded,
    app_ctx,
    current_app,
    g,
    resource,
)
from demijohn.ctx import AppContext
from werkzeug.exceptions import ServiceUnavailable

from . import database, steps
from .entity import RunRequest
from .events import EventLog


class Run:
    """One run while its process works on it, and for as long as somebody reads its events."""

    def __init__(self, owner: str, request: RunRequest) -> None:
        self.id = str(uuid.uuid4())
        self.owner = owner
        self.request = request
        self.log = EventLog()
        self.finished = threading.Event()
        # The worker's context once it works, and why it was asked to stop before.
        self._work: AppContext | None = None
        self._stop: str | None = None
        self._lock = threading.Lock()

    def stop(self, reason: str) -> str:
        """Ask it to stop: "requested", or "finished" where that comes too late."""
        if self.finished.is_set():
            return "finished"
        with self._lock:
            self._stop = self._stop or reason
            work = self._work
        if work is not None:
            work.cancel(reason)
        return "requested"

    def work_in(self, work: AppContext) -> None:
        """Note the context in which the run works from now on."""
        with self._lock:
            self._work = work
            stop = self._stop
        if stop is not None:
            work.cancel(stop)


class Runs:
    """The runs of this process: those that work, and the last ones that have ended."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._live: dict[str, Run] = {}
        self._ended: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, request: RunRequest) -> Run:
        """Start a run for the current user: its record first, then the work.

        Raises `ServiceUnavailable` when too many work already.
        """
        run = Run(g.user_id, request)
        with self._lock:
            if len(self._live) >= self._most:
                raise ServiceUnavailable("Too many runs at once. Try again later.", retry_after=5)
            self._live[run.id] = run
        try:
            database.create_run(run.id, run.owner, asdict(request))
            run.log.write("started", run=run.id)
            # The worker has the application, what is declared to carry, and this code's variables.
            ContextThread(
                target=execute,
                args=(run, self),
                name=f"run-{run.id[:8]}",
                context=contextvars.copy_context(),
                deadline=current_app.config["RUN_LIMIT"],
            ).start()
        except BaseException:
            self.ended(run)
            raise
        return run

    def get(self, run_id: str, owner: str) -> Run | None:
        """A run of this owner; there are no others for them."""
        run = self._live.get(run_id) or self._ended.get(run_id)
        return run if run is not None and run.owner == owner else None

    def ended(self, run: Run) -> None:
        """Free its place. Its events can be read until a hundred others have ended."""
        with self._lock:
            del self._live[run.id]
            self._ended[run.id] = run
            if len(self._ended) > 100:
                self._ended.popitem(last=False)

    def close(self, timeout: float = 5.0) -> None:
        """Stop what is running, and wait for it."""
        with self._lock:
            live = list(self._live.values())
        for run in live:
            run.stop("shutdown")
        for run in live:
            run.finished.wait(timeout)


@resource(lifetime="app")
def runs() -> Iterator[Runs]:
    """The runs of this process; closing the application stops them."""
    live = Runs(current_app.config["MOST_RUNS"])
    try:
        yield live
    finally:
        live.close()


def execute(run: Run, live: Runs) -> None:
    """The worker: the graph, then the record and the one terminal event, whatever happened."""
    outputs: dict[str, str] | None = None
    try:
        run.work_in(app_ctx._get_current_object())  # type: ignore[attr-defined]
        outputs = steps.run_graph(run.request, run.log)
        state, reason = "finished", None
    except (Cancelled, DeadlineExceeded):
        state, reason = "stopped", app_ctx.cancel_reason
    except Exception as error:
        current_app.logger.exception("Run %s failed", run.id)
        state, reason = "failed", type(error).__name__
    try:
        database.finish_run(run.id, state, outputs, reason)
    finally:
        live.ended(run)
        run.log.write(state, outputs=outputs, reason=reason)
        run.finished.set()
