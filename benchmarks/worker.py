"""A subject's own process: `python -m benchmarks.worker SUBJECT`, driven by lines on its input.

Each line `NAME CALLS` times one thing and answers with the nanoseconds; the first line out is JSON
with the names that can be timed. A process a subject keeps one subject's garbage, caches and
patches out of another's figures; the driver lets only one work at a time.
"""

from __future__ import annotations

import json
import sys
from itertools import repeat
from time import process_time_ns

from benchmarks.micro import Timed, micro
from benchmarks.subjects import build
from benchmarks.workloads import WORKLOADS, Caller


def requests(subject: str) -> dict[str, Timed]:
    """Return the workloads as things to time, each verified to give the right answer."""
    apps = build(subject)
    found: dict[str, Timed] = {}
    for workload in WORKLOADS:
        caller = Caller(apps[workload.app], workload)
        caller.verify()
        found[workload.name] = _timed(caller)
    return found


def _timed(caller: Caller) -> Timed:
    def run(calls: int) -> int:
        call = caller.call
        start = process_time_ns()
        for _ in repeat(None, calls):
            call()
        return process_time_ns() - start

    return run


def main() -> None:
    """Serve the driver until standard input ends."""
    subject = sys.argv[1]
    things = requests(subject)
    if subject not in ("falcon", "bare"):
        things |= micro(subject)
    print(json.dumps(list(things)), flush=True)
    for line in sys.stdin:
        name, calls = line.split()
        print(things[name](int(calls)), flush=True)


if __name__ == "__main__":
    main()
