"""Demijohn answers generated requests to generated applications as Flask 3.1.3 does.

`DEMIJOHN_SOAK_SEED` makes the examples random with that seed; `make soak-differential` runs more.
The generator shows what it covers, and the comparison what it finds: it is proven on seeded faults.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import coverage
from .compare import EXEMPTIONS
from .faults import FAULTS
from .model import Example
from .runs import Different, Recorded, Sides, drawn, first_found, sides
from .worker import Worker

CHOSEN = 1
EXAMPLES = 300
FAULT_EXAMPLES = 500
SEED = int(os.environ.get("DEMIJOHN_SOAK_SEED", CHOSEN))
IN_WSGI = pytest.mark.wsgi_only("the fault is seeded in what the WSGI edge runs")
SEEDED = [
    pytest.param(name, marks=[IN_WSGI] * (name in ("head_with_a_body", "content_length_wrong")))
    for name in FAULTS
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "differences.md"


@pytest.fixture(scope="module")
def both() -> Iterator[Sides]:
    with sides() as running:
        yield running


@pytest.fixture(scope="module")
def generated() -> list[Example]:
    return drawn(FAULT_EXAMPLES, SEED)


@pytest.fixture(scope="module")
def recorded(both: Sides, generated: list[Example]) -> Recorded:
    return Recorded(both.flask, generated)


def test_answers_are_those_of_flask(both: Sides, generated: list[Example]) -> None:
    """Everything that a call shows is Flask's, with plans kept and with plans forced stale."""
    for example in generated[:EXAMPLES]:
        both.check(example)


def test_coverage(recorded: Recorded) -> None:
    """Each feature of the generator is reached by the calls of at least 5 % of its examples.

    With a seed of somebody's choosing chance is allowed for.
    """
    runs = [coverage.exercised(example, outcomes) for example, outcomes in recorded]
    total, shares = coverage.table(runs)
    print(coverage.printed(total, shares))
    assert total == FAULT_EXAMPLES
    floors = dict.fromkeys(shares, coverage.FLOOR) | dict.fromkeys(
        coverage.RARE, coverage.RARE_FLOOR
    )
    allowed = 1 if SEED == CHOSEN else 0.5
    rare = {name: share for name, share in shares.items() if share < allowed * floors[name]}
    assert rare == {}
    assert {name for run in runs for name in run if not name.startswith("got: ")} <= set(shares)


@pytest.mark.parametrize("fault", SEEDED)
def test_a_seeded_fault_is_found(fault: str, both: Sides, recorded: Recorded) -> None:
    """The comparison finds each seeded fault within 500 examples."""
    found = first_found(both.ours, fault, recorded)
    print(f"{fault}: found after {found} examples")
    assert found is not None


@IN_WSGI
def test_a_difference_is_told_as_a_program(both: Sides, generated: list[Example]) -> None:
    """A failure names the call, what differs in it, and a program that shows it."""
    fault = "content_length_wrong"
    run = both.ours.run
    patch = pytest.MonkeyPatch()
    patch.setattr(both.ours, "run", lambda *args, **options: run(*args, fault=fault))
    try:
        with pytest.raises(Different, match=r"Content-Length") as caught:
            for example in generated:
                what = both.differs(example, False)
                if what is not None:
                    raise Different(both.report(example, False, what))
    finally:
        patch.undo()
    text = str(caught.value)
    assert "call 1: " in text
    assert "app = App(" in text
    program = text.partition("\n\n")[2]
    for framework in ("flask", "demijohn"):
        done = subprocess.run(
            [sys.executable, "-c", program.replace('"flask"', f'"{framework}"')],
            cwd=DOCUMENT.parents[1],
            capture_output=True,
            text=True,
        )
        assert "Outcome(status=" in done.stdout, done.stderr


@IN_WSGI
def test_soak_says_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soak part compares in the same way, and names the seed and the program that failed."""
    from soak import SoakFailure, differential

    send = Worker.send

    def faulty(self: Worker, *args: Any, **options: Any) -> None:
        ours = self.framework == "demijohn"
        send(self, *args, **options, fault="content_length_wrong" if ours else None)

    monkeypatch.setattr(Worker, "send", faulty)
    monkeypatch.setattr(differential, "PAIRS", 1)
    with pytest.raises(SoakFailure, match=r"examples of seed \d+: call 1: ") as caught:
        differential.run(seed=1, seconds=0)
    assert "Content-Length" in str(caught.value)


def test_every_exemption_is_documented() -> None:
    """Each entry in the table of what may differ quotes the document of differences."""
    text = DOCUMENT.read_text("utf-8")
    assert [exemption.words for exemption in EXEMPTIONS if exemption.words not in text] == []
