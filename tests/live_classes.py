"""Changes for `test_live`: attributes of classes, the framework's own among them, and what
applications share.

Not a test file. Each function is one change, and is entered in `live_app.CHANGES`.
"""

from __future__ import annotations

from typing import Any

from live_app import Side, change, send_all


def put(side: Side, owner: Any, name: str, value: Any) -> None:
    """Set an attribute of a class until the test's end."""
    missing = object()
    before = vars(owner).get(name, missing)
    side.undo.append(
        lambda: delattr(owner, name) if before is missing else setattr(owner, name, before)
    )
    setattr(owner, name, value)


@change("request class set on the application's class")
def _(side: Side) -> None:
    class Request(side.framework.Request):  # type: ignore[name-defined,misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            side.note("made")

    type(side.app).request_class = Request


@change("Request.__init__ replaced")
def _(side: Side) -> None:
    original = side.framework.Request.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        side.note("made")

    put(side, side.framework.Request, "__init__", init)


@change("limit set on Request")
def _(side: Side) -> None:
    put(side, side.framework.Request, "max_content_length", 5)


@change("limit set on a request class in use")
def _(side: Side) -> None:
    class Request(side.framework.Request):  # type: ignore[name-defined,misc]
        pass

    side.app.request_class = Request
    send_all(side)
    Request.max_content_length = 5


@change("Request.is_json replaced")
def _(side: Side) -> None:
    put(side, side.framework.Request, "is_json", property(lambda self: False))


@change("Response.default_mimetype replaced")
def _(side: Side) -> None:
    put(side, side.framework.Response, "default_mimetype", "text/plain")


@change("Response.default_status replaced")
def _(side: Side) -> None:
    put(side, side.framework.Response, "default_status", 202)


@change("Response.__call__ replaced")
def _(side: Side) -> None:
    original = side.framework.Response.__call__

    def call(self: Any, *args: Any) -> Any:
        side.note("called")
        return original(self, *args)

    put(side, side.framework.Response, "__call__", call)


@change("get_wsgi_headers set on a response class in use")
def _(side: Side) -> None:
    base = side.framework.Response

    class Response(base):  # type: ignore[misc,valid-type]
        pass

    def get_wsgi_headers(self: Any, environ: Any) -> Any:
        headers = base.get_wsgi_headers(self, environ)
        headers["X-Class"] = "set late"
        return headers

    side.app.response_class = Response
    send_all(side)
    Response.get_wsgi_headers = get_wsgi_headers


@change("open_session set on a mixin of the interface")
def _(side: Side) -> None:
    base = side.framework.sessions.SecureCookieSessionInterface

    class Mixin:
        pass

    class Sessions(Mixin, base):  # type: ignore[misc,valid-type]
        pass

    def open_session(self: Any, app: Any, request: Any) -> Any:
        side.note("open")
        return base.open_session(self, app, request)

    side.app.session_interface = Sessions()
    send_all(side)
    Mixin.open_session = open_session  # type: ignore[attr-defined]


@change("class of the session interface")
def _(side: Side) -> None:
    base = side.framework.sessions.SecureCookieSessionInterface

    class Sessions(base):  # type: ignore[misc,valid-type]
        def open_session(self, app: Any, request: Any) -> Any:
            side.note("open")
            return super().open_session(app, request)

    send_all(side)
    side.app.session_interface.__class__ = Sessions


@change("hooks and JSON provider of another application")
def _(side: Side) -> None:
    other = side.framework.Flask("other", static_folder=None)
    side.undo.append(lambda: other)  # it lives
    side.app.before_request_funcs = other.before_request_funcs
    side.app.json = other.json
    send_all(side)
    other.before_request_funcs[None] = [lambda: side.note("of the other")]
    other.debug = True
