"""The map's version, the index's life and its costs; its answers are compared in a file beside."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.routing import BaseConverter, EndpointPrefix, MapAdapter, Rule, RuleFactory
from werkzeug.routing import Map as WerkzeugMap

from demijohn.http.routing import (
    MISSING,
    WEBSOCKET_ONLY,
    DefaultsRedirect,
    Map,
    Miss,
    PathRedirect,
    RouteIndex,
    WrongMethod,
)


def no_adapter() -> MapAdapter:
    raise AssertionError("no adapter was needed")


def small_map(kind: type[WerkzeugMap] = Map, **options: Any) -> WerkzeugMap:
    return kind(
        [
            Rule("/", endpoint="root"),
            Rule("/about", endpoint="about", methods=["GET"]),
            Rule("/items", endpoint="list", methods=["GET"]),
            Rule("/items", endpoint="make", methods=["POST"]),
            Rule("/branch/", endpoint="branch"),
            Rule("/u/<int:id>", endpoint="user", methods=["GET"], defaults={"tab": "all"}),
            Rule("/all/", endpoint="pages", defaults={"page": 1}),
            Rule("/all/<int:page>", endpoint="pages"),
            Rule("/ws", endpoint="ws", websocket=True),
            Rule("/static/<path:filename>", endpoint="static"),
        ],
        **options,
    )


CHANGES: list[tuple[str, Callable[[Map], object]]] = [
    ("add", lambda m: m.add(Rule("/new"))),
    ("strict_slashes", lambda m: setattr(m, "strict_slashes", False)),
    ("merge_slashes", lambda m: setattr(m, "merge_slashes", False)),
    ("redirect_defaults", lambda m: setattr(m, "redirect_defaults", False)),
    ("host_matching", lambda m: setattr(m, "host_matching", True)),
    ("default_subdomain", lambda m: setattr(m, "default_subdomain", "www")),
    ("converters", lambda m: setattr(m, "converters", {})),
    ("_matcher", lambda m: setattr(m, "_matcher", m._matcher)),
    ("_remap", lambda m: setattr(m, "_remap", True)),
    ("attribute of a subclass", lambda m: setattr(m, "mine", 1)),
    ("touch", lambda m: m.touch()),
]


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[name for name, _ in CHANGES])
def test_a_change_makes_a_new_version(change: Callable[[Map], object]) -> None:
    """Whatever may change matching gives the map a version that it never had."""
    url_map = Map([Rule("/a", endpoint="a")])
    index = RouteIndex(url_map)
    before = url_map.version
    change(url_map)
    assert url_map.version > before
    assert not index.fresh()
    assert RouteIndex(url_map).fresh()


def test_using_a_map_keeps_its_version() -> None:
    """Matching, building, listing and sorting leave the version as it is."""
    url_map = small_map()
    assert isinstance(url_map, Map)
    before = url_map.version
    url_map.update()
    list(url_map.iter_rules())
    repr(url_map)
    url_map.is_endpoint_expecting("user", "id")
    adapter = url_map.bind("example.com")
    adapter.match("/about")
    adapter.build("user", {"id": 1})
    url_map.sort_parameters = True
    url_map.sort_key = None
    assert RouteIndex(url_map).fresh()
    assert url_map.version == before


def test_a_factory_that_fails_half_way_makes_a_new_version() -> None:
    """Rules that a factory added before it raised are noticed."""

    class Half(RuleFactory):
        def get_rules(self, map: WerkzeugMap) -> Iterator[Rule]:
            yield Rule("/first", endpoint="first")
            raise KeyError("second")

    url_map = Map([Rule("/a", endpoint="a")])
    index = RouteIndex(url_map)
    with pytest.raises(KeyError):
        url_map.add(Half())
    assert not index.fresh()
    assert isinstance(RouteIndex(url_map).match("/first", "GET"), tuple)


def test_versions_differ_between_maps() -> None:
    """Two maps made the same way have different versions, so one cannot be taken for the other."""
    first, second = small_map(), small_map()
    assert isinstance(first, Map) and isinstance(second, Map)
    assert first.version != second.version


def test_the_map_is_werkzeugs_in_all_else() -> None:
    """Copying, pickling, the representation and factories behave as with Werkzeug's map."""
    ours, theirs = small_map(), small_map(WerkzeugMap)
    assert repr(ours) == repr(theirs)
    assert copy.copy(ours).bind("example.com").match("/about") == ("about", {})
    errors = []
    for url_map in ours, theirs:
        with pytest.raises(Exception) as info:
            pickle.dumps(url_map)
        errors.append((info.type, str(info.value)))
        url_map.add(EndpointPrefix("x.", [Rule("/x", endpoint="y")]))
        assert url_map.bind("example.com").match("/x") == ("x.y", {})
    assert errors[0] == errors[1]


PLAIN_CHANGES: list[tuple[str, Callable[[WerkzeugMap], object]]] = [
    ("add", lambda m: m.add(Rule("/new"))),
    ("add and sort", lambda m: (m.add(Rule("/new", endpoint="about")), m.update())),
    ("merge_slashes", lambda m: setattr(m, "merge_slashes", False)),
    ("redirect_defaults", lambda m: setattr(m, "redirect_defaults", False)),
    ("host_matching", lambda m: setattr(m, "host_matching", True)),
    ("default_subdomain", lambda m: setattr(m, "default_subdomain", "www")),
    ("converters", lambda m: setattr(m, "converters", dict(m.converters))),
    ("matcher", lambda m: setattr(m, "_matcher", type(m._matcher)(True))),
]


@pytest.mark.parametrize(
    "change", [c for _, c in PLAIN_CHANGES], ids=[name for name, _ in PLAIN_CHANGES]
)
def test_a_plain_map_is_watched_too(change: Callable[[WerkzeugMap], object]) -> None:
    """An index of a map without a version notices what changed, and nothing when nothing did."""
    url_map = small_map(WerkzeugMap)
    index = RouteIndex(url_map)
    index.match("/about", "GET")
    url_map.bind("example.com").match("/about")
    assert index.fresh()
    change(url_map)
    assert not index.fresh()


class OtherBinding(Map):
    def bind_to_environ(self, *args: Any, **kwargs: Any) -> MapAdapter:
        return super().bind_to_environ(*args, **kwargs)


@pytest.mark.parametrize(
    "url_map",
    [
        small_map(host_matching=True),
        small_map(default_subdomain="<lang>"),
        small_map(default_subdomain="a/b"),
        small_map(OtherBinding),
        Map([Rule("/", endpoint="a"), Rule("/", endpoint="b", subdomain="<path:any>")]),
        Map([Rule("/", endpoint="b", subdomain="w<x>")], default_subdomain="www"),
    ],
    ids=["host", "variable-subdomain", "slashed-subdomain", "own-binding", "path", "variable"],
)
def test_a_map_that_cannot_be_served_says_so(url_map: WerkzeugMap) -> None:
    """Maps where the host or a subclass has a say are left to Werkzeug whole."""
    index = RouteIndex(url_map)
    assert not index.usable
    assert index.match("/about", "GET") is None


def test_rules_of_other_subdomains_do_no_harm() -> None:
    """Rules for subdomains that are not the default one leave the index usable and unmoved."""
    url_map = small_map()
    url_map.add(Rule("/api", endpoint="api", subdomain="api"))
    url_map.add(Rule("/any", endpoint="any", subdomain="<name>"))
    index = RouteIndex(url_map)
    assert index.usable
    assert index.match("/api", "GET") is index.match("/any", "GET") is MISSING
    assert isinstance(index.match("/about", "GET"), tuple)


def test_an_empty_map_misses_everything() -> None:
    """A map without rules is served, and has no path."""
    assert RouteIndex(Map()).match("/", "GET") is MISSING


def test_each_hit_has_its_own_values() -> None:
    """What a view does to its arguments is not seen by the next request."""
    index = RouteIndex(small_map())
    for path in ("/about", "/u/7", "/all/", "/static/a/b"):
        answers = [index.match(path, "GET") for _ in range(2)]
        assert isinstance(answers[0], tuple) and isinstance(answers[1], tuple)
        answers[0][1]["spoiled"] = True
        assert "spoiled" not in answers[1][1]


def test_a_rule_is_read_live() -> None:
    """A rule's methods, defaults and switches count as they are when the request comes."""
    url_map = small_map()
    index = RouteIndex(url_map)
    rule = next(url_map.iter_rules("about"))
    assert rule.methods is not None
    rule.methods.discard("GET")
    assert isinstance(index.match("/about", "GET"), WrongMethod)
    rule.methods = None
    rule.defaults = {"x": 1}
    assert index.match("/about", "PURGE") == (rule, {"x": 1}, "/about")
    rule.websocket = True
    assert index.match("/about", "GET") is WEBSOCKET_ONLY
    rule.websocket = False
    rule.redirect_to = "elsewhere"
    assert index.match("/about", "GET") is None
    user = next(url_map.iter_rules("user"))
    user.defaults = None
    assert index.match("/u/7", "GET") == (user, {"id": 7}, "/u/7")
    user.alias = True
    assert index.match("/u/7", "GET") is None


def test_a_rule_bound_anew_brings_its_converters() -> None:
    """After `Rule.refresh()` the values are converted by the converters that the rule then has."""
    url_map = small_map()
    index = RouteIndex(url_map)
    rule = next(url_map.iter_rules("user"))
    url_map.converters = {**url_map.converters, "int": type("Text", (BaseConverter,), {})}
    rule.refresh()
    assert index.match("/u/7", "GET") == (rule, {"id": "7", "tab": "all"}, None)


def test_a_converter_is_asked_once_and_its_errors_pass() -> None:
    """A user's converter runs once for a request, not at all before Werkzeug is to answer."""
    calls: list[str] = []

    class Loud(BaseConverter):
        def to_python(self, value: str) -> str:
            calls.append(value)
            if value == "bad":
                raise ValueError("not a refusal")
            return value

    url_map = Map(converters={"loud": Loud})
    url_map.add(Rule("/<loud:x>", endpoint="a"))
    url_map.add(Rule("/to/<loud:x>", endpoint="b", redirect_to="elsewhere"))
    index = RouteIndex(url_map)
    index.match("/ok", "GET")
    assert index.match("/to/x", "GET") is None
    assert calls == ["ok"]
    with pytest.raises(ValueError, match="not a refusal"):
        index.match("/bad", "GET")


def test_an_expression_that_does_not_compile_is_left_to_werkzeug() -> None:
    """A broken converter makes the index unsure where it is reached, and only there."""
    url_map = small_map()
    url_map.add(Rule("/odd/<string(minlength=3, maxlength=2):x>", endpoint="odd"))
    index = RouteIndex(url_map)
    assert index.match("/odd/x", "GET") is None
    assert isinstance(index.match("/about", "GET"), tuple)
    assert index.match("/odd", "GET") is MISSING


def test_only_redirects_need_an_adapter() -> None:
    """404, 405 and 400 are made without binding the map."""
    index = RouteIndex(small_map())
    codes = []
    for path, method in ("/nope", "GET"), ("/about", "POST"), ("/ws", "GET"):
        answer = index.match(path, method)
        assert isinstance(answer, Miss)
        codes.append(answer.as_exception(no_adapter).code)
    assert codes == [404, 405, 400]
    for path in "/branch", "/all//", "/all/1":
        answer = index.match(path, "GET")
        assert isinstance(answer, PathRedirect | DefaultsRedirect)
        with pytest.raises(AssertionError, match="no adapter"):
            answer.as_exception(no_adapter)


def test_text_that_no_server_passes_is_left_to_werkzeug() -> None:
    """A path with characters beyond Latin-1 is not a WSGI string; binding it raises."""
    assert RouteIndex(small_map()).match("/日本", "GET") is None


def test_upper_case_is_upper_already() -> None:
    """No character is upper case and has another upper case: `isupper` may stand for `upper`."""
    characters = map(chr, range(sys.maxunicode + 1))
    assert not [c for c in characters if c.isupper() and c.upper() != c]


def test_digits_are_decimal() -> None:
    r"""`\d` and `str.isdecimal` take the same characters, and `int` takes them too."""
    import re

    digit = re.compile(r"\d\Z")
    characters = list(map(chr, range(sys.maxunicode + 1)))
    assert [c for c in characters if c.isdecimal()] == [c for c in characters if digit.match(c)]
    assert all(int(c) in range(10) for c in characters if c.isdecimal())


REQUESTS = [
    ("hit", "/about", "GET"),
    ("second-hit", "/items", "POST"),
    ("variable", "/u/7", "GET"),
    ("path", "/static/css/site.css", "GET"),
    ("missing", "/nope/nothing", "GET"),
    ("missing-bytes", "/caf\xe9", "GET"),
    ("refused-by-int", "/u/" + "9" * 5000, "GET"),
    ("wrong-method", "/about", "POST"),
    ("wrong-method-variable", "/u/7", "POST"),
    ("slash", "/branch", "GET"),
    ("merge", "/branch//", "GET"),
    ("defaults", "/all/1", "GET"),
    ("websocket", "/ws", "GET"),
]


@pytest.mark.parametrize(
    ("path", "method"), [r[1:] for r in REQUESTS], ids=[r[0] for r in REQUESTS]
)
def test_no_request_leaves_anything_behind(path: str, method: str) -> None:
    """With the cyclic collector off, 1,000 requests leave no object, and nothing to collect."""
    index = RouteIndex(small_map())

    def ask() -> None:
        answer = index.match(path, method)
        if isinstance(answer, Miss) and not isinstance(answer, PathRedirect | DefaultsRedirect):
            answer.as_exception(no_adapter)

    ask()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        blocks = sys.getallocatedblocks()
        for _ in range(1000):
            ask()
        assert len(gc.get_objects()) - before <= 1  # The list that is being counted.
        assert sys.getallocatedblocks() - blocks < 100
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_werkzeugs_matcher_is_seen_to_leave_objects() -> None:
    """The measure above is one that Werkzeug's matcher fails: it leaves cycles at each call."""
    adapter = small_map().bind("example.com")
    adapter.match("/about")
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            adapter.match("/about")
        assert gc.collect() >= 10
    finally:
        gc.enable()
