"""The pipeline's form for an edge with an event loop, written from the pipeline itself.

`python -m tools.asyncify` fails when `framework/pipeline_async.py` is not what this would write;
`--write` writes it. The rules, on the text of the functions named in `SOURCES`:

- each of them becomes `async def`, and a call of one of them is awaited;
- a call of a user's function, by one of the names in `USERS`, becomes `await run(app, …)`;
- a call of a public step that may be overridden, and of a user's function that is sync always, one
  in `HANDED`, becomes `await hand(…)`: these may block;
- a method in `OWN` becomes the function of that name in `framework.handing`, awaited.

Everything else stays as it is, comments included, so that line by line the two can be compared.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "demijohn"
TARGET = PACKAGE / "framework" / "pipeline_async.py"
# Module -> the functions to take, in the order in which they are written.
SOURCES: dict[str, tuple[str, ...]] = {
    "framework/pipeline.py": (
        *("respond", "end", "full_dispatch", "preprocess", "dispatch"),
        *("handle_http_exception", "handle_user_exception", "handle_exception"),
        *("finalize", "process_response"),
    ),
    "framework/ends.py": (*("teardown_request", "teardown_appcontext", "run_all", "end_at_edge"),),
}
# What a user's function is called where it is called directly.
USERS = frozenset({"hook", "view"})
# Sync methods of the application and of contexts that may be anybody's, and block. And URL value
# preprocessors, of which nobody asks whether they are async.
HANDED = frozenset(
    {
        *("full_dispatch_request", "preprocess_request", "dispatch_request", "finalize_request"),
        *("process_response", "handle_exception", "handle_user_exception"),
        *("handle_http_exception", "_teardown", "preprocessor"),
    }
)
# Method -> the function that is awaited instead, with the method's object as first argument.
OWN = {
    "_begin_at_edge": "begin",
    "_save_session": "save_session",
    "make_response": "make_response",
}
# Functions of the sources' modules that `framework.handing` has an awaited form of.
AWAITED = frozenset({"call", "call_view", "close_unit"})


class Edit:
    """A replacement in the text, by offset."""

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start = start
        self.end = end
        self.text = text


class Rewriter(ast.NodeVisitor):
    """Collects the edits for one function."""

    def __init__(self, text: str, parts: frozenset[str]) -> None:
        self.text = text
        self.parts = parts
        self.edits: list[Edit] = []
        lines = text.encode().splitlines(keepends=True)
        self.offsets = [0]
        for line in lines:
            self.offsets.append(self.offsets[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        return self.offsets[line - 1] + column

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        start = self.at(node.lineno, node.col_offset)
        self.edits.append(Edit(start, start, "async "))
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def visit_Call(self, node: ast.Call) -> None:
        start = self.at(node.lineno, node.col_offset)
        function = node.func
        name = ast.unparse(function).rpartition(".")[2]
        called = self.at(function.end_lineno or 0, function.end_col_offset or 0)
        first = called + 1
        if isinstance(function, ast.Name) and name in self.parts | AWAITED:
            self.edits.append(Edit(start, start, "await "))
        elif isinstance(function, ast.Name) and name in USERS:
            comma = ", " if node.args or node.keywords else ""
            self.edits.append(Edit(start, first, f"await run(app, {name}{comma}"))
        elif name in HANDED | OWN.keys():
            comma = ", " if node.args or node.keywords else ""
            target = f"await hand({ast.unparse(function)}{comma}"
            if isinstance(function, ast.Attribute) and name in OWN:
                target = f"await {OWN[name]}({ast.unparse(function.value)}{comma}"
            self.edits.append(Edit(start, first, target))
        for child in (*node.args, *node.keywords):
            self.visit(child)


HEAD = '''"""The pipeline for an edge with an event loop, which tools/asyncify.py writes.

Async functions are awaited, sync ones handed out (`handing`): the edge calls them on threads. What
the functions do, and why, stands in `pipeline` and `ends`, from which this is made.
"""

from __future__ import annotations

from typing import Any

'''


def functions(text: str, names: tuple[str, ...]) -> Iterator[ast.FunctionDef]:
    """The functions of these names at a module's top level; all must be there."""
    found = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    for name in names:
        yield found[name]


def rewritten() -> str:
    """The whole file."""
    parts = frozenset(name for names in SOURCES.values() for name in names)
    imports: list[str] = []
    bodies: list[str] = []
    for source, names in SOURCES.items():
        text = (PACKAGE / source).read_text()
        data = text.encode()
        module = ast.parse(text)
        for node in module.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imports.append(ast.unparse(node))
        for node in functions(text, names):
            rewriter = Rewriter(text, parts)
            rewriter.visit(node)
            start = rewriter.at(node.lineno, node.col_offset)
            end = rewriter.at(node.end_lineno or 0, node.end_col_offset or 0)
            out, position = b"", start
            for edit in sorted(rewriter.edits, key=lambda edit: (edit.start, edit.end)):
                out += data[position : edit.start] + edit.text.encode()
                position = edit.end
            bodies.append((out + data[position:end]).decode())
    imports.append("from .handing import begin, call, call_view, close_unit, hand, make_response")
    imports.append("from .handing import run, save_session")
    imports.append("from .pipeline import Raised, _names, after_hooks, discard, reported")
    imports.append("from .ends import _CLOSE, _CURRENT, _ENDED, _ENDING, _send_end")
    # What has an awaited form here is not to be had in the sync one.
    out = {
        "from .plan import Lists, call": "from .plan import Lists",
        "from .ends import end_at_edge": "",
    }
    lines = sorted({out.get(line, line) for line in imports if "__future__" not in line})
    return HEAD + "\n".join(lines) + "\n\n\n" + "\n\n\n".join(bodies) + "\n"


def formatted(text: str) -> str:
    """As Ruff leaves it: imports sorted, unused ones gone."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(TARGET), "-"]
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


def main() -> int:
    """Say whether the file is what would be written, or with `--write` write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    wanted = formatted(rewritten())
    if parser.parse_args().write:
        TARGET.write_text(wanted)
    elif not TARGET.exists() or TARGET.read_text() != wanted:
        print(f"{TARGET.name} is not what its sources say: run `python -m tools.asyncify --write`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
