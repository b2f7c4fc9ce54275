"""The trie behind the routing index: nodes compiled from a Werkzeug map, and the walk through them.

What a walk finds is a rule and its raw values, or one of the marks below. Conversion of the values,
redirects and the answers that callers see are in `routing.py`.

The trie has the shape of the state machine that Werkzeug matches with (one node a state, edges in
the same order), because that order *is* the priority of rules: static before dynamic at every
segment, dynamic ones by weight, with backtracking. What differs is how a segment is tested: the
regular expressions of the common converters are recognised by their text and replaced by a test on
the string, which is several times as fast. Any other expression is used as it is, so converters
written by users are matched too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Container, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from werkzeug.routing import BaseConverter, IntegerConverter, Map, Rule
from werkzeug.routing.converters import DEFAULT_CONVERTERS, NumberConverter
from werkzeug.routing.matcher import State
from werkzeug.routing.rules import RulePart


class Mark(Enum):
    """What a walk may answer besides a rule and besides None (nothing matches)."""

    SLASH = "the path matches with a slash added, and the rule insists on it"
    UNSURE = "the walk met an expression that does not compile: Werkzeug must answer"


#: What one walk yields; the values are the path's text, not converted yet.
Found: TypeAlias = "tuple[Leaf, tuple[str, ...]] | Mark | None"

#: A note for each rule that fitted the path and was passed over, in the order met: its methods, or
#: None when it is for WebSocket requests only.
Seen: TypeAlias = "list[Collection[str] | None]"

#: How to convert each value of a rule: its name, and a function or None to keep the text.
Steps: TypeAlias = tuple[tuple[str, Callable[[str], Any] | None], ...]

#: The index answers for HTTP requests; compared with `Rule.websocket` as Werkzeug does.
WEBSOCKET: Final = False

# Kinds of edges. SEGMENT, DIGITS and LENGTH take one segment, REST takes all that is left.
SEGMENT: Final = 0
DIGITS: Final = 1
LENGTH: Final = 2
REST: Final = 3
REGEX: Final = 4
BROKEN: Final = 5

_BUILT_IN: Final = frozenset(DEFAULT_CONVERTERS.values())
_BLANK: Final = ("",)
_GROUP: Final = "__werkzeug_"
_DIGITS_TEXT: Final = r"(?P<__werkzeug_0>\d+)\Z"
_REST_TEXT: Final = r"(?P<__werkzeug_0>[^/].*?)\Z"
_LENGTH_TEXT: Final = re.compile(
    r"\(\?P<__werkzeug_0>\[\^/\]\{(?P<low>[0-9]+)(?P<span>,(?P<high>[0-9]*))?\}\)\\Z"
)


class Pattern:
    """An expression that had no simpler test, and how its groups and its end are to be read."""

    __slots__ = ("final", "match", "names", "suffixed")

    def __init__(self, part: RulePart) -> None:
        """Compile; raises `re.error`, `OverflowError` or `ValueError` where Werkzeug would."""
        compiled = re.compile(part.content)
        names = [name for name in compiled.groupindex if name.startswith(_GROUP)]
        self.match = compiled.match
        self.names = tuple(sorted(names, key=lambda name: int(name[len(_GROUP) :])))
        self.final = part.final
        self.suffixed = part.suffixed


Edge: TypeAlias = "tuple[int, Node, Any]"


class Leaf:
    """A rule at the node where its path ends, with what its answer needs made ready.

    `rivals` are the rules of the same endpoint that may claim a match by their defaults
    (`Map.redirect_defaults`), in the order that Werkzeug tries them; None when that is unknown.
    `converters` is the dict that `steps` were made from: a rule that was bound anew has another.
    """

    __slots__ = ("converters", "rivals", "rule", "steps")

    def __init__(self, rule: Rule, rivals: tuple[Rule, ...] | None) -> None:
        self.rule = rule
        self.rivals = rivals
        self.converters = rule._converters
        self.steps = conversions(rule)

    @property
    def plain(self) -> bool:
        """Whether a match of the path and the method is a hit, whatever the values are."""
        rule = self.rule
        return (
            rule.websocket is WEBSOCKET
            and not rule.alias
            and rule.redirect_to is None
            and self.rivals == ()
        )

    @property
    def quick(self) -> bool:
        """Whether the rule has one value whose conversion may be tried twice: Werkzeug's own."""
        converters = list(self.converters.values())
        return len(converters) == 1 and type(converters[0]) in _BUILT_IN


class Node:
    """A place in a path: the rules that end here and the ways on."""

    __slots__ = ("dynamic", "leaves", "static")

    def __init__(self) -> None:
        self.leaves: tuple[Leaf, ...] = ()
        self.static: dict[str, Node] = {}
        self.dynamic: tuple[Edge, ...] = ()


def conversions(rule: Rule) -> Steps:
    """Return the conversion of each of a rule's values, in the order of the path."""
    return tuple((str(name), _conversion(conv)) for name, conv in rule._converters.items())


def _conversion(converter: BaseConverter) -> Callable[[str], Any] | None:
    kind = type(converter)
    if "to_python" not in vars(converter):
        if kind.to_python is BaseConverter.to_python:
            return None
        if (
            kind is IntegerConverter
            and kind.to_python is NumberConverter.to_python
            and not converter.fixed_digits  # type: ignore[attr-defined]
            and converter.min is None  # type: ignore[attr-defined]
            and converter.max is None  # type: ignore[attr-defined]
        ):
            return int
    return converter.to_python


def compile_node(state: State, url_map: Map) -> Node:
    """Return the trie under a state of Werkzeug's matcher."""
    node = Node()
    node.leaves = tuple(Leaf(rule, _rivals(rule, url_map)) for rule in list(state.rules))
    node.static = {part: compile_node(to, url_map) for part, to in list(state.static.items())}
    node.dynamic = tuple(_edge(part, compile_node(to, url_map)) for part, to in list(state.dynamic))
    return node


def _rivals(rule: Rule, url_map: Map) -> tuple[Rule, ...] | None:
    rules = url_map._rules_by_endpoint.get(rule.endpoint)
    if rules is None:
        return None
    rivals = []
    for other in rules:
        if other is rule:
            break
        if other.provides_defaults_for(rule):
            rivals.append(other)
    return tuple(rivals)


def _edge(part: RulePart, node: Node) -> Edge:
    try:
        pattern = Pattern(part)
    except (re.error, OverflowError, RecursionError, ValueError, Warning):
        return BROKEN, node, None
    if part.final:
        if part.content == _REST_TEXT and not part.suffixed:
            return REST, node, None
    elif part.content == _DIGITS_TEXT:
        return DIGITS, node, None
    elif sized := _LENGTH_TEXT.fullmatch(part.content):
        low = int(sized["low"])
        high = low if not sized["span"] else int(sized["high"] or sys.maxsize)
        return (
            (SEGMENT, node, None)
            if (low, high) == (1, sys.maxsize)
            else (LENGTH, node, (low, high))
        )
    return REGEX, node, pattern


def walk(
    node: Node,
    parts: Sequence[str],
    at: int,
    values: tuple[str, ...],
    method: str,
    seen: Seen,
) -> Found:
    """Follow `parts` from index `at` on, depth first, and return the first rule that takes them.

    Rules that take the path but not the request are noted in `seen`. `method` is upper case.
    """
    last = len(parts) - 1
    while at <= last:
        part = parts[at]
        dynamic = node.dynamic
        child = node.static.get(part)
        if part and not dynamic:
            # One way on or none: nothing to come back to.
            if child is None:
                return None
            node = child
            at += 1
            continue
        if child is not None:
            found = walk(child, parts, at + 1, values, method, seen)
            if found is not None:
                return found
        for kind, child, detail in dynamic:
            if kind > DIGITS:
                found = _follow(kind, child, detail, parts, at, values, method, seen)
            # `\d` and `str.isdecimal` both mean Unicode's category Nd.
            elif part.isdecimal() if kind else part:
                found = walk(child, parts, at + 1, (*values, part), method, seen)
            else:
                continue
            if found is not None:
                return found
        if not part and at == last:
            return _loose(node, values, method, seen)
        return None
    return _end(node, values, method, seen)


def _follow(
    kind: int,
    node: Node,
    detail: Any,
    parts: Sequence[str],
    at: int,
    values: tuple[str, ...],
    method: str,
    seen: Seen,
) -> Found:
    """Try one of the rarer edges to `node`; arguments and result as for `walk`."""
    part = parts[at]
    if kind == REST:
        rest = "/".join(parts[at:])
        # The expression is `[^/].*?`: only its first character may be a line feed.
        if not part or rest.find("\n", 1) >= 0:
            return None
        return _end(node, (*values, rest), method, seen)
    if kind == LENGTH:
        low, high = detail
        if not low <= len(part) <= high:
            return None
        return walk(node, parts, at + 1, (*values, part), method, seen)
    if kind == BROKEN:
        return Mark.UNSURE
    match = detail.match("/".join(parts[at:]) if detail.final else part)
    if match is None:
        return None
    values = values + tuple([match[name] for name in detail.names])
    if detail.suffixed and match.groups()[-1] == "/":
        return walk(node, _BLANK, 0, values, method, seen)
    if detail.final:
        return _end(node, values, method, seen)
    return walk(node, parts, at + 1, values, method, seen)


def _end(node: Node, values: tuple[str, ...], method: str, seen: Seen) -> Found:
    """Return the rule that ends here, or beyond a slash that the path lacks."""
    for leaf in node.leaves:
        rule = leaf.rule
        methods = rule.methods
        if methods is not None and method not in methods:
            seen.append(methods)
        elif rule.websocket != WEBSOCKET:
            seen.append(None)
        else:
            return leaf, values
    beyond = node.static.get("")
    if beyond is not None:
        for leaf in beyond.leaves:
            rule = leaf.rule
            methods = rule.methods
            if rule.websocket == WEBSOCKET and (methods is None or method in methods):
                return Mark.SLASH if rule.strict_slashes else (leaf, values)
    return None


def _loose(node: Node, values: tuple[str, ...], method: str, seen: Seen) -> Found:
    """Return the rule that ends here and does not mind the slash that the path has too much."""
    for leaf in node.leaves:
        rule = leaf.rule
        if rule.strict_slashes:
            continue
        methods = rule.methods
        if methods is not None and method not in methods:
            seen.append(methods)
        elif rule.websocket != WEBSOCKET:
            seen.append(None)
        else:
            return leaf, values
    return None


#: A rule behind an edge that takes the path's last segment: whether the edge wants digits; the
#: rule, its converters, the value's name and the conversion; whether it is the edge's last rule, so
#: that the walk must see to what follows.
QuickEdge: TypeAlias = tuple[
    bool, Rule, dict[str, BaseConverter], str, Callable[[str], Any] | None, bool
]


class Shortcuts:
    """The paths that need no walk from the top.

    `exact` has the rules of paths without variables, nothing has priority over them. `quick` has,
    for paths of which only the last segment is variable, what leads to that segment: the fixed
    segments that would be preferred to it, None where none can be, and the edges to try. Paths that
    begin with two slashes are left out: a request's leading slashes become one.
    """

    __slots__ = ("exact", "quick")

    def __init__(self, first: Node) -> None:
        self.exact: dict[str, tuple[Rule, ...]] = {}
        self.quick: dict[str, tuple[Container[str] | None, tuple[QuickEdge, ...]]] = {}
        self._collect(first, "")

    def _collect(self, node: Node, path: str) -> None:
        if node.leaves and all(leaf.plain and not leaf.steps for leaf in node.leaves):
            self.exact[path] = tuple([leaf.rule for leaf in node.leaves])
        if path == "/":
            return
        edges = _quick_edges(node)
        if edges:
            digits = all(edge[0] for edge in edges)
            fixed = frozenset(part for part in node.static if not digits or part.isdecimal())
            self.quick[path] = (fixed or None, edges)
        for part, child in node.static.items():
            self._collect(child, f"{path}/{part}")


def _quick_edges(node: Node) -> tuple[QuickEdge, ...]:
    """Return the first edges of a node, as far as they are simple; the rest is left to the walk."""
    edges: list[QuickEdge] = []
    for kind, child, _ in node.dynamic:
        leaves = child.leaves
        if kind > DIGITS or not leaves or not all(leaf.plain and leaf.quick for leaf in leaves):
            break
        digits = kind == DIGITS
        edges += [
            (digits, leaf.rule, leaf.converters, *leaf.steps[0], leaf is leaves[-1])
            for leaf in leaves
        ]
    return tuple(edges)
