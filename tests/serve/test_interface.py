"""By which interface `demijohn serve` serves an application, and why."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

import demijohn
from demijohn.serve.interface import Choice, choose, unseen
from demijohn.views import MethodView


def async_view(app: Any) -> None:
    @app.get("/a")
    async def found() -> str:
        return ""


def async_method(app: Any) -> None:
    class Found(MethodView):
        async def get(self) -> str:
            return ""

    app.add_url_rule("/a", view_func=Found.as_view("found"))


def async_hook(app: Any) -> None:
    bp = demijohn.Blueprint("bp", "bp")

    @bp.before_request
    async def found() -> None:
        pass

    app.register_blueprint(bp)


def async_handler(app: Any) -> None:
    @app.errorhandler(404)
    async def found(error: Exception) -> str:
        return ""


def async_end(app: Any) -> None:
    @app.teardown_appcontext
    async def found(error: BaseException | None) -> None:
        pass


def before_serving(app: Any) -> None:
    @app.before_serving
    def found() -> None:
        pass


def while_serving(app: Any) -> None:
    @app.while_serving
    async def found() -> AsyncIterator[None]:
        yield


def sync_only(app: Any) -> None:
    @app.get("/s")
    def view() -> str:
        return ""

    app.before_request(lambda: None)


def socket(app: Any) -> None:
    @app.websocket("/found", endpoint="socket")
    async def found() -> None:
        pass


def mounted_asgi(app: Any) -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        pass

    app.mount("/other", other, interface="asgi")


def mounted_own(app: Any) -> None:
    other = demijohn.Demijohn("other", static_folder=None)
    async_view(other)
    app.mount("/other", other)


def mounted_wsgi(app: Any) -> None:
    app.mount("/other", demijohn.Demijohn("other", static_folder=None))
    app.mount("/old", lambda environ, start_response: [], interface="wsgi")


class Middleware:
    def __init__(self, inner: Any) -> None:
        self.inner = inner


def around_wsgi(app: Any) -> None:
    async_view(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)


def around_asgi(app: Any) -> None:
    app.asgi_app = Middleware(app.asgi_app)


NEEDS = {
    sync_only: ("wsgi", r"as nothing in it is async"),
    async_view: ("asgi", r"as 'found' \(.*test_interface.py:\d+\) is async"),
    async_method: ("asgi", r"as 'get' \(.*test_interface.py:\d+\) is async"),
    async_hook: ("asgi", r"as 'found' \(.*\) is async"),
    async_handler: ("asgi", r"as 'found' \(.*\) is async"),
    async_end: ("asgi", r"as 'found' \(.*\) is async"),
    before_serving: ("asgi", r"as 'found' \(.*\) runs around the serving"),
    while_serving: ("asgi", r"as 'found' \(.*\) runs around the serving"),
    socket: ("asgi", r"as it has the WebSocket /found"),
    mounted_asgi: ("asgi", r"as what is mounted at /other is called by it"),
    mounted_own: ("asgi", r"as what is mounted at /other is called by it"),
    mounted_wsgi: ("wsgi", r"as nothing in it is async"),
    around_wsgi: ("wsgi", r"as ProxyFix is around it"),
    around_asgi: ("asgi", r"as Middleware is around it"),
}


@pytest.fixture
def app() -> Iterator[Any]:
    app = demijohn.Demijohn("site", static_folder=None)
    sync_only(app)
    yield app


@pytest.mark.parametrize("need", [n for n in NEEDS if n is not sync_only], ids=lambda n: n.__name__)
def test_what_an_application_needs(app: Any, need: Callable[[Any], None]) -> None:
    """The interface is the one that the application needs, and the reason names what needs it."""
    assert choose(app) == Choice("wsgi", "as nothing in it is async")
    need(app)
    interface, why = NEEDS[need]
    choice = choose(app)
    assert choice.interface == interface and choice.warning is None
    assert re.fullmatch(why, choice.why)


def test_what_does_not_work(app: Any) -> None:
    """What the interface leaves out is said: WebSockets by WSGI, WSGI middleware by ASGI."""
    around_wsgi(app)
    socket(app)
    no_sockets = "The WebSocket /found is not served: it needs --interface asgi."
    not_used = "ProxyFix, around `wsgi_app`, is not used: put it around `asgi_app`."
    assert choose(app) == Choice("wsgi", "as ProxyFix is around it", no_sockets)
    assert choose(app, "wsgi") == Choice("wsgi", "as --interface says", no_sockets)
    assert choose(app, "asgi") == Choice("asgi", "as --interface says", not_used)
    around_asgi(app)
    assert choose(app) == Choice("asgi", "as Middleware is around it", not_used)


def test_an_application_that_nobody_looked_at() -> None:
    """Without a look it is WSGI, unless somebody says otherwise."""
    assert unseen("auto") == Choice("wsgi", "as the app was not looked at")
    assert unseen("wsgi") == Choice("wsgi", "as --interface says")
    assert unseen("asgi") == Choice("asgi", "as --interface says")


def test_an_extensions_websocket() -> None:
    """What an extension routes as a WebSocket needs that extension's server, by WSGI."""
    app = demijohn.Demijohn("extended")
    app.add_url_rule("/socket", "socket", lambda: "", websocket=True)
    assert choose(app) == Choice("wsgi", "as nothing in it is async")
    assert choose(app, "wsgi").warning is None
