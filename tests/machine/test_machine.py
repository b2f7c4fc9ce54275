"""The machine holds on Demijohn's contexts, fails on Flask's, and finds every seeded fault.

`DEMIJOHN_SOAK_SEED` makes the first test random with that seed; `make soak-machine` runs it longer.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from .base import stop_places
from .faults import FAULTS, Fault
from .rules import ContextMachine, machine_on

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
    """The machine's threads live as long as its tests; the collector does not hide what lives."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    stop_places()


def test_demijohn_holds() -> None:
    """No program of moves breaks an invariant on Demijohn's contexts."""
    machine = ContextMachine if SEED is None else seed(int(SEED))(ContextMachine)
    run(machine, 500, 50, shrink=True)


def test_flask_fails() -> None:
    """The machine finds that Flask 3.1.3's contexts break the invariants."""
    with pytest.raises(AssertionError):
        run(machine_on("flask"), 50, 40, shrink=False)


@pytest.mark.leaves_behind
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_seeded_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine fails on a core with this one bug in it."""
    fault(monkeypatch)
    # What a broken core leaves behind may fail once more when it is collected.
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)

    def find() -> None:
        # Flaky, because some of it is left where the next program finds it.
        with pytest.raises((AssertionError, Flaky)):
            run(ContextMachine, 400, 50, shrink=False)
        # The last program's applications: their loggers' handlers know them.
        for logger in list(logging.root.manager.loggerDict.values()):
            if isinstance(logger, logging.Logger):
                logger.handlers.clear()
        gc.collect()

    # What is left current is not left to the next test.
    copy_context().run(find)


def test_soak_says_what_failed() -> None:
    """The soak part runs the same programs, and names the seed and the program that failed."""
    from soak import SoakFailure, machine

    with pytest.raises(SoakFailure, match=r"programs of seed \d+") as caught:
        machine.run(seed=1, seconds=0, subject="flask")
    assert "state.teardown()" in str(caught.value)
