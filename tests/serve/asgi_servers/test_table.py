"""The table of faults, docs/servers.md: each cell against a real server process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cells import COLUMNS
from .differences import DIFFERENCES, differs
from .rows import ROWS, SMOKE, Bench
from .table import NAMES, page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "servers.md"
# The cells of the smoke row that `make test` has time for: those that stop no server.
QUICK = {"F2", "F4", "F5", "F6", "F7", "F8", "F9", "F20", "F22", "F23", "F24", "F26"}


@pytest.fixture(scope="module")
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    bench = Bench(ROWS[request.param], tmp_path_factory.mktemp("bench"))
    yield bench
    bench.close()


def cells() -> list[object]:
    """Row by row, so that a row's cells share its server."""
    return [
        pytest.param(
            row,
            name,
            id=f"{row}-{name}",
            marks=[pytest.mark.xdist_group(row)]
            + ([] if row == SMOKE and name in QUICK else [pytest.mark.servers]),
        )
        for row in ROWS
        for name in NAMES
    ]


@pytest.mark.parametrize(("bench", "name"), cells(), indirect=["bench"])
def test_a_cell(bench: Bench, name: str) -> None:
    """Under each server each fault does what the table says, and no message breaks the protocol."""
    COLUMNS[name].run(bench)
    if bench.running is not None:
        found = [line for line in bench.running.log() if line.startswith("VIOLATION")]
        assert not found, "\n".join(found)


def test_the_page() -> None:
    """docs/servers.md shows the table as it is tested; `python -m tools.servers` writes it."""
    assert PAGE.read_text().endswith(page())


def test_every_fault_has_a_column() -> None:
    """F2, F4 to F14 and F19 to F26 are columns, and each difference is of a row and a column."""
    assert [f"F{number}" for number in (2, *range(4, 15), *range(19, 27))] == NAMES
    assert len(ROWS) == 12
    for name, rows, _ in DIFFERENCES:
        assert name in COLUMNS
        assert set(rows) <= set(ROWS)


def test_a_difference_that_is_gone_is_noticed(tmp_path: Path) -> None:
    """A server that does what its row says it does not fails the cell, as does one that does not
    what its row says."""
    granian, uvicorn = (
        Bench(ROWS[name], tmp_path) for name in ("demijohn serve, WSGI", "uvicorn, h11")
    )
    differs(granian, "F2", True, False)
    differs(uvicorn, "F2", False, False)
    with pytest.raises(AssertionError):
        differs(granian, "F2", False, False)
    with pytest.raises(AssertionError):
        differs(uvicorn, "F2", True, False)
