"""App and request contexts by hand: failed pushes, what contexts are, and errors outside of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from context_kit import BOTH, current_state, make_app

import demijohn
from demijohn import current_app, has_app_context, has_request_context, session, signals
from demijohn.ctx import AppContext, RequestContext
from demijohn.globals import app_ctx, request_ctx

MakeContext = Callable[[Any], Any]
MAKE: dict[str, MakeContext] = {
    "app": lambda app: app.app_context(),
    "request": lambda app: app.test_request_context(),
}


# -- failed pushes ---------------------------------------------------------------------------------


@contextmanager
def failing_receiver(app: Any, error: BaseException) -> Iterator[None]:
    def receiver(sender: Any, **kwargs: Any) -> None:
        raise error

    with signals.appcontext_pushed.connected_to(receiver, sender=app):
        yield


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("error", [ValueError("receiver"), KeyboardInterrupt()])
def test_a_receiver_that_fails_the_push(kind: str, error: BaseException) -> None:
    """A receiver of appcontext_pushed that raises leaves nothing pushed, and the push can be made
    again.
    """
    app = make_app()
    ctx = MAKE[kind](app)
    with failing_receiver(app, error), pytest.raises(type(error)) as caught:
        ctx.push()
    assert caught.value is error
    assert current_state() == (None, None)
    assert app.log.count(f"app {type(error).__name__}") <= 1
    del app.log[:]
    with ctx:
        assert current_app._get_current_object() is app
    assert app.log == (["app ok"] if kind == "app" else ["request ok", "app ok"])


@pytest.mark.parametrize("under", [False, True])
def test_a_session_that_cannot_be_opened(under: bool) -> None:
    """An interface whose open_session raises leaves nothing pushed by `test_request_context`."""
    app = make_app()
    down = [True]

    class Interface(demijohn.sessions.SecureCookieSessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            if down:
                raise OSError("store")
            return super().open_session(app, request)

    app.session_interface = Interface()
    ctx = app.test_request_context()
    outer = app.app_context()
    if under:
        outer.push()
    with pytest.raises(OSError, match="store"), ctx:
        raise AssertionError
    assert not has_request_context()
    assert has_app_context() is under
    down.clear()
    with ctx:
        session["a"] = 1
    if under:
        outer.pop()
    assert current_state() == (None, None)


def test_a_converter_that_fails() -> None:
    """A converter that raises anything but ValidationError leaves nothing pushed."""
    from werkzeug.routing import BaseConverter

    app = make_app()

    class Broken(BaseConverter):
        def to_python(self, value: str) -> Any:
            raise LookupError(value)

    app.url_map.converters["broken"] = Broken
    app.add_url_rule("/<broken:x>", "view", lambda x: x)
    with pytest.raises(LookupError), app.test_request_context("/value"):
        raise AssertionError
    assert current_state() == (None, None)


@BOTH
def test_an_url_that_matches_nothing_can_be_pushed(fw: Any) -> None:
    """A request context for a path without a rule can be pushed; its request knows the
    exception.
    """
    with make_app(fw).test_request_context("/missing"):
        assert fw.request.url_rule is None
        assert fw.request.endpoint is None
        assert type(fw.request.routing_exception).__name__ == "NotFound"


# -- what they are ---------------------------------------------------------------------------------


@BOTH
def test_what_a_request_context_has(fw: Any) -> None:
    """A request context has the request, the session, the app and the URL adapter."""
    app = make_app(fw)
    app.add_url_rule("/user/<name>", "user", lambda name: name)
    ctx = app.test_request_context("/user/x?a=b")
    assert ctx.app is app
    assert ctx.request.path == "/user/x"
    with ctx:
        assert ctx.request is fw.request._get_current_object()
        assert ctx.session is fw.session._get_current_object()
        assert fw.request.view_args == {"name": "x"}
        assert ctx.url_adapter.build("user", {"name": "y"}) == "/user/y"
        assert fw.url_for("user", name="z") == "/user/z"


@BOTH
def test_after_this_request_by_hand(fw: Any) -> None:
    """Functions registered with `after_this_request` run in `process_response` called by hand."""
    app = make_app(fw)

    @app.after_request
    def after(response: Any) -> Any:
        response.headers["X-Log"] = response.headers.get("X-Log", "") + "after "
        return response

    with app.test_request_context():

        @fw.after_this_request
        def this(response: Any) -> Any:
            response.headers["X-Log"] = response.headers.get("X-Log", "") + "this "
            return response

        response = app.process_response(app.make_response("x"))
        assert response.headers["X-Log"] == "this after "


@BOTH
def test_outside_of_a_context(fw: Any) -> None:
    """Helpers that need a request say so outside of one, and questions are answered with no."""
    assert not fw.has_request_context()
    assert not fw.has_app_context()
    with make_app(fw).app_context():
        assert fw.has_app_context()
        assert not fw.has_request_context()
        for helper in (fw.after_this_request, fw.copy_current_request_context):
            with pytest.raises(RuntimeError, match="can only be used when a request context"):
                helper(lambda: None)
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        fw.current_app.name  # noqa: B018
    with pytest.raises(RuntimeError, match="Working outside of request context"):
        fw.request.path  # noqa: B018


def test_subclasses_of_contexts() -> None:
    """An application may make contexts of subclasses, also with an own `__init__`."""

    class Own(AppContext):
        extra = "own"

    class OwnRequest(RequestContext):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.extra = "own request"

    class App(demijohn.Demijohn):
        def app_context(self) -> AppContext:
            return Own(self)

        def request_context(self, environ: Any) -> RequestContext:
            return OwnRequest(self, environ)

    app = App("own", static_folder=None)
    app.add_url_rule("/", "view", lambda: f"{app_ctx.extra} {request_ctx.extra}")
    assert app.test_client().get("/").text == "own own request"
    with app.test_request_context():
        assert (app_ctx.extra, request_ctx.extra) == ("own", "own request")
