"""A pytest plugin that keeps only the tests that a JSON file names.

Used as `pytest -p tools.promises_select --only=FILE`. Unlike ids on pytest's command
line, a name that does not exist is no error here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.promises import belongs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--only`."""
    parser.addoption("--only", type=Path, default=None, help="JSON list of node ids to keep")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop what is not named."""
    source = config.getoption("only")
    if source is None:
        return
    wanted = json.loads(source.read_text())
    kept = [item for item in items if any(belongs(item.nodeid, name) for name in wanted)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
