"""Tagged JSON: Flask's wire form byte for byte, and the same ways to extend it."""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import flask
import flask.json.tag
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from demijohn.http import json_tag
from demijohn.http.json_tag import (
    JSONTag,
    PassDict,
    PassList,
    TagBytes,
    TagDateTime,
    TagDict,
    TaggedJSONSerializer,
    TagMarkup,
    TagTuple,
    TagUUID,
    bind_codec,
)

TAGS = [" di", " t", " b", " m", " u", " d"]
keys = st.text(max_size=5) | st.sampled_from(TAGS) | st.sampled_from([f"{tag}__" for tag in TAGS])
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=20)
    | st.uuids()
    | st.datetimes(
        min_value=datetime(1000, 1, 1), timezones=st.just(UTC), allow_imaginary=False
    ).map(lambda d: d.replace(microsecond=0))
    | st.text(max_size=10).map(Markup)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Whether both are equal, with the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@settings(max_examples=250, deadline=None)
@given(value=values)
def test_same_wire_form_as_flask(value: Any) -> None:
    """Any value is written byte for byte as Flask writes it, each reads the other, types kept."""
    ours, theirs = TaggedJSONSerializer(), flask.json.tag.TaggedJSONSerializer()
    text = ours.dumps(value)
    assert text == theirs.dumps(value)
    assert same(ours.loads(text), value)
    assert same(theirs.loads(text), value)


def test_round_trip_check_finds_a_missing_tag() -> None:
    """The comparison above fails for a serializer that lacks one of the tags."""

    class NoTuples(TaggedJSONSerializer):
        default_tags = [tag for tag in TaggedJSONSerializer.default_tags if tag is not TagTuple]

    broken = NoTuples()
    assert not same(broken.loads(broken.dumps((1,))), (1,))


@settings(max_examples=250, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )
)
def test_reads_any_json_as_flask(value: Any) -> None:
    """JSON that merely looks tagged is read as Flask reads it, or refused with the same error."""
    text = flask.json.dumps(value)

    def read(serializer: Any) -> Any:
        try:
            return repr(serializer.loads(text))
        except Exception as error:
            return type(error)

    assert read(TaggedJSONSerializer()) == read(flask.json.tag.TaggedJSONSerializer())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({" t": (1, 2)}, '{" di":{" t__":{" t":[1,2]}}}'),
        ({"a": b"\xff"}, '{"a":{" b":"/w=="}}'),
        (UUID(int=1), '{" u":"00000000000000000000000000000001"}'),
        (datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC), '{" d":"Thu, 29 Feb 2024 01:02:03 GMT"}'),
        (Markup("<b>"), '{" m":"<b>"}'),
        ({"b": 1, "a": 2}, '{"b":1,"a":2}'),
    ],
)
def test_wire_form(value: Any, text: str) -> None:
    """The wire form is the documented one; without an app keys stay in their order."""
    assert TaggedJSONSerializer().dumps(value) == text


def test_html_objects_become_markup() -> None:
    """Anything with an __html__ method comes back as Markup."""

    class Html:
        def __html__(self) -> str:
            return "<i>"

    serializer = TaggedJSONSerializer()
    result = serializer.loads(serializer.dumps(Html()))
    assert same(result, Markup("<i>"))


def test_tags_have_flasks_keys_order_and_slots() -> None:
    """Names, keys, slots and order of the default tags are Flask's, and no tag has a __dict__."""
    theirs = flask.json.tag.TaggedJSONSerializer
    ours = TaggedJSONSerializer
    assert [t.__name__ for t in ours.default_tags] == [t.__name__ for t in theirs.default_tags]
    for tag, peer in zip(ours.default_tags, theirs.default_tags, strict=True):
        assert (tag.key, tag.__slots__) == (peer.key, peer.__slots__)
        assert not hasattr(tag(ours()), "__dict__")
        assert (tag.tag is tag.to_json) == (peer.tag is peer.to_json)
    assert sorted(ours.__slots__) == sorted(theirs.__slots__)
    assert JSONTag.__slots__ == flask.json.tag.JSONTag.__slots__


class TagDeque(JSONTag):
    __slots__ = ()
    key = " dq"

    def check(self, value: Any) -> bool:
        return isinstance(value, deque)

    def to_json(self, value: Any) -> Any:
        return [self.serializer.tag(item) for item in value]

    def to_python(self, value: Any) -> Any:
        return deque(value)


def test_custom_tag() -> None:
    """A registered tag is written and read, with tagged values inside."""
    serializer = TaggedJSONSerializer()
    serializer.register(TagDeque)
    value = {"q": deque([(1,), b"x"])}
    assert same(serializer.loads(serializer.dumps(value)), value)


def test_custom_tag_first() -> None:
    """A tag for a subtype works when it is registered before its type's."""

    class TagOrderedDict(JSONTag):
        __slots__ = ()
        key = " od"

        def check(self, value: Any) -> bool:
            return isinstance(value, OrderedDict)

        def to_json(self, value: Any) -> Any:
            return [[k, self.serializer.tag(v)] for k, v in value.items()]

        def to_python(self, value: Any) -> Any:
            return OrderedDict(value)

    serializer = TaggedJSONSerializer()
    serializer.register(TagOrderedDict, index=0)
    value = OrderedDict([("z", (1,)), ("a", 2)])
    assert same(serializer.loads(serializer.dumps(value)), value)
    assert type(serializer.order[0]) is TagOrderedDict


@pytest.mark.parametrize("index", [None, 0, 3, -1, 100])
def test_register_order(index: int | None) -> None:
    """The index of register has the meaning that it has for list.insert, None is the end."""
    serializer = TaggedJSONSerializer()
    peer = flask.json.tag.TaggedJSONSerializer()
    serializer.register(TagDeque, index=index)
    peer.register(TagDeque, index=index)  # type: ignore[arg-type]
    names = [type(tag).__name__ for tag in serializer.order]
    assert names == [type(tag).__name__ for tag in peer.order]


def test_register_taken_key() -> None:
    """A key that is taken is a KeyError, and with force the new tag reads it."""

    class Loud(TagBytes):
        __slots__ = ()

        def to_python(self, value: Any) -> Any:
            return "loud"

    serializer = TaggedJSONSerializer()
    with pytest.raises(KeyError, match="already registered"):
        serializer.register(Loud)
    assert len(serializer.order) == len(serializer.default_tags)
    serializer.register(Loud, force=True, index=0)
    assert serializer.loads(serializer.dumps(b"x")) == "loud"


def test_own_default_tags() -> None:
    """A subclass may start with other tags, and override tag and untag."""

    class Small(TaggedJSONSerializer):
        default_tags = [PassDict, PassList, TagUUID, TagMarkup, TagDateTime, TagDict]

        def untag(self, value: dict[str, Any]) -> Any:
            return super().untag({k: v for k, v in value.items() if k != "secret"})

    small = Small()
    assert TagTuple not in map(type, small.order)
    assert small.loads('{"a":1,"secret":2}') == {"a": 1}


def test_unfinished_tag() -> None:
    """The base class leaves check, to_json and to_python to subclasses."""
    tag = JSONTag(TaggedJSONSerializer())
    for method in (tag.check, tag.to_json, tag.to_python):
        with pytest.raises(NotImplementedError):
            method(1)


def test_types_without_a_tag() -> None:
    """Without an app, other types go through the JSON providers' default, unknown ones fail."""
    serializer = TaggedJSONSerializer()
    peer = flask.json.tag.TaggedJSONSerializer()
    value = {"date": datetime(2024, 1, 1).date(), "u": uuid4()}
    assert serializer.dumps(value) == peer.dumps(value)
    with pytest.raises(TypeError, match="not JSON serializable"):
        serializer.dumps({"x": object()})


def test_bound_codec_is_the_apps() -> None:
    """Bound to an app's provider, a serializer writes what Flask writes inside that app."""
    app = flask.Flask("peer")
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    value = {"b": ("ä",), "a": {"d": 1, "c": b"x"}}
    with app.app_context():
        expected = flask.json.tag.TaggedJSONSerializer().dumps(value)
    ours = bind_codec(TaggedJSONSerializer(), app.json)
    assert ours.dumps(value) == expected
    assert same(ours.loads(expected), value)


def test_bind_leaves_own_serializers_alone() -> None:
    """A serializer of another kind, or with its own dumps or loads, is not bound."""

    class Own(TaggedJSONSerializer):
        def loads(self, value: str) -> Any:
            return "own"

    app = flask.Flask("peer")
    for serializer in (Own(), flask.json.tag.TaggedJSONSerializer(), flask.json):
        assert bind_codec(serializer, app.json) is serializer
    tagged = TaggedJSONSerializer()
    assert bind_codec(tagged, None) is tagged
    tagged.register(TagDeque)
    assert bind_codec(tagged, app.json).dumps(deque()) == '{" dq":[]}'


def test_overridden_codec_is_used() -> None:
    """A subclass that knows a current app gives its provider through _codec."""

    class Loud(json_tag._PlainJSON):
        def dumps(self, obj: Any, /, **kwargs: Any) -> str:
            return super().dumps(obj, **kwargs).upper()

    class Current(TaggedJSONSerializer):
        def _codec(self) -> json_tag.JSONCodec:
            return Loud()

    assert Current().dumps({"a": ("x",)}) == '{"A":{" T":["X"]}}'
