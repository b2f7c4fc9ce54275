"""What the machine has found, each as a test by itself, written as a program would do it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import TypeVar

import pytest
from elsewhere import in_thread
from werkzeug.test import EnvironBuilder

from demijohn import (
    Demijohn,
    Request,
    Response,
    current_app,
    g,
    has_app_context,
    on_end,
    request,
    resource,
    stream_with_context,
)
from demijohn.context import ContextWarning
from demijohn.signals import appcontext_popped, appcontext_pushed

T = TypeVar("T")


@pytest.fixture
def log() -> list[str]:
    """What the application's teardown functions saw."""
    return []


@pytest.fixture
def app(log: list[str]) -> Demijohn:
    """An application that logs its ends, and who is current in them."""
    app = Demijohn("found", static_folder=None)

    @app.teardown_request
    def end_request(exc: BaseException | None) -> None:
        log.append(f"request {g.get('name')} {current_app.name}")

    @app.teardown_appcontext
    def end_app(exc: BaseException | None) -> None:
        log.append(f"app {g.get('name')}")

    return app


def test_a_foreign_pop_of_a_request_ends_its_app_context(app: Demijohn, log: list[str]) -> None:
    """A request context popped elsewhere ends with the app context that it brought, there, once."""
    ctx = app.test_request_context()
    ctx.push()
    g.name = "mine"
    with pytest.warns(ContextWarning):
        in_thread(ctx.pop)
    assert log == ["request mine found", "app mine"]
    ctx.pop()
    assert not has_app_context()
    assert len(log) == 2


def test_a_borrower_elsewhere_sees_the_app_context_that_was_joined(app: Demijohn) -> None:
    """Pushed again on another thread, a request has the `g` it has here, also one that it
    joined."""
    with app.app_context():
        g.name = "mine"
        with app.test_request_context() as ctx:

            def borrow() -> str:
                with ctx:
                    return str(g.name)

            assert in_thread(borrow) == "mine"
            with ctx:
                assert g.name == "mine"
        assert g.name == "mine"


def test_teardown_functions_see_their_own_app_context(app: Demijohn, log: list[str]) -> None:
    """`teardown_request` sees its request's app context though another one is current by then."""
    other = Demijohn("other", static_folder=None)
    outer, ctx, above = app.app_context(), app.test_request_context(), other.app_context()
    outer.push()
    g.name = "mine"
    ctx.push()
    above.push()
    ctx.pop()
    assert log == ["request mine found"]
    above.pop()
    ctx.push()
    outer.pop()
    ctx.pop()
    assert log == ["request mine found", "app mine", "request mine found"]


def test_a_failed_stream_puts_no_end_off(app: Demijohn, log: list[str]) -> None:
    """A streamed answer that an after hook's error replaces does not keep the request from ending,
    however long the error's traceback is kept."""
    kept: list[Exception] = []

    @app.after_request
    def fail(response: Response) -> Response:
        if not kept:
            kept.append(LookupError("after"))
            raise kept[0]
        return response

    @app.get("/")
    def view() -> Response:
        g.name = "view"
        return Response(stream_with_context(iter("ab")))

    app.logger.disabled = True
    statuses: list[str] = []
    app(EnvironBuilder("/").get_environ(), lambda status, *rest: statuses.append(status))
    assert statuses == ["500 INTERNAL SERVER ERROR"]
    assert log == ["request view found", "app view"]
    kept.clear()
    assert len(log) == 2


def test_a_step_sees_its_own_app_context(app: Demijohn) -> None:
    """A stream made by hand is stepped in its own contexts, under another app context as well."""
    other = Demijohn("other", static_folder=None)

    def generate() -> Iterator[str]:
        yield f"{current_app.name} {g.name} {request.path}"

    with app.test_request_context("/mine"):
        g.name = "mine"
        body = stream_with_context(generate())
        with other.app_context():
            assert list(body) == ["found mine /mine"]
            assert current_app.name == "other"


def test_a_stream_keeps_the_app_context_that_its_request_joined(
    app: Demijohn, log: list[str]
) -> None:
    """An unfinished stream puts off the end of both contexts, whoever brought the lower one."""

    def generate() -> Iterator[str]:
        yield g.name
        yield g.name

    with app.app_context():
        g.name = "mine"
        with app.test_request_context():
            body = stream_with_context(generate())
    assert log == []
    assert next(body) == "mine"
    assert not has_app_context()
    assert list(body) == ["mine"]
    assert log == ["request mine found", "app mine"]


def test_a_stream_is_not_closed_in_its_own_step(app: Demijohn, log: list[str]) -> None:
    """A step that closes or steps its own stream is refused, and the stream goes on."""
    made: list[Iterator[str]] = []

    def generate() -> Iterator[str]:
        for act in (next, lambda body: body.close()):
            with pytest.raises(RuntimeError, match="being stepped"):
                act(made[0])
            yield "refused"

    with app.test_request_context():
        g.name = "mine"
        made.append(stream_with_context(generate()))
    assert list(made[0]) == ["refused", "refused"]
    assert log == ["request mine found", "app mine"]


def test_a_foreign_end_begins_no_app_context(app: Demijohn, log: list[str]) -> None:
    """The foreign end of a request whose joined app context is over sees that one, and no new
    one."""
    outer, ctx = app.app_context(), app.test_request_context()
    outer.push()
    g.name = "mine"
    ctx.push()
    with pytest.warns(ContextWarning):
        in_thread(outer.pop)
        in_thread(ctx.pop)
    assert log == ["app mine", "request mine found"]
    ctx.pop()
    outer.pop()
    assert len(log) == 2


def test_a_pop_over_an_ended_app_context_changes_nothing(app: Demijohn) -> None:
    """A request whose app context a foreign pop has ended is not popped under another one."""
    ctx, above = app.test_request_context("/mine"), app.app_context()
    ctx.push()
    above.push()
    with pytest.warns(ContextWarning):
        in_thread(ctx.pop)
    with pytest.raises(RuntimeError, match="Popped wrong"):
        ctx.pop()
    assert request.path == "/mine"
    above.pop()
    ctx.pop()
    assert not has_app_context()


def test_every_error_at_the_end_of_a_stream_is_raised(app: Demijohn) -> None:
    """What a request's end and its app context's raise after a stream's last item is one group."""

    @app.teardown_request
    def fail_request(exc: BaseException | None) -> None:
        raise LookupError("request")

    @app.teardown_appcontext
    def fail_app(exc: BaseException | None) -> None:
        raise OSError("app")

    with app.test_request_context():
        body = stream_with_context(iter("a"))
    with pytest.raises(ExceptionGroup) as caught:
        list(body)
    assert [type(error) for error in caught.value.exceptions] == [LookupError, OSError]


def test_a_successor_opens_resources_anew(app: Demijohn, log: list[str]) -> None:
    """A second life's first resource is opened in its stream or in its teardown as in a first."""

    @resource
    def name() -> Iterator[str]:
        log.append("open")
        yield "name"
        log.append("close")

    def generate() -> Iterator[str]:
        yield name.upper()

    ctx = app.test_request_context()
    for _ in range(2):
        with ctx:
            body = stream_with_context(generate())
        assert list(body) == ["NAME"]
    assert log == ["open", "request None found", "app None", "close"] * 2
    log.clear()
    app.teardown_appcontext(lambda exc: log.append(name.upper()))
    outer = app.app_context()
    for _ in range(2):
        with outer:
            pass
    assert log == ["open", "NAME", "app None", "close"] * 2


def test_a_resource_is_closed_where_its_opening_fails_at_the_last(
    app: Demijohn, log: list[str]
) -> None:
    """An error in the end of the context that an app's resource is opened in closes it again."""

    class Name:
        def __enter__(self) -> str:
            return "name"

        def __exit__(self, *exc: object) -> None:
            log.append("close")

    @resource(lifetime="app")
    def name() -> Name:
        return Name()

    def fail(sender: Demijohn) -> None:
        if "close" not in log:
            raise LookupError("popped")

    with app.app_context():
        with appcontext_popped.connected_to(fail, app), pytest.raises(LookupError):
            name.upper()
        assert log == ["app None", "close"]
        assert name.upper() == "NAME"
    app.close()


def test_a_resource_is_closed_where_its_surroundings_fail(app: Demijohn, log: list[str]) -> None:
    """An error in the push of the context that an app's resource is closed in does not keep it."""

    @resource(lifetime="app")
    def name() -> Iterator[str]:
        yield "name"
        log.append("close")

    def fail(sender: Demijohn) -> None:
        raise LookupError("pushed")

    with app.app_context():
        assert name.upper() == "NAME"
    log.clear()
    with appcontext_pushed.connected_to(fail, app), pytest.raises(LookupError):
        app.close()
    assert log == ["close"]


def test_a_body_that_cannot_be_sent_puts_no_end_off(app: Demijohn, log: list[str]) -> None:
    """Where giving back a resource or the server's `start_response` raises, the body is closed."""

    @resource(lifetime="view")
    def name() -> Iterator[str]:
        try:
            yield "name"
        finally:
            raise KeyboardInterrupt

    @app.get("/<path:how>")
    def view(how: str) -> Response:
        if how == "release":
            name.upper()
        return Response(stream_with_context(iter("ab")))

    def start(status: str, headers: object, exc_info: object = None) -> None:
        if request.path == "/start":
            raise KeyboardInterrupt

    for how in ("start", "release"):
        log.clear()
        with pytest.raises(KeyboardInterrupt) as caught:
            app(EnvironBuilder(f"/{how}").get_environ(), start)
        assert log == ["request None found", "app None"]
        assert caught.value.__traceback__ is not None


def test_an_error_of_an_end_keeps_no_request_alive(app: Demijohn) -> None:
    """Once nobody keeps the error of an end, its request is gone, without the collector."""
    alive: list[weakref.ref[Request]] = []
    names = ["request", "app", "resource", "callback", "release"]

    @resource(lifetime="view")
    def fails() -> Iterator[str]:
        alive.append(weakref.ref(request._get_current_object()))
        yield "value"
        if request.path == "/resource":
            raise LookupError("resource")

    def fail(name: str) -> None:
        if request_paths[-1] == f"/{name}":
            raise LookupError(name)

    request_paths: list[str] = []
    app.teardown_request(lambda exc: fail("request"))
    app.teardown_appcontext(lambda exc: fail("app"))

    @app.get("/<name>")
    def view(name: str) -> Response:
        fails.upper()
        request_paths.append(request.path)
        on_end(fail, "callback")
        return Response(iter("ab")) if name == "release" else Response("ab")

    app.logger.disabled = True
    gc.collect()
    gc.disable()
    try:
        for name in names:
            body = app(EnvironBuilder(f"/{name}").get_environ(), lambda status, *rest: None)
            assert b"".join(body) == b"ab"
            body = None
            assert alive[-1]() is None, name
    finally:
        gc.enable()
