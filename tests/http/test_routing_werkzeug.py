"""What the routing index relies on in Werkzeug and Werkzeug does not promise: one test for each."""

from __future__ import annotations

import re

from werkzeug.routing import IntegerConverter, Map, MapAdapter, Rule, StateMachineMatcher
from werkzeug.routing.converters import DEFAULT_CONVERTERS, NumberConverter

from demijohn.http import routing_index as ri


def sample() -> Map:
    return Map(
        [
            Rule("/", endpoint="root"),
            Rule("/a", endpoint="a", methods=["GET"]),
            Rule("/a/<int:x>", endpoint="b"),
            Rule("/a/<path:x>/", endpoint="c"),
        ]
    )


def test_map_matcher_is_the_state_machine() -> None:
    """`Map._matcher` is a `StateMachineMatcher`, which alone knows `merge_slashes`."""
    url_map = sample()
    assert type(url_map._matcher) is StateMachineMatcher
    url_map.merge_slashes = False
    assert url_map._matcher.merge_slashes is False


def test_map_remap_says_that_rules_came_in() -> None:
    """`Map._remap` is set by `add` and cleared by `update`."""
    url_map = sample()
    assert url_map._remap
    url_map.update()
    assert not url_map._remap
    url_map.add(Rule("/new", endpoint="new"))
    assert url_map._remap


def test_map_rules_by_endpoint_is_in_the_order_of_building() -> None:
    """`Map._rules_by_endpoint` has each endpoint's rules, those with more defaults first."""
    url_map = Map([Rule("/<x>", endpoint="e"), Rule("/", endpoint="e", defaults={"x": "1"})])
    url_map.update()
    assert [rule.rule for rule in url_map._rules_by_endpoint["e"]] == ["/", "/<x>"]


def test_matcher_root_holds_the_domain_first() -> None:
    """`StateMachineMatcher._root` is the state before the domain; then comes an empty part."""
    root = sample()._matcher._root
    assert list(root.static) == [""] and not root.dynamic
    assert list(root.static[""].static) == [""]
    assert set(root.static[""].static[""].static) == {"", "a"}


def test_state_has_static_dynamic_and_rules() -> None:
    """`State` has the fixed ways on by text, the others as pairs in their order, and its rules."""
    url_map = sample()
    url_map.update()
    state = url_map._matcher._root.static[""].static[""].static["a"]
    assert [rule.endpoint for rule in state.rules] == ["a"]
    assert state.static == {}
    assert [part.weight.argument_weights for part, _ in state.dynamic] == [[50], [200]]
    assert [rule.endpoint for rule in state.dynamic[0][1].rules] == ["b"]


def test_part_has_content_final_and_suffixed() -> None:
    """`RulePart` has its expression, whether it takes the rest, and whether a slash may follow."""
    url_map = sample()
    url_map.update()
    number, rest = (p for p, _ in url_map._matcher._root.static[""].static[""].static["a"].dynamic)
    assert (number.content, number.final, number.suffixed) == (
        r"(?P<__werkzeug_0>\d+)\Z",
        False,
        False,
    )
    assert (rest.final, rest.suffixed) == (True, True)
    assert re.compile(rest.content).groups == 2


def kinds(text: str) -> list[int]:
    url_map = Map([Rule(f"/{text}", endpoint="e")])
    url_map.update()
    state = url_map._matcher._root.static[""].static[""]
    return [edge[0] for edge in ri.compile_node(state, url_map).dynamic]


def test_expressions_of_the_common_converters_are_recognised() -> None:
    """The texts of the common converters' expressions lead to the quick tests."""
    assert kinds("<x>") == kinds("<string:x>") == [ri.SEGMENT]
    assert kinds("<int:x>") == kinds("<int(min=1):x>") == [ri.DIGITS]
    assert kinds("<string(length=2):x>") == kinds("<string(maxlength=2):x>") == [ri.LENGTH]
    assert kinds("<path:x>") == [ri.REST]
    assert kinds("<float:x>") == kinds("v<x>") == kinds("<path:x>/") == [ri.REGEX]


def test_rule_converters_are_in_the_order_of_the_path() -> None:
    """`Rule._converters` has the converters in the order of the path, in a new dict when bound."""
    url_map = Map([Rule("/<b>/<int:a>", endpoint="e")])
    rule = next(url_map.iter_rules())
    before = rule._converters
    assert list(before) == ["b", "a"] and type(before["a"]) is IntegerConverter
    rule.refresh()
    assert rule._converters is not before


def test_integer_converter_is_int_without_options() -> None:
    """`IntegerConverter.to_python` is `NumberConverter`'s, and adds the tests of three options."""
    converter = IntegerConverter(Map())
    assert IntegerConverter.to_python is NumberConverter.to_python
    assert (converter.fixed_digits, converter.min, converter.max) == (0, None, None)
    assert converter.num_convert is int


def test_default_converters_are_all_known() -> None:
    """`DEFAULT_CONVERTERS` has the seven names whose classes may be asked twice."""
    names = {"default", "string", "any", "path", "int", "float", "uuid"}
    assert set(DEFAULT_CONVERTERS) == names


def test_rule_provides_defaults_for_another() -> None:
    """`Rule.provides_defaults_for` is true of a rule with defaults for one with its arguments."""
    url_map = Map([Rule("/", endpoint="e", defaults={"x": 1}), Rule("/<int:x>", endpoint="e")])
    first, second = url_map.iter_rules()
    assert first.provides_defaults_for(second) and not second.provides_defaults_for(first)


def test_rule_suitable_for_values() -> None:
    """`Rule.suitable_for` is true when the values equal the defaults and the method is allowed."""
    rule = Rule("/", endpoint="e", defaults={"x": 1}, methods=["GET"])
    assert rule.suitable_for({"x": 1}, "GET")
    assert not rule.suitable_for({"x": 2}, "GET") and not rule.suitable_for({"x": 1}, "POST")


def adapter() -> MapAdapter:
    url_map = Map([Rule("/", endpoint="e", defaults={"x": 1}), Rule("/<int:x>", endpoint="e")])
    return url_map.bind("example.com", "/app", query_args="a=1")


def test_adapter_makes_redirect_urls() -> None:
    """`MapAdapter.make_redirect_url` takes a quoted path and the query."""
    assert adapter().make_redirect_url("/x/", "a=1") == "http://example.com/app/x/?a=1"


def test_adapter_finds_the_rule_with_the_defaults() -> None:
    """`MapAdapter.get_default_redirect` returns the URL of the rule whose defaults are these."""
    bound = adapter()
    bound.map.update()
    rule = next(rule for rule in bound.map.iter_rules() if rule.rule != "/")
    assert bound.get_default_redirect(rule, "GET", {"x": 1}, "a=1") == "http://example.com/app/?a=1"
    assert bound.get_default_redirect(rule, "GET", {"x": 2}, "a=1") is None
