"""A pytest plugin that writes each test's outcome to a file, and refuses skips in CI.

Used as `pytest -p tools.outcomes --outcomes=FILE`. The file is JSON, node id -> "passed", "failed"
or "skipped"; `tools/promises.py` reads it. With `CI=true` a run in which anything was skipped or
expected to fail ends with a failure: there, everything that tests need is installed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

RANK = {"passed": 0, "skipped": 1, "failed": 2}


def in_ci() -> bool:
    """Tell whether this run must skip nothing."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


class Outcomes:
    """Collects the worst outcome of each test's phases."""

    def __init__(self, target: Path | None) -> None:
        self.target = target
        self.found: dict[str, str] = {}

    def note(self, nodeid: str, outcome: str) -> None:
        """Record `outcome` unless a worse one is known."""
        known = self.found.get(nodeid, "passed")
        self.found[nodeid] = max(known, outcome, key=RANK.__getitem__)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test ended (under xdist this arrives in the controller)."""
        self.note(report.nodeid, report.outcome)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file was collected; one that skips itself or fails counts under its own name."""
        if report.outcome != "passed":
            self.note(report.nodeid, report.outcome)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the file; fail a CI run that skipped."""
        if hasattr(session.config, "workerinput"):
            return
        if self.target is not None:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.target.write_text(json.dumps(self.found, indent=0, sort_keys=True))
        if in_ci() and "skipped" in self.found.values() and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why a run without failures failed."""
        skipped = sorted(name for name, outcome in self.found.items() if outcome == "skipped")
        if in_ci() and skipped:
            terminalreporter.section("skipped, which CI=true does not allow")
            for name in skipped:
                terminalreporter.line(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--outcomes`."""
    parser.addoption("--outcomes", type=Path, default=None, help="write outcomes as JSON here")


def pytest_configure(config: pytest.Config) -> None:
    """Install the collector."""
    config.pluginmanager.register(Outcomes(config.getoption("outcomes")), "outcomes-collector")
