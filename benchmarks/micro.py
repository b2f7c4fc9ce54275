"""Small things timed by themselves: pushing an app context, reading through a proxy.

Only for subjects with Flask's API. A proxy's read is timed beside the plain read of the same
attribute of the object behind it, in the same statement form.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from time import process_time, process_time_ns
from timeit import Timer

from benchmarks.workloads import WORKLOADS

READS = {
    "current_app.name": "app.name",
    "g.x": "plain_g.x",
    "request.method": "plain_request.method",
}
UNROLLED = 10


def plain(read: str) -> str:
    """Return the name under which the plain counterpart of a proxy's read is timed."""
    return f"plain:{read}"


# Does the thing that is timed `calls` times (a multiple of UNROLLED), returns nanoseconds.
Timed = Callable[[int], int]


def micro(subject: str) -> dict[str, Timed]:
    """Return what can be timed, by name: "app_context", and each read of READS, proxy and plain.

    The reads happen inside a request context.
    """
    framework = import_module(subject)
    app = framework.Flask("bench")

    def app_context(calls: int) -> int:
        start = process_time_ns()
        for _ in repeat(None, calls):
            with app.app_context():
                pass
        return process_time_ns() - start

    found: dict[str, Timed] = {"app_context": app_context}
    names = {
        "app": app,
        "current_app": framework.current_app,
        "g": framework.g,
        "request": framework.request,
    }

    def timed(statement: str) -> Timed:
        def run(calls: int) -> int:
            with app.request_context(WORKLOADS[0].environ()):
                framework.g.x = 1
                plain_request = framework.request._get_current_object()
                plain_g = framework.g._get_current_object()
                scope = names | {"plain_request": plain_request, "plain_g": plain_g}
                timer = Timer("; ".join([statement] * UNROLLED), process_time, globals=scope)
                return int(timer.timeit(calls // UNROLLED) * 1e9)

        return run

    for proxied, direct in READS.items():
        found[proxied] = timed(proxied)
        found[plain(proxied)] = timed(direct)
    return found
