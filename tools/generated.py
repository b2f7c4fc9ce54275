"""What the tools share that write files of the package from others: format, write or compare."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def write_or_compare(tool: str, target: Path, text: str, description: str | None) -> int:
    """Say whether `target` is what `text` is when formatted, or with `--write` make it that.

    Returns the exit status of the tool, `python -m TOOL`, whose docstring is `description`.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    wanted = formatted(text, target)
    if parser.parse_args().write:
        target.write_text(wanted)
    elif not target.exists() or target.read_text() != wanted:
        print(f"{target.name} is not what its sources say: run `python -m {tool} --write`.")
        return 1
    return 0


def formatted(text: str, target: Path) -> str:
    """As Ruff leaves it: imports sorted, unused ones gone."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(target), "-"]
    fixed = subprocess.run(
        [*ruff, "check", "--fix-only", "--quiet", *name],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return subprocess.run(
        [*ruff, "format", "--quiet", *name], input=fixed, capture_output=True, text=True, check=True
    ).stdout
