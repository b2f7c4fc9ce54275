"""`python -m conformance.advisories`: the checks of advisories, run where they must fail.

For each old release in `tests/advisories/advisories.toml` an environment of its own is made under
`.build/advisories` and kept; each advisory's check must find its weakness in the release that the
table names for it. A check that does not is no check.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
import venv
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHECKS = ROOT / "tests" / "advisories"
BUILD = ROOT / ".build" / "advisories"


def environment(name: str, packages: list[str]) -> Path:
    """Return the Python of the environment with these releases, made when it is not there."""
    folder = BUILD / name
    python, stamp = folder / "bin" / "python", folder / ".packages"
    wanted = f"{sys.version}\n{packages}"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # All of them are named, so that nothing else and nothing newer comes.
        subprocess.run([*pip, "--no-deps", *packages], check=True)
        stamp.write_text(wanted)
    return python


def outcomes(python: Path, ids: list[str], timeout: float) -> dict[str, str]:
    """Return what the checks of these advisories say about the Flask of that environment."""
    command = [str(python), str(CHECKS / "advisory_run.py"), *ids]
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if result.returncode:
        return dict.fromkeys(ids, f"error: {result.stderr.strip()[-300:]}")
    found: dict[str, str] = json.loads(result.stdout.splitlines()[-1])
    return found


def controls(table: dict[str, Any]) -> dict[str, list[str]]:
    """Return the advisories that each old release is a control for."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in table["advisory"]:
        for control in row["controls"]:
            if control in table["releases"]:
                found[control].append(row["ids"][0])
    return dict(found)


def main() -> int:
    """Print one line for each control; 1 when a check did not find what it looks for."""
    parser = argparse.ArgumentParser(prog="python -m conformance.advisories", description=__doc__)
    parser.add_argument("--timeout", type=float, default=300, help="seconds for a release (300)")
    options = parser.parse_args()
    table = tomllib.loads((CHECKS / "advisories.toml").read_text(encoding="utf-8"))
    wrong = total = 0
    for name, ids in controls(table).items():
        python = environment(name, table["releases"][name])
        for advisory, outcome in outcomes(python, ids, options.timeout).items():
            total += 1
            found = outcome.startswith("failed")
            wrong += not found
            print(f"{'found' if found else 'NOT FOUND'}: {advisory} in {name}: {outcome}")
    print(f"{total - wrong} passed of {total} known-bad controls.")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
