"""Processes in which `import flask` means Demijohn, with Flask installed and with Flask hidden."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import demijohn

SOURCE = Path(demijohn.__file__).parent.parent
TIMEOUT = 120.0  # seconds until a process is taken for hung

#: Hides an installed Flask from imports and from `importlib.metadata`.
HIDE = """
import importlib.metadata, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "flask":
            raise ModuleNotFoundError("Flask is hidden", name=name)
sys.meta_path.insert(0, Hide())
_all = importlib.metadata.MetadataPathFinder.find_distributions
importlib.metadata.MetadataPathFinder.find_distributions = lambda *context: (
    found for found in _all(*context) if found.metadata["Name"] != "Flask"
)
"""
INSTALL = "import demijohn\ndemijohn.install_as_flask()"


def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `python ARGS...` to its end, with this package importable; keywords set variables."""
    away = ("FLASK", "DEMIJOHN", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(away)}
    return subprocess.run(
        [sys.executable, *args],
        env={**kept, "PYTHONPATH": str(SOURCE), **env},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def output(*args: str, cwd: Path | None = None, **env: str) -> str:
    """Run `python ARGS...`, which must succeed, and return what it printed."""
    result = run(*args, cwd=cwd, **env)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def run_aliased(code: str, *, hidden: bool = False) -> str:
    """Run code after `install_as_flask()`, warnings as errors; return what it printed."""
    first = HIDE if hidden else "import importlib.metadata\nimportlib.metadata.version('flask')"
    return output("-W", "error", "-c", f"{first}\n{INSTALL}\n{code}")
