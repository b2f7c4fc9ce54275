"""What the short ways of a request go round is noticed where it is another's, as under Flask."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from werkzeug.datastructures import MultiDict
from werkzeug.test import Client, create_environ

import demijohn
from demijohn.http.coerce import quick
from demijohn.http.json_provider import DefaultJSONProvider
from demijohn.serve import wsgi, wsgi_request

pytestmark = pytest.mark.usefixtures("in_one_piece")

BOTH = pytest.mark.parametrize("fw", [flask, demijohn], ids=["flask", "demijohn"])


def make_app(fw: Any, cls: Any = None) -> Any:
    app = (cls or fw.Flask)("short", static_folder=None)
    app.add_url_rule("/data/<int:n>", "data", lambda n: {"path": fw.request.path, "n": n})
    app.add_url_rule("/path", "path", lambda: fw.request.path)
    return app


def text(app: Any, path: str = "/path") -> str:
    """What the second of two requests is answered: the first one's host is new."""
    client = Client(app)
    client.get(path)
    return client.get(path).text


# -- g --------------------------------------------------------------------------------------------


@BOTH
def test_a_context_class_with_its_own_g(fw: Any) -> None:
    """A context class may override `g` and ask the one above for it."""
    asked = []

    class Context(fw.ctx.AppContext):  # type: ignore[name-defined,misc]
        @property
        def g(self) -> Any:
            asked.append(self)
            return super().g

        @g.setter
        def g(self, value: Any) -> None:
            fw.ctx.AppContext.g.fset(self, value)

    if fw is flask:  # an attribute of instances there
        del Context.g
    with Context(make_app(fw)):
        fw.g.name = "mine"
        assert fw.g.name == "mine"
    assert asked or fw is flask


def test_g_put_into_the_context_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set in place of `g` on `AppContext`, or on a class below it, is what is asked."""

    class Context(demijohn.ctx.AppContext):
        pass

    app = make_app(demijohn)
    for cls in (demijohn.ctx.AppContext, Context):
        own = SimpleNamespace()
        with monkeypatch.context() as patch:
            patch.setattr(cls, "g", property(lambda self, own=own: own))
            with Context(app):
                demijohn.g.name = "mine"
        assert own.name == "mine"
        with Context(app):
            demijohn.g.name = "other"
        assert own.name == "mine"


# -- request.path ---------------------------------------------------------------------------------


@BOTH
def test_a_path_set_before_matching_stays(fw: Any) -> None:
    """A `request.path` that was set before a context is pushed is not set again by matching."""

    class App(fw.Flask):  # type: ignore[name-defined,misc]
        def request_context(self, environ: Any) -> Any:
            ctx = super().request_context(environ)
            ctx.request.path = "/set"
            return ctx

    assert text(make_app(fw, App)) == "/set"
    app = make_app(fw)
    text(app)
    ctx = app.test_request_context("/path")
    ctx.request.path = "/by/hand"
    with ctx:
        assert fw.request.path == "/by/hand"
        assert fw.request.endpoint == "path"


@BOTH
def test_a_request_given_by_hand_has_its_own_path(fw: Any) -> None:
    """A context made with a request of another class leaves its path to that class."""

    given: list[str] = []

    class Request(fw.Request):  # type: ignore[name-defined,misc]
        @property
        def path(self) -> str:
            return "/own"

        @path.setter
        def path(self, value: str) -> None:
            given.append(value)

    app = make_app(fw)
    text(app)
    environ = create_environ("/path")
    with fw.ctx.RequestContext(app, environ, request=Request(environ)):
        assert fw.request.path == "/own"
    assert given == ["/path"]


# -- the configuration ----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("where", ["class", "property"])
def test_a_configuration_that_answers_by_itself(fw: Any, where: str) -> None:
    """Debug mode and trusted hosts are asked for at each request where a configuration computes
    them, or is another one at each look."""
    now: dict[str, Any] = {"DEBUG": False, "TRUSTED_HOSTS": None}

    class Config(fw.Config):  # type: ignore[name-defined,misc]
        def __getitem__(self, key: str) -> Any:
            return now[key] if key in now else super().__getitem__(key)

    class Computing(fw.Flask):  # type: ignore[name-defined,misc]
        config_class = Config

    class Changing(fw.Flask):  # type: ignore[name-defined,misc]
        @property
        def config(self) -> Any:
            made = fw.Config("", self.given)
            dict.update(made, now)
            return made

        @config.setter
        def config(self, value: Any) -> None:
            self.given = value

    app = make_app(fw, Computing if where == "class" else Changing)
    assert text(app, "/data/1") == '{"n":1,"path":"/data/1"}\n'
    now["DEBUG"] = True
    assert text(app, "/data/1") == '{\n  "n": 1,\n  "path": "/data/1"\n}\n'
    now["TRUSTED_HOSTS"] = ["trusted.example"]
    assert Client(app).get("/data/1").status_code == 400


@BOTH
@pytest.mark.parametrize("kind", [dict, lambda values: flask.Config("", values), None])
def test_a_configuration_set_as_a_whole(fw: Any, kind: Any) -> None:
    """A configuration that is put in the place of another one holds from the next request on."""
    app = make_app(fw)
    assert text(app, "/data/1") == '{"n":1,"path":"/data/1"}\n'
    values = {**app.config, "DEBUG": True}
    app.config = fw.Config("", values) if kind is None else kind(values)
    assert text(app, "/data/1") == '{\n  "n": 1,\n  "path": "/data/1"\n}\n'
    app.config["DEBUG"] = False
    assert text(app, "/data/1") == '{"n":1,"path":"/data/1"}\n'


def test_only_what_holds_is_known_of_a_provider() -> None:
    """While one thread looks whether a provider is as it was written, no other takes it so."""
    made: list[Any] = []

    class App:
        response_class = demijohn.Response
        looking = False

        @property
        def debug(self) -> bool:
            if not self.looking:
                self.looking = True
                made.append(quick({"b": 1}, provider))  # as another thread does now
            return True

    app = App()
    provider = DefaultJSONProvider(app)
    assert not provider.is_stock()
    assert [body for body, _ in made] == [b'{\n  "b": 1\n}\n']


# -- views ----------------------------------------------------------------------------------------


@BOTH
def test_values_of_other_mappings(fw: Any) -> None:
    """Values from the URL that a preprocessor replaced by another mapping come to the view as
    `**` gives them."""

    class Doubling(dict[str, int]):
        def __getitem__(self, key: str) -> int:
            return 2 * super().__getitem__(key)

    class Few:
        """What `**` asks for, and no more."""

        def keys(self) -> list[str]:
            return ["n"]

        def __getitem__(self, key: str) -> int:
            return 7

    given: list[tuple[Any, str]] = [(MultiDict({"n": 1}), "1"), (Doubling(n=1), "1"), (Few(), "7")]
    app = make_app(fw)
    app.view_functions["data"] = lambda n: repr(n)

    @app.url_value_preprocessor
    def replace(endpoint: Any, args: Any) -> None:
        fw.request.view_args = values

    for values, wanted in given:  # noqa: B007  # used by the function above
        assert text(app, "/data/5") == wanted


# -- nothing stays --------------------------------------------------------------------------------


class Failing(Exception):
    """Raised by a view."""


@pytest.fixture(params=["one piece", "parts"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "parts":
        monkeypatch.setattr(wsgi, "serve", wsgi_request.serve)


def failing(answer: Callable[[Any], Any]) -> demijohn.Demijohn:
    """An application whose only view fails; `answer` makes what is sent then."""
    app = demijohn.Demijohn("failing", static_folder=None)
    app.logger.disabled = True
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.get("/")
    def view() -> None:
        raise Failing

    app.register_error_handler(500, answer)
    return app


def stream(error: Any) -> Any:
    return demijohn.Response((part for part in ("a", "b")), 500)


class Explained(demijohn.Response):
    """A response that knows what it is for."""

    error: Any = None


def explained(error: Any) -> Any:
    response = Explained("failed", 500)
    response.error = error
    return response


def refuse(*args: Any) -> Any:
    raise OSError("the client has gone")


def accept(*args: Any) -> Any:
    return lambda data: None


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("start_response", [accept, refuse])
@pytest.mark.parametrize("answer", [lambda error: ("page", 500), stream, explained])
def test_requests_that_failed_leave_no_cycles(answer: Any, start_response: Any) -> None:
    """An error that was answered is gone with its request, whatever it was answered by, and
    whether or not the server took the answer."""
    app = failing(answer)
    environ = create_environ("/")

    def ask() -> Iterator[bytes]:
        try:
            body = app(dict(environ, **{"wsgi.errors": io.StringIO()}), start_response)
        except OSError:
            return
        yield from body
        getattr(body, "close", lambda: None)()

    def errors() -> int:
        return sum(type(found) is Failing for found in gc.get_objects())

    list(ask())
    gc.collect()
    gc.disable()
    try:
        list(ask())
        assert errors() == 0
    finally:
        gc.enable()
