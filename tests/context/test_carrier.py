"""Plain data and carriers: what may go along, and what a reader makes of anything it is given."""

from __future__ import annotations

import datetime
import json
import math
import time
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.context import CarrierError, plain
from demijohn.context.carrier import VERSION, Carried, read_carrier, write_carrier

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)
ODD = (
    SCALARS
    | st.floats()
    | st.text()
    | st.binary()
    | st.tuples(st.integers())
    | st.builds(object)
    | st.integers(min_value=10**600)
    | st.dates()
)
ANYTHING = st.recursive(
    ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.builds(OrderedDict)
    ),
    max_leaves=12,
)


class Text(str):
    """Text that a program has made its own."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def with_itself() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def doubling() -> list[Any]:
    value: list[Any] = [1, 1]
    for _ in range(60):
        value = [value, value]
    return value


@given(PLAIN)
def test_plain_data_is_copied_and_comes_back_from_json(value: Any) -> None:
    """What `plain` accepts equals its copy and what JSON makes of it, in value and type."""
    copied = plain(value, "value")
    assert copied == value
    assert repr(json.loads(json.dumps(copied))) == repr(value)


@given(ANYTHING)
def test_json_gives_back_whatever_is_accepted(value: Any) -> None:
    """Of any value, `plain` raises `TypeError` or JSON gives its copy back unchanged."""
    try:
        copied = plain(value, "value")
    except TypeError:
        return
    assert repr(json.loads(json.dumps(copied))) == repr(copied)


def test_a_copy_is_independent() -> None:
    """No container of the copy is one of the value's."""
    value = {"items": [{"id": 1}]}
    copied = plain(value, "value")
    copied["items"][0]["id"] = 2
    copied["items"].append(3)
    assert value == {"items": [{"id": 1}]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((1, 2), ["is of type tuple. Use a list: JSON would make it one."]),
        ({"items": [1, {2}]}, ["at ['items'][1]", "set", "Use a list"]),
        ([b"x"], ["at [0]", "bytes", "base64"]),
        (datetime.datetime(2026, 1, 1), ["datetime.datetime", "isoformat()"]),
        (math.nan, ["the float nan", "Use None"]),
        ([1, -math.inf], ["at [1]", "the float -inf"]),
        ({"a": {1: 2}}, ["at ['a']", "a key of type int", "str keys"]),
        (Text("x"), ["test_carrier.Text", "Make it a plain str"]),
        ({Text("x"): 1}, ["a key of type", "Text"]),
        (OrderedDict(a=1), ["collections.OrderedDict", "Make it a plain dict"]),
        (object(), ["of type object", "carry what finds it again"]),
        (10**640, ["an int of"]),
        ("a\ud800", ["lone surrogate"]),
        ({"\udfff": 1}, ["lone surrogate"]),
        (nested(101), ["nested more than 100 deep"]),
        (with_itself(), ["at [1]['again']", "contains itself"]),
        (doubling(), ["more than 9999 values"]),
    ],
    ids=lambda value: "",
)
def test_a_refusal_says_what_where_and_what_to_do(
    value: Any, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error begins with the name and says where in the value, its type and the remedy."""
    monkeypatch.setattr("demijohn.context.carrier._VALUES", 9999)
    with pytest.raises(TypeError) as caught:
        plain(value, "g.cart")
    message = str(caught.value)
    assert message.startswith("g.cart")
    for word in words:
        assert word in message
    assert len(message) < 500


def test_100_deep_is_plain() -> None:
    """The limit itself is still accepted, and the same list twice is no cycle."""
    assert plain(nested(100), "value") == nested(100)
    twice = [1]
    assert plain([twice, twice], "value") == [[1], [1]]


@given(
    st.dictionaries(st.text(), PLAIN, max_size=3),
    st.dictionaries(st.text(), PLAIN, max_size=3),
    st.none() | st.floats(min_value=-1e6, max_value=1e6),
)
def test_a_carrier_is_read_as_it_was_written(
    g: dict[str, Any], fields: dict[str, Any], left: float | None
) -> None:
    """Through JSON text a carrier stays equal, and its values and deadline come out of it."""
    deadline = None if left is None else time.monotonic() + left
    try:
        carrier = write_carrier("shop", Carried(g, fields, deadline))
    except TypeError:  # a lone surrogate in a name
        return
    assert json.loads(json.dumps(carrier)) == carrier
    read = read_carrier(json.loads(json.dumps(carrier)))
    assert (read.g, read.fields) == (g, fields)
    if deadline is None:
        assert read.deadline is None
    else:
        assert read.deadline == pytest.approx(deadline, abs=1)


def test_a_deadline_is_unix_time() -> None:
    """The deadline stands in the carrier as Unix time in seconds, as another machine needs it."""
    carrier = write_carrier("shop", Carried(deadline=time.monotonic() + 60))
    assert carrier["deadline"] == pytest.approx(time.time() + 60, abs=5)


def test_what_a_newer_writer_added_is_passed_over() -> None:
    """An entry of an unknown name is ignored, and a missing one is empty."""
    assert read_carrier({"v": VERSION, "baggage": object()}) == Carried()


@pytest.mark.parametrize(
    "version", [0, VERSION + 1, -1, 10**5000], ids=["none", "next", "negative", "huge"]
)
def test_another_version_is_refused(version: int) -> None:
    """A version that this process does not know is refused, and both are named."""
    with pytest.raises(CarrierError) as caught:
        read_carrier({"v": version, "g": {}})
    assert f"reads version {VERSION}" in str(caught.value)
    assert (str(version) if version < 100 else "over 2**64") in str(caught.value)


@given(
    ANYTHING
    | st.fixed_dictionaries(
        {"v": st.just(VERSION) | ANYTHING},
        optional={"g": ANYTHING, "fields": ANYTHING, "deadline": ANYTHING, "app": ANYTHING},
    )
)
def test_nothing_but_a_carrier_error(carrier: Any) -> None:
    """Whatever is read, the answer is plain values or a `CarrierError`."""
    try:
        read = read_carrier(carrier)
    except CarrierError as error:
        assert str(error)
    else:
        json.dumps([read.g, read.fields], allow_nan=False)
        assert read.deadline is None or math.isfinite(read.deadline)


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_nothing_but_a_carrier_error_from_json(text: str | bytes) -> None:
    """What JSON can make of any text is read or refused in the same way."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    with pytest.raises(CarrierError):
        read_carrier(value)
