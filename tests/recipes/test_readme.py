"""The recipes' README works: a reader who follows it gets what it shows."""

from __future__ import annotations

from pathlib import Path

from documents import Block, Reader, blocks, environment
from local_servers import program, redis
from moving import ROOT, copy


def test_readme(tmp_path: Path) -> None:
    """Every command of the README does what it shows, in a copy of the folder."""
    program("curl", "curl")
    folder = copy(tmp_path / "recipes", "alias")
    with redis() as broker:
        variables = {"STUDIO_BROKER": broker, "STUDIO_MODEL_SECONDS": "0"}
        with Reader(folder, environment(tmp_path / "reader", ["celery"], **variables)) as reader:
            reader.follow(Block("console", "", f"$ python -m pip install '{ROOT}'\n"))
            for block in blocks((folder / "README.md").read_text()):
                reader.follow(block)
            assert len(reader.addresses) == 1
