"""Routing: the map that apps use, and the index that stands in front of Werkzeug's matcher.

Werkzeug's `Map` stays the source of truth. A `RouteIndex` is built from it and gives the same
answers many times faster, leaving nothing for the cyclic collector; what it is not sure of, it
leaves to `MapAdapter.match`. Here are the answers and how they become exceptions; the trie that
they are looked up in is in `routing_index.py`. Building URLs is left to Werkzeug.

The answers are those of Werkzeug 3.1.9. On older 3.1 releases they differ from the matcher's where
that was mended since: three slashes and more are merged into one at once, and an `int` of thousands
of digits is a 404 and not a `ValueError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import (
    Map as WerkzeugMap,
)
from werkzeug.routing import (
    MapAdapter,
    RequestRedirect,
    Rule,
    RuleFactory,
    StateMachineMatcher,
    ValidationError,
    WebsocketMismatch,
)

from .routing_index import (
    Leaf,
    Mark,
    Node,
    Seen,
    Shortcuts,
    compile_node,
    conversions,
    walk,
)

#: Attributes of a map that say nothing about matching.
_NEUTRAL: Final = frozenset({"version", "sort_parameters", "sort_key", "_remap_lock"})

#: Characters that a redirect leaves as they are: https://url.spec.whatwg.org/#url-path-segment-string
_SAFE: Final = "!$&'()*+,/:;=@"

_SLASHES: Final = re.compile("/{2,}")


class Map(WerkzeugMap):
    """Werkzeug's map with a version, so that what was derived from it can tell when it is stale.

    `version` changes with every change that matching may notice: rules added, attributes assigned.
    No two states of any two maps in a process have the same version. Reading a map, matching and
    building with it never change its version. Changing the `converters` dict in place does not
    either: it concerns only rules added later.
    """

    # Werkzeug's constructor sets the first. It stands on no class: attributes that do are reached
    # ten times slower (CPython 3.11), and each request asks for this one.
    version: int

    # A source of unique numbers, shared so that the maps of one process never agree by chance. A
    # version is drawn after the change, so who reads it sees the change.
    _versions = count(1)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        # Werkzeug sets `_remap` when rules came in, and clears it when it has sorted them.
        if name not in _NEUTRAL and (name != "_remap" or value):
            self.touch()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self.touch()

    def add(self, rulefactory: RuleFactory) -> None:
        """Add and bind a rule, or each rule of a factory."""
        try:
            super().add(rulefactory)
        finally:
            # A factory that raises half-way leaves the rules before in the map.
            self.touch()

    def touch(self) -> None:
        """Say that the map or a rule of it was changed in a way that it cannot notice itself."""
        super().__setattr__("version", next(self._versions))


class Miss:
    """The index's sure answer that a request has no rule: a record, cheap until asked for more."""

    __slots__ = ()

    def as_exception(self, adapter: Callable[[], MapAdapter]) -> HTTPException:
        """Return the exception that `MapAdapter.match` raises for the same request.

        `adapter` returns the map bound to the request's environ; it is called only by the records
        of redirects, whose `new_url` has the request's scheme, host, script name and query.
        """
        raise NotImplementedError


class Missing(Miss):
    """No rule has this path: 404."""

    __slots__ = ()

    def as_exception(self, adapter: Callable[[], MapAdapter]) -> HTTPException:
        return NotFound()


class WebsocketOnly(Miss):
    """The only rules with this path and method are for WebSocket requests: 400."""

    __slots__ = ()

    def as_exception(self, adapter: Callable[[], MapAdapter]) -> HTTPException:
        return WebsocketMismatch()


class WrongMethod(Miss):
    """Rules have this path, none has the method: 405.

    `valid_methods` are those that the path has, in the order that Werkzeug gives.
    """

    __slots__ = ("valid_methods",)

    def __init__(self, valid_methods: list[str]) -> None:
        self.valid_methods = valid_methods

    def as_exception(self, adapter: Callable[[], MapAdapter]) -> HTTPException:
        return MethodNotAllowed(valid_methods=list(self.valid_methods))


class PathRedirect(Miss):
    """The rule has this path with a slash added, or with slashes merged: 308 to `path`.

    `path` is decoded text below the script's root, not quoted.
    """

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def as_exception(self, adapter: Callable[[], MapAdapter]) -> HTTPException:
        bound = adapter()
        path = quote(self.path, safe=_SAFE)
        return RequestRedirect(bound.make_redirect_url(path, bound.query_args or {}))


class DefaultsRedirect(Miss):
    """Another rule of the endpoint has these values as its defaults: 308 to its shorter URL."""

    __slots__ = ("method", "rule", "values")

    def __init__(self, rule: Rule, method: str, values: dict[str, Any]) -> None:
        self.rule = rule
        self.method = method
        self.values = values

    def as_exception(self, adapter: Callable[[], MapAdapter]) -> HTTPException:
        bound = adapter()
        url = bound.get_default_redirect(
            self.rule, self.method, dict(self.values), bound.query_args or {}
        )
        if url is None:
            raise RuntimeError(f"the defaults of the rules beside {self.rule!r} have changed")
        return RequestRedirect(url)


MISSING: Final = Missing()
WEBSOCKET_ONLY: Final = WebsocketOnly()

#: A hit `(rule, view_args, path)`, with the rule itself and a new dict each time; a `Miss`; or None
#: when `MapAdapter.match` must be asked. `path` is what `request.path` will be where that is
#: `PATH_INFO` as it stands, else None. `type(answer) is tuple` tells a hit in the fewest steps.
Answer: TypeAlias = tuple[Rule, dict[str, Any], str | None] | Miss | None


class RouteIndex:
    """What a map answers for HTTP requests, looked up in dicts and a trie.

    `match(path, method)` takes the environ's `PATH_INFO` as it is ("/" where there is none) and the
    request method, and returns an `Answer`. It raises nothing but what a converter of the
    user's raises, which Werkzeug would let through too. The answers hold for requests that the map
    is bound to in its default subdomain, by `bind_to_environ(environ, subdomain=
    url_map.default_subdomain or "")`. Whoever asks must have made sure of what `bind_to_environ`
    sees to besides: that the host can be bound, and that it is no WebSocket request.

    `usable` is False for maps that the index cannot serve (host matching, a default subdomain with
    variables, a subclass that binds its own way); `match` then always returns None.

    The attributes of rules that Werkzeug's matching reads are read live, `methods` and `defaults`
    among them, but for the pairs of rules that `redirect_defaults` may redirect between: these, and
    the converters' own attributes, are taken as they are when the index is built. `Map.touch()`
    after changing such a thing makes the index stale.
    """

    __slots__ = ("_state", "match", "url_map", "usable", "version")

    def __init__(self, url_map: WerkzeugMap) -> None:
        self.url_map = url_map
        # The version comes first: a change meanwhile makes a stale index, not a wrong one.
        self.version = url_map.version if isinstance(url_map, Map) else None
        self._state = None if isinstance(url_map, Map) else _state(url_map)
        url_map.update()
        first = _first_node(url_map)
        self.usable = first is not None
        self.match: Callable[[str, str], Answer]
        self.match = _unsure if first is None else _matcher(url_map, first)

    def fresh(self) -> bool:
        """Whether the map is still what the index was built from.

        For a plain Werkzeug map the answer costs a pass over its endpoints.
        """
        url_map = self.url_map
        if isinstance(url_map, Map):
            return url_map.version == self.version
        return not url_map._remap and _state(url_map) == self._state


def _state(url_map: WerkzeugMap) -> tuple[object, ...]:
    """Return what shows a change in a map that has no version.

    The matcher and the converters are named by identity.
    """
    return (
        id(url_map._matcher),
        id(url_map.converters),
        tuple(map(len, url_map._rules_by_endpoint.values())),
        url_map.host_matching,
        url_map.default_subdomain,
        url_map.strict_slashes,
        url_map.merge_slashes,
        url_map.redirect_defaults,
    )


def _unsure(path: str, method: str) -> Answer:
    return None


def _first_node(url_map: WerkzeugMap) -> Node | None:
    """Return the trie of the rules in the default subdomain, or None when others may have a say."""
    kind = type(url_map)
    domain = url_map.default_subdomain or ""
    if (
        url_map.host_matching
        or "/" in domain
        or "<" in domain
        or type(url_map._matcher) is not StateMachineMatcher
        or kind.bind_to_environ is not WerkzeugMap.bind_to_environ
        or kind.update is not WerkzeugMap.update
        or not vars(url_map).keys().isdisjoint(("bind_to_environ", "update"))
    ):
        return None
    root = url_map._matcher._root
    for part, _ in root.dynamic:
        # Subdomains with variables are asked after the static one.
        if part.final or re.match(part.content, domain):
            return None
    state = root.static.get(domain)
    if state is None:
        return Node()
    if state.rules or state.dynamic or not state.static.keys() <= {""}:
        return None
    # Every rule starts with a slash, so the first part of each is empty.
    return compile_node(state.static[""], url_map) if state.static else Node()


def _matcher(url_map: WerkzeugMap, first: Node) -> Callable[[str, str], Answer]:
    """Return the function that answers; a closure, as its variables cost least to reach.

    A method that is not in upper case, as Werkzeug makes it, is not in the rules' methods.
    """
    shortcuts = Shortcuts(first)
    rule_of = {_spelled(path): rules[0] for path, rules in shortcuts.exact.items()}.get
    rules_of = {path: rules for path, rules in shortcuts.exact.items() if len(rules) > 1}.get
    quick_of = shortcuts.quick.get

    def match(path: str, method: str) -> Answer:
        rule = rule_of(path)
        if rule is not None:
            methods = rule.methods
            if (methods is None or method in methods) and not (
                rule.alias or rule.websocket or rule.redirect_to is not None
            ):
                defaults = rule.defaults
                own = path if path.isascii() else None
                return rule, dict(defaults) if defaults else {}, own
        elif path.isascii():
            # The commonest path with variables ends in its only one. Here, and not in a function
            # of its own, for 60 ns of 500; what ends the loop leaves the answer to the walk.
            head, slash, tail = path.rpartition("/")
            quick = quick_of(head)
            if quick is not None and tail:
                fixed, edges = quick
                if fixed is None or tail not in fixed:
                    for digits, rule, converters, name, convert, last in edges:
                        if digits and not tail.isdecimal():
                            continue
                        methods = rule.methods
                        if methods is None or method in methods:
                            if (
                                rule.alias
                                or rule.websocket
                                or rule.redirect_to is not None
                                or rule._converters is not converters
                            ):
                                break
                            try:
                                args = {name: tail if convert is None else convert(tail)}
                            except ValueError:
                                break
                            if rule.defaults:
                                args.update(rule.defaults)
                            return rule, args, path if slash else None
                        if last:
                            break
        return match_further(path, method)

    def match_further(path: str, method: str) -> Answer:
        method = method.upper()
        try:
            path = path.encode("latin-1").decode(errors="replace")
        except UnicodeEncodeError:
            return None  # No WSGI string: binding raises.
        rules_here = rules_of(path)
        if rules_here is not None:
            answer = _exact_answer(rules_here, method)
            if answer is not None:
                return answer
        return _search(url_map, first, path, method)

    return match


def _spelled(path: str) -> str:
    """Return a path as `PATH_INFO` spells it: its UTF-8 read as Latin-1 (PEP 3333)."""
    return path.encode().decode("latin-1")


def _exact_answer(rules: tuple[Rule, ...], method: str) -> Answer:
    """Return the hit of a path without variables; None leaves it to the walk."""
    for rule in rules:
        methods = rule.methods
        if methods is None or method in methods:
            if rule.alias or rule.websocket or rule.redirect_to is not None:
                return None
            defaults = rule.defaults
            return rule, dict(defaults) if defaults else {}, None
    return None


def _search(url_map: WerkzeugMap, first: Node, path: str, method: str) -> Answer:
    """Answer by a walk from the top; `path` is decoded, `method` upper case."""
    doubled = "//" in path
    parts = path.split("/")
    if doubled or parts[0]:
        path = f"/{path.lstrip('/')}"
        doubled = "//" in path
        parts = path.split("/")
    seen: Seen = []
    found = walk(first, parts, 1, (), method, seen)
    if found is None:
        if not url_map._matcher.merge_slashes:
            return _no_match(seen)
        if not doubled:
            # Werkzeug tries once more here and fails alike. Its set of methods gets every one
            # twice, which may change the order that the set has in the end.
            return _no_match(seen + seen) if seen else MISSING
        path = _SLASHES.sub("/", path)
        found = walk(first, path.split("/"), 1, (), method, seen)
        if found is None:
            return _no_match(seen)
        if type(found) is tuple:
            return _no_match(seen) if found[0].rule.merge_slashes is False else PathRedirect(path)
    if type(found) is tuple:
        return _hit(url_map, found[0], found[1], method, seen)
    return PathRedirect(f"{path}/") if found is Mark.SLASH else None


def _hit(
    url_map: WerkzeugMap, leaf: Leaf, values: tuple[str, ...], method: str, seen: Seen
) -> Answer:
    """Answer for a rule that a walk found: convert the values, add the defaults."""
    rule = leaf.rule
    rivals = leaf.rivals
    if rule.alias or rule.redirect_to is not None or rivals is None:
        return None
    steps = leaf.steps if rule._converters is leaf.converters else conversions(rule)
    args: dict[str, Any] = {}
    for (name, convert), value in zip(steps, values, strict=False):
        if convert is None:
            args[name] = value
            continue
        try:
            args[name] = convert(value)
        except ValueError as error:
            # `int` refuses thousands of digits; a converter refuses by ValidationError only.
            if convert is not int and not isinstance(error, ValidationError):
                raise
            return _no_match(seen)
    defaults = rule.defaults
    if defaults:
        args.update(defaults)
    if rivals and url_map.redirect_defaults:
        for rival in rivals:
            if rival.suitable_for(args, method):
                return DefaultsRedirect(rule, method, args)
    return rule, args, None


def _no_match(seen: Seen) -> Miss:
    """Answer for a request that no rule took; the steps on the set give Werkzeug's order."""
    methods: set[str] = set()
    for allowed in seen:
        if allowed is not None:
            methods.update(allowed)
    if methods:
        return WrongMethod(list(methods))
    return WEBSOCKET_ONLY if seen and None in seen else MISSING


__all__ = [
    "MISSING",
    "WEBSOCKET_ONLY",
    "Answer",
    "DefaultsRedirect",
    "Map",
    "Miss",
    "Missing",
    "PathRedirect",
    "RouteIndex",
    "WebsocketOnly",
    "WrongMethod",
]
