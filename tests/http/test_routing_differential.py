"""The core proof of the routing index: on generated maps it answers as Werkzeug's matcher does.

A seeded generator makes maps, paths and methods. Where the index answers, its answer must be that
of `MapAdapter.match`: the same rule, the same values of the same types, or the same exception with
the same data. The comparison is proven on indexes with seeded faults, each of which it must catch.

The seed is fixed. `DEMIJOHN_SOAK_SEED=random`, or a number, takes another; a failure names it.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from routing_cases import CONVERTERS, Generator, World
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import MapAdapter, RequestRedirect, Rule
from werkzeug.routing.rules import RulePart
from werkzeug.wrappers import Request as WerkzeugRequest

from demijohn.http import routing, routing_index
from demijohn.http.routing import Map, Miss, RouteIndex

CASES = 20_000
FAULT_CASES = 5_000
REQUESTS_A_MAP = 10
SEED = 20240531

#: What each kind of case must be at least of all cases, in per cent.
FLOOR = 3.0
FEATURES = {
    *(feature for feature, *_ in CONVERTERS),
    *("path-in-the-middle", "mixed-segment", "overlap", "defaults", "defaults-pair"),
    *("map-loose", "map-unmerged", "rule-strict", "rule-unmerged", "redirect-defaults-off"),
    *("methods", "methods-none", "default-subdomain", "changed-live", "script-name", "query"),
    *("path-empty", "path-unrooted", "path-doubled", "path-trailing", "path-utf8", "path-bytes"),
    *("path-percent", "path-dots", "path-digits", "path-newline", "method-lower"),
    *("alias", "redirect-to", "websocket", "build-only", "subdomain"),
    *("path-noted", "got-hit", "got-NotFound", "got-MethodNotAllowed", "got-RequestRedirect"),
}
#: Answers that are rarer by nature.
RARE_FLOOR = 0.5
RARE = {
    *("answered-slash-redirect", "answered-merge-redirect", "answered-defaults-redirect"),
    "answered-websocket-only",
}
#: Rules that the index may leave to Werkzeug.
NOT_PLAIN = {"alias", "redirect-to", "subdomain"}


def bind(world: World, environ: dict[str, Any]) -> MapAdapter:
    """Return the adapter that Flask makes for an app without subdomain matching."""
    url_map = world.url_map
    return url_map.bind_to_environ(environ, subdomain=url_map.default_subdomain or "")


def exception_data(error: BaseException) -> tuple[Any, ...]:
    data: list[Any] = ["raised", type(error).__name__, type(error)]
    if isinstance(error, HTTPException):
        data.append(error.code)
    if isinstance(error, RequestRedirect):
        data.append(error.new_url)
    elif isinstance(error, MethodNotAllowed):
        assert error.valid_methods is not None
        data.append(list(error.valid_methods))
    else:
        data.append(str(error))
    return tuple(data)


def hit_data(rule: Rule, args: Any) -> tuple[Any, ...]:
    assert type(args) is dict
    return ("hit", id(rule), [(name, type(value), value) for name, value in args.items()])


def expected(world: World, environ: dict[str, Any]) -> tuple[Any, ...]:
    try:
        rule, args = bind(world, environ).match(return_rule=True)
    except Exception as error:
        return exception_data(error)
    return hit_data(rule, args)


def actual(
    index: RouteIndex, world: World, environ: dict[str, Any], features: Counter[str]
) -> tuple[Any, ...] | None:
    try:
        answer = index.match(environ["PATH_INFO"], environ["REQUEST_METHOD"])
        if answer is None:
            return None
        if isinstance(answer, Miss):
            features["answered-" + kind_of(answer, environ["PATH_INFO"])] += 1
            return exception_data(answer.as_exception(lambda: bind(world, environ)))
    except Exception as error:
        return exception_data(error)
    rule, args, path = answer
    if path is not None:
        features["path-noted"] += 1
        if path != WerkzeugRequest(environ).path:
            return ("path", path)
    return hit_data(rule, args)


def kind_of(miss: Miss, raw: str) -> str:
    if isinstance(miss, routing.PathRedirect):
        shorter = len(miss.path.encode()) < len("/" + raw.lstrip("/"))
        return "merge-redirect" if shorter else "slash-redirect"
    return re.sub("(?<!^)(?=[A-Z])", "-", type(miss).__name__).lower()


@dataclass
class Report:
    """What a comparison saw: cases by feature, cases of plain maps, and those answered."""

    cases: int = 0
    plain: int = 0
    answered: int = 0
    features: Counter[str] = field(default_factory=Counter)
    mismatch: str | None = None


def compare(seed: int, cases: int, build: Callable[[Map], RouteIndex] = RouteIndex) -> Report:
    """Compare index and matcher on `cases` cases; stop at the first difference."""
    make = Generator(random.Random(seed))
    report = Report()
    while report.cases < cases:
        world = make.world()
        index = build(world.url_map)
        for number in range(REQUESTS_A_MAP):
            if number == REQUESTS_A_MAP // 2 and make.chance(0.3):
                make.change(world)
            if not index.fresh():
                index = build(world.url_map)
            raw, method, features = make.request(world)
            environ, more = make.environ(raw, method)
            want = expected(world, environ)
            got = actual(index, world, environ, report.features)
            report.cases += 1
            report.features.update(features | more | world.features)
            report.features["got-" + (want[1] if want[0] == "raised" else "hit")] += 1
            if not world.features & NOT_PLAIN:
                report.plain += 1
                report.answered += got is not None
            if got is not None and got != want:
                report.mismatch = (
                    f"seed {seed}, case {report.cases}: {method} {raw!r} in {world.url_map!r}\n"
                    f"{world.features}\nindex:    {got}\nwerkzeug: {want}"
                )
                return report
    return report


def chosen_seed() -> int:
    text = os.environ.get("DEMIJOHN_SOAK_SEED", "")
    if text == "random":
        return random.SystemRandom().getrandbits(32)
    return int(text) if text else SEED


def rarer_than(floor: float, names: set[str], report: Report) -> dict[str, float]:
    shares = {name: 100 * report.features[name] / report.cases for name in sorted(names)}
    return {name: share for name, share in shares.items() if share < floor}


def test_the_index_answers_as_werkzeug() -> None:
    """On 20,000 generated cases, the index answers as Werkzeug's matcher or leaves it to it."""
    report = compare(chosen_seed(), CASES)
    assert report.mismatch is None, report.mismatch
    assert report.answered >= 0.9 * report.plain
    assert report.plain >= 0.5 * report.cases
    assert not rarer_than(FLOOR, FEATURES, report)
    assert not rarer_than(RARE_FLOOR, RARE, report)


Build: TypeAlias = Callable[[Map], RouteIndex]
Fault: TypeAlias = Callable[[pytest.MonkeyPatch], Build]


def patched(module: Any, name: str, value: Any) -> Fault:
    """A fault that is one name replaced."""

    def fault(monkeypatch: pytest.MonkeyPatch) -> Build:
        monkeypatch.setattr(module, name, value)
        return RouteIndex

    return fault


def edges_changed(change: Callable[[RulePart, routing_index.Edge], routing_index.Edge]) -> Fault:
    """A fault in the edges of the trie."""

    def fault(monkeypatch: pytest.MonkeyPatch) -> Build:
        edge = routing_index._edge
        monkeypatch.setattr(
            routing_index, "_edge", lambda part, node: change(part, edge(part, node))
        )
        return RouteIndex

    return fault


def digits_by(expression: str) -> Fault:
    """The fault of another idea of what `int` takes."""

    def change(part: RulePart, edge: routing_index.Edge) -> routing_index.Edge:
        kind, node, _ = edge
        if kind != routing_index.DIGITS:
            return edge
        content = rf"(?P<__werkzeug_0>{expression})\Z"
        other = RulePart(content, part.final, part.static, part.suffixed, part.weight)
        return routing_index.REGEX, node, routing_index.Pattern(other)

    return edges_changed(change)


def rest_takes_all(part: RulePart, edge: routing_index.Edge) -> routing_index.Edge:
    kind, node, detail = edge
    return (
        (kind, node, detail)
        if kind != routing_index.REST
        else (
            routing_index.REGEX,
            node,
            routing_index.Pattern(
                RulePart(r"(?s:(?P<__werkzeug_0>[^/].*))\Z", True, False, False, part.weight)
            ),
        )
    )


def no_suffix(part: RulePart, edge: routing_index.Edge) -> routing_index.Edge:
    if edge[0] == routing_index.REGEX:
        edge[2].suffixed = False
    return edge


def light_edges_last(monkeypatch: pytest.MonkeyPatch) -> Build:
    compile_node = routing_index.compile_node

    def reversed_node(*args: Any) -> routing_index.Node:
        node = compile_node(*args)
        node.dynamic = node.dynamic[::-1]
        return node

    monkeypatch.setattr(routing_index, "compile_node", reversed_node)
    monkeypatch.setattr(routing, "compile_node", reversed_node)
    return RouteIndex


def wrapped(wrap: Callable[[RouteIndex, Callable[[str, str], Any]], Any]) -> Fault:
    """A fault around `RouteIndex.match`."""

    def build(url_map: Map) -> RouteIndex:
        index = RouteIndex(url_map)
        index.match = wrap(index, index.match)
        return index

    return lambda monkeypatch: build


def methods_frozen(index: RouteIndex, match: Any) -> Any:
    rules = list(index.url_map.iter_rules())
    frozen = [rule.methods and set(rule.methods) for rule in rules]

    def frozen_match(path: str, method: str) -> Any:
        live = [rule.methods for rule in rules]
        for rule, methods in zip(rules, frozen, strict=True):
            rule.methods = methods
        try:
            return match(path, method)
        finally:
            for rule, methods in zip(rules, live, strict=True):
                rule.methods = methods

    return frozen_match


def defaults_left_out(index: RouteIndex, match: Any) -> Any:
    def bare_match(path: str, method: str) -> Any:
        answer = match(path, method)
        if type(answer) is tuple:
            for name in answer[0].defaults or ():
                answer[1].pop(name)
        return answer

    return bare_match


def case_kept(index: RouteIndex, match: Any) -> Any:
    return lambda path, method: match(path, method) if method.isupper() else routing.MISSING


def read_as_latin_1(index: RouteIndex, match: Any) -> Any:
    return lambda path, method: match(path.encode().decode("latin-1"), method)


def leading_slashes_kept(index: RouteIndex, match: Any) -> Any:
    return lambda path, method: routing.MISSING if path.startswith("//") else match(path, method)


def query_lost(self: routing.PathRedirect, adapter: Callable[[], MapAdapter]) -> HTTPException:
    return RequestRedirect(adapter().make_redirect_url(self.path, {}))


def path_as_sent(index: RouteIndex, match: Any) -> Any:
    def noting_match(path: str, method: str) -> Any:
        answer = match(path, method)
        return (*answer[:2], path) if type(answer) is tuple else answer

    return noting_match


def methods_sorted(seen: routing_index.Seen) -> Miss:
    allowed: set[str] = set().union(*[methods for methods in seen if methods])
    return routing.WrongMethod(sorted(allowed)) if allowed else routing.MISSING


FAULTS: dict[str, Fault] = {
    "weights-reversed": light_edges_last,
    "slashes-not-merged": patched(routing, "_SLASHES", re.compile("(?!)")),
    "methods-frozen": wrapped(methods_frozen),
    "int-takes-what-python-takes": digits_by(r"[+_\d]+"),
    "int-takes-ascii-only": digits_by("[0-9]+"),
    "defaults-left-out": wrapped(defaults_left_out),
    "rivals-by-defaults-forgotten": patched(routing_index, "_rivals", lambda rule, url_map: ()),
    "method-not-upper-cased": wrapped(case_kept),
    "bytes-read-as-latin-1": wrapped(read_as_latin_1),
    "leading-slashes-kept": wrapped(leading_slashes_kept),
    "loose-rules-strict": patched(routing_index, "_loose", lambda *args: None),
    "path-takes-line-feeds": edges_changed(rest_takes_all),
    "slash-after-path-converter": edges_changed(no_suffix),
    "path-noted-as-sent": wrapped(path_as_sent),
    "redirect-not-quoted": patched(routing, "_SAFE", "/%<>"),
    "redirect-without-query": patched(routing.PathRedirect, "as_exception", query_lost),
    "allowed-methods-sorted": patched(routing, "_no_match", methods_sorted),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_comparison_catches_a_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison finds each seeded fault within 5,000 cases."""
    report = compare(SEED, FAULT_CASES, FAULTS[name](monkeypatch))
    assert report.mismatch is not None


PIECES = ["", "a", "b", "édit", *(f"<{text}x>" for _, text, *_ in CONVERTERS if "pair" not in text)]
PATHS = st.lists(st.text(st.characters(max_codepoint=0xFF), max_size=3), max_size=4).map("/".join)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(PIECES)), min_size=1, max_size=5),
    PATHS,
    st.sampled_from(["GET", "POST", "post"]),
    st.booleans(),
)
@example([("a", "<int:x>")], "/a/" + "9" * 5000, "GET", True)
@example([("", "<path:x>")], "/a\nb", "GET", True)
def test_any_path_is_answered_as_by_werkzeug(
    pieces: list[tuple[str, str]], raw: str, method: str, merge: bool
) -> None:
    """For any text that a server may pass as PATH_INFO, the index answers as Werkzeug's matcher."""
    world = Generator(random.Random(0)).empty_world()
    world.url_map.merge_slashes = merge
    for number, (first, second) in enumerate(pieces):
        text = f"/{first}/{second.replace('x>', 'y>')}"
        world.url_map.add(Rule(text, endpoint=number, methods=["GET"] if number % 2 else None))
    environ, _ = Generator(random.Random(0)).environ(raw, method)
    got = actual(RouteIndex(world.url_map), world, environ, Counter())
    assert got == expected(world, environ)
