"""The machine fails on Flask's contexts and finds every seeded fault.

On Demijohn's contexts `make soak-machine` runs it: long programs still find cases to mend there.

`DEMIJOHN_SOAK_SEED` makes the first test random with that seed; `make soak-machine` runs it longer.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from .faults import FAULTS, Fault
from .rules import ContextMachine, machine_on, stop_places

SEED = os.environ.get("DEMIJOHN_SOAK_SEED")


def run(machine: type[ContextMachine], examples: int, steps: int, shrink: bool) -> None:
    """Run a machine: with the same seed each time, or with the one that was asked for."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=SEED is None,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(autouse=True, scope="module")
def stop_threads() -> Iterator[None]:
    """The machine's threads live as long as its tests."""
    yield
    stop_places()


def test_flask_fails() -> None:
    """The machine finds that Flask 3.1.3's contexts break the invariants."""
    with pytest.raises(AssertionError):
        run(machine_on("flask"), 50, 40, shrink=False)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_seeded_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine fails on a core with this one bug in it."""
    fault(monkeypatch)
    # What a broken core leaves behind may fail once more when it is collected.
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)
    # Flaky, because some of it is left where the next program finds it.
    with pytest.raises((AssertionError, Flaky)):
        run(ContextMachine, 400, 40, shrink=False)
    gc.collect()
