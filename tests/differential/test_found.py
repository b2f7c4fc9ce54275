"""What generated examples have found, as plain tests; each runs on Flask too."""

from __future__ import annotations

import gc
from types import ModuleType
from typing import Any

import flask
import pytest
from werkzeug.test import create_environ, run_wsgi_app

import demijohn

BOTH = pytest.mark.parametrize("framework", [flask, demijohn], ids=["flask", "demijohn"])


@BOTH
def test_after_hook_sees_no_page_for_head(framework: ModuleType) -> None:
    """For HEAD an HTTP exception's page is not there for an after hook that changes the body."""
    app = framework.Flask("found")

    @app.after_request
    def append(response: Any) -> Any:
        response.set_data(response.get_data() + b" more")
        return response

    assert app.test_client().head("/missing").headers["Content-Length"] == "5"
    assert int(app.test_client().get("/missing").headers["Content-Length"]) > 100


@BOTH
def test_page_for_head_has_its_length(framework: ModuleType) -> None:
    """HEAD for an HTTP exception has the headers of GET when nothing changes the page."""
    client = framework.Flask("found").test_client()
    assert client.head("/missing").headers == client.get("/missing").headers


@BOTH
def test_end_is_told_of_the_first_error(framework: ModuleType) -> None:
    """When the handler for an error fails too, teardown functions get the error that came first."""
    app = framework.Flask("found")
    told: list[BaseException | None] = []
    app.teardown_request(told.append)
    app.teardown_appcontext(told.append)

    @app.route("/")
    def view() -> None:
        raise KeyError("first")

    @app.errorhandler(500)
    def handle(error: Exception) -> None:
        raise ValueError("second")

    app.logger.disabled = True
    with pytest.raises(ValueError, match="second"):
        run_wsgi_app(app, create_environ("/"))
    assert [repr(error) for error in told] == ["KeyError('first')"] * 2


@BOTH
def test_steps_are_not_made_sync(framework: ModuleType) -> None:
    """An override of `ensure_sync` gets views, hooks and handlers, and no overridden step."""
    asked: list[str] = []

    class App(framework.Flask):  # type: ignore[name-defined,misc]
        def ensure_sync(self, func: Any) -> Any:
            asked.append(func.__name__)
            return super().ensure_sync(func)

        def dispatch_request(self) -> Any:
            return super().dispatch_request()

        def process_response(self, response: Any) -> Any:
            return super().process_response(response)

        def handle_user_exception(self, e: Exception) -> Any:
            return super().handle_user_exception(e)

        def do_teardown_request(self, exc: BaseException | None = None) -> None:
            super().do_teardown_request(exc)

        def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
            super().do_teardown_appcontext(exc)

    app = App("found")

    @app.route("/")
    def view() -> None:
        raise KeyError

    @app.errorhandler(KeyError)
    def handle(error: KeyError) -> str:
        return "handled"

    assert app.test_client().get("/").text == "handled"
    assert asked == ["view", "handle"]


@BOTH
def test_kept_redirect_ends_once(framework: ModuleType) -> None:
    """What a redirect left in `with client:` ends with the block, whatever it led to."""
    app = framework.Flask("found")
    ended: list[str] = []
    app.teardown_request(lambda exc: ended.append(framework.request.path))

    @app.route("/from")
    def start() -> Any:
        return framework.redirect("/to")

    @app.route("/to")
    def stream() -> Any:
        return framework.Response(letter for letter in "ab")

    with app.test_client() as client:
        assert client.get("/from", follow_redirects=True).text == "ab"
    assert sorted(ended) == ["/from", "/from", "/to", "/to"]


COOKIES = ("a.b.c", "broken", ".x.y.z", "eyJhIjoxfQ.a0nSAA.AAAA", "e30.!.x")


@pytest.mark.parametrize("cookie", COOKIES)
def test_bad_session_cookie_leaves_nothing(cookie: str) -> None:
    """A session cookie that cannot be read keeps no frame, so a stream that is dropped is gone."""
    app = demijohn.Demijohn("found")
    app.secret_key = "key"
    ended: list[BaseException | None] = []
    app.teardown_appcontext(ended.append)

    @app.after_request
    def replace(response: Any) -> Any:
        return demijohn.make_response("another")

    @app.route("/")
    def view() -> Any:
        assert not demijohn.session
        return demijohn.stream_with_context(letter for letter in "ab")

    # The first requests make what is kept: the index, the host, the signer.
    for value in ("", "", cookie):
        run_wsgi_app(app, create_environ("/", headers={"Cookie": f"session={value}"}))
    ended.clear()
    gc.collect()
    gc.disable()
    try:
        run_wsgi_app(app, create_environ("/", headers={"Cookie": f"session={cookie}"}))
        assert ended == [None]
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_good_response_survives_where_the_host_is_refused() -> None:
    """A failing teardown function is logged in a request whose URL cannot be told, too."""
    app = demijohn.Demijohn("found")
    app.config["TRUSTED_HOSTS"] = ["example.org"]
    app.logger.disabled = True

    @app.teardown_request
    def fail(exc: BaseException | None) -> None:
        raise KeyError("teardown")

    _, status, _ = run_wsgi_app(app, create_environ("/", base_url="http://elsewhere.org/"))
    assert status == "400 BAD REQUEST"
