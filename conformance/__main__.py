"""`make conformance`: run Flask 3.1.3's tests here and compare with what is recorded.

`--control` runs them on Flask itself; `--control --record` writes the list of those that pass.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from conformance import environment, results
from conformance.results import Result, Verdict
from tools import proof

HERE = Path(__file__).resolve().parent


def run(python: Path, folder: Path, plugin: str | None, options: argparse.Namespace) -> Path:
    """Run the tests and return the JUnit file; what pytest prints goes to a log beside it."""
    junit = environment.BUILD / ("control.xml" if options.control else "results.xml")
    junit.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    command += ["--continue-on-collection-errors"]
    command += ["-p", plugin] if plugin else []
    command += ["-k", options.k] if options.k else []
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLASK", "PYTEST"))
    }
    variables["PYTHONPATH"] = str(HERE)
    with junit.with_suffix(".log").open("w") as log, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*command, "tests"],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=options.timeout,
        )
    if not junit.exists():
        print(junit.with_suffix(".log").read_text()[-3000:])
        raise SystemExit(
            f"Flask's tests did not run to their end in {options.timeout:g} s; see above."
        )
    return junit


def table(reference: Sequence[str], found: Mapping[str, Result]) -> str:
    """Return passed and total of each test file, and their sum."""
    total: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for test in reference:
        name = test.partition("::")[0].removeprefix("tests/")
        total[name] += 1
        passed[name] += found.get(test, Result("missing")).outcome == "passed"
    lines = [f"  {name:<28}{passed[name]:>4} of {total[name]:>3}" for name in sorted(total)]
    lines.append(f"  {'all':<28}{passed.total():>4} of {total.total():>3}")
    return "\n".join(lines)


def by_error(tests: Sequence[str], found: Mapping[str, Result]) -> str:
    """Return tests grouped by their error, the largest group first, as rows for expected.toml."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for test in tests:
        result = found.get(test, Result("missing", "did not run"))
        groups[result.error or result.outcome].append(test)
    blocks = []
    for error, names in sorted(groups.items(), key=lambda item: -len(item[1])):
        rows = "".join(f'    "{name}",\n' for name in names)
        blocks.append(f"# {len(names)}: {error}\n{rows}")
    return "\n".join(blocks)


def record_reference(found: Mapping[str, Result]) -> None:
    """Write the list of tests that pass on Flask."""
    passing = sorted(test for test, result in found.items() if result.outcome == "passed")
    head = "# Tests of Flask 3.1.3 that pass on Flask itself; see `make conformance-control`.\n"
    results.PASSING_ON_FLASK.write_text(head + "\n".join(passing) + "\n")
    print(f"Recorded {len(passing)} tests.")


def control(options: argparse.Namespace) -> int:
    """Run on Flask itself and compare with the recorded list."""
    python = environment.subject_python(), environment.control_python()
    junit = run(python[1], environment.tests_folder(), None, options)
    found = results.read_junit(junit)
    counts = Counter(result.outcome for result in found.values())
    print("On Flask itself:", ", ".join(f"{n} {how}" for how, n in sorted(counts.items())))
    for test, result in sorted(found.items()):
        if result.outcome != "passed":
            print(f"  {result.outcome}: {test}: {result.error}")
    if options.record:
        record_reference(found)
    lost = [
        test
        for test in results.read_reference()
        if not options.k and found.get(test, Result("missing")).outcome != "passed"
    ]
    for test in lost:
        print(f"  recorded as passing, does not pass: {test}")
    return 1 if lost else 0


def report(verdict: Verdict, found: Mapping[str, Result], expected: results.Expected) -> None:
    """Print the failures: known ones by cause, the others by error."""
    for cause in expected.causes:
        print(f"\nKnown: {cause.title} ({len(cause.tests)})")
        for test in cause.tests:
            print(f"    {test}{'   now passes' if test in verdict.mended else ''}")
    if verdict.unexpected:
        print(f"\nNot recorded as failing ({len(verdict.unexpected)}), by error:\n")
        print(by_error(verdict.unexpected, found))


def subject(options: argparse.Namespace) -> int:
    """Run on this package and judge."""
    python = environment.subject_python()
    junit = run(python, environment.tests_folder(), "alias_plugin", options)
    found = results.read_junit(junit)
    if options.junit:
        shutil.copyfile(junit, options.junit)
    reference = results.read_reference()
    if options.k:
        reference = [test for test in reference if test in found]
    expected = results.read_expected(results.EXPECTED.read_text())
    verdict = results.judge(reference, found, expected)
    print(f"Flask {environment.FLASK}'s tests on this package:\n{table(reference, found)}")
    report(verdict, found, expected)
    print(f"\n{len(verdict.passed)} passed of {len(reference)} that pass on Flask.")
    if options.k:
        return 1 if verdict.unexpected else 0
    figures = {
        "passed": len(verdict.passed),
        "of": len(reference),
        "threshold": expected.threshold,
        "known failures": {cause.title: len(cause.tests) for cause in expected.causes},
    }
    wrong = results.complaints(verdict, expected)
    if options.proof:
        proof.record("conformance", "make conformance", figures)
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--control", action="store_true", help="run on Flask itself")
    parser.add_argument("--record", action="store_true", help="with --control: record what passes")
    parser.add_argument("--junit", type=Path, help="copy the results as JUnit XML to this file")
    parser.add_argument("-k", "--k", metavar="EXPRESSION", help="only tests that match, as pytest")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for the run (300)")
    parser.add_argument("--proof", action="store_true", help="write docs/proof/conformance.json")
    options = parser.parse_args()
    return control(options) if options.control else subject(options)


if __name__ == "__main__":
    sys.exit(main())
