"""Promise 13 at an edge: deadlines of requests, clients that leave, and what becomes of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from children_kit import PATIENCE, make_app

import demijohn
from demijohn import Cancelled, DeadlineExceeded, parallel, stream_with_context
from demijohn.framework.matching import Matcher
from demijohn.globals import app_ctx, request_ctx
from demijohn.testing import EnvironBuilder


def outcomes(app: Any) -> list[tuple[Any, Any]]:
    """What the ends of an application's contexts are told: the outcome, and why it should stop."""
    seen: list[tuple[Any, Any]] = []
    app.teardown_appcontext(lambda exc: seen.append((app_ctx.outcome, app_ctx.cancel_reason)))
    return seen


def remaining() -> str:
    found = request_ctx.remaining()
    assert (found is None) == (app_ctx.remaining() is None)
    return str(found)


def test_a_rules_deadline() -> None:
    """A rule's `deadline` is the request's, counted from its begin, and of no other rule's."""
    app = make_app()
    app.add_url_rule("/limited", "limited", remaining, deadline=60)
    app.add_url_rule("/free", "free", remaining)
    app.add_url_rule("/int", "int", remaining, deadline=30)
    client = app.test_client()
    assert 50 < float(client.get("/limited").text) <= 60
    assert client.get("/free").text == "None"
    assert 20 < float(client.get("/int").text) <= 30


@pytest.mark.parametrize("register", ["route", "get", "blueprint"])
def test_every_way_to_declare_it(register: str) -> None:
    """The options go with decorators and with blueprints."""
    app = make_app()
    if register == "blueprint":
        bp = demijohn.Blueprint("bp", __name__)
        bp.get("/x", deadline=60, on_disconnect="cancel")(remaining)
        app.register_blueprint(bp)
    elif register == "get":
        app.get("/x", deadline=60, on_disconnect="cancel")(remaining)
    else:
        app.route("/x", deadline=60, on_disconnect="cancel")(remaining)
    assert 50 < float(app.test_client().get("/x").text) <= 60
    [rule] = app.url_map.iter_rules()
    assert (rule.deadline, rule.on_disconnect) == (60.0, "cancel")


@pytest.mark.parametrize(
    "options",
    [
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": "5"},
        {"deadline": True},
        {"deadline": float("nan")},
        {"on_disconnect": "stop"},
    ],
)
def test_wrong_options(options: dict[str, Any]) -> None:
    """A value that means nothing is refused where the rule is made, and no rule is left."""
    app = make_app()
    with pytest.raises(ValueError, match=next(iter(options))):
        app.add_url_rule("/x", "x", remaining, **options)
    assert [*app.url_map.iter_rules()] == []


SETS: dict[str, Callable[[Any, Any], object]] = {
    "item": lambda config, value: config.__setitem__("REQUEST_DEADLINE", value),
    "update": lambda config, value: config.update(REQUEST_DEADLINE=value),
    "from_mapping": lambda config, value: config.from_mapping(REQUEST_DEADLINE=value),
    "or": lambda config, value: config.__ior__({"REQUEST_DEADLINE": value}),
}


@pytest.mark.parametrize("way", SETS)
def test_the_configurations_deadline(way: str) -> None:
    """`REQUEST_DEADLINE` holds for every request, from the next one on, however it is set; a rule
    has its own, or none."""
    app = make_app()
    app.add_url_rule("/", "plain", remaining)
    app.add_url_rule("/own", "own", remaining, deadline=10)
    app.add_url_rule("/none", "none", remaining, deadline=None)
    client = app.test_client()
    assert client.get("/").text == "None"
    SETS[way](app.config, 60)
    assert 50 < float(client.get("/").text) <= 60
    assert 5 < float(client.get("/own").text) <= 10
    assert client.get("/none").text == "None"
    app.config.pop("REQUEST_DEADLINE")
    assert client.get("/").text == "None"
    app.config.setdefault("REQUEST_DEADLINE", 60)
    assert client.get("/").text != "None"
    del app.config["REQUEST_DEADLINE"]
    assert client.get("/").text == "None"


@pytest.mark.parametrize("way", SETS)
def test_the_configuration_alone(way: str) -> None:
    """The same in an application whose rules declare nothing."""
    app = make_app()
    app.add_url_rule("/", "plain", remaining)
    client = app.test_client()
    assert client.get("/").text == "None"
    SETS[way](app.config, 60)
    assert 50 < float(client.get("/").text) <= 60
    app.config.pop("REQUEST_DEADLINE")
    assert client.get("/").text == "None"
    assert type(app._matcher) is Matcher


def test_a_configuration_that_means_nothing() -> None:
    """A `REQUEST_DEADLINE` that is no number of seconds is an error of each request, which says
    so."""
    app = make_app(REQUEST_DEADLINE="5", TESTING=True)
    app.add_url_rule("/", "plain", remaining)
    with pytest.raises(ValueError, match="REQUEST_DEADLINE='5'"):
        app.test_client().get("/")


def test_an_application_that_declares_none() -> None:
    """An application without deadlines has the matcher that knows nothing of them."""
    app = make_app()
    app.add_url_rule("/", "plain", remaining)
    app.test_client().get("/")
    assert type(app._matcher) is Matcher


def test_a_deadline_of_a_request_that_is_not_found() -> None:
    """The configuration's deadline holds for requests that no rule answers."""
    app = make_app(REQUEST_DEADLINE=60)
    app.register_error_handler(404, lambda error: (remaining(), 404))
    assert float(app.test_client().get("/missing").text) > 50


def test_contexts_pushed_by_hand() -> None:
    """A context that is pushed by hand has no deadline: the declared one is for requests."""
    app = make_app(REQUEST_DEADLINE=60)
    app.add_url_rule("/", "plain", remaining, deadline=5)
    with app.test_request_context("/"):
        assert request_ctx.deadline is None


# -- what becomes of a request that is stopped -----------------------------------------------------


def stopping(**options: Any) -> tuple[Any, Callable[[], str]]:
    """An application whose view runs until its deadline."""
    app = make_app(**options)

    def view() -> str:
        assert app_ctx.wait_cancelled(PATIENCE)
        app_ctx.check()
        raise AssertionError

    app.add_url_rule("/", "view", view, deadline=0.01)
    return app, view


def test_the_answer_to_a_deadline() -> None:
    """An unhandled `DeadlineExceeded` is answered with 503, and the outcome is "deadline"."""
    app, _ = stopping()
    seen = outcomes(app)
    signalled: list[Any] = []

    def receive(sender: Any, exception: Any) -> None:
        signalled.append(type(exception))

    demijohn.got_request_exception.connect(receive, app)
    try:
        answer = app.test_client().get("/")
    finally:
        demijohn.got_request_exception.disconnect(receive, app)
    assert (answer.status_code, seen) == (503, [("deadline", "deadline")])
    assert "Service Unavailable" in answer.text
    assert signalled == [DeadlineExceeded]


def test_handlers_of_a_deadline() -> None:
    """A handler for the exception takes it before; one for 503 makes the page, and has the
    exception."""
    app, _ = stopping()
    seen = outcomes(app)
    app.register_error_handler(503, lambda error: (repr(error.original_exception), 503))
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.text, seen[0][0]) == (503, "DeadlineExceeded()", "deadline")

    app, _ = stopping()
    seen = outcomes(app)
    app.register_error_handler(DeadlineExceeded, lambda error: ("late", 504))
    app.register_error_handler(500, lambda error: ("never", 500))
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.text, seen[0][0]) == (504, "late", "handled")

    app, _ = stopping()
    app.register_error_handler(TimeoutError, lambda error: ("any timeout", 504))
    assert app.test_client().get("/").text == "any timeout"


def test_it_propagates_in_tests() -> None:
    """Where exceptions propagate, the test has the exception itself."""
    app, _ = stopping(TESTING=True)
    with pytest.raises(DeadlineExceeded):
        app.test_client().get("/")


def test_a_request_that_is_cancelled() -> None:
    """An unhandled `Cancelled` is answered with 503, and the outcome is "cancelled"."""
    app = make_app()
    seen = outcomes(app)

    def view() -> None:
        request_ctx.cancel("user")
        request_ctx.check()

    app.add_url_rule("/", "view", view)
    assert app.test_client().get("/").status_code == 503
    assert seen == [("cancelled", "user")]


def test_a_deadline_that_nobody_looked_at() -> None:
    """A request that answers in spite of its deadline is "ok": nothing interrupts it."""
    app = make_app()
    seen = outcomes(app)

    def view() -> str:
        assert app_ctx.wait_cancelled(PATIENCE)
        return "x"

    app.add_url_rule("/", "view", view, deadline=0.01)
    assert app.test_client().get("/").text == "x"
    assert seen == [("ok", "deadline")]


def test_branches_have_the_requests_deadline() -> None:
    """Branches of a view hear of its deadline, and the view's block raises it."""
    app = make_app()
    seen = outcomes(app)

    def work() -> None:
        assert app_ctx.wait_cancelled(PATIENCE)
        app_ctx.check()

    def view() -> str:
        with parallel() as p:
            p.submit(work)
            p.submit(work)
        return "x"

    app.add_url_rule("/", "view", view, deadline=0.05)
    assert app.test_client().get("/").status_code == 503
    assert [outcome for outcome, _ in seen] == ["deadline"] * 3


@pytest.mark.parametrize("error", [DeadlineExceeded(), Cancelled("user"), LookupError(), None])
def test_outcomes_without_a_request(error: Exception | None) -> None:
    """An app context that ends by one of these errors says so."""
    app = make_app()
    seen = outcomes(app)
    wanted = {DeadlineExceeded: "deadline", Cancelled: "cancelled", LookupError: "error"}
    with suppress(Exception), app.app_context() as ctx:
        if error is not None:
            raise error
    assert seen[0][0] == ctx.outcome == wanted.get(type(error), "ok")  # type: ignore[arg-type]


# -- clients that leave ----------------------------------------------------------------------------


def streaming(seen: list[Any], way: str, **options: Any) -> Any:
    """An application whose view streams three pieces; the body's end is written to `seen`."""
    app = make_app()

    def body() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
            yield "c"
        finally:
            seen.append(("body", app_ctx.cancelled, request_ctx.cancel_reason))

    def view() -> Any:
        if way == "response":
            return demijohn.Response(body())
        return stream_with_context(body()) if way == "stream_with_context" else body()

    app.add_url_rule("/", "view", view, **options)
    app.teardown_appcontext(lambda exc: seen.append((app_ctx.outcome, exc)))
    return app


def ask(app: Any, pieces: int | None) -> None:
    """Ask as a server does, and close the body after some pieces; None for all of them."""
    body: Any = app(EnvironBuilder(app, "/").get_environ(), lambda *args: None)
    if pieces is None:
        assert b"".join(body) == b"abc"
    else:
        for _ in range(pieces):
            next(body)
    body.close()


WAYS = pytest.mark.parametrize("way", ["generator", "stream_with_context", "response"])


@WAYS
def test_a_client_that_leaves(way: str) -> None:
    """A body that its server closes before the end gives the outcome "disconnected"; the work is
    not cancelled, unless the rule says so."""
    seen: list[Any] = []
    ask(streaming(seen, way), 1)
    assert seen == [("body", False, None), ("disconnected", None)]
    seen.clear()
    ask(streaming(seen, way, on_disconnect="continue"), 1)
    assert seen == [("body", False, None), ("disconnected", None)]


@WAYS
def test_a_client_that_leaves_cancels(way: str) -> None:
    """With `on_disconnect="cancel"` the work is cancelled before the body is closed, so that it can
    tell."""
    seen: list[Any] = []
    ask(streaming(seen, way, on_disconnect="cancel"), 1)
    assert seen == [("body", True, "disconnect"), ("disconnected", None)]


@WAYS
def test_a_client_that_stays(way: str) -> None:
    """A body that is read to its end is "ok", and nothing is cancelled."""
    seen: list[Any] = []
    ask(streaming(seen, way, on_disconnect="cancel"), None)
    assert seen == [("body", False, None), ("ok", None)]


@WAYS
def test_a_body_that_was_never_begun(way: str) -> None:
    """A body that is closed before its first piece, and one that is dropped, is "disconnected"."""
    for drop in (False, True):
        seen: list[Any] = []
        app = streaming(seen, way, on_disconnect="cancel")
        body: Any = app(EnvironBuilder(app, "/").get_environ(), lambda *args: None)
        if not drop:
            body.close()
        del body
        assert seen[-1] == ("disconnected", None)


def test_children_hear_of_it() -> None:
    """Work that the view started is cancelled with the client's leaving, where the rule says so."""
    app = make_app()
    reasons: list[Any] = []

    def view() -> Any:
        def body() -> Iterator[str]:
            thread = demijohn.ContextThread(target=work)
            thread.start()
            try:
                yield "a"
                yield "b"
            finally:
                thread.join(PATIENCE)

        def work() -> None:
            assert app_ctx.wait_cancelled(PATIENCE)
            reasons.append(app_ctx.cancel_reason)

        return stream_with_context(body())

    app.add_url_rule("/", "view", view, on_disconnect="cancel")
    ask(app, 1)
    assert reasons == ["disconnect"]


def test_plain_bodies_and_head() -> None:
    """A plain body, and an answer to HEAD, is no client that leaves, read or not."""
    app = make_app()
    seen = outcomes(app)
    app.add_url_rule("/text", "text", lambda: "x", on_disconnect="cancel")
    app.add_url_rule("/stream", "stream", lambda: (piece for piece in "abc"))
    for method, path in (("GET", "/text"), ("HEAD", "/text"), ("HEAD", "/stream")):
        environ = EnvironBuilder(app, path, method=method).get_environ()
        body: Any = app(environ, lambda *args: None)
        if hasattr(body, "close"):
            body.close()
    assert [outcome for outcome, _ in seen] == ["ok"] * 3


def test_an_error_in_the_body() -> None:
    """A body that raises is an "error", or says why it stopped."""
    for error, wanted in ((LookupError(), "error"), (DeadlineExceeded(), "deadline")):
        app = make_app()
        seen = outcomes(app)

        def view(error: Exception = error) -> Any:
            yield "a"
            raise error

        app.add_url_rule("/", "view", view)
        body: Any = app(EnvironBuilder(app, "/").get_environ(), lambda *args: None)
        assert next(body) == b"a"
        with pytest.raises(type(error)):
            next(body)
        body.close()
        assert [outcome for outcome, _ in seen] == [wanted]


def test_the_log_of_a_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """An unhandled deadline is logged with its traceback, as any error."""
    app, _ = stopping()
    with caplog.at_level(logging.ERROR):
        app.test_client().get("/")
    [record] = [record for record in caplog.records if record.name == "site"]
    assert record.exc_info is not None
    assert record.exc_info[0] is DeadlineExceeded
