"""Runs the subjects' processes in interleaved rounds and keeps the times. Judges nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.micro import UNROLLED

ROOT = Path(__file__).resolve().parent.parent

# thing -> subject -> nanoseconds of one call, a figure a round
Times = dict[str, dict[str, list[float]]]


class Subject:
    """A worker process. `label` is its name in the results; two may run the same framework."""

    def __init__(self, label: str, framework: str) -> None:
        self.label = label
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", framework],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.calls: dict[str, int] = {}
        self.things: list[str] = json.loads(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise SystemExit(f"The subject {self.label} stopped with exit code {code}; see above.")
        return line

    def time(self, thing: str, calls: int) -> int:
        """Return the nanoseconds that `calls` calls took."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{thing} {calls}\n")
        self.process.stdin.flush()
        return int(self._answer())

    def calibrate(self, thing: str, seconds: float) -> None:
        """Find how many calls take about `seconds`; this also warms the thing up."""
        calls = 10 * UNROLLED
        while (took := self.time(thing, calls)) < 0.2 * seconds * 1e9:
            calls *= 4
        self.calls[thing] = max(1, round(calls * seconds * 1e9 / took / UNROLLED)) * UNROLLED

    def round(self, thing: str) -> float:
        """Return nanoseconds a call over one round."""
        return self.time(thing, self.calls[thing]) / self.calls[thing]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=10)


class Field:
    """All subjects of a run, ready to be timed. A context manager: it ends their processes."""

    def __init__(self, frameworks: dict[str, str]) -> None:
        self.subjects = [Subject(label, name) for label, name in frameworks.items()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for subject in self.subjects:
            subject.close()

    def measure(
        self,
        groups: Sequence[Sequence[str]],
        rounds: int,
        seconds: float,
        tell: Callable[[str], None] = lambda text: None,
    ) -> Times:
        """Time each thing in `rounds` rounds of about `seconds` a subject, and return the times.

        In a round each subject does each thing of a group once, one after the other, and who begins
        changes from round to round: a disturbance of the machine hits neighbours alike, so what is
        compared is taken from one round.
        """
        times: Times = {}
        for group in groups:
            tell(f"{', '.join(group)} ...")
            pairs = [
                (one, thing) for one in self.subjects for thing in group if thing in one.things
            ]
            for subject, thing in pairs:
                if thing not in subject.calls:
                    subject.calibrate(thing, seconds)
                times.setdefault(thing, {})[subject.label] = []
            for number in range(rounds):
                first = number % len(pairs)
                for subject, thing in pairs[first:] + pairs[:first]:
                    times[thing][subject.label].append(subject.round(thing))
        return times
