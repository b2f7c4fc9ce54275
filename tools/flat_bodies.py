"""What `tools.flatten` does with the bodies of functions, for itself.

Conditions that are known are put in, expressions put in the place of names, and returns made
assignments. What these rules do not cover ends the program: nothing else may be written.
"""

from __future__ import annotations

import ast
import copy
from typing import TypeAlias

# What no rule covers inside a function that is inlined.
_UNCOVERED = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Global, ast.Nonlocal),
    *(ast.Yield, ast.YieldFrom, ast.Await, ast.Match, ast.TryStar, ast.Import, ast.ImportFrom),
)
LEAVING = (ast.Return, ast.Raise, ast.Break, ast.Continue)
# What a call's value is assigned to.
Target: TypeAlias = ast.Name | ast.Tuple


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
        self.used: set[str] = set()

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.Attribute, ast.Compare)):
            text = ast.unparse(node)
            if text in self.known:
                self.used.add(text)
                return ast.Constant(self.known[text])
        made: ast.AST = super().visit(node)
        return made

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node) == "None is not None":
            return ast.Constant(False)
        return node

    def condition(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth is asked."""
        if not isinstance(node, ast.BoolOp):
            new = self.visit(node)
            assert isinstance(new, ast.expr)
            return new
        decides = isinstance(node.op, ast.Or)  # the value that ends it
        values: list[ast.expr] = []
        for value in node.values:
            new = self.condition(value)
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
        if not isinstance(node.op, ast.Not):
            return self.generic_visit(node)
        node.operand = self.condition(node.operand)
        if isinstance(node.operand, ast.Constant):
            return ast.Constant(not node.operand.value)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self.condition(node.test)
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node if node.body else [*node.orelse, *node.finalbody]

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        node.test = self.condition(node.test)
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node


def check(call: ast.Call, function: ast.FunctionDef) -> None:
    """Stop where the rules do not cover a call, or the function that is called."""
    arguments = function.args
    if call.keywords or any(isinstance(argument, ast.Starred) for argument in call.args):
        raise SystemExit(f"Arguments by name or by star: {ast.unparse(call)}")
    if (
        function.decorator_list
        or arguments.posonlyargs
        or arguments.kwonlyargs
        or arguments.vararg
        or arguments.kwarg
        or not all(isinstance(default, ast.Constant) for default in arguments.defaults)
    ):
        raise SystemExit(f"{function.name!r} is decorated, or has parameters of other kinds.")
    for node in function.body:
        for part in ast.walk(node):
            if isinstance(part, _UNCOVERED):
                raise SystemExit(f"{type(part).__name__} in {function.name!r}.")


def names_of(target: Target) -> list[ast.expr]:
    return [target] if isinstance(target, ast.Name) else target.elts


def without_returns(body: list[ast.stmt], target: Target | None) -> list[ast.stmt]:
    """A function's body as a block that puts its value into `target`."""
    if target is not None and not ends(body):
        body = [*body, ast.Return(ast.Constant(None))]
    *first, last = body
    if not any(map(returns, first)) and (isinstance(last, ast.Return) or not returns(last)):
        return [*first, *_given(last, target)]
    once = _left(body, target, False)
    return [ast.While(ast.Constant(True), once if ends(once) else [*once, ast.Break()], [])]


def returns(node: ast.AST) -> bool:
    return any(isinstance(child, ast.Return) for child in ast.walk(node))


def ends(body: list[ast.stmt]) -> bool:
    """Whether what follows a block is never reached from its end."""
    last = body[-1] if body else None
    if isinstance(last, ast.If):
        return ends(last.body) and ends(last.orelse)
    if isinstance(last, ast.Try):
        done = ends(last.orelse or last.body) and all(ends(each.body) for each in last.handlers)
        return done or ends(last.finalbody)
    return isinstance(last, LEAVING)


def _given(node: ast.stmt, target: Target | None) -> list[ast.stmt]:
    """A last statement, its value assigned if it is a `return`."""
    if not isinstance(node, ast.Return):
        return [node]
    value = node.value or ast.Constant(None)
    if target is not None:
        return [ast.Assign([copy.deepcopy(target)], value)]
    return [] if isinstance(value, ast.Constant) else [ast.Expr(value)]


def _left(
    body: list[ast.stmt], target: Target | None, in_loop: bool, in_branch: bool = False
) -> list[ast.stmt]:
    """The same statements leaving the loop around them where they returned.

    `in_branch`: after the block follows what stands behind the statement that it is in.
    """
    made: list[ast.stmt] = []
    for index, node in enumerate(body):
        if isinstance(node, ast.Return):
            return [*made, *_given(node, target), ast.Break()]
        if isinstance(node, (ast.For, ast.While)) and returns(node):
            if node.orelse or any(isinstance(child, ast.Break) for child in ast.walk(node)):
                raise SystemExit("A loop with a `return` has a `break` or an `else` of its own.")
            node.body = _left(node.body, target, True)
            node.orelse = _left(body[index + 1 :], target, in_loop, in_branch)
            if in_branch and not ends(node.orelse):
                raise SystemExit("A loop with a `return` in a branch that goes on behind it.")
            if in_loop and not ends(node.orelse):
                node.orelse.append(ast.Continue())
            return [*made, node, ast.Break()]
        for field in ("body", "orelse", "finalbody"):
            if returns(ast.Module(getattr(node, field, []), [])):
                setattr(node, field, _left(getattr(node, field), target, in_loop, True))
        for handler in getattr(node, "handlers", ()):
            handler.body = _left(handler.body, target, in_loop, True)
        made.append(node)
    return made
