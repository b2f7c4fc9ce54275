"""Headers: the same answers as Werkzeug's, faster, and no control characters in what is sent."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import EnvironHeaders, MultiDict
from werkzeug.datastructures import Headers as WerkzeugHeaders
from werkzeug.exceptions import BadRequestKeyError

from demijohn.http.headers import Headers, RequestHeaders, environ_key


def outcome(call: t.Callable[[], t.Any]) -> t.Any:
    """The result of a call, or its error's class and text."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


spellings = st.sampled_from(
    [
        *("Content-Type", "content-type", "cOnTeNt-TyPe", "CONTENT_TYPE", "Content-Length"),
        *(
            "User-Agent",
            "USER-AGENT",
            "user_agent",
            "X-Api-Key",
            "X-API-KEY",
            "x-own",
            "X_Own",
            "Host",
        ),
        *("X-Missing", "", "\xe4", "HTTP_HOST", 1, None),
    ]
)
environs = st.dictionaries(
    st.sampled_from(
        [
            *(
                "CONTENT_TYPE",
                "CONTENT_LENGTH",
                "HTTP_CONTENT_TYPE",
                "HTTP_USER_AGENT",
                "HTTP_HOST",
            ),
            *("HTTP_X_API_KEY", "HTTP_X_OWN", "HTTP_\xc4", "REQUEST_METHOD", "HTTP_HTTP_HOST"),
        ]
    ),
    st.sampled_from(["", "1", "x", "\xe4", "text/plain"]),
)


@settings(max_examples=300)
@given(environ=environs, name=spellings, kind=st.sampled_from([None, int, str.upper]))
def test_request_headers_answer_as_werkzeugs(environ: t.Any, name: t.Any, kind: t.Any) -> None:
    """Every way to ask for a header gives what EnvironHeaders gives, errors included."""
    ours, theirs = RequestHeaders(environ), EnvironHeaders(environ)
    questions: list[t.Callable[[t.Any], t.Any]] = [
        lambda headers: headers.get(name),
        lambda headers: headers.get(name, "other"),
        lambda headers: headers.get(name, 7, kind),
        lambda headers: headers.get(name, type=kind),
        lambda headers: headers[name],
        lambda headers: name in headers,
        lambda headers: headers.getlist(name),
        lambda headers: list(headers),
        len,
        lambda headers: dict(headers.items(lower=True)),
        lambda headers: list(headers.keys()),
        lambda headers: str(headers),
    ]
    for question in questions:
        mine = outcome(lambda question=question: question(ours))  # type: ignore[misc]
        assert mine == outcome(lambda question=question: question(theirs))  # type: ignore[misc]


def test_request_headers_are_a_live_read_only_view() -> None:
    """They follow the environ, refuse changes and copies, and are Werkzeug's by class."""
    environ = {"HTTP_HOST": "a"}
    headers: t.Any = RequestHeaders(environ)
    environ["HTTP_HOST"] = "b"
    assert headers["Host"] == "b"
    assert repr(headers) == repr(EnvironHeaders(environ))
    assert isinstance(headers, EnvironHeaders)
    assert headers == EnvironHeaders(environ)
    assert headers != RequestHeaders(dict(environ))
    for change in (
        lambda: headers.set("a", "b"),
        lambda: headers.__setitem__("a", "b"),
        lambda: headers.pop("Host"),
        lambda: headers.add("a", "b"),
        headers.copy,
        lambda: headers.__delitem__("Host"),
        lambda: headers.update({"a": "b"}),
    ):
        with pytest.raises(TypeError):
            change()


def test_unhashable_name_is_answered_as_by_werkzeug() -> None:
    """A name that is not even hashable is a missing header."""
    headers: t.Any = RequestHeaders({})
    assert headers.get([]) is None
    assert [] not in headers
    with pytest.raises(BadRequestKeyError):
        headers[[]]


@pytest.mark.parametrize("name", ["Content-Type", "content_length", "X-Y", "accept"])
def test_environ_key_is_where_werkzeug_looks(name: str) -> None:
    """environ_key names the key under which EnvironHeaders finds the header."""
    assert EnvironHeaders({environ_key(name): "1"})[name] == "1"


names = st.sampled_from(["A", "a", "Content-Type", "content-type", "X-B", "x-b", "Content-Length"])
values = st.one_of(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=5), st.integers(), st.none()
)
pairs = st.lists(st.tuples(names, values), max_size=5)
plain_pairs = st.lists(st.tuples(names, st.text("ab", max_size=2)), max_size=5)
sources = st.one_of(
    st.none(),
    pairs,
    st.dictionaries(names, st.one_of(values, st.lists(values, max_size=3))),
    plain_pairs.map(MultiDict),
    plain_pairs.map(WerkzeugHeaders),
    plain_pairs.map(Headers),
)
changes = st.one_of(
    st.tuples(st.just("set"), names, values),
    st.tuples(st.just("add"), names, values),
    st.tuples(st.just("add_header"), names, values),
    st.tuples(st.just("__setitem__"), names, values),
    st.tuples(st.just("__setitem__"), st.integers(-2, 2), st.tuples(names, values)),
    st.tuples(st.just("__setitem__"), st.just(slice(0, 1)), pairs),
    st.tuples(st.just("setdefault"), names, values),
    st.tuples(st.just("setlist"), names, st.lists(values, max_size=3)),
    st.tuples(st.just("setlistdefault"), names, st.lists(values, max_size=3)),
    st.tuples(st.just("update"), sources),
    st.tuples(st.just("extend"), sources),
    st.tuples(st.just("__ior__"), sources),
    st.tuples(st.just("__or__"), sources),
    st.tuples(st.just("__delitem__"), names),
    st.tuples(st.just("pop"), names),
    st.tuples(st.just("popitem")),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("clear")),
    st.tuples(st.just("get"), names),
    st.tuples(st.just("get"), names, st.just(3), st.just(int)),
    st.tuples(st.just("getlist"), names),
    st.tuples(st.just("__contains__"), names),
    st.tuples(st.just("__getitem__"), names),
    st.tuples(st.just("copy")),
    st.tuples(st.just("to_wsgi_list")),
    st.tuples(st.just("__len__")),
)


@settings(max_examples=500)
@given(source=sources, row=st.lists(changes, max_size=6))
def test_headers_change_and_answer_as_werkzeugs(source: t.Any, row: list[t.Any]) -> None:
    """Any row of calls gives the same results and leaves the same headers as on Werkzeug's."""
    ours: t.Any = Headers(source)
    theirs: t.Any = WerkzeugHeaders(source)
    for name, *arguments in row:
        mine = outcome(lambda n=name, a=arguments: getattr(ours, n)(*a))  # type: ignore[misc]
        other = outcome(lambda n=name, a=arguments: getattr(theirs, n)(*a))  # type: ignore[misc]
        if isinstance(other, WerkzeugHeaders):
            mine, other = list(mine), list(other)
        assert mine == other, name
        assert list(ours) == list(theirs), name


def test_options_become_parameters() -> None:
    """Keyword arguments of add and set are parameters of the value."""
    headers = Headers()
    headers.add("Content-Disposition", "attachment", filename="a b.png")
    headers.set("X-Own", "v", long_name="1")
    expected = WerkzeugHeaders()
    expected.add("Content-Disposition", "attachment", filename="a b.png")
    expected.set("X-Own", "v", long_name="1")
    assert list(headers) == list(expected)


CONTROLS = [chr(code) for code in (*range(32), 127)]
ways: list[t.Callable[[Headers, str, str], t.Any]] = [
    lambda headers, name, value: headers.add(name, value),
    lambda headers, name, value: headers.set(name, value),
    lambda headers, name, value: headers.__setitem__(name, value),
    lambda headers, name, value: headers.__setitem__(0, (name, value)),
    lambda headers, name, value: headers.__setitem__(slice(0, 1), [(name, value)]),
    lambda headers, name, value: headers.setlist(name, ["fine", value]),
    lambda headers, name, value: headers.setdefault(name, value),
    lambda headers, name, value: headers.update({name: value}),
    lambda headers, name, value: headers.extend([(name, value)]),
    lambda headers, name, value: headers.__ior__({name: value}),
    lambda headers, name, value: Headers({name: value}),
    lambda headers, name, value: Headers([(name, value)]),
    lambda headers, name, value: Headers(WerkzeugHeaders([(name, value)])),
]


@pytest.mark.parametrize("way", ways)
@pytest.mark.parametrize("control", CONTROLS, ids=repr)
def test_control_characters_are_refused(way: t.Any, control: str) -> None:
    """No way puts a control character into a value (a tab is fine) or a name."""
    if control == "\t":
        way(Headers([("First", "1")]), "X-Own", f"a{control}b")
    else:
        with pytest.raises(ValueError, match="must not contain"):
            way(Headers([("First", "1")]), "X-Own", f"a{control}b")
    with pytest.raises(ValueError, match="must not contain"):
        way(Headers([("First", "1")]), f"X-{control}Own", "a")


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nSet-Cookie: b"])
def test_newlines_are_named_in_the_error(value: str) -> None:
    """The message for CR and LF is the one that Werkzeug's users match on."""
    for cls in (Headers, WerkzeugHeaders):
        with pytest.raises(ValueError, match="must not contain newline characters"):
            cls().set("A", value)


@pytest.mark.parametrize("value", ["\x80\x9f\xa0\xff", "\u2028", "caf\xe9", " a ", ""])
def test_other_characters_are_taken(value: str) -> None:
    """What is no control character of ASCII passes, as it does in Werkzeug's."""
    assert Headers([("A", value)])["a"] == value


def test_equality_with_werkzeugs() -> None:
    """Equal headers compare equal in both directions, whichever class they are of."""
    items = [("A", "1"), ("B", "2")]
    assert Headers(items) == WerkzeugHeaders([("b", "2"), ("a", "1")])
    assert WerkzeugHeaders(items) == Headers(items)
    assert Headers(items) == Headers(items)
    assert Headers(items) != WerkzeugHeaders([("A", "2")])
    assert Headers(items) != items
    assert isinstance(Headers(), WerkzeugHeaders)
    with pytest.raises(TypeError):
        hash(Headers())


def test_trusted_keeps_the_list() -> None:
    """trusted() neither copies nor checks what it is given."""
    items = [("A", "1")]
    assert Headers.trusted(items)._list is items


def test_private_name_list() -> None:
    """Werkzeug's headers keep their pairs in _list."""
    headers = WerkzeugHeaders([("A", "1")])
    assert headers._list == [("A", "1")]
    headers._list.append(("B", "2"))
    assert headers["b"] == "2"


def test_private_name_get_key() -> None:
    """EnvironHeaders._get_key answers for names that are not in the table."""
    assert EnvironHeaders({"HTTP_X": "1"})._get_key("x") == "1"
