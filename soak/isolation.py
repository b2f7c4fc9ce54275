"""Isolation: a million checks over threads, greenlets, tasks and streams: each sees its own.

Requests of two applications run at once, are paused in their views, and their bodies are stepped
in turn; children run beside them. What each sees (request, `g`, session, `current_app`, a resource)
is compared with what is its own.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from time import monotonic
from typing import Any

from greenlet import getcurrent, greenlet
from werkzeug.test import EnvironBuilder

from soak import SoakFailure

SECONDS = 240.0
CHECKS = 1_000_000
MOST_SECONDS = 480.0
AT_ONCE = 6
"""Bodies that are stepped in turn, greenlets, and tasks, on each thread."""


class Worker:
    """One thread's way of running requests, and what it has counted."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.chance = random.Random(f"{seed} {number}")
        self.checks = 0
        self.wrong: list[str] = []
        self.made = 0
        #: Lets other requests of this worker go on, in the midst of this one.
        self.pause: Callable[[], object] = lambda: None

    def new(self) -> str:
        """Another request's name; its worker can be read from it."""
        self.made += 1
        return f"{self.number}-{self.made}"

    def check(self, own: str, seen: list[tuple[str, object]]) -> None:
        """Compare what is seen, by what it is, with what is `own`."""
        self.checks += len(seen)
        self.wrong += [f"{what} of {own} is {found}" for what, found in seen if found != own]


class Subject:
    """Two applications of a framework, whose views and bodies look at what they see."""

    def __init__(self, framework: Any) -> None:
        self.framework = framework
        self.complete = hasattr(framework, "in_child")
        self.workers: list[Worker] = []
        self.resource = self._resource() if self.complete else None
        self.apps = [self._app("isolation_0"), self._app("isolation_1")]

    def _resource(self) -> Any:
        framework = self.framework

        @framework.resource(lifetime="body")
        def name() -> Iterator[list[str]]:
            yield [framework.request.args["own"]]

        return name

    def _app(self, name: str) -> Any:
        framework = self.framework
        app = framework.Flask(name, static_folder=None)
        app.secret_key = "isolation"
        app.logger.disabled = True
        if self.complete:
            app.carry("own")
        app.add_url_rule("/", "view", self._view)
        return app

    def worker(self, own: str) -> Worker:
        """Whose request it is."""
        return self.workers[int(own.partition("-")[0])]

    def app_of(self, own: str) -> Any:
        """The application of a request, by its number."""
        return self.apps[int(own.partition("-")[2]) % 2]

    def look(self, own: str) -> None:
        """Look at everything, as the request of this name."""
        fw = self.framework
        app = fw.current_app._get_current_object()
        seen = [
            ("request", fw.request.args["own"]),
            ("g", fw.g.get("own")),
            ("session", fw.session.get("own")),
            ("current_app", own if app is self.app_of(own) else app.name),
        ]
        if self.resource is not None:
            seen.append(("resource", self.resource[0]))
        self.worker(own).check(own, seen)

    def _view(self) -> Any:
        fw = self.framework
        own = fw.request.args["own"]
        worker = self.worker(own)
        fw.g.own = fw.session["own"] = own
        worker.pause()
        self.look(own)
        if self.complete and worker.chance.random() < 0.05:
            with fw.parallel() as branches:
                branches.submit(self.look, own)
                branches.submit(fw.in_child(self.look), own)
                self.look(own)
        return fw.Response(fw.stream_with_context(self._steps(own)))

    def _steps(self, own: str) -> Iterator[str]:
        worker = self.worker(own)
        for _ in range(worker.chance.randrange(1, 8)):
            self.look(own)
            worker.pause()
            self.look(own)
            yield own

    # -- ways of running them -----------------------------------------------------------------

    def open(self, worker: Worker) -> tuple[str, Any]:
        """Make a request as a server does; its name, and its body unread."""
        own = worker.new()
        environ = EnvironBuilder("/", query_string={"own": own}).get_environ()
        return own, self.app_of(own)(environ, lambda status, headers, exc_info=None: None)

    def outside(self, worker: Worker) -> None:
        """The code that steps bodies sees none of their contexts."""
        fw = self.framework
        worker.checks += 2
        if fw.has_app_context() or fw.has_request_context():
            worker.wrong.append("a context is seen outside of every request")

    def streams(self, worker: Worker, go_on: Callable[[], bool]) -> None:
        """Bodies, stepped in turn; some are closed or dropped in their midst."""
        bodies: list[Iterator[bytes]] = []
        while go_on():
            if len(bodies) < AT_ONCE:
                bodies.append(self.open(worker)[1])
            body = worker.chance.choice(bodies)
            over = next(iter(body), None) is None
            if over or worker.chance.random() < 0.02:
                bodies.remove(body)
                if over or worker.chance.random() < 0.5:
                    body.close()  # type: ignore[attr-defined]
            del body
            self.outside(worker)

    def greenlets(self, worker: Worker, go_on: Callable[[], bool]) -> None:
        """Requests in greenlets, each left and resumed in its view and its steps."""
        hub = getcurrent()
        worker.pause = lambda: hub.switch() if getcurrent() is not hub else None

        def serve() -> None:
            body = self.open(worker)[1]
            for _ in body:
                worker.pause()
            body.close()

        running: list[greenlet] = []
        while running or go_on():
            while len(running) < AT_ONCE and go_on():
                running.append(greenlet(serve))
            one = worker.chance.choice(running)
            one.switch()
            if one.dead:
                running.remove(one)
            self.outside(worker)

    def tasks(self, worker: Worker, go_on: Callable[[], bool]) -> None:
        """Requests by hand in asyncio tasks, with children in tasks of their own."""
        fw = self.framework

        async def branch(own: str) -> None:
            for _ in range(3):
                self.look(own)
                await asyncio.sleep(0)

        async def serve() -> None:
            own = worker.new()
            with self.app_of(own).test_request_context("/", query_string={"own": own}):
                fw.g.own = fw.session["own"] = own
                if not self.complete:
                    await branch(own)
                    return
                async with fw.task_group() as group:
                    for _ in range(2):
                        group.create_task(branch(own))
                    await branch(own)

        async def all_of_them() -> None:
            while go_on():
                async with asyncio.TaskGroup() as group:
                    for _ in range(AT_ONCE):
                        group.create_task(serve())
                self.outside(worker)

        asyncio.run(all_of_them())


def run(
    seed: int, seconds: float, subject: str = "demijohn", checks: int = CHECKS
) -> dict[str, object]:
    """Make a million checks; raise SoakFailure when one was wrong, or they take too long."""
    subjects = Subject(import_module(subject))
    ways = [subjects.streams, subjects.greenlets, subjects.tasks, subjects.streams]
    subjects.workers = [Worker(number, seed) for number in range(len(ways))]
    share = -(-checks // len(ways))
    last = monotonic() + MOST_SECONDS

    def work(number: int) -> None:
        worker = subjects.workers[number]

        def go_on() -> bool:
            return worker.checks < share and not worker.wrong and monotonic() < last

        try:
            ways[number](worker, go_on)
        except BaseException as error:
            worker.wrong.append(f"{ways[number].__name__}: {error!r}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(ways))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    made = sum(worker.checks for worker in subjects.workers)
    wrong = [what for worker in subjects.workers for what in worker.wrong]
    if wrong:
        raise SoakFailure(f"{len(wrong)} of {made} checks wrong: {'; '.join(wrong[:5])}")
    if made < checks:
        raise SoakFailure(f"only {made} of {checks} checks in time")
    requests = sum(worker.made for worker in subjects.workers)
    return {"checks": made, "wrong": 0, "requests": requests, "threads": len(threads)}
