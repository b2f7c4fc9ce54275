"""docs/contexts.md is true: its program prints what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import follow_page

PAGE = Path(__file__).resolve().parent.parent / "docs" / "contexts.md"


def test_the_page_is_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of the page runs after those before it, and prints what the page shows."""
    monkeypatch.chdir(tmp_path)
    assert follow_page(PAGE) > 10
