"""Suites of users' tests: written to a folder, run by pytest in a process of its own, and read."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 120
CONFTEST = 'pytest_plugins = ["demijohn.testing.plugin"]\n'
BOARD = """\
from demijohn import Demijohn

def create_app(greeting="hello"):
    app = Demijohn("board")
    app.add_url_rule("/", "index", lambda: greeting)
    return app

app = create_app()
"""


@dataclass
class Outcome:
    """What a run of a suite gave: for each test its phases' faults, and all that was printed."""

    output: str
    faults: dict[str, str] = field(default_factory=dict)
    """Test -> the text of its error or failure; "" for one that passed."""

    @property
    def passed(self) -> set[str]:
        """The tests without any fault."""
        return {name for name, fault in self.faults.items() if not fault}


NO_ASYNC = ("-p", "no:asyncio", "-p", "no:anyio")


def run_suite(
    folder: Path,
    files: Mapping[str, str],
    *arguments: str,
    has_async: bool = False,
    **variables: str,
) -> Outcome:
    """Write `files`, with a conftest and an application, and run their tests."""
    for name, text in {"conftest.py": CONFTEST, "board.py": BOARD, **files}.items():
        (folder / name).write_text(textwrap.dedent(text))
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    command += [f"--junitxml={report}", "-W", "error", *arguments]
    command += [] if has_async else NO_ASYNC
    foreign = ("PYTEST", "FLASK", "DEMIJOHN", "COVERAGE")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    outcome = Outcome(done.stdout)
    assert report.exists(), done.stdout
    for case in ElementTree.parse(report).iter("testcase"):
        faults = [fault.text or "" for fault in case if fault.tag in ("error", "failure")]
        name = f"{case.get('classname')}.{case.get('name')}".partition(".")[2]
        outcome.faults[name] = outcome.faults.get(name, "") + "\n".join(faults)
    return outcome
