"""`python -m benchmarks.costs`: what the parts of a context cost, beside Flask's where it has them.

Not limits, figures: `make bench` judges. Rounds of both frameworks are interleaved; the table shows
the median of the rounds in microseconds of processor time of the whole process. `--proof` writes
`docs/proof/costs.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import repeat
from statistics import median
from time import process_time_ns
from typing import Any

from benchmarks.workloads import WORKLOADS
from tools import proof

OURS, THEIRS = "demijohn", "flask"
CHUNKS = 1000

# Does the thing that is timed once, or `UNITS[name]` times.
Act = Callable[[], object]
UNITS = {"one step of a streamed body": CHUNKS, "read through an open resource": 100}


class Opened:
    """What is opened and closed."""

    value = 1

    def close(self) -> None:
        """Do nothing: the framework's share is timed."""


def site(framework: Any) -> Any:
    """An application with a stream and `g`'s recipe of a resource."""
    app = framework.Flask("costs")
    app.add_url_rule("/", "hello", lambda: "hello")
    app.add_url_rule("/stream", "stream", lambda: (b"x" for _ in repeat(None, CHUNKS)))
    return app


def acts(name: str) -> dict[str, Act]:
    """What can be timed with either framework."""
    framework = import_module(name)
    app, g = site(framework), framework.g
    environ = WORKLOADS[0].environ()

    def push_app() -> None:
        with app.app_context():
            pass

    def push_request() -> None:
        with app.request_context(environ.copy()):
            pass

    def request(path: str) -> Act:
        def call() -> None:
            body = app.wsgi_app(environ | {"PATH_INFO": path}, lambda *told: lambda data: None)
            with contextlib.closing(body) if hasattr(body, "close") else contextlib.nullcontext():
                for _ in body:
                    pass

        return call

    holder = framework.Flask("holder")

    def get() -> Any:
        if "opened" not in g:
            g.opened = Opened()
        return g.opened

    @holder.teardown_appcontext
    def close(exc: BaseException | None) -> None:
        opened = g.pop("opened", None)
        if opened is not None:
            opened.close()

    def open_on_g() -> None:
        with holder.app_context():
            get()

    def copied() -> None:
        with app.request_context(environ.copy()):
            framework.copy_current_request_context(int)()

    return {
        "push and pop an app context": push_app,
        "push and pop a request context": push_request,
        "a request": request("/"),
        "one step of a streamed body": request("/stream"),
        "open and close on g, with teardown": open_on_g,
        "a request context with a copy": copied,
    }


def own_acts() -> dict[str, Act]:
    """What Flask has nothing of."""
    framework: Any = import_module(OURS)
    app = site(framework)
    environ = WORKLOADS[0].environ()

    @framework.resource
    def opened() -> Iterator[Opened]:
        yield Opened()

    @framework.resource(lifetime="view")
    def released() -> Iterator[Opened]:
        yield Opened()

    def open_resource() -> None:
        with app.app_context():
            _ = opened.value

    def read_resource() -> None:
        with app.app_context():
            for _ in repeat(None, UNITS["read through an open resource"]):
                _ = opened.value

    def release() -> None:
        with app.app_context():
            _ = released.value
            with framework.released():
                pass

    def child() -> None:
        with app.request_context(environ.copy()):
            framework.in_child(int)()

    def on_a_thread(make: Callable[..., threading.Thread]) -> Act:
        def start() -> None:
            with app.app_context():
                thread = make(target=int)
                thread.start()
                thread.join()

        return start

    def branches() -> None:
        with app.app_context(), framework.parallel() as p:
            p.submit(int)
            p.submit(int)

    return {
        "open and close a resource": open_resource,
        "read through an open resource": read_resource,
        "open, release and close one": release,
        "a request context with a child": child,
        "a plain thread under an app context": on_a_thread(threading.Thread),
        "a ContextThread under one": on_a_thread(framework.ContextThread),
        "two parallel branches under one": branches,
    }


def time_of(act: Act, calls: int, units: int) -> float:
    """Microseconds of one."""
    start = process_time_ns()
    for _ in repeat(None, calls):
        act()
    return (process_time_ns() - start) / calls / units / 1e3


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Name -> framework -> median microseconds."""
    subjects = {OURS: acts(OURS) | own_acts(), THEIRS: acts(THEIRS)}
    times: dict[str, dict[str, list[float]]] = {}
    for number in range(-1, rounds):
        for name in subjects[OURS]:
            for subject, known in subjects.items():
                if name in known:
                    units = UNITS.get(name, 1)
                    time = time_of(known[name], max(1, 400 // units), units)
                    if number >= 0:  # the first one warms up
                        times.setdefault(name, {}).setdefault(subject, []).append(time)
    return {
        name: {subject: round(median(found), 3) for subject, found in by.items()}
        for name, by in times.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--proof", action="store_true", help="write docs/proof/costs.json")
    options = parser.parse_args()
    found = measure(options.rounds)
    print(f"{'processor µs: median':<40}{OURS:>12}{THEIRS:>12}")
    for name, by in found.items():
        theirs = f"{by[THEIRS]:>12.2f}" if THEIRS in by else f"{'-':>12}"
        print(f"{name:<40}{by[OURS]:>12.2f}{theirs}")
    if options.proof:
        proof.record("costs", "python -m benchmarks.costs", {"microseconds": found})


if __name__ == "__main__":
    main()
