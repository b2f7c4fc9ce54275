"""Flask-SQLAlchemy: a pool of two connections is whole after a hundred children in threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROBE = Path(__file__).with_name("pool_probe_children.py")
SOURCE = PROBE.parent.parent.parent / "src"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the probe has found."""
    path = os.pathsep.join([str(SOURCE), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROBE), str(tmp_path_factory.mktemp("pool") / "db")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", ["threads", "executor", "parallel", "in_child", "copied"])
def test_the_pool_is_whole(probe: Any, way: str) -> None:
    """After a hundred children, every tenth of which fails, each way to start them has given back
    every connection, and each child had its answer."""
    wanted = [-1 if n % 10 == 0 else n for n in range(100)]
    assert probe["found"][way] == {"status": 200, "held": 0, "done": wanted}


def test_the_parents_session_is_its_own(probe: Any) -> None:
    """The children's ends have left the parent its session."""
    assert probe["parents"] == [True] * 5
