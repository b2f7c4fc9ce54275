"""The package keeps its layers, and the checks of that fail on a package that does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.layers import cycles, layer_of, read_graph, upward

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = (
    "compat",
    "inspector",
    "application",
    "testing",
    "cli",
    "serve",
    "framework",
    "http",
    "typing",
    "context",
    "version",
)
TYPE_ONLY = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "
IN_FUNCTION = "def f():\n    "


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with this project's contracts on the `demijohn` found in `folder`."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports("
    code += f"{str(ROOT / 'pyproject.toml')!r}, no_cache=True, no_logo=True))"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )


def package(folder: Path, name: str, files: Mapping[str, str]) -> None:
    """Write a package with every layer as an empty module, and `files` over it."""
    root = folder / name
    root.mkdir()
    (root / "__init__.py").touch()
    for layer in REQUIRED:
        (root / f"{layer}.py").touch()
    for path, text in files.items():
        (root / path).write_text(text)


def test_the_package_keeps_its_layers() -> None:
    """Every contract in pyproject.toml holds for the package."""
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_package_has_no_import_cycle() -> None:
    """No module reaches itself through imports, type-only and function-level ones included."""
    assert cycles(read_graph("demijohn")) == []


def test_no_layer_imports_what_is_for_users() -> None:
    """The facade and the path files with Flask's module names are imported by no layer."""
    assert upward(read_graph("demijohn"), "demijohn") == []


def test_a_package_without_faults_passes(tmp_path: Path) -> None:
    """The bare layers pass, so what fails below fails for its seeded fault."""
    package(tmp_path, "demijohn", {})
    result = lint(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("context.py", "import demijohn.typing", "Imports point down"),
        ("context.py", TYPE_ONLY + "import demijohn.http", "Imports point down"),
        ("http.py", IN_FUNCTION + "from demijohn.framework import f", "Imports point down"),
        ("serve.py", "from . import cli", "Imports point down"),
        ("framework.py", "from .application import f", "Imports point down"),
        ("context.py", "import werkzeug", "standard library only"),
        ("context.py", TYPE_ONLY + "import jinja2", "standard library only"),
        ("http.py", "import click", "no Click"),
        ("application.py", IN_FUNCTION + "import flask", "Nothing needs Flask"),
        ("jobs.py", "from . import inspector", "Imports point down"),
        ("db.py", "from . import tasks", "Imports point down"),
    ],
)
def test_a_seeded_import_upwards_fails(tmp_path: Path, path: str, text: str, words: str) -> None:
    """Each kind of forbidden import breaks the contract that forbids it."""
    files = {"tasks.py": "", "inspector.py": "", path: text + "\n"}
    package(tmp_path, "demijohn", files)
    result = lint(tmp_path)
    assert result.returncode != 0
    broken = [line for line in result.stdout.splitlines() if "BROKEN" in line]
    assert any(words in line for line in broken), result.stdout + result.stderr


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from . import http", "from . import framework"),
        ("from . import http", TYPE_ONLY + "from . import framework"),
        (IN_FUNCTION + "from . import http", TYPE_ONLY + "from .framework import x"),
    ],
)
def test_a_seeded_cycle_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """A cycle counts whichever way its imports are written."""
    name = f"cyclic_{abs(hash((first, second)))}"
    package(tmp_path, name, {"framework.py": first + "\n", "http.py": second + "\n"})
    monkeypatch.syspath_prepend(tmp_path)
    assert cycles(read_graph(name)) == [[f"{name}.framework", f"{name}.http"]]


def test_cycles_of_a_graph() -> None:
    """Groups that reach each other are found apart, and a straight line is none."""
    line = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset[str]()}
    assert cycles(line) == []
    two = {
        "a": frozenset({"b"}),
        "b": frozenset({"a", "c"}),
        "c": frozenset({"d"}),
        "d": frozenset({"c"}),
        "e": frozenset({"e"}),
    }
    assert cycles(two) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_layer_that_imports_a_path_file_is_found() -> None:
    """A layer may import neither the facade nor a path file; a path file may import both."""
    graph = {
        "p": frozenset({"p.application"}),
        "p.views": frozenset({"p.framework.views", "p.globals"}),
        "p.http.request": frozenset({"p.globals"}),
        "p.framework.views": frozenset({"p"}),
    }
    assert upward(graph, "p") == [("p.framework.views", "p"), ("p.http.request", "p.globals")]
    assert layer_of("p.json.provider", "p") is None
    assert layer_of("p.http.json_provider", "p") == "http"
