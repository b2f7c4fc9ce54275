"""The check of promises against tests (tools/promises.py) notices what it is there to notice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.promises import KINDS, MAP, MapError, Row, belongs, problems, read_map

pytest_plugins = ["pytester"]

FILLER = "".join(
    f'[[{kind}]]\nid = {number}\ntitle = "t"\ndue = 9\ntests = []\n'
    for kind, ids in KINDS.items()
    for number in ids
    if (kind, number) != ("promise", 1)
)


def row(due: int = 2, *tests: str) -> Row:
    return Row("promise", 1, "", "title", due, tests)


def test_the_map_of_this_repository_is_well_formed() -> None:
    """The project's own map names each promise, need and invariant: read without complaint."""
    current, rows = read_map(MAP.read_text())
    assert current >= 2
    for kind, ids in KINDS.items():
        assert {row.number for row in rows if row.kind == kind} == set(ids)


def test_a_due_row_whose_tests_pass_is_fine() -> None:
    """A row is content when each id names at least one test and all of them passed."""
    outcomes = {"tests/a.py::test_x[1]": "passed", "tests/a.py::test_x[2]": "passed"}
    assert problems(2, [row(2, "tests/a.py::test_x")], outcomes) == []


def test_a_missing_test_is_reported() -> None:
    """An id that no collected test answers to fails the check."""
    (line,) = problems(2, [row(2, "tests/a.py::test_gone")], {"tests/a.py::test_gone_2": "passed"})
    assert "test_gone is not in the suite" in line


@pytest.mark.parametrize("how", ["skipped", "failed"])
def test_a_test_that_did_not_pass_is_reported(how: str) -> None:
    """One skipped or failed parameter of a named test fails the check."""
    outcomes = {"tests/a.py::test_x[1]": "passed", "tests/a.py::test_x[2]": how}
    assert problems(2, [row(2, "tests/a.py::test_x")], outcomes) == [
        f"promise 1: tests/a.py::test_x[2] {how}"
    ]


def test_a_due_row_without_tests_is_reported() -> None:
    """A due row must name a test."""
    (line,) = problems(2, [row(2)], {})
    assert "no test named" in line


def test_a_later_row_is_left_alone() -> None:
    """A row that is due with a later issue may still be empty."""
    assert problems(2, [row(3)], {}) == []


@pytest.mark.parametrize(
    ("nodeid", "wanted", "expected"),
    [
        ("tests/a.py::test_x", "tests/a.py::test_x", True),
        ("tests/a.py::test_x[p]", "tests/a.py::test_x", True),
        ("tests/a.py::test_x[p]", "tests/a.py::test_x[p]", True),
        ("tests/a.py::C::test_x", "tests/a.py::C", True),
        ("tests/a.py::test_x", "tests/a.py", True),
        ("tests/a.py", "tests/a.py", True),
        ("tests/a.py::test_xy", "tests/a.py::test_x", False),
        ("tests/a.py2::test_x", "tests/a.py", False),
        ("tests/a.py::test_x", "tests/a.py::test_x[p]", False),
    ],
)
def test_ids_match_at_their_boundaries(nodeid: str, wanted: str, expected: bool) -> None:
    """A file, class or test stands for what is in it, and for nothing that only begins like it."""
    assert belongs(nodeid, wanted) is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "current"),
        ("current = 2\n", "no row for promise 1"),
        ('current = 2\n[[promise]]\nid = 1\ntitle = "t"\ndue = 2\n', "missing tests"),
        ('current = 2\n[[promise]]\nid = 17\ntitle = "t"\ndue = 2\ntests = []\n', "promise 17"),
        ('current = 2\n[[promise]]\nid = 1\ntitle = "t"\ndue = "2"\ntests = []\n', "due"),
        ('current = 2\n[[promise]]\nid = 1\ntitle = "t"\ndue = 2\ntests = [1]\n', "node ids"),
        ("current = 2\n[[promise]]\nid = 1\ntitel = 2\n", "titel"),
        ("current = 2\n[[promises]]\nid = 1\n", "tables only"),
    ],
)
def test_a_malformed_map_is_refused(text: str, words: str) -> None:
    """A slip in the map is an error that names it, not a row that is silently ignored."""
    with pytest.raises(MapError, match=words):
        read_map(text)


def test_two_rows_of_one_name_are_refused() -> None:
    """A promise with two rows must say which part each is."""
    one = '[[promise]]\nid = 1\ntitle = "t"\ndue = 2\ntests = []\n'
    with pytest.raises(MapError, match="two rows"):
        read_map("current = 2\n" + one + one + FILLER)
    other = one + 'part = "p"\n'
    expected = sum(map(len, KINDS.values())) + 1
    assert len(read_map("current = 2\n" + one + other + FILLER)[1]) == expected


SUITE = """
import pytest

def test_good(): pass
@pytest.mark.skip(reason="no")
def test_marked(): pass
def test_inside(): pytest.skip("no")
@pytest.mark.parametrize("n", [1, 2])
def test_many(n):
    if n == 2: pytest.skip("no")
"""


def test_outcomes_of_a_real_run_are_recorded(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin tells passed from skipped: by mark, in the body, a whole file, a parameter."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(test_suite=SUITE, test_away="import pytest\npytest.importorskip('no_such')")
    result = run(pytester)
    assert result.ret == 0
    assert read_outcomes(pytester) == {
        "test_away.py": "skipped",
        "test_suite.py::test_good": "passed",
        "test_suite.py::test_marked": "skipped",
        "test_suite.py::test_inside": "skipped",
        "test_suite.py::test_many[1]": "passed",
        "test_suite.py::test_many[2]": "skipped",
    }


def test_a_skip_fails_the_run_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With CI=true a suite in which something is skipped does not succeed."""
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(test_suite=SUITE)
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*skipped, which CI=true does not allow*", "*::test_inside"])


def test_only_named_tests_run(pytester: pytest.Pytester, tmp_path: Path) -> None:
    """The selection keeps what is named and does not mind a name that does not exist."""
    pytester.makepyfile(test_suite=SUITE)
    chosen = tmp_path / "chosen.json"
    chosen.write_text('["test_suite.py::test_good", "test_suite.py::test_gone"]')
    result = run(pytester, "-p", "tools.promises_select", f"--only={chosen}")
    assert result.ret == 0
    assert read_outcomes(pytester) == {"test_suite.py::test_good": "passed"}


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(MAP.parent.parent))
        return pytester.runpytest_subprocess(
            "-p", "tools.outcomes", "--outcomes=outcomes.json", *arguments
        )


def read_outcomes(pytester: pytest.Pytester) -> dict[str, str]:
    found: dict[str, str] = json.loads((pytester.path / "outcomes.json").read_text())
    return found
