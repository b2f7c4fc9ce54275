"""How a request is given to the test client, and what comes back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import werkzeug.test
from client_site import BOTH, make_site

from demijohn.testing import EnvironBuilder, FlaskClient


@BOTH
def test_methods(fw: Any) -> None:
    """Each method has its call."""
    client = make_site(fw).test_client()
    for method in ("get", "post", "put"):
        assert getattr(client, method)("/echo/a").json["method"] == method.upper()
    assert client.delete("/echo/a").status_code == 405
    assert client.head("/").data == b""
    assert client.options("/").headers["Allow"] == client.options("/").headers["Allow"]


@BOTH
def test_builder_environ_and_request(fw: Any) -> None:
    """`open` takes an EnvironBuilder, an environ and a request, leaves them as they are, and adds
    the client's base.
    """
    app = make_site(fw)
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = "192.0.2.1"
    builder_class = fw.testing.EnvironBuilder

    def builder(kind: Any = builder_class, *first: Any) -> Any:
        headers = {"X-Own": "h"}
        return kind(*first, "/echo/a", method="POST", data="text", headers=headers)

    plain = builder(werkzeug.test.EnvironBuilder)
    environ = builder(builder_class, app).get_environ()
    keys = set(environ)
    asked = [builder(builder_class, app), plain, environ, builder(builder_class, app).get_request()]
    for each in asked:
        answer = client.open(each).json
        assert (answer["method"], answer["name"]) == ("POST", "a")
        assert (answer["data"], answer["header"]) == ("text", "h")
    assert set(environ) == keys
    # What the client says of itself is for requests that say nothing.
    assert client.open(plain).json["addr"] == "192.0.2.1"


@BOTH
def test_base_values(fw: Any) -> None:
    """Requests come from 127.0.0.1 and name Werkzeug as agent, unless `environ_base` says
    otherwise.
    """
    client = make_site(fw).test_client()
    answer = client.get("/echo/a").json
    assert (answer["addr"], answer["agent"]) == (
        "127.0.0.1",
        f"Werkzeug/{__import__('importlib.metadata').metadata.version('werkzeug')}",
    )
    client.environ_base["HTTP_USER_AGENT"] = "own"
    client.environ_base["REMOTE_ADDR"] = "192.0.2.1"
    answer = client.get("/echo/a").json
    assert (answer["addr"], answer["agent"]) == ("192.0.2.1", "own")
    answer = client.get("/echo/a", environ_base={"REMOTE_ADDR": "192.0.2.2"}).json
    assert answer["addr"] == "192.0.2.2"


@BOTH
@pytest.mark.parametrize(
    ("config", "path", "options", "url"),
    [
        ({}, "/echo/a?b=c", {}, "http://localhost/echo/a?b=c"),
        ({}, "/echo/a", {"query_string": {"b": "c"}}, "http://localhost/echo/a?b=c"),
        ({}, "http://own.test/echo/a", {}, "http://own.test/echo/a"),
        ({}, "https://own.test:8443/echo/a", {}, "https://own.test:8443/echo/a"),
        ({}, "/echo/a", {"base_url": "https://own.test/"}, "https://own.test/echo/a"),
        ({}, "/echo/a", {"url_scheme": "https"}, "https://localhost/echo/a"),
        ({"SERVER_NAME": "own.test"}, "/echo/a", {}, "http://own.test/echo/a"),
        ({"PREFERRED_URL_SCHEME": "https"}, "/echo/a", {}, "https://localhost/echo/a"),
        ({"APPLICATION_ROOT": "/root"}, "/echo/a", {}, "http://localhost/root/echo/a"),
    ],
)
def test_urls(
    fw: Any, config: dict[str, Any], path: str, options: dict[str, Any], url: str
) -> None:
    """Host, scheme and root come from the call, else from the settings."""
    assert make_site(fw, **config).test_client().get(path, **options).json["url"] == url


@BOTH
def test_a_subdomain(fw: Any) -> None:
    """`subdomain` goes before the server's name; it cannot be given with `base_url`."""
    app = make_site(fw, SERVER_NAME="own.test")
    client = app.test_client()
    assert client.get("/echo/a", subdomain="s").status_code == 200
    builder = fw.testing.EnvironBuilder(app, "/", subdomain="s")
    assert builder.get_environ()["HTTP_HOST"] == "s.own.test"
    for given in ({"subdomain": "s"}, {"url_scheme": "https"}):
        with pytest.raises(AssertionError, match='Cannot pass "subdomain" or "url_scheme"'):
            fw.testing.EnvironBuilder(app, "/", base_url="http://x/", **given)


@BOTH
def test_json(fw: Any) -> None:
    """`json=` is written as the application writes JSON, and an answer's `json` read as it reads
    it.
    """
    app = make_site(fw)

    class Provider(type(app.json)):  # type: ignore[misc]
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return super().dumps({"own": obj}, **kwargs)

        def loads(self, s: Any, **kwargs: Any) -> Any:
            return ["read", super().loads(s, **kwargs)]

    app.json = Provider(app)

    @app.post("/json")
    def json() -> Any:
        return fw.Response(fw.request.get_data(), mimetype="application/json")

    response = app.test_client().post("/json", json=1)
    assert response.data == b'{"own": 1}'
    assert response.json == ["read", {"own": 1}]


@BOTH
def test_cookies(fw: Any) -> None:
    """The client keeps cookies between requests, unless told not to, and can set and delete
    them.
    """
    app = make_site(fw)
    client = app.test_client()
    client.post("/session", data={"a": "b"})
    assert client.get("/session").json == {"a": "b"}
    client.set_cookie("own", "value")
    assert client.get("/echo/a").json["cookies"]["own"] == "value"
    client.delete_cookie("session")
    assert client.get("/session").json == {}
    forgetful = app.test_client(use_cookies=False)
    forgetful.post("/session", data={"a": "b"})
    assert forgetful.get("/session").json == {}


@BOTH
def test_redirects(fw: Any) -> None:
    """Redirects are followed when asked for, with the history kept."""
    client = make_site(fw).test_client()
    assert client.get("/redirect").location == "/user?set=final"
    response = client.get("/redirect", follow_redirects=True)
    assert (response.request.path, response.text) == ("/user", "nobody")
    assert len(response.history) == 1


@BOTH
def test_own_clients(fw: Any) -> None:
    """`test_client_class` is what `test_client` makes, with the arguments that it does not know
    itself.
    """

    class Client(fw.testing.FlaskClient):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.token = kwargs.pop("token")
            super().__init__(*args, **kwargs)

        def open(self, *args: Any, **kwargs: Any) -> Any:
            kwargs.setdefault("headers", {})["X-Own"] = self.token
            return super().open(*args, **kwargs)

    app = make_site(fw)
    app.test_client_class = Client
    client = app.test_client(token="t")
    assert isinstance(client, Client)
    assert client.get("/echo/a").json["header"] == "t"
    with client:
        client.get("/user")
        assert fw.request.path == "/user"


@BOTH
def test_responses_are_of_the_applications_class(fw: Any) -> None:
    """An answer is of the application's response class, and Werkzeug's `TestResponse`."""

    class Own(fw.Response):
        def own(self) -> str:
            return "own"

    app = make_site(fw)
    app.response_class = Own
    response = app.test_client().get("/")
    assert response.own() == "own"
    assert isinstance(response, werkzeug.test.TestResponse)


@BOTH
def test_an_upload(fw: Any) -> None:
    """Files can be posted again and again, and are open in the view."""
    import io

    app = make_site(fw)
    app.add_url_rule("/upload", "upload", lambda: fw.request.files["f"].read(), methods=["POST"])
    client = app.test_client()
    for n in range(2):
        data = {"f": (io.BytesIO(b"%d" % n), "f.txt")}
        assert client.post("/upload", data=data).data == b"%d" % n


def test_the_clients_mark_is_not_passed_on() -> None:
    """A builder, environ or request that was given to a client is none of that client's
    afterwards.
    """
    app = make_site()
    environ = EnvironBuilder(app, "/user").get_environ()
    app.test_client().open(environ)
    assert not any(key.startswith("demijohn.") for key in environ)


def test_a_client_is_collected() -> None:
    """A client that is dropped is freed without the cyclic collector's help."""
    app = make_site()
    client: FlaskClient | None = app.test_client()
    assert client is not None
    client.get("/user")
    with client:
        client.get("/user")
    ref = weakref.ref(client)
    gc.disable()
    try:
        client = None
        assert ref() is None
    finally:
        gc.enable()


def body_parts(app: Any, path: str) -> Iterator[bytes]:
    """The parts of a streamed answer as the client gives them."""
    yield from app.test_client().get(path).iter_encoded()


def test_a_stream_is_not_read_before_it_is_asked_for() -> None:
    """The client gives a streamed answer step by step, and its request ends after the last."""
    app = make_site()
    parts = body_parts(app, "/stream")
    assert next(parts) == b"/stream0;"
    assert app.log == []
    assert list(parts) == [b"/stream1;"]
    assert app.log == ["request /stream None", "app streamer None"]
