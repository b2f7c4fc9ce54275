"""Reading a run's results and judging them against what is recorded.

A suite's `passing.txt` holds the tests that pass on Flask itself; `expected.toml` the number that
must pass here and, by cause, the tests that are known to fail.
"""

from __future__ import annotations

import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One test's outcome ("passed", "failed", "skipped", "missing") and a failure's error."""

    outcome: str
    error: str = ""


@dataclass(frozen=True)
class Cause:
    """Why some tests are known to fail."""

    title: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """What must hold: how many pass, and which may fail for which cause."""

    threshold: int
    causes: tuple[Cause, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """The tests that some cause names."""
        return frozenset(test for cause in self.causes for test in cause.tests)


@dataclass
class Verdict:
    """How a run compares with what is recorded."""

    passed: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    unknown_names: list[str] = field(default_factory=list)


def read_reference(path: Path) -> list[str]:
    """Return the ids of the tests that pass on Flask, from a `passing.txt`."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def read_expected(text: str) -> Expected:
    """Return what `expected.toml` says. Raises ValueError for a test that two causes name."""
    data = tomllib.loads(text)
    causes = tuple(Cause(entry["title"], tuple(entry["tests"])) for entry in data.get("cause", []))
    expected = Expected(int(data["threshold"]), causes)
    if len(expected.known) != sum(len(cause.tests) for cause in causes):
        raise ValueError("expected.toml: a test stands under two causes")
    return expected


def read_junit(path: Path) -> dict[str, Result]:
    """Return test id -> result from pytest's JUnit XML, ids as pytest prints them.

    A module that could not be imported gives one entry under the module's name.
    """
    results: dict[str, Result] = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        parts = case.get("classname", "").split(".")
        split = next((i for i, part in enumerate(parts) if part[:1].isupper()), len(parts))
        module = "/".join(parts[:split]) + ".py" if parts[0] else ""
        name = "::".join(
            [part for part in (module, *parts[split:]) if part] + [case.get("name", "")]
        )
        outcome, error = "passed", ""
        for kind in ("failure", "error", "skipped"):
            found = case.find(kind)
            if found is not None:
                outcome = "skipped" if kind == "skipped" else "failed"
                error = (found.get("message") or "").split("\n")[0][:160]
        known = results.get(name)
        if known is None or known.outcome == "passed":
            results[name] = Result(outcome, error)
    return results


def judge(reference: Sequence[str], results: Mapping[str, Result], expected: Expected) -> Verdict:
    """Compare; a reference test that did not run counts as one that failed."""
    verdict = Verdict(unknown_names=sorted(expected.known - set(reference)))
    for test in reference:
        result = results.get(test, Result("missing"))
        if result.outcome == "passed":
            verdict.passed.append(test)
            if test in expected.known:
                verdict.mended.append(test)
        elif test in expected.known:
            verdict.known.append(test)
        else:
            verdict.unexpected.append(test)
    return verdict


def complaints(verdict: Verdict, expected: Expected) -> list[str]:
    """Return why the run is no success; empty when it is one."""
    found = []
    if len(verdict.passed) < expected.threshold:
        found.append(f"only {len(verdict.passed)} pass; {expected.threshold} must")
    if verdict.unexpected:
        found.append(f"{len(verdict.unexpected)} that are recorded as passing do not")
    if verdict.mended:
        found.append(f"{len(verdict.mended)} known failures pass: take them out of expected.toml")
    if verdict.unknown_names:
        found.append(f"expected.toml names tests that Flask does not pass: {verdict.unknown_names}")
    return found
