"""Differential: generated applications and calls, answered by Flask and by Demijohn, are compared.

At least 10,000 examples, each with plans kept and with plans forced stale on every request, in
processes side by side; then more until the time is up.
"""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from soak import SoakFailure
from tools import proof

SECONDS = 240.0
EXAMPLES = 10_000
BATCH = 250
#: An example takes 25 ms of processor time: on two free cores all of them need about 150 s.
PAIRS = 3
MOST_SECONDS = 510.0


def subjects() -> Any:
    """Return the modules of the test; they lie among the tests."""
    tests = str(proof.ROOT / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    from differential import coverage, runs

    return runs, coverage


def run(seed: int, seconds: float) -> dict[str, object]:
    """Compare 10,000 examples, or fewer when `seconds` is less than usual, then go on till then."""
    runs, coverage = subjects()
    chance = random.Random(seed)
    numbers = [[chance.randrange(2**32) for _ in range(10_000)] for _ in range(PAIRS)]
    least = -(-EXAMPLES // PAIRS) if seconds >= SECONDS else 1
    start = monotonic()
    with ThreadPoolExecutor(PAIRS) as pool:
        workers = [
            pool.submit(compare, runs, seeds, least, start + seconds, start + MOST_SECONDS)
            for seeds in numbers
        ]
        compared = [worker.result() for worker in workers]
    total, shares = coverage.table(features for sides in compared for features in sides.features)
    rarest = next(name for name in shares if name not in coverage.RARE)
    return {
        "examples": total,
        "calls": sum(sides.calls for sides in compared),
        "modes": "plans kept; plans stale on every request",
        "differences": 0,
        "features": len(shares),
        "rarest feature, per cent of examples": f"{rarest}: {shares[rarest]:.1f}",
    }


def compare(runs: Any, seeds: list[int], least: int, end: float, last: float) -> Any:
    """Compare batches of examples with one pair of processes: at least so many, and until `end`.

    Raises `SoakFailure` for a difference, and when there are too few at the `last` moment.
    """
    with runs.sides() as sides:
        for number in seeds:
            if sides.compared >= least and monotonic() > end:
                break
            if monotonic() > last:
                raise SoakFailure(f"only {sides.compared} of {least} examples in time")
            for example in runs.drawn(BATCH, number):
                try:
                    sides.check(example)
                except runs.Different as error:
                    raise SoakFailure(f"examples of seed {number}: {error}") from error
        return sides
