"""The pipeline's quick form, written from the pipeline itself: calls replaced by what they call.

`python -m tools.flatten` fails when `serve/wsgi_flat.py` is not what this would write;
`--write` writes it. A call of a Python function takes 25 ns and its arguments as much again, and
twenty of them stand between an edge and a view. The rules, on the functions named in `SOURCES`:

- in `ROOTS`, and in what is put into them, a statement with a call of one of `INLINED` becomes that
  function's body: parameters become the arguments, local names get names of their own, a `return`
  becomes an assignment and a `break` out of a loop that is run once;
- what `KNOWN` says is put in place of a condition, and the branches go that are never taken. All of
  it is what `Overrides.flat` stands for, and is asked for at the top: where it does not hold, the
  pipeline itself is called.

What the code does, and why, stands in the sources. Anything that these rules do not cover, as a
name that stands for two things, is an error here, never other code there.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import copy
import sys
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeAlias

from tools.asyncify import formatted

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "demijohn"
TARGET = PACKAGE / "serve" / "wsgi_flat.py"
SOURCES = (
    "serve.wsgi_request",
    *("framework.pipeline", "framework.ends", "framework.contexts", "framework.app_contexts"),
    *("framework.plan", "framework.matching", "http.request", "http.response", "http.coerce"),
)
ROOTS = ("serve",)
# What is called, a method as it is written after the name of what has it -> the function.
INLINED = {
    **{name: name for name in ("respond", "finish", "end_at_edge")},
    **{name: name for name in ("full_dispatch", "preprocess", "dispatch", "call_view")},
    **{name: name for name in ("process_response", "after_hooks", "assemble")},
    **{name: name for name in ("new_request", "fill", "teardown_request", "run_all")},
    **{name: name for name in ("finalize", "quick")},
    ".current": "Plans.current",
    "._begin_at_edge": "RequestContext._begin_at_edge",
    ".match_request": "RequestContext.match_request",
    "._matcher.match": "Matcher.match",
}
# Function -> what it calls all the same, as few requests come there.
CALLED = {"process_response": {"after_hooks"}}
# Classes of which an instance is made by putting the body of `__init__` there.
MADE = ("RequestContext", "AppContext")
_STEPS = ("full_dispatch_request", "preprocess_request", "dispatch_request", "finalize_request")
_FLAT = {
    **{f"overrides.{name}": False for name in (*_STEPS, "process_response", "request_context")},
    **{f"overrides.{name}": True for name in ("stock_request", "plain_bodies", "quick")},
}
# Function -> what is known in it when `Overrides.flat` holds: an expression and its value.
KNOWN: dict[str, dict[str, bool]] = {
    **{name: _FLAT for name in ("respond", "new_request", "full_dispatch", "finalize")},
    "RequestContext.__init__": {"request is None": False},
    "RequestContext._begin_at_edge": {
        "app._plans.overrides.app_context": False,
        "app._plans.idle_interface is None": False,
    },
    "Matcher.match": {
        "overrides.indexed": True,
        "overrides.stock_request": True,
        "ctx._adapter is UNMADE": True,
        "request.trusted_hosts is None": True,
        "'path' not in vars(request)": True,
        "type(ctx.request) is Request": True,
    },
    "run_all": {"signal is not None": True},
}
_LEAVING = (ast.Return, ast.Raise, ast.Break, ast.Continue)
# What a call's value is assigned to.
Target: TypeAlias = ast.Name | ast.Tuple
# Locals of what is inlined that may hold an answer: a root's last `finally` lets go of them too, as
# the end of a call does. The errors that somebody keeps lead to its frame.
ANSWERS = frozenset({"body", "chunks", "finished", "made", "response", "rv"})
# Root -> after which statement it is asked whether what is known holds.
ASKED = {"serve": "overrides = plans.current(app)"}

HEAD = '''"""A request in one piece, for applications that override nothing, by tools/flatten.py.

What it does, and why, stands in `wsgi_request`, `pipeline`, `ends` and `contexts`, from which this
is made.
"""

# Pyright knows of an empty tuple that nothing is in it, here where it is given a name.
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

'''


class Sources:
    """The functions and names of the modules that are read."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.functions: dict[str, tuple[ast.FunctionDef, str]] = {}
        # Module -> name -> the module and the name that it is imported from.
        self.names: dict[str, dict[str, tuple[str, str]]] = {}
        for module in SOURCES:
            path = package / f"{module.replace('.', '/')}.py"
            self.names[module] = names = {}
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef):
                    self.functions[node.name] = node, module
                elif isinstance(node, ast.ClassDef):
                    for member in node.body:
                        if isinstance(member, ast.FunctionDef):
                            self.functions[f"{node.name}.{member.name}"] = member, module
                for name, origin in _bound(node, module):
                    names[name] = origin


def _bound(node: ast.stmt, module: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The names that a statement at the top of a module binds, and where they come from."""
    if isinstance(node, ast.ImportFrom):
        package = module.split(".")[: -node.level] if node.level else []
        origin = ".".join([*package, *((node.module or "").split(".") if node.module else [])])
        if not node.level:
            origin = f"/{origin}"
        for alias in node.names:
            yield alias.asname or alias.name, (origin, alias.name)
    elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name, (module, node.name)
    else:
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                yield child.id, (module, child.id)


class Substitution(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, names: dict[str, ast.expr]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        new = self.names.get(node.id)
        if new is None:
            return node
        if isinstance(new, ast.Name):
            return ast.Name(new.id, node.ctx)
        return copy.deepcopy(new)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name in self.names:
            new = self.names[node.name]
            assert isinstance(new, ast.Name)
            node.name = new.id
        return self.generic_visit(node)


class Folding(ast.NodeTransformer):
    """Replaces what is known, and drops what is never reached."""

    def __init__(self, known: dict[str, bool]) -> None:
        self.known = known

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.Attribute, ast.Compare)) and ast.unparse(node) in self.known:
            return ast.Constant(self.known[ast.unparse(node)])
        made: ast.AST = super().visit(node)
        return made

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node) == "None is not None":
            return ast.Constant(False)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        decides = isinstance(node.op, ast.Or)  # the value that ends it
        values: list[ast.expr] = []
        for value in node.values:
            new = self.visit(value)
            assert isinstance(new, ast.expr)
            if isinstance(new, ast.Constant) and type(new.value) is bool:
                if new.value is decides:
                    if not any(
                        isinstance(part, ast.Call) for old in values for part in ast.walk(old)
                    ):
                        return new
                    values.append(new)
                    break
                continue
            values.append(new)
        if not values:
            return ast.Constant(not decides)
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Constant):
            return ast.Constant(not node.operand.value)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node if node.body else node.finalbody

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node


class Flattening:
    """One root function, with the bodies of what it calls in place of the calls."""

    def __init__(self, sources: Sources, root: str, imports: dict[str, tuple[str, str]]) -> None:
        self.sources = sources
        self.imports = imports
        # Local names that get values of more than one type.
        self.untyped: set[str] = set()
        self.typed: set[str] = set()
        function, module = sources.functions[root]
        function = copy.deepcopy(function)
        self.taken = _locals(function) | {argument.arg for argument in function.args.args}
        body = self.prepared(function, root, module)
        if root in ASKED:
            at = [ast.unparse(statement) for statement in body].index(ASKED[root]) + 1
            body[at:at] = self.asking(function, module)
        self.held: list[str] = []
        self.body = self.statements(body, root)
        self.let_go()

    def let_go(self) -> None:
        last = self.body[-1]
        if not isinstance(last, ast.Try) or not last.finalbody:
            raise SystemExit("A root has to let go of what it holds in a `finally`, at its end.")
        targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in sorted(self.held)]
        last.finalbody.append(ast.Assign(targets, ast.Constant(None)))

    def asking(self, root: ast.FunctionDef, module: str) -> list[ast.stmt]:
        """Leave it to the root itself where what is known does not hold."""
        general = f"{module.rpartition('.')[2]}_{root.name}"
        self.imports[general] = (module, root.name)
        arguments = ", ".join(argument.arg for argument in root.args.args)
        return ast.parse(f"if not overrides.flat:\n return {general}({arguments})").body

    def prepared(self, function: ast.FunctionDef, name: str, module: str) -> list[ast.stmt]:
        """A function's body with what is known put in, its globals noted."""
        body = function.body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]
        folded = Folding(KNOWN.get(name, {})).visit(ast.Module(body, []))
        own = _locals(function) | {argument.arg for argument in function.args.args}
        for node in _unannotated(folded):
            if isinstance(node, ast.Name) and node.id not in own:
                node.id = self.imported(node.id, module)
        read = {
            node.id for node in ast.walk(folded) if isinstance(node, ast.Name) and _is_read(node)
        }
        return [statement for statement in folded.body if not _is_unread(statement, read)]

    def imported(self, name: str, module: str) -> str:
        """The name under which a global of a module is known in the file."""
        origin = self.sources.names[module].get(name)
        if origin is None:
            if not hasattr(builtins, name):
                raise SystemExit(f"What is {name!r} in {module}?")
            return name
        for alias in (name, f"{module.rpartition('.')[2]}_{name.lstrip('_')}"):
            if self.imports.setdefault(alias, origin) == origin:
                return alias
        raise SystemExit(f"{name!r} of {module} is another one elsewhere.")

    def statements(self, body: Iterable[ast.stmt], where: str) -> list[ast.stmt]:
        """The statements with the calls in them replaced."""
        made: list[ast.stmt] = []
        for statement in body:
            made += self.statement(statement, where)
            if made and isinstance(made[-1], _LEAVING):
                break
        return made

    def statement(self, node: ast.stmt, where: str) -> list[ast.stmt]:
        if isinstance(node, ast.AnnAssign):
            if isinstance(node.target, ast.Name):
                if where in ROOTS and ast.unparse(node.annotation) != "Any":
                    self.typed.add(node.target.id)
                    return [node]
                self.untyped.add(node.target.id)
            if node.value is None:
                return []
            node = ast.Assign([node.target], node.value)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            choice = node.value
            if any(self.is_inlined(value, where) for value in (choice.body, choice.orelse)):
                branches = [
                    [ast.Assign(node.targets, value)] for value in (choice.body, choice.orelse)
                ]
                yes, no = (self.statements(branch, where) for branch in branches)
                return [ast.If(choice.test, yes, no)]
        if isinstance(node, (ast.Assign, ast.Expr, ast.Return)) and self.is_inlined(
            node.value, where
        ):
            assert isinstance(node.value, ast.Call)
            if isinstance(node, ast.Return):
                # Of a root: what is inlined has none left.
                name = ast.Name(self.fresh("made"), ast.Store())
                return [*self.inline(node.value, name), ast.Return(ast.Name(name.id, ast.Load()))]
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            assert target is None or isinstance(target, (ast.Name, ast.Tuple))
            return self.inline(node.value, target)
        for field in ("body", "orelse", "finalbody"):
            if getattr(node, field, None) and not isinstance(node, ast.FunctionDef):
                setattr(node, field, self.statements(getattr(node, field), where))
        for handler in getattr(node, "handlers", ()):
            handler.body = self.statements(handler.body, where)
        return [node]

    def is_inlined(self, node: ast.expr | None, where: str) -> bool:
        if not isinstance(node, ast.Call):
            return False
        return _called(node) in {*INLINED, *MADE} - CALLED.get(where, set())

    def inline(self, call: ast.Call, target: Target | None) -> list[ast.stmt]:
        """A call's function in place of the call, its value in `target`."""
        before: list[ast.stmt] = []
        written = _called(call)
        arguments = list(call.args)
        if written in MADE:
            name = f"{written}.__init__"
            assert isinstance(target, ast.Name)
            new = self.imported("_new", "framework.contexts")
            made = ast.Call(ast.Name(new, ast.Load()), [call.func], [])
            before.append(ast.Assign([target], made))
            arguments.insert(0, ast.Name(target.id, ast.Load()))
            target = None
        else:
            name = INLINED[written]
            if isinstance(call.func, ast.Attribute):
                arguments.insert(0, call.func.value)
        function, module = self.sources.functions[name]
        function = copy.deepcopy(function)
        function.body = self.prepared(function, name, module)
        names: dict[str, ast.expr] = {}
        short = name.rpartition(".")[2].strip("_")
        changed = _locals(function)
        for local in sorted(changed - {argument.arg for argument in function.args.args}):
            names[local] = ast.Name(self.fresh(local), ast.Load())
        for parameter, argument in self.bound(function, arguments):
            simple = isinstance(argument, (ast.Name, ast.Constant))
            if parameter not in changed and simple:
                names[parameter] = argument
                continue
            own = ast.Name(self.fresh(parameter), ast.Store())
            self.untyped.add(own.id)
            before += self.statement(ast.Assign([own], argument), name)
            names[parameter] = ast.Name(own.id, ast.Load())
        body = Substitution(names).visit(ast.Module(function.body, [])).body
        folded = Folding({}).visit(ast.Module(body, [])).body
        block = _without_returns(folded, target)
        if target is not None and isinstance(block[0], ast.While):
            names_in = [target] if isinstance(target, ast.Name) else target.elts
            self.untyped.update(ast.unparse(name) for name in names_in)
        return before + self.statements(block, short)

    def bound(
        self, function: ast.FunctionDef, arguments: list[ast.expr]
    ) -> Iterator[tuple[str, ast.expr]]:
        parameters = [argument.arg for argument in function.args.args]
        defaults = function.args.defaults
        missing = len(parameters) - len(arguments)
        if missing:
            arguments = [*arguments, *defaults[len(defaults) - missing :]]
        yield from zip(parameters, arguments, strict=True)

    def fresh(self, name: str) -> str:
        """A local name that is not taken yet."""
        found = next(new for new in _numbered(name) if new not in self.taken)
        self.taken.add(found)
        if name in ANSWERS:
            self.held.append(found)
            self.untyped.add(found)
        return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))


def _called(call: ast.Call) -> str:
    _, dot, method = ast.unparse(call.func).partition(".")
    return dot + method if dot else ast.unparse(call.func)


def _locals(function: ast.FunctionDef) -> set[str]:
    """The names that a function assigns to."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def _without_returns(body: list[ast.stmt], target: Target | None) -> list[ast.stmt]:
    """A function's body as a block that puts its value into `target`."""
    if target is not None and not _ends(body):
        body = [*body, ast.Return(ast.Constant(None))]
    *first, last = body
    if not any(map(_returns, first)) and (isinstance(last, ast.Return) or not _returns(last)):
        return [*first, *_given(last, target)]
    once = _left(body, target, False)
    return [ast.While(ast.Constant(True), once if _ends(once) else [*once, ast.Break()], [])]


def _unannotated(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those in it, but for annotations."""
    yield node
    for field, value in ast.iter_fields(node):
        if field != "annotation":
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _unannotated(child)


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _is_unread(node: ast.stmt, read: set[str]) -> bool:
    """Whether a statement gives an attribute a name that nobody reads, now that more is known."""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)):
        return False
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id not in read


def _returns(node: ast.AST) -> bool:
    return any(isinstance(child, ast.Return) for child in ast.walk(node))


def _ends(body: list[ast.stmt]) -> bool:
    """Whether what follows a block is never reached from its end."""
    last = body[-1] if body else None
    if isinstance(last, ast.If):
        return _ends(last.body) and _ends(last.orelse)
    if isinstance(last, ast.Try):
        done = _ends(last.orelse or last.body) and all(_ends(each.body) for each in last.handlers)
        return done or _ends(last.finalbody)
    return isinstance(last, _LEAVING)


def _given(node: ast.stmt, target: Target | None) -> list[ast.stmt]:
    """A last statement, its value assigned if it is a `return`."""
    if not isinstance(node, ast.Return):
        return [node]
    value = node.value or ast.Constant(None)
    if target is not None:
        return [ast.Assign([copy.deepcopy(target)], value)]
    return [] if isinstance(value, ast.Constant) else [ast.Expr(value)]


def _left(body: list[ast.stmt], target: Target | None, in_loop: bool) -> list[ast.stmt]:
    """The same statements leaving the loop around them where they returned."""
    made: list[ast.stmt] = []
    for index, node in enumerate(body):
        if isinstance(node, ast.Return):
            return [*made, *_given(node, target), ast.Break()]
        if isinstance(node, (ast.For, ast.While)) and _returns(node):
            if node.orelse or any(isinstance(child, ast.Break) for child in ast.walk(node)):
                raise SystemExit("A loop with a `return` has a `break` or an `else` of its own.")
            node.body = _left(node.body, target, True)
            node.orelse = _left(body[index + 1 :], target, in_loop)
            if in_loop and not _ends(node.orelse):
                node.orelse.append(ast.Continue())
            return [*made, node, ast.Break()]
        for field in ("body", "orelse", "finalbody"):
            if _returns(ast.Module(getattr(node, field, []), [])):
                setattr(node, field, _left(getattr(node, field), target, in_loop))
        for handler in getattr(node, "handlers", ()):
            handler.body = _left(handler.body, target, in_loop)
        made.append(node)
    return made


def written(package: Path = PACKAGE) -> str:
    """The whole file, from the sources in this folder."""
    sources = Sources(package)
    functions: list[str] = []
    imports: dict[str, tuple[str, str]] = {}
    for root in ROOTS:
        flat = Flattening(sources, root, imports)
        function, module = sources.functions[root]
        docstring = ast.Expr(ast.Constant(f"`{module.rpartition('.')[2]}.{root}`, in one piece."))
        types = ast.parse(
            "\n".join(f"{name}: Any" for name in sorted(flat.untyped - flat.typed))
        ).body
        body = [docstring, *types, *flat.body]
        for argument in function.args.args:
            argument.annotation = ast.Name("Any", ast.Load())
        node = ast.FunctionDef(root, function.args, body, [], function.returns, type_params=[])
        functions.append(ast.unparse(ast.fix_missing_locations(node)))
    lines = ["from typing import Any"]
    for alias, (origin, name) in imports.items():
        package, _, rest = origin.partition(".")
        where = f".{rest}" if package == "serve" else f"..{origin}"
        where = origin[1:] if origin.startswith("/") else where
        lines.append(f"from {where} import {name}" + (f" as {alias}" if alias != name else ""))
    return HEAD + "\n".join(sorted(set(lines))) + "\n\n\n" + "\n\n\n".join(functions) + "\n"


def main() -> int:
    """Say whether the file is what would be written, or with `--write` write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    wanted = formatted(written())
    if parser.parse_args().write:
        TARGET.write_text(wanted)
    elif not TARGET.exists() or TARGET.read_text() != wanted:
        print(f"{TARGET.name} is not what its sources say: run `python -m tools.flatten --write`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
