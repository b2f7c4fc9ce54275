"""JSON providers: the same text as Flask's, live settings, overrides, errors, kept encoders."""

from __future__ import annotations

import dataclasses
import decimal
import gc
import io
import json
import json.encoder
import threading
import uuid
from datetime import UTC, date, datetime
from typing import Any

import flask
import flask.json.provider
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.wrappers import Response

from demijohn.http import json_provider
from demijohn.http.json_provider import DefaultJSONProvider, JSONProvider


class App:
    """As much of an application as a provider needs."""

    response_class = Response

    def __init__(self, debug: bool = False) -> None:
        self.debug = debug


APP = App()
DEBUG_APP = App(debug=True)


@dataclasses.dataclass
class Point:
    x: int
    y: str


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=st.just(UTC) | st.none())
    | st.builds(Point, st.integers(), st.text())
    | st.text().map(Markup)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers() | st.booleans(), inner)
    ),
    max_leaves=12,
)


def outcome(function: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """What a call gives, in a form that can be compared; NaN equals NaN."""
    try:
        return ("returned", repr(function(*args, **kwargs)))
    except Exception as error:
        return ("raised", type(error), str(error))


def flask_app(debug: bool) -> flask.Flask:
    app = flask.Flask("peer")
    app.debug = debug
    return app


FLASK_APPS = {False: flask_app(False), True: flask_app(True)}


@settings(max_examples=150, deadline=None)
@given(
    value=values,
    ensure_ascii=st.booleans(),
    sort_keys=st.booleans(),
    compact=st.sampled_from([None, True, False]),
    debug=st.booleans(),
)
def test_same_text_as_flask(
    value: Any, ensure_ascii: bool, sort_keys: bool, compact: bool | None, debug: bool
) -> None:
    """dumps, response and response_bytes write for any value and settings what Flask writes."""
    ours = DefaultJSONProvider(DEBUG_APP if debug else APP)
    theirs = flask.json.provider.DefaultJSONProvider(FLASK_APPS[debug])
    for provider in (ours, theirs):
        provider.ensure_ascii = ensure_ascii
        provider.sort_keys = sort_keys
        provider.compact = compact
    assert outcome(ours.dumps, value) == outcome(theirs.dumps, value)
    assert outcome(ours.dumps, value, indent=1) == outcome(theirs.dumps, value, indent=1)
    expected = outcome(lambda: theirs.response(value).get_data())
    assert outcome(lambda: ours.response(value).get_data()) == expected
    assert outcome(ours.response_bytes, value) == expected


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1,), {}), (([],), {}), ((1, 2), {}), ((), {"a": 1})]
)
def test_response_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """response takes its arguments as Flask's does, and has the provider's type."""
    response = DefaultJSONProvider(APP).response(*args, **kwargs)
    theirs = FLASK_APPS[False].json.response(*args, **kwargs)
    assert response.get_data() == theirs.get_data()
    assert response.mimetype == theirs.mimetype == "application/json"


def test_response_refuses_both_kinds_of_arguments() -> None:
    """Positional and keyword arguments together are a TypeError."""
    with pytest.raises(TypeError, match="either args or kwargs, not both"):
        DefaultJSONProvider(APP).response(1, a=2)


def test_mimetype_is_live() -> None:
    """A mimetype set on the instance is the response's."""
    provider = DefaultJSONProvider(APP)
    provider.mimetype = "application/problem+json"
    assert provider.response({}).mimetype == "application/problem+json"


def test_settings_are_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of default, ensure_ascii, sort_keys, compact or debug acts on the next call."""
    app = App()
    provider = DefaultJSONProvider(app)
    value = {"b": "ä", "a": [1]}
    assert provider.response_bytes(value) == b'{"a":[1],"b":"\\u00e4"}\n'
    provider.sort_keys = False
    assert provider.response_bytes(value) == b'{"b":"\\u00e4","a":[1]}\n'
    monkeypatch.setattr(DefaultJSONProvider, "ensure_ascii", False)
    assert provider.response_bytes(value) == '{"b":"ä","a":[1]}\n'.encode()
    app.debug = True
    assert provider.response_bytes([1]) == b"[\n  1\n]\n"
    provider.compact = True
    assert provider.response_bytes([1]) == b"[1]\n"
    provider.default = lambda o: "first"  # type: ignore[method-assign]
    assert provider.dumps(object()) == '"first"'
    provider.default = lambda o: "second"  # type: ignore[method-assign]
    assert provider.dumps(object()) == '"second"'
    assert provider.response_bytes(object()) == b'"second"\n'


def test_default_of_none_is_the_librarys() -> None:
    """With default set to None, an unknown object is json's own TypeError."""
    provider = DefaultJSONProvider(APP)
    provider.default = None  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        provider.dumps([object()])


@pytest.mark.parametrize("kind", ["method", "staticmethod", "instance", "callable object"])
def test_own_default_is_called(kind: str) -> None:
    """A default of any kind is used by dumps, response and response_bytes."""

    class WithMethod(DefaultJSONProvider):
        def default(self, o: Any) -> Any:  # type: ignore[override]
            return "own"

    class WithStatic(DefaultJSONProvider):
        @staticmethod
        def default(o: Any) -> Any:
            return "own"

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise AssertionError("settings are not compared by value")

        def __call__(self, o: Any) -> Any:
            return "own"

    provider = DefaultJSONProvider(APP)
    if kind == "method":
        provider = WithMethod(APP)
    elif kind == "staticmethod":
        provider = WithStatic(APP)
    elif kind == "instance":
        provider.default = lambda o: "own"  # type: ignore[method-assign]
    else:
        provider.default = Unhashable()  # type: ignore[method-assign]
    for _ in range(2):
        assert provider.dumps(object()) == '"own"'
        assert provider.response(object()).get_data() == b'"own"\n'
        assert provider.response_bytes(object()) == b'"own"\n'


def test_encoders_are_kept() -> None:
    """Encoders are made once for the same settings, also when default is a method."""

    class WithMethod(DefaultJSONProvider):
        def default(self, o: Any) -> Any:  # type: ignore[override]
            return super().default(o)

    for provider in (DefaultJSONProvider(APP), WithMethod(APP)):
        first = provider._encoders()
        provider.dumps([1])
        assert provider._encoders() is first
        provider.sort_keys = False
        assert provider._encoders() is not first


def test_own_dumps_is_called() -> None:
    """A dumps of a subclass or an instance writes responses too, and is told the layout."""

    class Wrapped(DefaultJSONProvider):
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return super().dumps({"v": obj, "n": [1, 2]}, **kwargs)

    provider: DefaultJSONProvider = Wrapped(APP)
    assert provider.response_bytes(1) == provider.response(1).get_data()
    assert provider.response_bytes(1) == b'{"n":[1,2],"v":1}\n'
    provider.compact = False
    assert provider.response_bytes(1) == b'{\n  "n": [\n    1,\n    2\n  ],\n  "v": 1\n}\n'

    seen: list[dict[str, Any]] = []

    def record(obj: Any, **kwargs: Any) -> str:
        seen.append(kwargs)
        return "text"

    provider = DefaultJSONProvider(APP)
    provider.dumps = record  # type: ignore[method-assign]
    assert provider.response(1).get_data() == provider.response_bytes(1) == b"text\n"
    provider.compact = False
    provider.response_bytes(1)
    assert seen == [{"separators": (",", ":")}] * 2 + [{"indent": 2}]


def test_patched_dumps_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dumps exchanged on the class itself after a first call writes responses."""
    provider = DefaultJSONProvider(APP)
    assert provider.response_bytes(1) == b"1\n"
    monkeypatch.setattr(DefaultJSONProvider, "dumps", lambda self, obj, **kwargs: "patched")
    assert provider.response_bytes(1) == b"patched\n"


def test_own_prepare_is_called() -> None:
    """A _prepare_response_obj of a subclass or an instance shapes response and response_bytes."""

    class Envelope(DefaultJSONProvider):
        def _prepare_response_obj(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return {"data": super()._prepare_response_obj(args, kwargs)}

    provider: DefaultJSONProvider = Envelope(APP)
    assert provider.response(1).get_data() == provider.response_bytes(1) == b'{"data":1}\n'
    provider = DefaultJSONProvider(APP)
    provider._prepare_response_obj = lambda args, kwargs: [args]  # type: ignore[method-assign]
    assert provider.response(1).get_data() == provider.response_bytes(1) == b"[[1]]\n"


def test_own_response_is_told() -> None:
    """has_own_response is true for a response overridden in a subclass or on an instance only."""

    class Own(DefaultJSONProvider):
        def response(self, *args: Any, **kwargs: Any) -> Response:
            return Response("own")

    provider = DefaultJSONProvider(APP)
    assert not provider.has_own_response()
    assert Own(APP).has_own_response()
    provider.response = lambda *args, **kwargs: Response("own")  # type: ignore[method-assign]
    assert provider.has_own_response()


def circular_list() -> Any:
    value: list[Any] = [1]
    value.append({"a": value})
    return value


def circular_dict() -> Any:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


@pytest.mark.parametrize("make", [circular_list, circular_dict])
@pytest.mark.parametrize("options", [{}, {"separators": (",", ":")}, {"indent": 2}])
def test_circular_object(make: Any, options: dict[str, Any]) -> None:
    """An object that contains itself is the standard library's ValueError, with no context."""
    provider = DefaultJSONProvider(APP)
    with pytest.raises(ValueError, match="Circular reference detected") as caught:
        provider.dumps(make(), **options)
    assert caught.value.__context__ is None
    assert provider.dumps([1]) == "[1]"


def test_circular_default() -> None:
    """A default that returns its argument is the standard library's ValueError too."""
    provider = DefaultJSONProvider(APP)
    provider.default = lambda o: o  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="Circular reference detected"):
        provider.dumps(object())


def test_too_deep_object() -> None:
    """An object nested deeper than the interpreter can go is a RecursionError, as in json."""
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    with pytest.raises(RecursionError):
        DefaultJSONProvider(APP).dumps(value)
    while value:  # taken apart from outside: letting it go at once would nest as deeply
        value = value[0]


def encode_in_two_threads(dumps: Any) -> list[Any]:
    """Let two threads write one shared list so that both are inside it at the same time."""
    inside = threading.Barrier(2, timeout=10)
    shared = [object()]
    results: list[Any] = []

    def default(o: Any) -> Any:
        inside.wait()
        return "seen"

    def work() -> None:
        results.append(outcome(dumps, shared, default))
        if results[-1][0] == "raised":
            inside.abort()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_threads_share_an_object() -> None:
    """Two threads that write the same object at once do not take it for a circular one."""
    provider = DefaultJSONProvider(APP)
    both = threading.Lock()

    def dumps(value: Any, default: Any) -> str:
        with both:
            if provider.default is json_provider._default:
                provider.default = default  # type: ignore[method-assign]
        return provider.dumps(value)

    assert encode_in_two_threads(dumps) == [("returned", "'[\"seen\"]'")] * 2


def test_threads_check_finds_a_shared_list_of_open_objects() -> None:
    """The check above fails for a kept C encoder that looks for circular objects."""
    made: list[Any] = []
    lock = threading.Lock()

    def dumps(value: Any, default: Any) -> str:
        with lock:
            if not made:
                escape = json.encoder.encode_basestring_ascii
                made.append(
                    json.encoder.c_make_encoder(
                        {}, default, escape, None, ":", ",", True, False, True
                    )
                )
        return "".join(made[0](value, 0))

    kinds = [result[1] for result in encode_in_two_threads(dumps)]
    assert ValueError in kinds


def test_private_name_c_make_encoder() -> None:
    """json.encoder.c_make_encoder takes nine arguments, markers=None among them, gives chunks."""
    encoder = json.encoder.c_make_encoder(
        None, repr, json.encoder.encode_basestring_ascii, None, ": ", ", ", True, False, True
    )
    assert "".join(encoder({"b": "ä", "a": 1.5}, 0)) == '{"a": 1.5, "b": "\\u00e4"}'


@pytest.mark.parametrize(
    ("name", "text"), [("encode_basestring_ascii", '"\\u00e4"'), ("encode_basestring", '"ä"')]
)
def test_private_name_encode_basestring(name: str, text: str) -> None:
    """json.encoder has the two functions that quote a string."""
    assert getattr(json.encoder, name)("ä") == text


def test_private_name_scan_once() -> None:
    """A JSONDecoder has scan_once in its __dict__: it gives value and end, or StopIteration."""
    scan = vars(json.JSONDecoder())["scan_once"]
    assert scan("[1] ", 0) == ([1], 3)
    with pytest.raises(StopIteration):
        scan("[", 1)


def test_without_the_c_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the interpreter has no C encoder, the text and the errors are the same."""
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    provider = DefaultJSONProvider(APP)
    assert provider.response_bytes({"b": Markup("x"), "a": 1}) == b'{"a":1,"b":"x"}\n'
    with pytest.raises(ValueError, match="Circular reference detected"):
        provider.dumps(circular_list())


@pytest.mark.parametrize(
    "value",
    [
        decimal.Decimal("1.20"),
        uuid.UUID(int=5),
        date(2024, 2, 29),
        datetime(2024, 2, 29, 12, 30),
        Point(1, "y"),
        Markup("<b>"),
        Point,
        object(),
        {1, 2},
        b"bytes",
        {1: 1, "a": 2},
        {(1,): 1},
        float("nan"),
        "\ud800",
    ],
)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_each_type_as_in_flask(value: Any, ensure_ascii: bool) -> None:
    """Each further type, and each refused one, comes out as from Flask, message included."""
    ours = DefaultJSONProvider(APP)
    theirs = flask.json.provider.DefaultJSONProvider(FLASK_APPS[False])
    ours.ensure_ascii = theirs.ensure_ascii = ensure_ascii
    assert outcome(ours.dumps, value) == outcome(theirs.dumps, value)
    expected = outcome(lambda: theirs.response(value).get_data())
    assert outcome(ours.response_bytes, value) == expected


json_texts = st.one_of(
    values.map(lambda v: outcome(json.dumps, v, default=str)[1]).filter(
        lambda t: isinstance(t, str)
    ),
    st.builds(
        lambda before, value, after: before + json.dumps(value) + after,
        st.text(" \t\n\r\f\v\ufeff\x00", max_size=3),
        st.recursive(
            st.none() | st.integers() | st.text() | st.floats(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
        st.text(" \t\n\r\f\x1f\u00a0\u2003,]}{x\x00", max_size=3),
    ),
    st.text('[]{}",:0123456789.eE+-truefalsn \t\n\x00\ufeff\\u', max_size=12),
)
encodings = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]


@settings(max_examples=400, deadline=None)
@example('{"a":1}\n', "utf-8")
@example("[1]\u00a0", "utf-8")
@example("[1]\x1f", None)
@example('["\ud800"]', "utf-8")
@given(text=json_texts, encoding=st.sampled_from([None, *encodings]))
def test_loads_as_the_standard_library(text: str, encoding: str | None) -> None:
    """loads gives for any text and encoding the value or the error that json.loads gives."""
    source = text if encoding is None else text.encode(encoding, "surrogatepass")
    ours = DefaultJSONProvider(APP)
    assert outcome(ours.loads, source) == outcome(json.loads, source)


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from([b"", b"{", b"[", b'["', b'{"a":']), rest=st.binary(max_size=8))
def test_loads_of_any_bytes(start: bytes, rest: bytes) -> None:
    """loads gives for any bytes, bytearrays too, the value or the error that json.loads gives."""
    ours = DefaultJSONProvider(APP)
    assert outcome(ours.loads, start + rest) == outcome(json.loads, start + rest)
    assert outcome(ours.loads, bytearray(start + rest)) == outcome(json.loads, start + rest)


def test_loads_passes_options() -> None:
    """Keyword arguments of loads go to json.loads."""
    loads = DefaultJSONProvider(APP).loads
    assert loads("[1.5]", parse_float=decimal.Decimal) == [decimal.Decimal("1.5")]


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("depth", [5_000, 100_000])
@pytest.mark.parametrize("options", [{}, {"parse_int": int}])
def test_loads_too_deep(opening: str, depth: int, options: dict[str, Any]) -> None:
    """JSON nested deeper than the interpreter can go is a ValueError, never a RecursionError."""
    text = opening * depth
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting"):
        DefaultJSONProvider(APP).loads(text.encode(), **options)
    with pytest.raises(ValueError, match="nested too deeply"):
        DefaultJSONProvider(APP).loads("[" * 200_000 + "]" * 200_000)


def test_loads_deep_is_an_error_that_flask_lets_through() -> None:
    """Known-bad control: Flask's provider raises RecursionError for the same text."""
    with pytest.raises(RecursionError):
        FLASK_APPS[False].json.loads("[" * 200_000 + "]" * 200_000)


def test_loads_integer_too_long() -> None:
    """An integer longer than the interpreter converts is a ValueError."""
    with pytest.raises(ValueError, match="limit"):
        DefaultJSONProvider(APP).loads('{"n": ' + "9" * 5_000 + "}")


def test_files() -> None:
    """dump writes text, load reads text and bytes."""
    provider = DefaultJSONProvider(APP)
    fp = io.StringIO()
    provider.dump({"b": 1, "a": 2}, fp, indent=None)
    assert fp.getvalue() == '{"a": 2, "b": 1}'
    assert provider.load(io.StringIO("[1]")) == provider.load(io.BytesIO(b"[1]")) == [1]


def test_base_provider() -> None:
    """The base class leaves dumps and loads to subclasses and builds the rest on them."""
    base = JSONProvider(APP)
    with pytest.raises(NotImplementedError):
        base.dumps(1)
    with pytest.raises(NotImplementedError):
        base.loads("1")

    class Shout(JSONProvider):
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return json.dumps(obj, **kwargs).upper()

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return json.loads(s, **kwargs)

    shout = Shout(APP)
    response = shout.response(a="x")
    assert (response.get_data(), response.mimetype) == (b'{"A": "X"}', "application/json")
    fp = io.StringIO()
    shout.dump(["x"], fp)
    assert shout.load(io.StringIO(fp.getvalue())) == ["X"]


def test_app_is_held_weakly() -> None:
    """A provider does not keep its application alive, and a call without it is a ReferenceError."""
    app = App()
    provider = DefaultJSONProvider(app)
    assert provider._app.response_class is Response
    provider.response([])
    del app
    gc.collect()
    with pytest.raises(ReferenceError):
        provider.response([])
