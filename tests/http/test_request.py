"""Requests: the same as Flask's for every environ, computed at first use, with stricter limits."""

from __future__ import annotations

import io
import json
import time
import typing as t

import flask
import pytest
import werkzeug.wrappers
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import EnvironHeaders, ImmutableMultiDict, MultiDict
from werkzeug.exceptions import (
    BadRequest,
    ClientDisconnected,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.formparser import FormDataParser
from werkzeug.routing import Map, RequestRedirect, Rule
from werkzeug.sansio.request import Request as SansIORequest
from werkzeug.test import EnvironBuilder, create_environ
from werkzeug.utils import cached_property
from werkzeug.wsgi import LimitedStream, _get_server

from demijohn.http.debughelpers import DebugFilesKeyError, FormDataRoutingRedirect
from demijohn.http.headers import RequestHeaders
from demijohn.http.request import Request


@pytest.fixture(scope="module", autouse=True)
def uploads_in_memory() -> t.Iterator[None]:
    """Keeps uploads out of temporary files, which Werkzeug leaves open when a body breaks off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "werkzeug.wrappers.request.default_stream_factory", lambda **kwargs: io.BytesIO()
        )
        yield


class Source:
    """A wsgi.input that gives at most `step` bytes a read and fails at the end if told to."""

    def __init__(self, data: bytes, step: int, fails: bool) -> None:
        self.rest, self.step, self.fails = data, step, fails

    def read(self, size: int = -1) -> bytes:
        if self.fails and (not self.rest or size < 0):
            self.rest = b""
            raise OSError("gone")
        if size < 0:
            piece, self.rest = self.rest, b""
            return piece
        piece = self.rest[: min(size, self.step)]
        self.rest = self.rest[len(piece) :]
        return piece


ASSIGNED = [
    "method",
    "scheme",
    "server",
    "root_path",
    "path",
    "query_string",
    "headers",
    "remote_addr",
]
ATTRIBUTES = sorted(
    name
    for name in dir(flask.Request)
    if not name.startswith("_")
    and name not in ("environ", "input_stream", "json_module", "form_data_parser_class")
    and not callable(getattr(flask.Request, name))
) + [name for name in ASSIGNED]


def shown(name: str, value: t.Any) -> t.Any:
    """The value as a user sees it, comparable between two requests."""
    if name == "stream":
        return value.read()
    if name == "headers":
        return repr(list(value))
    if name == "user_agent":
        return value.string
    if isinstance(value, MultiDict):
        return type(value).__name__, repr(value)
    return repr(value)


def outcome(request: t.Any, step: tuple[str, dict[str, t.Any] | None]) -> t.Any:
    """What one access gives: a value, or an error's class and text."""
    name, arguments = step
    try:
        value = getattr(request, name)
        if arguments is not None:
            value = value(**arguments)
        return shown(name, value)
    except Exception as error:
        return type(error).__name__, str(error), getattr(error, "code", None)


latin = st.text(st.characters(max_codepoint=255), max_size=8)
paths = st.one_of(
    st.sampled_from(["", "/", "//a", "/a/b", "a", "/\xc3\xa4", "/\xff", "/a//"]),
    latin,
    st.just("/\u0142"),  # not Latin-1: no server gives it, a test may
)
queries = st.one_of(
    st.sampled_from(
        [
            "",
            "q=1",
            "a=1&a=2&b",
            "a=%C3%A4+b",
            "a=%ff&=x&&",
            "\xc3\xa4=\xc3\xb6",
            "\xff=1",
            "a=b=c;d",
        ]
    ),
    st.text("ab&=%+;1Ff", max_size=12),
    latin,
)
types = st.sampled_from(
    [
        *("application/json", "application/json; charset=utf-8", "APPLICATION/JSON", ""),
        *("application/vnd.api+json", "text/plain", "text/html;charset=x", " text/html "),
        *("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "a/b;c=\xe9"),
    ]
)
bodies = st.one_of(
    st.sampled_from(
        [
            *(b"", b"{}", b'{"a": [1, null]}', b'{"a"', b"\xff", b"null", b"a=1&b=%C3%A4&a=2"),
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\nx\r\n--b--\r\n',
            b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--b--\r\n',
        ]
    ),
    st.binary(max_size=20),
)
odd_lengths = st.sampled_from(["", "x", "-1", "+1", "1_0", "\u0663", " 2 ", "0", "3", "99", "1.0"])
header_names = st.sampled_from(
    [
        *("HTTP_HOST", "HTTP_COOKIE", "HTTP_ACCEPT", "HTTP_USER_AGENT", "HTTP_TRANSFER_ENCODING"),
        *("HTTP_X_FORWARDED_FOR", "HTTP_RANGE", "HTTP_IF_NONE_MATCH", "HTTP_AUTHORIZATION"),
        *("HTTP_CONTENT_TYPE", "HTTP_X_NONE", "HTTP_CACHE_CONTROL", "HTTP_DATE", "HTTP_ORIGIN"),
        *("HTTP_MAX_FORWARDS", "HTTP_REFERER", "HTTP_PRAGMA", "HTTP_IF_MODIFIED_SINCE"),
    ]
)
header_values = st.one_of(
    st.sampled_from(
        [
            *("", "example.org", "example.org:80", "[::1]:8080", "a=b; c=d", 'a="\\303\\244"; =x;'),
            *(
                "chunked",
                "gzip, chunked",
                "1.1.1.1, 2.2.2.2",
                "bytes=0-3",
                '"x", W/"y"',
                "5",
                "bad host",
            ),
            *("Basic dTpw", "Bearer t", "max-age=3", "Mon, 01 Jan 2024 00:00:00 GMT", "\xe9=\xff"),
        ]
    ),
    latin,
)


@st.composite
def environs(draw: st.DrawFn) -> t.Callable[[], dict[str, t.Any]]:
    """A function that makes one and the same environ each time, as the input can be read once."""
    body = draw(bodies)
    fixed: dict[str, t.Any] = {}
    optional = {
        "REQUEST_METHOD": st.sampled_from(["GET", "post", "PUT", "HEAD", "\u017f"]),
        "wsgi.url_scheme": st.sampled_from(["http", "https", "ws"]),
        "SERVER_NAME": st.sampled_from(["localhost", "::1", "/run/app.sock", "ä"]),
        "SERVER_PORT": st.sampled_from(["80", "443", "8000", "", None, "x"]),
        "SCRIPT_NAME": st.one_of(paths, st.none()),
        "PATH_INFO": st.one_of(paths, st.none()),
        "QUERY_STRING": queries,
        "REMOTE_ADDR": st.sampled_from(["127.0.0.1", "", None]),
        "REMOTE_USER": st.just("u"),
        "CONTENT_TYPE": types,
        "CONTENT_LENGTH": st.one_of(st.just(str(len(body))), st.just(str(len(body))), odd_lengths),
        "wsgi.input_terminated": st.just(True),
        "wsgi.multithread": st.booleans(),
    }
    for key, values in optional.items():
        if draw(st.integers(0, 3 if key != "wsgi.input_terminated" else 1)):
            fixed[key] = draw(values)
    fixed.update(draw(st.dictionaries(header_names, header_values, max_size=3)))
    step = draw(st.sampled_from([1, 3, 1000]))
    fails = draw(st.booleans())
    return lambda: {**fixed, "wsgi.input": Source(body, step, fails)}


steps = st.one_of(
    st.sampled_from(ATTRIBUTES).map(lambda name: (name, None)),
    st.sampled_from(["stream", "data", "form", "files", "values", "json", "args"]).map(
        lambda name: (name, None)
    ),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["cache", "as_text", "parse_form_data"], st.booleans())
    ).map(lambda arguments: ("get_data", arguments)),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["force", "silent", "cache"], st.booleans())
    ).map(lambda arguments: ("get_json", arguments)),
    st.just(("close", {})),
)


class Widened(Request):
    """A subclass that changes nothing, as the framework's does."""


def read_all(request: Request) -> None:
    """Reads what Werkzeug's constructor computes."""
    for name in ASSIGNED:
        getattr(request, name)


_GONE = ("OSError", "gone", None)
_DISCONNECTED = ("ClientDisconnected", str(ClientDisconnected()), 400)


def differ(ours: type, make: t.Callable[[], dict[str, t.Any]], asked: list[t.Any]) -> None:
    """Asserts that `ours` and Flask's class answer a row of accesses alike."""
    try:
        theirs: t.Any = flask.Request(make())
    except Exception as error:
        with pytest.raises(type(error)):
            read_all(ours(make()))
        return
    request = ours(make())
    for step in asked:
        expected = outcome(theirs, step)
        if expected == _GONE and step[0] != "stream":
            # Flask lets the error of a server's own stream out, and answers 500.
            expected = _DISCONNECTED
        if isinstance(expected, tuple) and expected[0] == "UnicodeDecodeError":
            # Flask lets bytes of a query that are no UTF-8 be a 500.
            assert step[0] in ("args", "values", "full_path")
            assert "Error" not in outcome(request, step)[0]
            continue
        assert outcome(request, step) == expected, step


@pytest.mark.parametrize("ours", [Request, Widened])
@settings(max_examples=500, deadline=None)
@given(make=environs(), asked=st.lists(steps, min_size=1, max_size=8))
def test_answers_as_flasks(ours: type, make: t.Any, asked: list[t.Any]) -> None:
    """Any row of accesses gives what Flask's request gives on a copy of the environ."""
    differ(ours, make, asked)


@settings(max_examples=300, deadline=None)
@given(make=environs())
def test_all_attributes_as_flasks(make: t.Any) -> None:
    """Every public attribute of Flask's request is there, with the same value."""
    differ(Request, make, [(name, None) for name in ATTRIBUTES])


def test_the_comparison_sees_a_fault() -> None:
    """A request class with one wrong attribute does not pass the comparison."""

    class Wrong(Request):
        @property
        def mimetype(self) -> str:
            return super().mimetype.upper()

    environ = {"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "0", "wsgi.input": io.BytesIO()}
    with pytest.raises(AssertionError):
        differ(Wrong, lambda: dict(environ), [("mimetype", None)])


def test_construction_computes_the_method_alone() -> None:
    """A new request holds its environ, and of what can be made of it the method, which all use."""
    environ = create_environ("/a?b=c")
    request = Request(environ)
    names = ("url_rule", "view_args", "routing_exception", "_headers", "_stream")
    own = {"environ": environ, "shallow": False, "method": "GET", "_form_loaded": False}
    assert vars(request) == own | dict.fromkeys(names)
    assert environ["werkzeug.request"] is request


@pytest.mark.parametrize("arguments", [{"populate_request": False}, {"shallow": True}])
def test_environ_is_left_alone_when_asked(arguments: dict[str, bool]) -> None:
    """Without `populate_request`, and when shallow, the environ stays as it was."""
    environ = create_environ("/")
    Request(environ, **arguments)
    assert "werkzeug.request" not in environ


def test_shallow_request_does_not_read() -> None:
    """Every way to the body of a shallow request raises, and nothing is read."""
    environ = create_environ("/", method="POST", data=b"{}", content_type="application/json")
    request = Request(environ, shallow=True)
    for read in (lambda: request.stream, request.get_data, request.get_json, lambda: request.form):
        with pytest.raises(RuntimeError, match="shallow"):
            read()
    assert environ["wsgi.input"].read() == b"{}"


@pytest.mark.parametrize("name", ASSIGNED)
def test_attributes_can_be_assigned(name: str) -> None:
    """What Werkzeug's constructor assigns, a user may assign, before and after it was read."""
    for read_first in (True, False):
        request = Request(create_environ("/"))
        if read_first:
            getattr(request, name)
        value: t.Any = EnvironHeaders({"HTTP_X": "1"}) if name == "headers" else "assigned"
        setattr(request, name, value)
        assert getattr(request, name) is value


def test_assigned_attributes_feed_the_others() -> None:
    """args, cookies, host, is_json and url follow what was assigned, as under Werkzeug."""
    ours: t.Any = Request(create_environ("/?a=1", headers={"Cookie": "a=1"}))
    theirs: t.Any = flask.Request(create_environ("/?a=1", headers={"Cookie": "a=1"}))
    for request in (ours, theirs):
        request.query_string = b"b=2"
        request.path = "/p"
        request.headers = EnvironHeaders(
            {"HTTP_COOKIE": "c=3", "HTTP_HOST": "h", "CONTENT_TYPE": "application/json"}
        )
    for name in ("args", "cookies", "host", "is_json", "mimetype", "content_type", "url"):
        assert getattr(ours, name) == getattr(theirs, name)


def subclasses(base: t.Any) -> list[t.Any]:
    """Subclasses as users write them, on `base`."""

    class Setter(base):
        @property
        def remote_addr(self) -> t.Any:
            return self.headers.get("X-Real-Ip") or self._address

        @remote_addr.setter
        def remote_addr(self, value: t.Any) -> None:
            self._address = value

    class Init(base):
        def __init__(self, environ: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(environ, *args, **kwargs)
            self.seen = self.path

    class Constant(base):
        scheme = "https"

    class Cached(base):
        @cached_property
        def path(self) -> str:
            return "/never"

    class Storage(base):
        parameter_storage_class = MultiDict
        dict_storage_class = MultiDict
        list_storage_class = list

    class Body(base):
        @cached_property
        def stream(self) -> t.Any:
            return io.BytesIO(b'{"from": "stream"}')

    class Data(base):
        def get_data(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
            return b'{"from": "get_data"}'

    class Json(base):
        is_json = True

    class Limits(base):
        max_content_length = 3
        max_form_parts = 1
        trusted_hosts = ["example.org"]

    class Watching(base):
        def __setattr__(self, name: str, value: t.Any) -> None:
            if not name.startswith("_"):  # those are each implementation's own
                self.__dict__.setdefault("log", []).append(name)
            super().__setattr__(name, value)

    class Parser(base):
        class form_data_parser_class(FormDataParser):
            def parse(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
                stream, _, files = super().parse(*args, **kwargs)
                return stream, ImmutableMultiDict({"parsed": "here"}), files

    class Middle(werkzeug.wrappers.Request):
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            self.middle = True

    class Mixed(base, Middle):
        pass

    return [
        Setter,
        Init,
        Constant,
        Cached,
        Storage,
        Body,
        Data,
        Json,
        Limits,
        Watching,
        Parser,
        Mixed,
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    list(zip(subclasses(Request), subclasses(flask.Request), strict=True)),
    ids=lambda cls: cls.__name__,
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_subclasses_behave_as_under_flask(ours: t.Any, theirs: t.Any, kind: str) -> None:
    """A user's subclass gives with ours as base what it gives with Flask's."""

    def make() -> t.Any:
        return create_environ(
            "/p?q=1&q=2",
            method="POST",
            data=b"[1]" if "json" in kind else b"a=1",
            content_type=kind,
            headers={"X-Real-Ip": "9.9.9.9", "Cookie": "a=b"},
        )

    mine, reference = ours(make()), theirs(make())
    for extra in ("seen", "_address", "log", "middle"):
        assert getattr(mine, extra, None) == getattr(reference, extra, None)
    for name in [
        *ASSIGNED,
        "args",
        "cookies",
        "values",
        "json",
        "data",
        "form",
        "host",
        "access_route",
    ]:
        step = (name, None)
        assert outcome(mine, step) == outcome(reference, step), name


def test_read_only_override_is_refused_as_under_flask() -> None:
    """A property without a setter in place of an assigned attribute fails at construction."""

    class Broken(Request):
        @property
        def path(self) -> str:  # type: ignore[override]
            return "/"

    with pytest.raises(AttributeError):
        Broken(create_environ("/"))


# What routing found


@pytest.mark.parametrize(
    ("endpoint", "blueprint", "blueprints"),
    [("a", None, []), ("b.a", "b", ["b"]), ("c.b.a", "c.b", ["c.b", "c"])],
)
def test_endpoint_and_blueprints(endpoint: str, blueprint: str, blueprints: list[str]) -> None:
    """The endpoint names the blueprint, and that the ones around it, innermost first."""
    request = Request(create_environ("/"))
    assert (request.endpoint, request.blueprint, request.blueprints) == (None, None, [])
    request.url_rule = Rule("/", endpoint=endpoint)
    assert request.endpoint == endpoint
    assert request.blueprint == blueprint
    assert request.blueprints == blueprints


# Limits and settings


class App:
    """Settings as an application has them."""

    def __init__(self, debug: bool = False, **config: t.Any) -> None:
        self.debug = debug
        self.config = {
            "MAX_CONTENT_LENGTH": None,
            "MAX_FORM_MEMORY_SIZE": 500_000,
            "MAX_FORM_PARTS": 1000,
            **config,
        }


def request_of(app: App | None, **kwargs: t.Any) -> Request:
    """A request made by EnvironBuilder's arguments, with settings of `app`."""

    class Bound(Request):
        def _settings(self) -> App | None:
            return app

    return Bound(EnvironBuilder("/", method="POST", **kwargs).get_environ())


LIMITS = ("max_content_length", "max_form_memory_size", "max_form_parts")


def test_limits_come_from_the_request_then_the_config_then_werkzeug() -> None:
    """A request's own limit goes first; None goes back to the config."""
    plain = Request(create_environ("/"))
    assert [getattr(plain, name) for name in LIMITS] == [None, 500_000, 1000]
    app = App(MAX_CONTENT_LENGTH=100, MAX_FORM_MEMORY_SIZE=50, MAX_FORM_PARTS=3)
    request = request_of(app)
    assert [getattr(request, name) for name in LIMITS] == [100, 50, 3]
    for name in LIMITS:
        setattr(request, name, 7)
        assert getattr(request, name) == 7
        setattr(request, name, None)
    assert [getattr(request, name) for name in LIMITS] == [100, 50, 3]


@pytest.mark.parametrize("read", ["data", "form", "json", "stream"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_max_content_length_gives_413(read: str, kind: str) -> None:
    """A body announced as longer than the limit is refused however it is read."""
    request = request_of(App(MAX_CONTENT_LENGTH=2), data=b"a=1", content_type=kind)
    expected = RequestEntityTooLarge
    if read == "json" and "json" not in kind:
        expected = UnsupportedMediaType  # type: ignore[assignment]
    with pytest.raises(expected):
        getattr(request, read)


URLENCODED = "application/x-www-form-urlencoded"


def test_urlencoded_fields_are_counted() -> None:
    """As many fields as MAX_FORM_PARTS pass, one more gives 413."""
    app = App(MAX_FORM_PARTS=3)
    assert len(request_of(app, data=b"a=1&b=2&c=3", content_type=URLENCODED).form) == 3
    assert len(request_of(app, data=b"a=1&b=2&c=3&", content_type=URLENCODED).form) == 3
    with pytest.raises(RequestEntityTooLarge):
        _ = request_of(app, data=b"a=1&b=2&c=3&d", content_type=URLENCODED).form
    app.config["MAX_FORM_PARTS"] = None  # type: ignore[assignment]
    assert len(request_of(app, data=b"a&b&c&d&e", content_type=URLENCODED).form) == 5


@pytest.mark.parametrize("value", ["x" * 10, "%41" * 10, "%C3%A4" * 5, "+" * 10])
def test_urlencoded_values_are_measured(value: str) -> None:
    """A value of MAX_FORM_MEMORY_SIZE bytes, once decoded, passes; one byte more gives 413."""
    app = App(MAX_FORM_MEMORY_SIZE=10)
    body = f"a={value}&b={value}"
    assert list(request_of(app, data=body.encode(), content_type=URLENCODED).form) == ["a", "b"]
    with pytest.raises(RequestEntityTooLarge):
        _ = request_of(app, data=f"{body}x".encode(), content_type=URLENCODED).form


def test_huge_value_is_refused_before_it_is_read() -> None:
    """Reading stops soon after a value can no longer fit."""
    source = Source(b"a=" + b"x" * 3_000_000, 1 << 16, False)
    request = request_of(App(MAX_FORM_MEMORY_SIZE=1000), content_type=URLENCODED)
    request.environ.update({"wsgi.input": source, "CONTENT_LENGTH": "3000002"})
    with pytest.raises(RequestEntityTooLarge):
        _ = request.form
    assert len(source.rest) > 2_700_000


def test_many_fields_are_refused_fast() -> None:
    """700,000 urlencoded fields are refused within 50 ms."""
    body = b"&".join([b"a=1"] * 700_000)
    request = request_of(App(), content_type=URLENCODED)
    request.environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    start = time.perf_counter()
    with pytest.raises(RequestEntityTooLarge):
        _ = request.form
    assert time.perf_counter() - start < 0.05


def test_form_as_long_as_the_maximum_is_read() -> None:
    """A terminated body of exactly MAX_CONTENT_LENGTH bytes is no error."""
    request = request_of(App(MAX_CONTENT_LENGTH=3), data=b"a=1", content_type=URLENCODED)
    request.environ["wsgi.input_terminated"] = True
    assert request.form["a"] == "1"


@pytest.mark.parametrize("length", ["+1", "1_0", "\u0663", "\u00b2", "x", ""])
def test_odd_content_lengths_count_as_zero(length: str) -> None:
    """A Content-Length that is no plain ASCII number means no body."""
    environ = create_environ("/", method="POST", data=b"{}", content_type="application/json")
    environ.pop("wsgi.input_terminated", None)
    environ["CONTENT_LENGTH"] = length
    request = Request(environ)
    assert request.content_length == 0
    assert request.get_data() == b""


@pytest.mark.parametrize("coding", ["chunked", "gzip, chunked"])
def test_chunked_body_without_termination_is_not_read(coding: str) -> None:
    """A chunked body that the server does not terminate is not read, whatever length is claimed."""
    made = [
        cls(
            {
                "wsgi.input": io.BytesIO(b"[1]"),
                "CONTENT_LENGTH": "3",
                "CONTENT_TYPE": "application/json",
                "HTTP_TRANSFER_ENCODING": coding,
            }
        )
        for cls in (Request, flask.Request)
    ]
    assert made[0].content_length == made[1].content_length
    assert made[0].get_data() == made[1].get_data()


# JSON


def json_request(body: bytes, cls: type[Request] = Request, **environ: t.Any) -> Request:
    made = create_environ("/", method="POST", data=body, content_type="application/json")
    made.pop("wsgi.input_terminated", None)
    made.update(environ)
    return cls(made)


def test_json_is_read_once_and_cached() -> None:
    """get_json gives the same object each time, and the body stays readable by get_data."""
    request = json_request(b'{"a": 1}')
    value = request.get_json()
    assert value == {"a": 1}
    assert request.get_json() is value
    assert request.json is value
    assert request.get_json(silent=True) is value
    assert request.data == request.get_data() == b'{"a": 1}'


def test_uncached_json_consumes_the_body() -> None:
    """With cache=False the stream is spent, as with Werkzeug's."""
    request = json_request(b"[1]")
    assert request.get_json(cache=False) == [1]
    assert request.stream.read() == b""
    assert request.stream.tell() == 3
    assert request.get_data() == b""


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"\xff", b""])
def test_json_that_cannot_be_parsed_gives_400(body: bytes) -> None:
    """Too deep, too long an integer, no UTF-8 or nothing at all: 400, and None if silent."""
    with pytest.raises(BadRequest):
        json_request(body).get_json()
    assert json_request(body).get_json(silent=True) is None


def test_silent_and_loud_results_are_cached_apart() -> None:
    """A silent None does not hide the error of a later call that is not silent."""
    request = json_request(b"{")
    assert request.get_json(silent=True) is None
    with pytest.raises(BadRequest):
        request.get_json()
    assert request.get_json(silent=True) is None


def test_wrong_mimetype_gives_415() -> None:
    """A body that does not claim to be JSON is not parsed, unless forced."""
    environ = create_environ("/", method="POST", data=b"[1]", content_type="text/plain")
    request = Request(environ)
    with pytest.raises(UnsupportedMediaType):
        request.get_json()
    assert request.get_json(silent=True) is None
    assert request.get_json(force=True) == [1]


def test_reason_is_told_in_debug_mode_only() -> None:
    """The 400 says why the body is no JSON only when the app is in debug mode."""

    def description(debug: bool, body: bytes) -> str | None:
        with pytest.raises(BadRequest) as caught:
            request_of(App(debug), data=body, content_type="application/json").get_json()
        return caught.value.description

    assert "Failed to decode JSON object" in str(description(True, b"{"))
    assert "too deeply" in str(description(True, b"[" * 100_000))
    assert description(False, b"{") == BadRequest.description


def test_on_json_loading_failed_gets_a_value_error() -> None:
    """An override sees a ValueError for a body that is no JSON, and its result is the result."""
    seen: list[t.Any] = []

    class Own(Request):
        def on_json_loading_failed(self, e: ValueError | None) -> t.Any:
            seen.append(e)
            return "own"

    assert json_request(b"{", Own).get_json() == "own"
    assert json_request(b"[" * 100_000, Own).get_json() == "own"
    assert isinstance(seen[0], json.JSONDecodeError)
    assert isinstance(seen[1], ValueError)
    assert isinstance(seen[1].__cause__, RecursionError)


@pytest.mark.parametrize("fails", [False, True])
def test_disconnect_while_reading(fails: bool) -> None:
    """A body shorter than announced raises ClientDisconnected, the second time too."""
    request = json_request(b"", **{"wsgi.input": Source(b"[1", 1, fails), "CONTENT_LENGTH": "9"})
    for _ in range(2):
        with pytest.raises(ClientDisconnected):
            request.get_json()
    assert request.stream.tell() == 2


def test_large_body_is_read_in_pieces() -> None:
    """Memory follows what arrives: no read asks for more than 64 KiB."""
    asked: list[int] = []

    class Counting(Source):
        def read(self, size: int = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    body = b'"' + b"x" * 300_000 + b'"'
    request = json_request(
        b"", **{"wsgi.input": Counting(body, 1 << 20, False), "CONTENT_LENGTH": str(len(body))}
    )
    assert len(request.get_json()) == 300_000
    assert max(asked) <= 64 * 1024


# Debug helpers


def test_missing_file_is_explained_in_debug_mode() -> None:
    """A file name sent as a plain field explains what the form lacks; other keys do not."""
    request = request_of(App(debug=True), data={"photo": "a.png"})
    with pytest.raises(DebugFilesKeyError) as caught:
        request.files["photo"]
    text = str(caught.value)
    assert "no file contents were transmitted" in text
    assert "This was submitted: 'a.png'" in text
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, AssertionError)
    with pytest.raises(BadRequest):
        request.files["other"]
    assert type(request.files).__name__ == "ImmutableMultiDict"


def test_missing_file_is_a_plain_error_otherwise() -> None:
    """Out of debug mode a missing file is a 400."""
    with pytest.raises(BadRequest):
        request_of(App(), data={"photo": "a.png"}).files["photo"]


def test_routing_redirect_that_loses_form_data_is_explained() -> None:
    """The error names both URLs and says when a slash is the reason."""
    urls = Map([Rule("/form/", endpoint="form")])
    environ = create_environ("/form", base_url="http://localhost/", method="POST", data={"a": "1"})
    request = Request(environ)
    with pytest.raises(RequestRedirect) as caught:
        urls.bind_to_environ(environ).match()
    request.routing_exception = caught.value
    text = str(FormDataRoutingRedirect(request))
    assert "'http://localhost/form'" in text
    assert "canonical URL 'http://localhost/form/'" in text
    assert "slash" in text


# Private names of Werkzeug that the module relies on


def test_private_name_get_server() -> None:
    """werkzeug.wsgi._get_server gives host and port of an environ."""
    assert _get_server({"SERVER_NAME": "a", "SERVER_PORT": "1"}) == ("a", 1)


def test_private_name_limited_stream_position() -> None:
    """LimitedStream._pos is how far it has been read."""
    stream = LimitedStream(io.BytesIO(b"abc"), 3)
    stream._pos = 3
    assert (stream.is_exhausted, stream.tell(), stream.read()) == (True, 3, b"")


@pytest.mark.parametrize(
    "name", ["_load_form_data", "_get_stream_for_parsing", "_parse_content_type", "_cached_json"]
)
def test_private_names_of_the_request(name: str) -> None:
    """Werkzeug's request has the methods whose overriding turns a short cut off."""
    assert hasattr(werkzeug.wrappers.Request, name)


def test_private_name_cached_data() -> None:
    """Werkzeug keeps a body that was read in _cached_data, and parses forms from it."""
    environ = create_environ("/", method="POST", data={"a": "1"})
    request = werkzeug.wrappers.Request(environ)
    assert request.get_data() == request._cached_data == b"a=1"  # type: ignore[attr-defined]
    request._cached_data = b"a=2"  # type: ignore[attr-defined]
    assert request.form["a"] == "2"


def test_private_layout_of_multidicts() -> None:
    """A multidict is a dict of lists, so one may be filled as such."""
    filled: t.Any = ImmutableMultiDict.__new__(ImmutableMultiDict)
    dict.__init__(filled, {"a": ["1", "2"]})
    made = ImmutableMultiDict([("a", "1"), ("a", "2")])
    assert filled == made
    assert filled.getlist("a") == ["1", "2"]
    assert hash(filled) == hash(made)


def test_werkzeugs_constructor_assigns_what_is_lazy_here() -> None:
    """The names that Werkzeug's constructor puts into the instance are the lazy ones, no more."""
    made = werkzeug.wrappers.Request(create_environ("/"))
    assert set(vars(made)) == {*ASSIGNED, "environ", "shallow"}


# As it is before any test: a subclass with a property in a lazy attribute's place changes it.
STOCK = {name: getattr(Request, name) for name in dir(Request)}


def test_no_cached_property_of_werkzeugs_is_left() -> None:
    """All that Werkzeug caches is a lazy attribute here, or keeps what it gave in another way."""
    for base in (werkzeug.wrappers.Request, SansIORequest):
        for name, member in vars(base).items():
            if isinstance(member, cached_property):
                assert not isinstance(STOCK[name], cached_property)
    environ = create_environ("/", method="POST", data=b"body")
    request = Request(environ)
    assert request.stream is request.stream and request.headers is request.headers


@pytest.mark.parametrize("cls", [Request, flask.Request])
def test_a_stream_can_be_deleted(cls: t.Any) -> None:
    """After `del request.stream` the next read makes it again, as Werkzeug's does."""
    request = cls(create_environ("/", method="POST", data=b"body"))
    first = request.stream
    request.stream = io.BytesIO(b"own")
    assert request.get_data(cache=False) == b"own"
    del request.stream
    assert request.stream is not first
    assert request.stream.read() == b"body"


def test_headers_are_of_the_fast_class() -> None:
    """A request's headers are RequestHeaders over its environ."""
    request = Request(create_environ("/"))
    assert isinstance(request.headers, RequestHeaders)
    assert request.headers == EnvironHeaders(request.environ)


@pytest.mark.parametrize("setter", [False, True])
def test_property_over_a_computed_attribute(setter: bool) -> None:
    """A subclass's property may ask for Werkzeug's value by super(), also while that is computed.

    It gets the same value each time, a setter of the subclass is called by assignments only, and
    other request classes are as before.
    """
    environ = create_environ("/p?a=1")
    assigned: list[object] = []

    def own(name: str) -> property:
        def read(self: t.Any) -> t.Any:
            return getattr(super(Own, self), name)

        def write(self: t.Any, value: object) -> None:
            assigned.append(value)

        return property(read, write if setter else None)

    names = ("args", "form", "files", "url", "cookies", "content_length", "access_route")

    class Own(Request):
        locals().update({name: own(name) for name in names})

    ours, plain = Own(dict(environ)), Request(dict(environ))
    for name in names:
        assert getattr(ours, name) == getattr(plain, name), name
        assert getattr(ours, name) is getattr(ours, name), name
        assert getattr(plain, name) is getattr(plain, name), name
    plain.args = "assigned"
    assert plain.args == "assigned"
    assert assigned == []


def test_a_property_of_one_class_leaves_the_others_short_ways() -> None:
    """A subclass with a property for what is computed here does not slow the class above it."""

    class Own(Request):
        @property
        def path(self) -> str:  # type: ignore[override]
            return "/own"

        @path.setter
        def path(self, value: str) -> None: ...

    assert Own(create_environ("/a")).path == "/own"
    assert Request._defers and not Own._defers
