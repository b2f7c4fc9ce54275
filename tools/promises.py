"""Check that every promise, need and invariant that is due has tests, which run and pass.

`python -m tools.promises` runs the tests that `tests/map.toml` names and checks their outcomes;
`--outcomes FILE` takes the outcomes of a run that was made already (see `tools/outcomes.py`). A row
is due when its issue is not later than the map's `current`. It fails when it names no test, or one
that is not in the suite, was skipped or failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAP = ROOT / "tests" / "map.toml"
# The rows there must be: the table's name -> the ids.
KINDS: Mapping[str, tuple[int, ...]] = {
    "promise": tuple(range(1, 17)),
    "work": tuple(range(1, 12)),
    "need": (1, 2, *range(4, 9), *range(10, 16), 17, *range(20, 25)),
    "invariant": (*range(1, 18), *range(19, 23), *range(33, 37), 38, 39),
    "fault": (2, *range(4, 15), *range(19, 27)),
}


class MapError(Exception):
    """The map itself is not well formed."""


@dataclass(frozen=True)
class Row:
    """One promise (need, invariant, kind of work), or the part of one that is due with an issue."""

    kind: str
    number: int
    part: str
    title: str
    due: int
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """The row as messages name it: `promise 9 (copies)`."""
        return f"{self.kind} {self.number}" + (f" ({self.part})" if self.part else "")


def read_map(text: str) -> tuple[int, list[Row]]:
    """Return the current issue's number and the rows.

    Raises MapError for a row with unknown or wrongly typed keys, for two rows of the same name, and
    when an id of `KINDS` has no row.
    """
    data = tomllib.loads(text)
    current = data.pop("current", None)
    tables = {kind: data.pop(kind, []) for kind in KINDS}
    if not isinstance(current, int) or data:
        names = ", ".join(f"[[{kind}]]" for kind in KINDS)
        raise MapError(f"expected `current = N` and {names} tables only")
    rows = [_row(kind, entry) for kind, entries in tables.items() for entry in entries]
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise MapError(f"{name} has two rows: give them different parts")
    for kind, ids in KINDS.items():
        missing = sorted(set(ids) - {row.number for row in rows if row.kind == kind})
        if missing:
            raise MapError(f"no row for {kind} {', '.join(map(str, missing))}")
    return current, rows


def _row(kind: str, entry: object) -> Row:
    kinds = {"id": int, "title": str, "due": int, "tests": list, "part": str}
    if not isinstance(entry, dict):
        raise MapError(f"not a table: {entry!r}")
    for key, value in entry.items():
        if key not in kinds or not isinstance(value, kinds[key]):
            raise MapError(f"in the row {entry!r}: bad key or type: {key}")
    absent = {"id", "title", "due", "tests"} - entry.keys()
    if absent:
        raise MapError(f"in the row {entry!r}: missing {', '.join(sorted(absent))}")
    tests = entry["tests"]
    if not all(isinstance(test, str) and test for test in tests) or len(set(tests)) < len(tests):
        raise MapError(f"in the row {entry!r}: tests must be different node ids")
    if entry["id"] not in KINDS[kind]:
        raise MapError(f"there is no {kind} {entry['id']}")
    return Row(kind, entry["id"], entry.get("part", ""), entry["title"], entry["due"], tuple(tests))


def belongs(nodeid: str, wanted: str) -> bool:
    """Tell whether `nodeid` is the test `wanted`, a parameter of it, or in that class or file."""
    if not nodeid.startswith(wanted):
        return False
    rest = nodeid[len(wanted) :]
    return rest == "" or rest.startswith("::") or (rest.startswith("[") and "::" in wanted)


def problems(current: int, rows: Iterable[Row], outcomes: Mapping[str, str]) -> list[str]:
    """Return one line for each thing that is wrong with a row that is due."""
    found = []
    for row in rows:
        if row.due > current:
            continue
        if not row.tests:
            found.append(f"{row.name}, due with issue {row.due}: no test named")
        for wanted in row.tests:
            hits = {name: how for name, how in outcomes.items() if belongs(name, wanted)}
            bad = sorted((name, how) for name, how in hits.items() if how != "passed")
            if not hits:
                found.append(f"{row.name}: {wanted} is not in the suite")
            found += [f"{row.name}: {name} {how}" for name, how in bad]
    return found


def run_tests(tests: Iterable[str]) -> dict[str, str]:
    """Run the named tests and return their outcomes; names that do not exist are simply absent.

    pytest runs nothing when one of several ids is unknown, so whole files are collected and the ids
    picked from them.
    """
    wanted = sorted(set(tests))
    files = sorted({test.partition("::")[0] for test in wanted})
    present = [name for name in files if (ROOT / name).exists()]
    if not present:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "outcomes.json"
        chosen = Path(folder) / "chosen.json"
        chosen.write_text(json.dumps(wanted))
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--no-header", "-p"]
        command += ["tools.outcomes", "-p", "tools.promises_select", f"--outcomes={target}"]
        command += [f"--only={chosen}", *present]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not target.exists():
            raise SystemExit(f"pytest did not start:\n{result.stdout}{result.stderr}")
        if result.returncode not in (0, 5):
            print(result.stdout)
        outcomes: dict[str, str] = json.loads(target.read_text())
        return outcomes


def main() -> int:
    """Print what is wrong, or one line of counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--outcomes", type=Path, help="outcomes of a whole run, as JSON")
    options = parser.parse_args()
    try:
        current, rows = read_map(MAP.read_text())
    except (MapError, tomllib.TOMLDecodeError) as error:
        print(f"{MAP.relative_to(ROOT)}: {error}")
        return 1
    due = [row for row in rows if row.due <= current]
    if options.outcomes:
        outcomes = json.loads(options.outcomes.read_text())
    else:
        outcomes = run_tests(test for row in due for test in row.tests)
    found = problems(current, rows, outcomes)
    for line in found:
        print(line)
    if not found:
        tests = {test for row in due for test in row.tests}
        print(f"{len(due)} of {len(rows)} rows are due; their {len(tests)} test ids pass.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
