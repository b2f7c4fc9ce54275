"""What views return becomes the response that Flask's make_response gives."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from types import SimpleNamespace

import flask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.datastructures import Headers
from werkzeug.exceptions import NotFound
from werkzeug.test import create_environ
from werkzeug.wrappers import Response as WerkzeugResponse

import demijohn.typing
from demijohn.http.coerce import coerce, quick
from demijohn.http.json_provider import DefaultJSONProvider, JSONProvider
from demijohn.http.response import Response

app = flask.Flask(__name__)


@app.get("/", endpoint="the.view")
def view() -> str:
    """A view whose endpoint stands in messages."""
    return ""


class JSONApp:
    """As much of an application as a JSON provider needs."""

    debug = False
    response_class = Response


JSON_APP = JSONApp()
PROVIDER = DefaultJSONProvider(JSON_APP)


def ours(value: t.Any, response_class: type[WerkzeugResponse] = Response) -> WerkzeugResponse:
    """The value coerced as for the view above."""
    return coerce(
        value,
        response_class=response_class,
        json=PROVIDER,
        asked=lambda: SimpleNamespace(environ=create_environ("/"), endpoint="the.view"),
    )


def theirs(value: t.Any) -> WerkzeugResponse:
    """The value coerced by Flask."""
    with app.test_request_context("/"):
        return app.make_response(value)


def shown(call: t.Callable[[], WerkzeugResponse]) -> t.Any:
    """A response's status, headers and body, or the error."""
    try:
        response = call()
    except Exception as error:
        return type(error), str(error).split(" The return type")[0]
    return response.status, list(response.headers), response.get_data()


def wsgi(environ: t.Any, start_response: t.Any) -> t.Any:
    """A WSGI application."""
    start_response("201 CREATED", [("X-App", "1"), ("Content-Type", "text/x")])
    return [b"from ", b"app"]


class NotWsgi:
    """A callable that does not take a server's arguments."""

    def __call__(self) -> None:
        return None


# Functions that make a body, as some can be used only once.
bodies: list[t.Callable[[], t.Any]] = [
    lambda: "text \xe4",
    lambda: b"bytes",
    lambda: bytearray(b"array"),
    lambda: {"a": [1]},
    lambda: [1, 2],
    lambda: (part for part in ("a", b"b")),
    lambda: iter([b"x"]),
    lambda: WerkzeugResponse("werkzeug", 404, {"X-W": "1"}),
    lambda: wsgi,
    lambda: NotFound("missing"),
    lambda: None,
    lambda: 5,
    lambda: {1, 2},
    lambda: object(),
    lambda: NotWsgi(),
    lambda: (),
    lambda: ("a", 1, {}, 2),
    lambda: ("nested", 201),
    lambda: Markup("<b>"),
]
statuses = st.sampled_from([None, 201, "202 Own", "203", 404, 299])
header_forms = st.sampled_from(
    [
        *(None, {}, [], (), {"X-A": "1"}, {"X-A": ["1", "2"]}, [("X-A", "1"), ("X-A", "2")]),
        *((("Content-Type", "text/y"),), {"Content-Length": "3"}, {"Content-Type": "text/z"}),
    ]
)
shapes = st.one_of(
    st.just(lambda body: body),
    statuses.map(lambda status: lambda body: (body, status)),
    header_forms.map(lambda headers: lambda body: (body, headers)),
    header_forms.map(lambda headers: lambda body: (body, Headers(headers or []))),
    st.tuples(statuses, header_forms).map(lambda rest: lambda body: (body, *rest)),
)


@settings(max_examples=600, deadline=None)
@given(body=st.sampled_from(bodies), shape=shapes)
def test_coerced_as_by_flask(body: t.Any, shape: t.Any) -> None:
    """Every body in every tuple form gives Flask's response or Flask's error."""
    assert shown(lambda: ours(shape(body()))) == shown(lambda: theirs(shape(body())))


@pytest.mark.parametrize(
    ("value", "phrases"),
    [
        (None, ["'the.view'", "did not return a valid response", "returned None"]),
        ((None, 404), ["did not return a valid response", "returned None"]),
        (("a",), ["did not return a valid response tuple", "(body, status, headers)"]),
        (("a", 1, {}, 4), ["valid response tuple"]),
        (5, ["did not return a valid response", "but it was a int"]),
        (NotWsgi(), ["did not return a valid response", "but it was a NotWsgi"]),
    ],
)
def test_errors_say_what_is_wrong(value: t.Any, phrases: list[str]) -> None:
    """The TypeErrors hold the phrases that Flask's users match on."""
    with pytest.raises(TypeError) as caught:
        ours(value)
    for phrase in phrases:
        assert phrase in str(caught.value)


def test_response_is_returned_unchanged() -> None:
    """An instance of the response class stays the same object; status and headers are set on it."""
    response = Response("a", headers={"X-A": "1", "X-B": "1"})
    assert ours(response) is response
    assert ours((response, 404, {"X-A": "2"})) is response
    assert response.status_code == 404
    assert (response.headers.getlist("X-A"), response.headers["X-B"]) == (["2"], "1")


def test_other_responses_become_the_response_class() -> None:
    """A response of another class is changed to the app's, whichever that is."""

    class Own(WerkzeugResponse):
        pass

    assert type(ours(WerkzeugResponse("a"))) is Response
    assert type(ours(WerkzeugResponse("a"), Own)) is Own
    assert type(ours("a", Own)) is Own


def test_class_gets_status_and_headers_at_once() -> None:
    """A response class that treats them specially sees them in its constructor."""
    seen: list[t.Any] = []

    class Own(Response):
        def __init__(self, response: t.Any = None, **kwargs: t.Any) -> None:
            seen.append(kwargs)
            super().__init__(response, **kwargs)

    ours(("a", 201, {"X-A": "1"}), Own)
    assert seen == [{"status": 201, "headers": {"X-A": "1"}}]


def test_quick_is_what_coerce_would_send() -> None:
    """Body and content type of the plainest values are those of the whole response."""
    for value in ("a\xe4", b"b", {"a": 1}, [1], "", {}):
        response = ours(value)
        header = ("Content-Type", response.content_type)
        assert quick(value, PROVIDER) == (response.get_data(), header)


def test_quick_leaves_the_rest() -> None:
    """Subclasses, tuples and all else are not quick."""

    class Text(str):
        pass

    class Mapping(dict):  # type: ignore[type-arg]
        pass

    for value in (
        Text("a"),
        Mapping(),
        ("a", 1),
        None,
        5,
        bytearray(b"a"),
        Response("a"),
        iter("a"),
    ):
        assert quick(value, PROVIDER)[0] is None


class OtherLibrary(JSONProvider):
    """A provider on another library."""

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return "other"


class OwnResponse(DefaultJSONProvider):
    """A provider whose responses are not those of its class."""

    def response(self, *args: t.Any, **kwargs: t.Any) -> WerkzeugResponse:
        return Response("own")


def own_on_the_instance() -> DefaultJSONProvider:
    provider = DefaultJSONProvider(JSON_APP)
    provider.response = lambda *args, **kwargs: Response("own")
    return provider


@pytest.mark.parametrize(
    "provider",
    [OtherLibrary(JSON_APP), OwnResponse(JSON_APP), own_on_the_instance(), None],
    ids=["other library", "subclass", "instance", "none"],
)
def test_quick_asks_for_the_stock_provider(provider: t.Any) -> None:
    """JSON is quick only where nobody else makes its responses; text and bytes always are."""
    assert quick({}, provider)[0] is None
    assert quick([], provider)[0] is None
    assert quick("a", provider) == (b"a", ("Content-Type", "text/html; charset=utf-8"))
    assert quick(b"a", provider) == (b"a", ("Content-Type", "text/html; charset=utf-8"))


def test_quick_follows_the_providers_mimetype() -> None:
    """A provider with another mimetype gets the content type that a response would get."""

    class Own(DefaultJSONProvider):
        mimetype = "text/json"

    provider = Own(JSON_APP)
    response = provider.response({})
    header = ("Content-Type", "text/json; charset=utf-8")
    assert quick({}, provider) == (response.get_data(), header)
    assert response.content_type == "text/json; charset=utf-8"


def test_typing_has_flasks_names() -> None:
    """Every alias of flask.typing is in demijohn.typing, of the same kind."""
    import flask.typing

    for name, theirs in vars(flask.typing).items():
        if name.startswith("_") or name in ("t", "cabc", "annotations"):
            continue
        mine = getattr(demijohn.typing, name)
        assert isinstance(mine, t.TypeVar) == isinstance(theirs, t.TypeVar)
        assert name in demijohn.typing.__all__
    assert t.get_args(demijohn.typing.AfterRequestCallable)
    assert demijohn.typing.ResponseClass.__bound__ is not None
    assert isinstance(iter([b""]), cabc.Iterator)
