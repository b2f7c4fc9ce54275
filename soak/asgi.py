"""ASGI: random programs of requests over the second edge, stepped, cancelled and left.

See `tests/machine/asgi_programs.py`.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import monotonic
from typing import Any

from soak import SoakFailure
from tools import proof

SECONDS = 240.0
PROCESSES = 2
PROGRAMS = 250


def programs() -> Any:
    """Return the module of the programs; it lies among the tests."""
    tests = str(proof.ROOT / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    from machine import asgi_programs

    return asgi_programs


def run(seed: int, seconds: float) -> dict[str, object]:
    """Play programs for `seconds`; return how many, and how their requests ended."""
    chance = random.Random(seed)
    until = monotonic() + seconds
    ended: Counter[str] = Counter()
    batches = 0
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        while monotonic() < until:
            numbers = [chance.randrange(2**32) for _ in range(PROCESSES)]
            for done in pool.map(partial(batch, count=PROGRAMS), numbers):
                batches += 1
                ended.update(done)
    told = {name: ended[name] for name in sorted(ended)}
    return {"programs": batches * PROGRAMS, "requests": sum(ended.values()), **told}


def batch(number: int, count: int) -> Counter[str]:
    """Play the programs of one seed in this process; return how their requests ended."""
    made = programs()
    chance = random.Random(number)
    ended: Counter[str] = Counter()
    for _ in range(count):
        for client in asyncio.run(made.play(*made.drawn(chance))):
            fault = made.fault_of(client)
            if fault is not None:
                raise SoakFailure(f"programs of seed {number}: {fault}")
            outcome = next(event for event in client.log if event.startswith("app "))
            ended[outcome.removeprefix("app ")] += 1
    return ended
