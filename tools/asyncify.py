"""The pipeline's form for an edge with an event loop, written from the pipeline itself.

`python -m tools.asyncify` fails when `framework/pipeline_async.py` is not what this would write;
`--write` writes it. The rules, on the text of the functions named in `SOURCES`:

- each of them becomes `async def`, and a call of one of them is awaited;
- a call of what `framework.handing` has an awaited form of, one in `AWAITED`, is awaited: by `call`
  a user's function is called, by `send_signal` receivers are;
- what is there for calls that need not ask whether a function is async, by the names in `SHORT`,
  goes: here all of them have to be made in some way;
- a call of a public step that may be overridden, and of a user's function that is sync always, one
  in `HANDED`, becomes `await hand(…)`: these may block;
- a method in `OWN` becomes the function of that name in `framework.handing`, awaited.

Everything else stays as it is, comments included, so that line by line the two can be compared.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.generated import write_or_compare

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "demijohn"
TARGET = PACKAGE / "framework" / "pipeline_async.py"
# Module -> the functions to take, in the order in which they are written.
SOURCES: dict[str, tuple[str, ...]] = {
    "framework/pipeline.py": (
        *("respond", "end", "full_dispatch", "preprocess", "dispatch"),
        *("handle_http_exception", "handle_user_exception", "handle_exception", "reported"),
        *("finalize", "process_response"),
    ),
    "framework/ends.py": (
        *("teardown_request", "teardown_appcontext", "run_all", "_send_end", "end_at_edge"),
    ),
}
# The variables of the short way: the functions that are known to be sync, and whether one is.
SHORT = frozenset({"plain", "direct"})
# Sync methods of the application and of contexts that may be anybody's, and block. And URL value
# preprocessors, of which nobody asks whether they are async.
HANDED = frozenset(
    {
        *("full_dispatch_request", "preprocess_request", "dispatch_request", "finalize_request"),
        *("process_response", "handle_exception", "handle_user_exception"),
        *("handle_http_exception", "log_exception", "_teardown", "preprocessor"),
    }
)
# Method -> the function that is awaited instead, with the method's object as first argument.
OWN = {
    "_begin_at_edge": "begin",
    "_save_session": "save_session",
    "make_response": "make_response",
}
# Functions of the sources' modules that `framework.handing` has an awaited form of.
AWAITED = frozenset({"call", "call_view", "close_unit", "send_signal"})


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
        elif name in HANDED | OWN.keys():
            comma = ", " if node.args or node.keywords else ""
            target = f"await hand({ast.unparse(function)}{comma}"
            if isinstance(function, ast.Attribute) and name in OWN:
                target = f"await {OWN[name]}({ast.unparse(function.value)}{comma}"
            self.edits.append(Edit(start, first, target))
        for child in (*node.args, *node.keywords):
            self.visit(child)

    # -- the short way ------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        if is_short(node):
            self.leave_out(node)
        else:
            self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        if is_short(node.body[0]):
            self.leave_out(node)
        else:
            self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not asks_short(node.test):
            self.generic_visit(node)
        elif not node.orelse:
            self.leave_out(node)
        else:
            # The statements of `else`, as far to the left as the `if` is.
            first, last = node.orelse[0], node.orelse[-1]
            self.cut(node, self.at(first.lineno, first.col_offset))
            self.shift(first.lineno, last.end_lineno or 0, first.col_offset - node.col_offset)
            for child in node.orelse:
                self.visit(child)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        if asks_short(node.test):
            self.cut(node, self.at(node.orelse.lineno, node.orelse.col_offset))
            self.visit(node.orelse)
        else:
            self.generic_visit(node)

    def cut(self, node: ast.stmt | ast.expr, end: int) -> None:
        """Leave out what stands from the begin of `node` up to `end`."""
        self.edits.append(Edit(self.at(node.lineno, node.col_offset), end, ""))

    def leave_out(self, node: ast.stmt) -> None:
        """Leave out a statement, with its lines."""
        self.edits.append(Edit(self.at(node.lineno, 0), self.at((node.end_lineno or 0) + 1, 0), ""))

    def shift(self, first: int, last: int, columns: int) -> None:
        """Move the lines after `first`, up to `last`, to the left."""
        for line in range(first + 1, last + 1):
            self.edits.append(Edit(self.at(line, 0), self.at(line, columns), ""))


def is_short(node: ast.stmt) -> bool:
    """Whether a statement sets a variable of the short way."""
    if not isinstance(node, ast.Assign):
        return False
    (target, *_), value = node.targets, node.value
    asked = value.comparators[0] if isinstance(value, ast.Compare) else value
    return (
        isinstance(target, ast.Name)
        and target.id in SHORT
        and getattr(asked, "attr", getattr(asked, "id", "")) == "plain"
    )


def asks_short(test: ast.expr) -> bool:
    """Whether a condition asks for the short way: `direct`, or `direct or …`."""
    first = test.values[0] if isinstance(test, ast.BoolOp) else test
    return isinstance(first, ast.Name) and first.id == "direct"


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
                # What has an awaited form here is not to be had in the sync one.
                node.names = [name for name in node.names if name.name not in parts | AWAITED]
                if node.names:
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
    imports.append("from .handing import save_session, send_signal")
    imports.append("from .pipeline import Raised, _names, after_hooks, discard")
    imports.append("from .ends import _CLOSE, _CURRENT, _ENDED, _ENDING")
    lines = sorted({line for line in imports if "__future__" not in line})
    return HEAD + "\n".join(lines) + "\n\n\n" + "\n\n\n".join(bodies) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_compare("tools.asyncify", TARGET, rewritten(), __doc__))
