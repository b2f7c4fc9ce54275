"""Runs: examples on both sides, compared; what differs is made smaller and printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

from .compare import difference
from .coverage import exercised
from .generate import examples
from .model import Example, Outcome
from .program import printed, source
from .reduce import reduced
from .worker import Worker


class Different(AssertionError):
    """The two frameworks do not answer alike; the message is a program that shows it."""


@dataclass
class Sides:
    """Flask's process, Demijohn's, and what has been compared."""

    flask: Worker
    ours: Worker
    compared: int = 0
    calls: int = 0
    features: list[set[str]] = field(default_factory=list)

    def check(self, example: Example, stale: bool = True) -> None:
        """Compare one example; with `stale`, a second time with plans made anew for each call."""
        program = source(example)
        self.flask.send(program, example.calls)
        self.ours.send(program, example.calls)
        if stale:
            self.ours.send(program, example.calls, stale=True)
        theirs, mine = self.flask.receive(), [self.ours.receive()]
        if stale:
            mine.append(self.ours.receive())
        self.compared += 1
        self.calls += len(example.calls)
        self.features.append(exercised(example, theirs))
        for with_stale, outcomes in enumerate(mine):
            what = difference(example, theirs, outcomes)
            if what is not None:
                raise Different(self.report(example, bool(with_stale), what))

    def differs(self, example: Example, stale: bool) -> str | None:
        """What differs, in words, or None."""
        program = source(example)
        theirs = self.flask.run(program, example.calls)
        return difference(example, theirs, self.ours.run(program, example.calls, stale=stale))

    def report(self, example: Example, stale: bool, what: str) -> str:
        """What differs, and the smallest program found in which the same does."""

        def fails(smaller: Example) -> bool:
            found = self.differs(smaller, stale)
            return found is not None and kind(found) == kind(what)

        small = reduced(example, fails)
        mode = "with stale plans, " if stale else ""
        return f"{mode}{self.differs(small, stale) or what}\n\n{printed(small)}\n"


def kind(what: str) -> list[str]:
    """What of a call differs: status, headers, body, log."""
    return [line for line in what.splitlines() if line.startswith("  ") and line[2] != " "]


@contextmanager
def sides() -> Iterator[Sides]:
    """Both processes, for as long as they are needed."""
    flask = Worker("flask")
    try:
        ours = Worker("demijohn")
        try:
            yield Sides(flask, ours)
        finally:
            ours.stop()
    finally:
        flask.stop()


def drawn(number: int, chosen: int) -> list[Example]:
    """Examples drawn by Hypothesis, the same ones for the same seed."""
    found: list[Example] = []

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(examples())
    def collect(example: Example) -> None:
        found.append(example)

    seed(chosen)(collect)()
    return found


class Recorded:
    """What Flask answers to examples, asked once for each."""

    def __init__(self, flask: Worker, generated: list[Example]) -> None:
        self._flask = flask
        self._generated = generated
        self._answers: list[list[Outcome]] = []

    def __iter__(self) -> Iterator[tuple[Example, list[Outcome]]]:
        for number, example in enumerate(self._generated):
            if number == len(self._answers):
                self._answers.append(self._flask.run(source(example), example.calls))
            yield example, self._answers[number]


def first_found(ours: Worker, fault: str, recorded: Recorded) -> int | None:
    """After how many examples a seeded fault shows; None if never."""
    for number, (example, theirs) in enumerate(recorded, start=1):
        program = source(example)
        if difference(example, theirs, ours.run(program, example.calls, fault=fault)) is None:
            continue
        # What differs without the fault too was not found by it.
        if difference(example, theirs, ours.run(program, example.calls)) is None:
            return number
    return None
