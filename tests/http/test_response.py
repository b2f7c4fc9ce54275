"""Responses: made and sent as Flask's are, by shorter ways, and never with control characters."""

from __future__ import annotations

import io
import pickle
import typing as t
from datetime import UTC, datetime
from http import HTTPStatus

import flask
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers as WerkzeugHeaders
from werkzeug.exceptions import NotFound
from werkzeug.test import create_environ
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse
from werkzeug.wsgi import FileWrapper, _RangeWrapper, wrap_file

from demijohn.http.headers import Headers
from demijohn.http.request import Request
from demijohn.http.response import Response, _plain_path, finish


def outcome(call: t.Callable[[], t.Any]) -> t.Any:
    """The result of a call, or its error's class and text."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def state(response: t.Any) -> t.Any:
    """All that a response holds."""
    body = response.response
    return (
        response.status,
        response.status_code,
        list(response.headers),
        body if isinstance(body, (list, tuple)) else type(body),
        response.direct_passthrough,
        response._on_close,
    )


class Body(t.NamedTuple):
    """How to make a response's body; each response needs its own."""

    kind: str
    chunks: tuple[t.Any, ...]

    def make(self) -> t.Any:
        """A fresh body."""
        if self.kind == "none":
            return None
        if self.kind == "one":
            return self.chunks[0] if self.chunks else b""
        if self.kind == "generator":
            return (chunk for chunk in self.chunks)
        if self.kind == "file":
            return FileWrapper(io.BytesIO(b"file"))
        if self.kind == "list":
            return list(self.chunks)
        return self.chunks


chunks = st.one_of(
    st.sampled_from([b"", b"abc", "", "text", "\xe4", bytearray(b"array")]), st.binary(max_size=3)
)
bodies = st.builds(
    Body,
    st.sampled_from(["none", "one", "list", "tuple", "generator", "file"]),
    st.lists(chunks, max_size=3).map(tuple),
)
statuses = st.sampled_from(
    [
        *(None, 200, 201, 204, 205, 304, 100, 101, 206, 302, 404, 418, 500, 599, 299, 0, -1),
        *("200 OK", "200", "404 Gone Fishing", "Only Text", " 201 Made ", "204 \xe4", "", "  "),
        *(HTTPStatus.CREATED, True, HTTPStatus.NO_CONTENT, "299 Own\t", "200 OK\n"),
    ]
)
header_items = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Content-Type", "content-type", "Content-Length", "CONTENT-LENGTH", "Location"),
                *("location", "Content-Location", "X-A", "x-a", "Expires", "Allow", "Set-Cookie"),
                *("Last-Modified", "abcdefgh", "abcdefghijklmn", "abcdefghijklmnop"),
            ]
        ),
        st.sampled_from(
            [
                "",
                "1",
                "0",
                "/a b",
                "/a/b/?c=1",
                "/x?",
                "http://\xe4.example/\xf6?x",
                "text/plain",
                "v",
                "//x",
            ]
        ),
    ),
    max_size=4,
)
header_sources = st.one_of(
    st.none(), header_items, header_items.map(dict), header_items.map(WerkzeugHeaders), st.just({})
)
arguments = st.fixed_dictionaries(
    {},
    optional={
        "status": statuses,
        "headers": header_sources,
        "mimetype": st.sampled_from(
            [None, "text/html", "text/css", "application/json", "a/b+xml", ""]
        ),
        "content_type": st.sampled_from([None, "text/x", "text/html; charset=latin1", ""]),
        "direct_passthrough": st.booleans(),
    },
)


def pair(body: Body, given: dict[str, t.Any], ours: type, theirs: type) -> tuple[t.Any, t.Any]:
    """The same response of both classes, or their errors."""
    made = []
    for cls in (ours, theirs):
        keywords = dict(given)
        if isinstance(keywords.get("headers"), WerkzeugHeaders):
            keywords["headers"] = keywords["headers"].copy()
        made.append(outcome(lambda cls=cls, kw=keywords: cls(body.make(), **kw)))  # type: ignore[misc]
    return made[0], made[1]


class Widened(Response):
    """A subclass that changes nothing, as the framework's does."""


def variants(base: t.Any) -> list[t.Any]:
    """Subclasses as users write them, on `base`."""

    class Defaults(base):
        default_mimetype = "application/json"
        default_status = 201

    class NoMimetype(base):
        default_mimetype = None

    class NoLength(base):
        automatically_set_content_length = False

    class Data(base):
        def set_data(self, value: t.Any) -> None:
            super().set_data(b"<" + (value.encode() if isinstance(value, str) else value) + b">")

    class Status(base):
        @property
        def status_code(self) -> int:
            return self._status_code

        @status_code.setter
        def status_code(self, code: int) -> None:
            self.status = code

    class Init(base):
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            self.headers["X-Init"] = "1"

    class WsgiHeaders(base):
        def get_wsgi_headers(self, environ: t.Any) -> t.Any:
            headers = super().get_wsgi_headers(environ)
            headers["X-Sent"] = environ["REQUEST_METHOD"]
            return headers

    class AppIter(base):
        def get_app_iter(self, environ: t.Any) -> t.Any:
            return [b"other"]

    class Encoded(base):
        def iter_encoded(self) -> t.Any:
            return iter([b"encoded"])

    class Absolute(base):
        autocorrect_location_header = True

    return [
        *(
            Defaults,
            NoMimetype,
            NoLength,
            Data,
            Status,
            Init,
            WsgiHeaders,
            AppIter,
            Encoded,
            Absolute,
        )
    ]


CLASSES = [
    (Response, flask.Response),
    (Widened, flask.Response),
    *zip(variants(Response), variants(flask.Response), strict=True),
]


@pytest.mark.parametrize(("ours", "theirs"), CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=120, deadline=None)
@given(body=bodies, given=arguments)
def test_made_as_flasks(ours: type, theirs: type, body: Body, given: dict[str, t.Any]) -> None:
    """Any arguments make what they make of Flask's class, errors included."""
    mine, reference = pair(body, given, ours, theirs)
    if isinstance(reference, tuple):
        assert mine == reference
    else:
        assert state(mine) == state(reference)
        assert isinstance(mine.headers, WerkzeugHeaders)


@pytest.mark.parametrize(("ours", "theirs"), CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=120, deadline=None)
@given(
    body=bodies,
    given=arguments,
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    closing=st.booleans(),
    wrapped=st.booleans(),
)
def test_sent_as_werkzeugs(
    ours: type, theirs: type, body: Body, given: t.Any, method: str, closing: bool, wrapped: bool
) -> None:
    """finish() gives status, headers, bytes and closings of the response called as WSGI app."""
    environ = create_environ("/base/", method=method)
    if wrapped:
        environ["wsgi.file_wrapper"] = FileWrapper
    mine, reference = pair(body, given, ours, theirs)
    if isinstance(reference, tuple):
        return
    closed: list[str] = []
    if closing:
        mine.call_on_close(lambda: closed.append("ours"))
        reference.call_on_close(lambda: closed.append("theirs"))
    expected = outcome(lambda: reference.get_wsgi_response(environ))
    sent = outcome(lambda: finish(mine, environ))
    if len(expected) == 2:
        assert sent == expected
        return
    iterable, status, headers = expected
    assert sent[:2] == (status, headers)
    assert outcome(lambda: list(sent[2])) == outcome(lambda: list(iterable))
    for part in (sent[2], iterable):
        if hasattr(part, "close"):
            part.close()
    assert closed in ([], ["ours", "theirs"])
    assert state(mine)[:3] == state(reference)[:3]
    if not hasattr(ours, "get_app_iter") or ours.__name__ != "AppIter":
        assert sent[3] == (body.kind != "generator")


def test_the_comparison_sees_a_fault() -> None:
    """A response whose length is wrong does not pass for Flask's."""

    class Wrong(Response):
        def set_data(self, value: t.Any) -> None:
            super().set_data(value)
            self.headers["Content-Length"] = "1"

    assert state(Wrong("abc")) != state(flask.Response("abc"))


# build


@pytest.mark.parametrize("cls", [Response, Widened, *variants(Response)])
def test_build_makes_what_the_constructor_makes(cls: type[Response]) -> None:
    """build() gives the state of cls(body, status, content_type=...), for subclasses too."""
    for status in (200, 404):
        expected = cls(b"body", status, content_type="text/css")
        made = cls.build(b"body", "text/css", status, expected.status)
        assert state(made) == state(expected)
        assert type(made) is cls
    assert state(cls.build(b"x", "text/x")) == state(cls(b"x", "200 OK", content_type="text/x"))


def test_built_responses_share_nothing() -> None:
    """Changing one built response leaves the next alone."""
    first = Response.build(b"a", "text/plain")
    first.headers["X-A"] = "1"
    first.call_on_close(lambda: None)
    first.set_data("longer")
    items = [("Content-Type", "text/plain"), ("Content-Length", "1")]
    fresh = state(Response.build(b"a", "text/plain"))
    assert fresh == ("200 OK", 200, items, [b"a"], False, [])


def test_built_response_is_whole() -> None:
    """What Werkzeug's methods need is there: etag, JSON, cookies, freezing, repr."""
    response = Response.build(b'{"a":1}', "application/json")
    assert response.is_json
    assert response.get_json() == {"a": 1}
    response.set_cookie("k", "v")
    response.freeze()
    response.add_etag()
    assert response.get_etag()[0]
    assert repr(response) == "<Response 7 bytes [200 OK]>"
    assert list(response.iter_encoded()) == [b'{"a":1}']


# finish: who is asked


def test_finish_leaves_calling_to_the_edge() -> None:
    """A foreign WSGI callable, and a response class with its own __call__, give None."""

    class Calls(Response):
        def __call__(self, environ: t.Any, start_response: t.Any) -> t.Any:
            return super().__call__(environ, start_response)

    class ForeignCalls(WerkzeugResponse):
        def __call__(self, environ: t.Any, start_response: t.Any) -> t.Any:
            return super().__call__(environ, start_response)

    environ = create_environ("/")
    assert finish(Calls("a"), environ) is None
    assert finish(ForeignCalls("a"), environ) is None
    assert finish(lambda environ, start_response: [], environ) is None


def test_finish_sends_foreign_responses() -> None:
    """A plain Werkzeug response is sent by its own methods."""
    environ = create_environ("/")
    sent = finish(WerkzeugResponse("abc", 404), environ)
    assert sent is not None
    assert sent[0] == "404 NOT FOUND"
    assert list(sent[2]) == [b"abc"]
    assert sent[3]


def test_override_of_the_whole_wsgi_response_counts() -> None:
    """A subclass's get_wsgi_response is what is sent."""

    class Own(Response):
        def get_wsgi_response(self, environ: t.Any) -> t.Any:
            return [b"own"], "299 OWN", [("X-Own", "1")]

    assert finish(Own("a"), create_environ("/")) == ("299 OWN", [("X-Own", "1")], [b"own"], True)


def test_streams_are_not_plain() -> None:
    """Generators, iterators and files that are no wrappers may need the context while sent."""
    environ = create_environ("/")
    for body in ((b"" for _ in "a"), iter({b"a": 1}), io.BytesIO(b"a"), map(bytes, [b"a"])):
        sent = finish(Response(body), environ)
        assert sent is not None
        assert sent[3] is False


def test_ranges_are_as_plain_as_what_they_are_cut_from() -> None:
    """A range of a list or a file wrapper is plain, one of a generator is not."""
    environ = create_environ("/", headers={"Range": "bytes=1-2"})
    bodies: list[tuple[t.Any, bool]] = [
        ([b"abcd"], True),
        (wrap_file(environ, io.BytesIO(b"abcd")), True),
        ((part for part in [b"abcd"]), False),
    ]
    for body, plain in bodies:
        response = Response(body, direct_passthrough=True)
        response.make_conditional(environ, accept_ranges=True, complete_length=4)
        sent = finish(response, environ)
        assert sent is not None
        assert (sent[0], b"".join(sent[2]), sent[3]) == ("206 PARTIAL CONTENT", b"bc", plain)


def test_servers_own_file_wrapper_is_plain() -> None:
    """A class that the server gives as wsgi.file_wrapper counts as file wrapper."""

    class Wrapper:
        def __init__(self, file: t.Any, size: int = 1) -> None:
            self.file = file

        def __iter__(self) -> t.Any:
            return iter([self.file.read()])

    environ = {**create_environ("/"), "wsgi.file_wrapper": Wrapper}
    response = Response(wrap_file(environ, io.BytesIO(b"a")), direct_passthrough=True)
    sent = finish(response, environ)
    assert sent is not None
    assert sent[2] is response.response
    assert sent[3]


def test_sending_leaves_the_response_alone() -> None:
    """The list of headers handed to the server is not the response's own."""
    response = Response("a")
    sent = finish(response, create_environ("/"))
    assert sent is not None
    sent[1].append(("X-Server", "1"))
    assert "X-Server" not in response.headers


@settings(max_examples=300)
@given(
    location=st.one_of(
        st.text("/ab.~-?=&#%:@_ \xe4;,+", max_size=10), st.from_regex(_plain_path, fullmatch=True)
    ),
    more=st.sampled_from([[], [("Location", "/")], [("location", "/a")]]),
)
@example(location="//.", more=[])
def test_redirects_as_werkzeugs(location: str, more: list[tuple[str, str]]) -> None:
    """Any location is sent, or refused, as Werkzeug does it."""
    headers = [("Location", location), *more]
    environ = create_environ("/")

    def ours() -> t.Any:
        sent = finish(Response("a", 302, headers), environ)
        assert sent is not None
        return sent[1]

    reference = flask.Response("a", 302, headers)
    assert outcome(ours) == outcome(lambda: reference.get_wsgi_response(environ)[2])


# Control characters


@pytest.mark.parametrize("status", ["200 OK\r\nSet-Cookie: a=b", "200 a\nb", "200 \x00", "a\x7fb"])
def test_status_line_with_control_characters_is_refused(status: str) -> None:
    """Neither the constructor nor assigning takes such a status."""
    for make in (
        lambda: Response("a", status),
        lambda: setattr(Response("a"), "status", status),
        lambda: Response("a", status, {"X-A": "b"}),
    ):
        with pytest.raises(ValueError, match="status line"):
            make()


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"X-A\r\nX-B": "c"}},
        {"headers": [("X-A", "b\r\nX-B: c")]},
        {"content_type": "text/html\r\nX-B: c"},
        {"content_type": "text/html\x00"},
        {"mimetype": "text/html\nX-B: c"},
    ],
)
def test_headers_with_control_characters_are_refused(given: dict[str, t.Any]) -> None:
    """No argument brings a control character into the headers."""
    with pytest.raises(ValueError, match="must not contain"):
        Response("a", **given)


@pytest.mark.parametrize("cls", [Response, WerkzeugResponse, variants(Response)[6]])
def test_foreign_headers_are_checked_when_sent(cls: t.Any) -> None:
    """Werkzeug's own Headers in a response cannot carry a broken name to the server."""
    headers = WerkzeugHeaders([("X-A\r\nX-B", "c")])
    with pytest.raises(ValueError, match="Header names"):
        finish(cls("a", headers=headers), create_environ("/"))


BAD = [";", "\r", "\n", "\x00", "\x7f", "\t"]


@pytest.mark.parametrize("what", ["key", "domain", "samesite", "expires", "max_age"])
@pytest.mark.parametrize("character", BAD, ids=repr)
def test_cookie_attributes_cannot_be_injected(what: str, character: str) -> None:
    """Semicolons and control characters in a cookie's name or attributes raise ValueError."""
    response = Response("a")
    attributes: dict[str, t.Any] = {"key": "k", what: f"x{character}y"}
    with pytest.raises(ValueError, match=r"cookie's|SameSite"):
        response.set_cookie(**attributes)
    if what not in ("expires", "max_age"):
        with pytest.raises(ValueError, match=r"cookie's|SameSite"):
            response.delete_cookie(**attributes)
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "given",
    [
        {"key": "k", "value": 'a;b\r\n"\xe4'},
        {"key": "k\xe4", "value": "v", "domain": "b\xfccher.example", "path": "/\xe4 b"},
        {"key": "k", "expires": datetime(2024, 1, 1, tzinfo=UTC), "secure": True},
        {"key": "k", "max_age": 0, "expires": 0, "httponly": True, "samesite": "lax"},
        {"key": "k", "path": None, "partitioned": True},
        {"key": "k", "path": "/a;b\r\n\x00c"},
    ],
)
def test_cookies_as_flasks(given: dict[str, t.Any]) -> None:
    """Cookies without such characters are written as Flask writes them."""
    ours, theirs = Response("a"), flask.Response("a")
    ours.set_cookie(**given)
    theirs.set_cookie(**given)
    assert list(ours.headers) == list(theirs.headers)


def test_max_cookie_size_comes_from_the_settings() -> None:
    """Without settings it is Werkzeug's, else the config's; 0 turns the warning off."""

    class Settings:
        debug = False
        config: t.Any = {"MAX_COOKIE_SIZE": 50}

    class Bound(Response):
        def _settings(self) -> Settings:
            return Settings()

    assert Response("a").max_cookie_size == WerkzeugResponse.max_cookie_size
    with pytest.warns(UserWarning, match="'k' cookie is too large"):
        Bound("a").set_cookie("k", "v" * 60)
    Settings.config["MAX_COOKIE_SIZE"] = 0
    Bound("a").set_cookie("k", "v" * 5000)


# force_type


def test_force_type_changes_responses_in_place() -> None:
    """A Werkzeug response becomes ours, the same object, and its headers are checked from then."""
    response: t.Any = NotFound().get_response(create_environ("/"))
    forced = Response.force_type(response)
    assert forced is response
    assert type(forced) is Response
    assert type(forced.headers) is Headers
    sent = finish(forced, create_environ("/"))
    assert sent is not None
    assert sent[0] == "404 NOT FOUND"


def test_force_type_runs_applications() -> None:
    """A WSGI application's output becomes a response; its changes to the environ stay its own."""

    def application(environ: t.Any, start_response: t.Any) -> t.Any:
        environ["PATH_INFO"] = "/changed"
        start_response("299 FINE", [("X-A", "b")])
        return [b"body"]

    environ = create_environ("/before")
    request = Request(environ)
    response = Response.force_type(t.cast(t.Any, application), environ)
    assert (response.status, response.data) == ("299 FINE", b"body")
    assert type(response) is Response
    assert request.path == "/before"
    with pytest.raises(TypeError, match="environ"):
        Response.force_type(t.cast(t.Any, application))


def test_pickles_load_under_flask() -> None:
    """A pickled response names no class of ours but its own: its headers are Werkzeug's."""
    headers = pickle.loads(pickle.dumps(Response("a").headers))
    assert type(headers) is WerkzeugHeaders
    assert headers == Response("a").headers
    again = pickle.loads(pickle.dumps(Response("a", 404)))
    assert state(again) == state(Response("a", 404))
    assert finish(again, create_environ("/")) is not None


def test_is_werkzeugs_response() -> None:
    """isinstance holds, and Werkzeug's own helpers take it."""
    response = Response("a")
    assert isinstance(response, WerkzeugResponse)
    assert response.make_conditional(WerkzeugRequest(create_environ("/"))) is response


# Private names of Werkzeug that the module relies on


def test_private_state_of_responses() -> None:
    """These are all the attributes that Werkzeug's constructor sets."""
    made = vars(WerkzeugResponse("a"))
    assert set(made) == set(vars(Response.build(b"a", "text/plain")))
    assert set(made) == {
        *("headers", "_status", "_status_code", "direct_passthrough", "_on_close", "response")
    }


def test_private_name_clean_status() -> None:
    """Werkzeug asks _clean_status for the line and the code of any status that is set."""

    class Own(WerkzeugResponse):
        def _clean_status(self, value: t.Any) -> tuple[str, int]:
            return "299 OWN", 299

    response = Own("a", 200)
    assert response.status == "299 OWN"
    response.status_code = 404
    assert response.status_code == 299


def test_private_name_range_wrapper() -> None:
    """_RangeWrapper keeps what it cuts from as `iterable`."""
    wrapper = FileWrapper(io.BytesIO(b"abc"))
    assert _RangeWrapper(wrapper, 0, 1).iterable is wrapper


def test_status_lines_are_werkzeugs() -> None:
    """Every known code has the line that Werkzeug gives it."""
    for code in range(1000):
        assert Response("", code).status == WerkzeugResponse("", code).status
