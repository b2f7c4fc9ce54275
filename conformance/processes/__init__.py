"""Programs that are not ours, started through the alias: a suite of our own.

Its tests run in the environment of the extensions twice, where Flask is not installed and where it
is, with the unmodified `flaskr` of Flask's source archive. All must pass.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time

from conformance import environment
from conformance.suites import SUITES

NAME = "processes"
FOLDER = environment.ROOT / "conformance" / NAME
FLASKR = environment.BUILD / "flaskr"
GROUP = "extensions"


def run(options: argparse.Namespace) -> list[str]:
    """Run the tests in both environments and return those in which one failed."""
    suite = next(suite for suite in SUITES if suite.name == "tutorial")
    pythons = {
        "without Flask": environment.subject_python(GROUP),
        "with Flask": environment.control_python(GROUP),
    }
    archive = environment.archive(suite, pythons["without Flask"])
    environment.unpack(archive, FLASKR, suite.root, ("flaskr/", "pyproject.toml"))
    away = ("FLASK", "DEMIJOHN", "PYTEST", "PYTHONPATH")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(away)}
    failed = []
    for which, python in pythons.items():
        print(f"\n== Programs started through the alias, {which} installed", flush=True)
        start = time.monotonic()
        command = [str(python), "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
        command += ["-p", "no:flask", "-p", "tools.outcomes", str(FOLDER)]
        command += ["-k", options.k] if options.k else []
        status = subprocess.run(
            command, cwd=environment.ROOT, env=variables, stdin=subprocess.DEVNULL
        ).returncode
        # 5: no test matches what -k asks for.
        if status and not (status == 5 and options.k):
            failed.append(f"{NAME} {which}")
        print(f"({time.monotonic() - start:.0f} s)", flush=True)
    return failed
