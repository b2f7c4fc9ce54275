"""A StopIteration that a user's function raises comes out as itself, wherever it is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import pytest
from context_kit import BOTH, make_app

import demijohn

pytestmark = pytest.mark.wsgi_only("in coroutines a StopIteration becomes a RuntimeError (PEP 479)")


def stop(*args: Any, **kwargs: Any) -> Any:
    """Raise what an exhausted iterator raises."""
    return next(iter(()))


def in_view(app: Any, fw: Any) -> None:
    app.view_functions["view"] = stop


def in_before(app: Any, fw: Any) -> None:
    app.before_request(stop)


def in_after(app: Any, fw: Any) -> None:
    app.after_request(stop)


def in_after_this_request(app: Any, fw: Any) -> None:
    app.view_functions["view"] = lambda: fw.after_this_request(stop) and "x"


def in_preprocessor(app: Any, fw: Any) -> None:
    app.url_value_preprocessor(stop)


def in_handler(app: Any, fw: Any) -> None:
    app.view_functions["view"] = lambda: fw.abort(404)
    app.register_error_handler(404, stop)


def in_500_handler(app: Any, fw: Any) -> None:
    app.view_functions["view"] = lambda: 1 / 0
    app.register_error_handler(ZeroDivisionError, stop)


def in_make_response(app: Any, fw: Any) -> None:
    app.make_response = stop


def in_response_class(app: Any, fw: Any) -> None:
    class Own(fw.Response):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            stop()

    app.response_class = Own


def in_json(app: Any, fw: Any) -> None:
    app.json.dumps = stop
    app.json.response = stop
    app.view_functions["view"] = lambda: {"a": 1}


def in_save_session(app: Any, fw: Any) -> None:
    class Own(fw.sessions.SecureCookieSessionInterface):  # type: ignore[misc]
        save_session = stop

    app.session_interface = Own()


def in_open_session(app: Any, fw: Any) -> None:
    class Own(fw.sessions.SecureCookieSessionInterface):  # type: ignore[misc]
        open_session = stop

    app.session_interface = Own()


def in_dispatch(app: Any, fw: Any) -> None:
    app.dispatch_request = stop


def in_full_dispatch(app: Any, fw: Any) -> None:
    app.full_dispatch_request = stop


def in_preprocess(app: Any, fw: Any) -> None:
    app.preprocess_request = stop


def in_finalize(app: Any, fw: Any) -> None:
    app.finalize_request = stop


def in_process_response(app: Any, fw: Any) -> None:
    app.process_response = stop


def in_handle_user_exception(app: Any, fw: Any) -> None:
    app.view_functions["view"] = lambda: 1 / 0
    app.handle_user_exception = stop


def in_handle_exception(app: Any, fw: Any) -> None:
    app.view_functions["view"] = lambda: 1 / 0
    app.handle_exception = stop


def in_converter(app: Any, fw: Any) -> None:
    class Converter(type(app.url_map).default_converters["default"]):  # type: ignore[misc]
        to_python = stop

    app.url_map.converters["own"] = Converter
    app.add_url_rule("/<own:x>", "own", lambda x: x)


PLACES: list[Callable[[Any, Any], None]] = [
    in_view,
    in_before,
    in_after,
    in_after_this_request,
    in_preprocessor,
    in_handler,
    in_500_handler,
    in_make_response,
    in_response_class,
    in_json,
    in_save_session,
    in_open_session,
    in_dispatch,
    in_full_dispatch,
    in_preprocess,
    in_finalize,
    in_process_response,
    in_handle_user_exception,
    in_handle_exception,
    in_converter,
]


def on_both(places: list[Callable[[Any, Any], None]]) -> pytest.MarkDecorator:
    """Each place on both packages."""
    cases = []
    for place in places:
        cases.append(pytest.param(demijohn, place, id=f"{place.__name__}-demijohn"))
        cases.append(pytest.param(flask, place, id=f"{place.__name__}-flask"))
    return pytest.mark.parametrize(("fw", "place"), cases)


def stopping_app(fw: Any, place: Callable[[Any, Any], None], **config: Any) -> Any:
    app = make_app(fw, **config)
    app.add_url_rule("/", "view", lambda: "x")
    place(app, fw)
    return app


@on_both(PLACES)
def test_where_exceptions_propagate(fw: Any, place: Callable[[Any, Any], None]) -> None:
    """Where exceptions propagate, the caller and the teardown functions get the StopIteration."""
    app = stopping_app(fw, place, TESTING=True)
    path = "/value" if place is in_converter else "/"
    with pytest.raises(StopIteration):
        app.test_client().get(path)
    assert app.log == ["request StopIteration", "app StopIteration"] or place is in_handle_exception


# In the others not even the 500 page can be made.
@on_both(
    [
        p
        for p in PLACES
        if p not in (in_make_response, in_response_class, in_handle_exception, in_finalize)
    ]
)
def test_as_a_500(fw: Any, place: Callable[[Any, Any], None], caplog: Any) -> None:
    """Elsewhere it is an error as any other: a 500 page, and a log record with the
    StopIteration.
    """
    app = stopping_app(fw, place)
    path = "/value" if place is in_converter else "/"
    try:
        status = app.test_client().get(path).status_code
    except StopIteration:
        # What also breaks the way to the page.
        assert place is in_process_response
    else:
        assert status == 500
        assert caplog.records[0].exc_info[0] is StopIteration
    assert app.log == ["request StopIteration", "app StopIteration"]


@BOTH
def test_handlers_for_it(fw: Any) -> None:
    """A handler for StopIteration gets it."""
    app = stopping_app(fw, in_view)
    app.register_error_handler(StopIteration, lambda error: (type(error).__name__, 418))
    response = app.test_client().get("/")
    assert (response.status_code, response.text) == (418, "StopIteration")


@pytest.mark.parametrize(
    ("fw", "name"),
    [
        (flask, "request_started"),
        (flask, "request_finished"),
        (flask, "got_request_exception"),
        (demijohn, "request_started"),
        (demijohn, "request_finished"),
        (demijohn, "got_request_exception"),
    ],
)
def test_in_a_receiver(fw: Any, name: str) -> None:
    """A receiver's StopIteration comes out as itself."""
    app = stopping_app(
        fw, in_view if name == "got_request_exception" else lambda *args: None, TESTING=True
    )
    with getattr(fw.signals, name).connected_to(stop, sender=app), pytest.raises(StopIteration):
        app.test_client().get("/")
    assert len(app.log) == 2


@pytest.mark.parametrize("which", ["teardown_request", "teardown_appcontext"])
def test_in_a_teardown_function(which: str) -> None:
    """A teardown function's StopIteration is raised by the test client, and the other functions
    run.
    """
    app = stopping_app(demijohn, lambda *args: None, TESTING=True)
    getattr(app, which)(stop)
    with pytest.raises(StopIteration):
        app.test_client().get("/")
    assert app.log == ["request ok", "app ok"]


@pytest.mark.parametrize(
    "name", ["request_tearing_down", "appcontext_tearing_down", "appcontext_popped"]
)
def test_in_a_receiver_at_the_end(name: str) -> None:
    """A receiver's StopIteration at the end is raised by the test client, after all functions
    ran.
    """
    app = stopping_app(demijohn, lambda *args: None, TESTING=True)
    receiving = getattr(demijohn.signals, name).connected_to(stop, sender=app)
    with receiving, pytest.raises(StopIteration):
        app.test_client().get("/")
    assert app.log == ["request ok", "app ok"]


@BOTH
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("full_dispatch_request", 0),
        ("preprocess_request", 0),
        ("dispatch_request", 0),
        ("finalize_request", 1),
        ("process_response", 1),
        ("handle_user_exception", 1),
        ("handle_http_exception", 1),
        ("make_response", 1),
    ],
)
def test_steps_by_hand(fw: Any, name: str, arguments: int) -> None:
    """A public step called by hand raises the StopIteration of the function that it calls."""
    from werkzeug.exceptions import NotFound

    app = make_app(fw)
    app.add_url_rule("/", "view", stop)
    app.before_request(stop)
    app.after_request(stop)
    app.register_error_handler(404, stop)
    app.register_error_handler(ValueError, stop)
    given = {
        "finalize_request": "x",
        "process_response": fw.Response("x"),
        "handle_user_exception": ValueError(),
        "handle_http_exception": NotFound(),
        "make_response": stop,
    }
    if name == "make_response":
        app.response_class = type("Own", (fw.Response,), {"force_type": classmethod(stop)})
    with app.test_request_context("/"), pytest.raises(StopIteration):
        getattr(app, name)(*[given.get(name)] * arguments)


@BOTH
def test_in_a_pushed_context(fw: Any) -> None:
    """A StopIteration that leaves a `with` goes on as itself."""
    app = make_app(fw)
    with pytest.raises(StopIteration), app.test_request_context():
        stop()
    assert app.log == ["request StopIteration", "app StopIteration"]
