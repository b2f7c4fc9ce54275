"""`make conformance`: run Flask's and extensions' tests here; compare with what is recorded.

`--control` runs them on Flask itself; `--control --record` writes the lists of those that pass.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from conformance import environment, processes, results
from conformance.results import Result, Verdict
from conformance.suites import SUITES, Suite
from tools import proof

NAMES = (*(suite.name for suite in SUITES), processes.NAME)


def run(
    suite: Suite, python: Path, options: argparse.Namespace, plugin: str | None
) -> dict[str, Result]:
    """Run a suite and return its results; what pytest prints goes to a log beside the XML."""
    which = "control" if options.control else "results"
    which += "" if options.edge == "wsgi" else f"-{options.edge}"
    junit = environment.BUILD / f"{suite.name}-{which}.xml"
    junit.unlink(missing_ok=True)
    folder = environment.tests_folder(suite, python)
    command = [str(python), "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    command += ["--continue-on-collection-errors", *suite.options]
    command += ["-p", plugin] if plugin else []
    command += ["-k", options.k] if options.k else []
    away = ("FLASK", "DEMIJOHN", "PYTEST", "PYTHONPATH")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(away)}
    variables["DEMIJOHN_TEST_EDGE"] = options.edge
    with junit.with_suffix(".log").open("w") as log, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*command, suite.tests],
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
            f"{suite.title}: the tests did not end in {options.timeout:g} s; see above."
        )
    return results.read_junit(junit)


def table(reference: Sequence[str], found: Mapping[str, Result]) -> str:
    """Return passed and total of each test file, and their sum."""
    total: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for test in reference:
        name = test.partition("::")[0].removeprefix("tests/")
        total[name] += 1
        passed[name] += found.get(test, Result("missing")).outcome == "passed"
    lines = [f"  {name:<32}{passed[name]:>4} of {total[name]:>3}" for name in sorted(total)]
    if len(total) > 1:
        lines.append(f"  {'all':<32}{passed.total():>4} of {total.total():>3}")
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


def record_reference(suite: Suite, found: Mapping[str, Result]) -> None:
    """Write the list of tests that pass on Flask."""
    passing = sorted(test for test, result in found.items() if result.outcome == "passed")
    head = f"# Tests of {suite.title} that pass on Flask 3.1.3; see `make conformance-control`.\n"
    suite.folder.mkdir(exist_ok=True)
    (suite.folder / "passing.txt").write_text(head + "\n".join(passing) + "\n")
    print(f"Recorded {len(passing)} tests.")


def control(suite: Suite, options: argparse.Namespace) -> bool:
    """Run on Flask itself and compare with the recorded list; return whether it fits."""
    found = run(suite, environment.control_python(suite.group), options, None)
    counts = Counter(result.outcome for result in found.values())
    print("On Flask itself:", ", ".join(f"{n} {how}" for how, n in sorted(counts.items())))
    for test, result in sorted(found.items()):
        if result.outcome != "passed":
            print(f"  {result.outcome}: {test}: {result.error}")
    if options.record:
        record_reference(suite, found)
    lost = [
        test
        for test in suite.reference()
        if not options.k and found.get(test, Result("missing")).outcome != "passed"
    ]
    for test in lost:
        print(f"  recorded as passing, does not pass: {test}")
    return not lost


def report(verdict: Verdict, found: Mapping[str, Result], expected: results.Expected) -> None:
    """Print the failures: known ones by cause, the others by error."""
    for cause in expected.causes:
        print(f"\nKnown: {cause.title} ({len(cause.tests)})")
        for test in cause.tests:
            print(f"    {test}{'   now passes' if test in verdict.mended else ''}")
    if verdict.unexpected:
        print(f"\nNot recorded as failing ({len(verdict.unexpected)}), by error:\n")
        print(by_error(verdict.unexpected, found))


def subject(suite: Suite, options: argparse.Namespace, figures: dict[str, object]) -> bool:
    """Run on this package, judge, and add to `figures`; return whether it is as recorded."""
    python = environment.subject_python(suite.group)
    found = run(suite, python, options, "demijohn.pytest_alias")
    reference = suite.reference()
    if options.k:
        reference = [test for test in reference if test in found]
    expected = suite.expected()
    verdict = results.judge(reference, found, expected)
    print(table(reference, found))
    report(verdict, found, expected)
    print(f"{len(verdict.passed)} passed of {len(reference)} that pass on Flask.")
    if options.k:
        return not verdict.unexpected
    figures[suite.name] = {
        "passed": len(verdict.passed),
        "of": len(reference),
        "threshold": expected.threshold,
        "known failures": {cause.title: len(cause.tests) for cause in expected.causes},
    }
    wrong = results.complaints(verdict, expected)
    for line in wrong:
        print(f"FAILED: {suite.name}: {line}")
    return not wrong


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"all of them, or some of {', '.join(NAMES)}"
    )
    parser.add_argument("--control", action="store_true", help="run on Flask itself")
    parser.add_argument("--record", action="store_true", help="with --control: record what passes")
    parser.add_argument("-k", "--k", metavar="EXPRESSION", help="only tests that match, as pytest")
    parser.add_argument(
        "--edge", choices=("wsgi", "asgi"), default="wsgi", help="how test clients call the app"
    )
    parser.add_argument("--timeout", type=float, default=300, help="seconds for a suite (300)")
    parser.add_argument("--proof", action="store_true", help="write docs/proof/conformance.json")
    options = parser.parse_args()
    chosen = options.suites or NAMES
    if unknown := set(chosen) - set(NAMES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")

    figures: dict[str, object] = {}
    failed = []
    for suite in SUITES:
        if suite.name not in chosen or options.edge not in suite.edges:
            continue
        print(f"\n== {suite.title}", flush=True)
        start = time.monotonic()
        good = control(suite, options) if options.control else subject(suite, options, figures)
        failed += [] if good else [suite.name]
        print(f"({time.monotonic() - start:.0f} s)", flush=True)
    if processes.NAME in chosen and not options.control and options.edge == "wsgi":
        failed += processes.run(options)
    whole = not (options.control or options.k or options.suites or options.edge != "wsgi")
    if options.proof and whole:
        proof.record("conformance", "make conformance", figures)
    print(f"\nFAILED: {', '.join(failed)}" if failed else "\nAs recorded.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
