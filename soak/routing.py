"""Routing: on maps and paths made at random, the index answers as Werkzeug's matcher does."""

from __future__ import annotations

import random
import sys
from importlib import import_module
from pathlib import Path
from time import monotonic

from soak import SoakFailure

SECONDS = 300.0
CASES = 20_000
TESTS = Path(__file__).parent.parent / "tests" / "http"


def run(seed: int, seconds: float) -> dict[str, object]:
    """Compare index and matcher for `seconds`, in batches of 20,000 cases, each with its seed."""
    sys.path.insert(0, str(TESTS))
    differential = import_module("test_routing_differential")
    chance = random.Random(seed)
    cases = plain = answered = 0
    end = monotonic() + seconds
    while cases == 0 or monotonic() < end:
        report = differential.compare(chance.getrandbits(32), CASES)
        if report.mismatch is not None:
            raise SoakFailure(report.mismatch)
        cases += report.cases
        plain += report.plain
        answered += report.answered
    return {
        "cases": cases,
        "differences": 0,
        "plain maps answered by the index, per cent": round(100 * answered / plain, 2),
    }
