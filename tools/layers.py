"""Check what import-linter's layer contract cannot say: cycles, and who imports path files.

`python -m tools.layers`. Type-only imports and imports inside functions count like any other.
Two rules:

- no module is in an import cycle;
- a root module that is no layer (a path file that re-exports under one of Flask's module names, or
  the package facade itself) is imported by no layer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import grimp

LAYERS = (
    "compat",
    "inspector",
    "jobs",
    "tasks",
    "db",
    "application",
    "testing",
    "cli",
    "serve",
    "background",
    "framework",
    "http",
    "typing",
    "context",
    "version",
)
# On top of everything: runs as a program, imported by nobody.
TOP = ("__main__", "pytest_alias")

Graph = Mapping[str, frozenset[str]]


def read_graph(package: str) -> dict[str, frozenset[str]]:
    """Return module -> the package's modules that it imports, read from source (nothing is run)."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)
    return {
        module: frozenset(graph.find_modules_directly_imported_by(module))
        for module in sorted(graph.modules)
    }


def cycles(graph: Graph) -> list[list[str]]:
    """Return every group of modules that reach each other, a shortest round through it first named.

    A module that imports itself is a group of one.
    """
    reach = {module: _reachable(graph, module) for module in graph}
    groups: list[list[str]] = []
    seen: set[str] = set()
    for module in sorted(graph):
        if module in seen or module not in reach[module]:
            continue
        group = sorted(other for other in reach[module] if module in reach.get(other, ()))
        seen.update(group)
        groups.append(group)
    return groups


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo.extend(graph.get(module, ()))
    return found


def layer_of(module: str, package: str) -> str | None:
    """Return the layer that `module` is in, or None for the facade and the path files."""
    name = module.removeprefix(package).removeprefix(".").partition(".")[0]
    return name if name in LAYERS else None


def upward(graph: Graph, package: str) -> list[tuple[str, str]]:
    """Return (importer, imported) where a layer imports the facade, a path file or a program."""
    return [
        (module, target)
        for module, targets in sorted(graph.items())
        if layer_of(module, package)
        for target in sorted(targets)
        if layer_of(target, package) is None
    ]


def main() -> int:
    """Print what is wrong with the package, or one line of counts."""
    package = "demijohn"
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
    graph = read_graph(package)
    rounds, ups = cycles(graph), upward(graph, package)
    for group in rounds:
        print(f"import cycle: {' <-> '.join(group)}")
    for module, target in ups:
        print(f"{module} imports {target}, which is for users: import what it re-exports")
    if not rounds and not ups:
        edges = sum(map(len, graph.values()))
        print(f"{len(graph)} modules, {edges} imports: no cycle, no layer imports a path file.")
    return 1 if rounds or ups else 0


if __name__ == "__main__":
    sys.exit(main())
