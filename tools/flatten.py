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
name that stands for two things, is an error here, never other code there. How a body is changed is
in `flat_bodies`.
"""

from __future__ import annotations

import ast
import builtins
import copy
import sys
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from tools.flat_bodies import (
    LEAVING,
    Folding,
    Substitution,
    Target,
    check,
    names_of,
    returns,
    without_returns,
)
from tools.generated import write_or_compare

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "demijohn"
TARGET = PACKAGE / "serve" / "wsgi_flat.py"
SOURCES = (
    "serve.wsgi_request",
    *("framework.pipeline", "framework.ends", "framework.contexts", "framework.app_contexts"),
    *("framework.plan", "framework.matching", "http.request", "http.response", "http.coerce"),
    "http.headers",
)
ROOTS = ("serve",)
# What is called, a method as it is written after the name of what has it -> the function.
INLINED = {
    **{name: name for name in ("respond", "finish", "end_at_edge")},
    **{name: name for name in ("full_dispatch", "preprocess", "dispatch", "call_view")},
    **{name: name for name in ("process_response", "after_hooks", "assemble")},
    **{name: name for name in ("new_request", "fill", "teardown_request", "run_all")},
    **{name: name for name in ("finalize", "quick", "length_header")},
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
# Locals of what is inlined that may hold an answer: a root's last `finally` lets go of them too, as
# the end of a call does. The errors that somebody keeps lead to its frame.
ANSWERS = frozenset({"body", "chunks", "finished", "made", "response", "rv"})
# Where there are such: not for a quick answer, which has none. It would cost 40 ns of each request.
RESPONDED = "finished is not None"
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
                    if node.name in self.functions and node.name in INLINED:
                        raise SystemExit(f"{node.name!r} is two functions.")
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


class Flattening:
    """One root function, with the bodies of what it calls in place of the calls."""

    def __init__(self, sources: Sources, root: str, imports: dict[str, tuple[str, str]]) -> None:
        self.sources = sources
        self.imports = imports
        # Local names that get values of more than one type.
        self.untyped: set[str] = set()
        self.typed: set[str] = set()
        self.held: list[str] = []
        # Function -> what is known, as far as it stands in it.
        self.used: dict[str, set[str]] = {}
        function, module = sources.functions[root]
        function = copy.deepcopy(function)
        self.taken = _locals(function) | {argument.arg for argument in function.args.args}
        body = self.prepared(function, root, module)
        if root in ASKED:
            at = [ast.unparse(statement) for statement in body].index(ASKED[root]) + 1
            body[at:at] = self.asking(function, module)
        self.body = self.statements(body, root)
        self.let_go()

    def let_go(self) -> None:
        last = self.body[-1]
        if not isinstance(last, ast.Try) or not last.finalbody:
            raise SystemExit("A root has to let go of what it holds in a `finally`, at its end.")
        targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in sorted(self.held)]
        asked = ast.parse(f"if {RESPONDED}:\n pass").body[0]
        assert isinstance(asked, ast.If)
        asked.body = [ast.Assign(targets, ast.Constant(None))]
        last.finalbody.insert(0, asked)

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
        folding = Folding(KNOWN.get(name, {}))
        folded = folding.visit(ast.Module(body, []))
        self.used[name] = folding.used
        own = _locals(function) | {argument.arg for argument in function.args.args}
        if own & INLINED.keys():
            raise SystemExit(f"A local name of {name!r} is that of a function.")
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
        if name in INLINED and origin != (self.sources.functions[name][1], name):
            raise SystemExit(f"{name!r} is another function in {module}.")
        for alias in (name, f"{module.rpartition('.')[2]}_{name.lstrip('_')}"):
            if self.imports.setdefault(alias, origin) == origin:
                return alias
        raise SystemExit(f"{name!r} of {module} is another one elsewhere.")

    def statements(self, body: Iterable[ast.stmt], where: str) -> list[ast.stmt]:
        """The statements with the calls in them replaced."""
        made: list[ast.stmt] = []
        for statement in body:
            made += self.statement(statement, where)
            if made and isinstance(made[-1], LEAVING):
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
        check(call, function)
        function = copy.deepcopy(function)
        function.body = self.prepared(function, name, module)
        names: dict[str, ast.expr] = {}
        short = name.rpartition(".")[2].strip("_")
        changed = _locals(function)
        given = set() if target is None else {ast.unparse(name) for name in names_of(target)}
        for local in sorted(changed - {argument.arg for argument in function.args.args}):
            names[local] = ast.Name(self.fresh(local), ast.Load())
        for parameter, argument in self.bound(function, arguments):
            simple = isinstance(argument, (ast.Name, ast.Constant))
            # What the value is put into may be read after that, in a `finally`.
            if isinstance(argument, ast.Name) and argument.id in given:
                simple = False
            if parameter not in changed and simple:
                names[parameter] = argument
                continue
            own = ast.Name(self.fresh(parameter), ast.Store())
            self.untyped.add(own.id)
            before += self.statement(ast.Assign([own], argument), name)
            names[parameter] = ast.Name(own.id, ast.Load())
        body = Substitution(names).visit(ast.Module(function.body, [])).body
        folded = Folding({}).visit(ast.Module(body, [])).body
        block = without_returns(folded, target)
        if any(map(returns, block)):
            raise SystemExit(f"A `return` of {name!r} would leave its caller.")
        if isinstance(block[0], ast.While):
            self.untyped.update(given)
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


def written(package: Path = PACKAGE) -> str:
    """The whole file, from the sources in this folder."""
    sources = Sources(package)
    functions: list[str] = []
    imports: dict[str, tuple[str, str]] = {}
    used: set[str] = set()
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
        used.update(text for texts in flat.used.values() for text in texts)
    unused = {text for known in KNOWN.values() for text in known} - used
    if unused:
        raise SystemExit(f"What is known stands nowhere: {sorted(unused)}")
    lines = ["from typing import Any"]
    for alias, (origin, name) in imports.items():
        layer, _, rest = origin.partition(".")
        where = f".{rest}" if layer == "serve" else f"..{origin}"
        where = origin[1:] if origin.startswith("/") else where
        lines.append(f"from {where} import {name}" + (f" as {alias}" if alias != name else ""))
    return HEAD + "\n".join(sorted(set(lines))) + "\n\n\n" + "\n\n\n".join(functions) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_compare("tools.flatten", TARGET, written(), __doc__))
