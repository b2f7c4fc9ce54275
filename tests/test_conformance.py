"""The judgement on the suites of conformance/ is right and fails when it should."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from conformance.environment import unpack
from conformance.results import (
    Cause,
    Expected,
    Result,
    complaints,
    judge,
    read_expected,
    read_junit,
)
from conformance.suites import SUITES, Suite

REFERENCE = ["tests/a.py::test_1", "tests/a.py::test_2", "tests/a.py::test_3"]
ALL_PASS = {test: Result("passed") for test in REFERENCE}
KNOWN = Expected(2, (Cause("a cause", ("tests/a.py::test_3",)),))


#: How many tests of each suite pass on Flask 3.1.3.
PASSING = {
    "flask": 489,
    "tutorial": 24,
    "javascript": 8,
    "flask-login": 114,
    "flask-wtf": 85,
    "flask-sqlalchemy": 450,
    "sentry": 136,
}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_recorded_lists_fit_each_other(suite: Suite) -> None:
    """Each suite's list is whole, every known failure is in it, and its archive has a hash."""
    reference = suite.reference()
    expected = suite.expected()
    assert len(reference) == len(set(reference)) == PASSING[suite.name]
    assert expected.known <= set(reference)
    assert len(reference) - len(expected.known) >= expected.threshold
    assert "==" in suite.pins.read_text() and "--hash=sha256:" in suite.pins.read_text()


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_only_flasks_own_tests_have_known_failures(suite: Suite) -> None:
    """Of Flask's tests at most 4 fail here, of the others none."""
    assert len(suite.expected().known) <= (4 if suite.name == "flask" else 0)
    assert suite.expected().threshold >= (PASSING[suite.name] - 4 if suite.name == "flask" else 1)


def test_only_what_is_asked_for_is_unpacked(tmp_path: Path) -> None:
    """The package beside the tests stays in the archive, and so does what only looks alike."""
    for name in ("tests/test_a.py", "tests/b/c.html", "src/pkg/__init__.py", "testsuite/x.py"):
        file = tmp_path / "in" / "pkg-1.0" / "part" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    archive = tmp_path / "pkg-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as target:
        target.add(tmp_path / "in" / "pkg-1.0", "pkg-1.0")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.py").write_text("of an earlier run")
    folder = unpack(archive, tmp_path / "out", "part/", ("tests/", "setup.cfg"))
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert found == {"tests/test_a.py", "tests/b/c.html"}


def test_a_run_as_recorded_succeeds() -> None:
    """Known failures fail, the rest pass, enough pass: nothing to complain about."""
    results = ALL_PASS | {REFERENCE[2]: Result("failed", "boom")}
    verdict = judge(REFERENCE, results, KNOWN)
    assert (verdict.passed, verdict.known) == (REFERENCE[:2], REFERENCE[2:])
    assert complaints(verdict, KNOWN) == []


@pytest.mark.parametrize("how", ["failed", "skipped", "missing"])
def test_a_lost_test_fails_the_run(how: str) -> None:
    """A test that no cause names must pass, even when enough others do."""
    results = ALL_PASS | {REFERENCE[0]: Result(how)}
    if how == "missing":
        del results[REFERENCE[0]]
    verdict = judge(REFERENCE, results, Expected(2))
    assert verdict.unexpected == [REFERENCE[0]]
    assert complaints(verdict, Expected(2)) == ["1 that are recorded as passing do not"]


def test_too_few_fail_the_run() -> None:
    """Below the threshold the run fails, whatever the causes explain."""
    expected = Expected(3, KNOWN.causes)
    results = ALL_PASS | {REFERENCE[2]: Result("failed")}
    assert complaints(judge(REFERENCE, results, expected), expected) == ["only 2 pass; 3 must"]


def test_a_stale_record_fails_the_run() -> None:
    """A known failure that passes, and one that does not exist, must be taken out."""
    expected = Expected(2, (Cause("a", (REFERENCE[2], "tests/a.py::test_gone")),))
    found = complaints(judge(REFERENCE, ALL_PASS, expected), expected)
    assert len(found) == 2
    assert "take them out" in found[0]
    assert "test_gone" in found[1]


def test_a_test_stands_under_one_cause() -> None:
    """The same test under two causes is refused."""
    cause = '[[cause]]\ntitle = "t"\ntests = ["tests/a.py::test_1"]\n'
    with pytest.raises(ValueError, match="two causes"):
        read_expected("threshold = 1\n" + cause + cause)


def test_junit_names_become_node_ids(tmp_path: Path) -> None:
    """Modules, classes, parameters and modules that do not import keep the ids pytest prints."""
    file = tmp_path / "junit.xml"
    file.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.test_a" name="test_x[a.b-1]"/>
        <testcase classname="tests.test_a.TestC" name="test_y">
          <failure message="AssertionError: no&#10;more">trace</failure></testcase>
        <testcase classname="tests.test_a" name="test_z"><skipped message="why"/></testcase>
        <testcase classname="tests.test_a" name="test_twice"/>
        <testcase classname="tests.test_a" name="test_twice">
          <error message="at teardown"/></testcase>
        <testcase classname="" name="tests.test_gone">
          <error message="collection failure"/></testcase>
        </testsuite></testsuites>"""
    )
    assert read_junit(file) == {
        "tests/test_a.py::test_x[a.b-1]": Result("passed"),
        "tests/test_a.py::TestC::test_y": Result("failed", "AssertionError: no"),
        "tests/test_a.py::test_z": Result("skipped", "why"),
        "tests/test_a.py::test_twice": Result("failed", "at teardown"),
        "tests.test_gone": Result("failed", "collection failure"),
    }
