"""Machine: random programs of context moves, checked against the model of `tests/machine`."""

from __future__ import annotations

import gc
import random
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import monotonic
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from soak import SoakFailure
from tools import proof

SECONDS = 300.0
PROGRAMS = 20_000
EXAMPLES = 100
PROCESSES = 2
MOST_SECONDS = 510.0
STEPS = 50
PHASES = [Phase.generate, Phase.shrink]


def subjects() -> Any:
    """Return the modules of the machine; they lie among the tests."""
    tests = str(proof.ROOT / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    from machine import base, rules

    return base, rules


def run(seed: int, seconds: float, subject: str = "demijohn") -> dict[str, object]:
    """Run 20,000 programs, or as many as `seconds` less than usual allow; return what was done."""
    chance = random.Random(seed)
    full = seconds >= SECONDS
    start = monotonic()
    moves: Counter[str] = Counter()
    batches = 0
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        while batches * EXAMPLES < (PROGRAMS if full else 1) or (
            not full and monotonic() < start + seconds
        ):
            if monotonic() > start + MOST_SECONDS:
                raise SoakFailure(f"only {batches * EXAMPLES} of {PROGRAMS} programs in time")
            numbers = [chance.randrange(2**32) for _ in range(PROCESSES)]
            for done in pool.map(partial(batch, subject), numbers):
                batches += 1
                moves.update(done)
    told = {name: moves[name] for name in sorted(moves)}
    return {"programs": batches * EXAMPLES, "moves": sum(moves.values()), **told}


def batch(subject: str, number: int) -> Counter[str]:
    """Run the programs of one seed in this process; return the moves that they made."""
    base, rules = subjects()
    moves: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        run_batch(counting(rules.machine_on(subject), moves), number)
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        raise SoakFailure(f"programs of seed {number}: {error!r}\n{notes}") from None
    finally:
        gc.enable()
        base.stop_places()
    return moves


def counting(machine: Any, moves: Counter[str]) -> Any:
    """Return the machine with its moves counted, by what they do to a context."""

    class Counting(machine):  # type: ignore[misc]
        def act(self, *arguments: Any, **keywords: Any) -> Any:
            moves[sys._getframe(1).f_code.co_name] += 1
            return super().act(*arguments, **keywords)

    return Counting


def try_seed(number: int, examples: int) -> None:
    """Run one batch of programs, unshrunk; raises what the machine found."""
    base, rules = subjects()
    gc.collect()
    gc.disable()
    try:
        run_batch(rules.machine_on("demijohn"), number, examples, [Phase.generate])
    finally:
        base.stop_places()
        gc.enable()


def run_batch(
    machine: Any, number: int, examples: int = EXAMPLES, phases: Sequence[Phase] = PHASES
) -> None:
    """Run one batch of programs; raises what the machine found, with the program as its notes."""
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
