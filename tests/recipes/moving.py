"""The application of examples/recipes, copied to a folder in one of the ways in which apps move."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPES = ROOT / "examples" / "recipes"
ALIAS = "import demijohn\n\ndemijohn.install_as_flask()\n"
WAYS = ("alias", "names", "flask")
"""The alias alone; Demijohn's own names, with the alias for the extension; the real Flask."""


def copy(target: Path, way: str, *more: Path) -> Path:
    """Copy the application and `more` files, moved in this way, to the new folder `target`."""
    ignored = shutil.ignore_patterns("__pycache__", "instance")
    shutil.copytree(RECIPES, target, ignore=ignored)
    for source in more:
        shutil.copy(source, target)
    for source in target.rglob("*.py"):
        text = source.read_text()
        if way == "flask":
            text = text.replace(ALIAS, "")
        if way == "names":
            text = re.sub(r"^from flask\b", "from demijohn", text, flags=re.MULTILINE)
        source.write_text(text)
    return target


def environment(**variables: str) -> Mapping[str, str]:
    """Return variables for a process that imports from its working folder and from `src`."""
    path = os.pathsep.join([".", str(ROOT / "src"), *filter(None, sys.path)])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STUDIO_")}
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **variables}
