"""Promise 3: a request at the WSGI edge runs in a Context of its own, its body and close() too."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from edge_calls import call, environ_for, get, make_app
from elsewhere import in_thread
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import demijohn
from demijohn import g, has_app_context, has_request_context, request, signals
from demijohn.context import ContextWarning

mark: ContextVar[str] = ContextVar("mark", default="nothing")


def site(**config: Any) -> Any:
    """An application that marks its Context, in each way to answer."""
    app = make_app(**config)

    @app.before_request
    def note() -> None:
        g.found = mark.get()
        mark.set(request.path)

    @app.get("/plain")
    def plain() -> str:
        return g.found

    @app.get("/set-g")
    def set_g() -> str:
        before = "user" in g
        g.user = "someone"
        return str(before)

    @app.get("/abort")
    def abort() -> str:
        demijohn.abort(418)

    @app.get("/fail")
    def fail() -> str:
        raise LookupError("view")

    @app.get("/stream/<name>")
    def stream(name: str) -> Iterator[str]:
        found = g.found

        def body() -> Iterator[str]:
            for n in range(3):
                # What this step sees is what the steps before left.
                seen = mark.get()
                mark.set(f"{name}{n}")
                yield f"{found} {seen} {request.path} {has_app_context()};"

        return body()

    return app


PATHS = ["/plain", "/set-g", "/abort", "/fail", "/missing", "/stream/a"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_stays_current(path: str) -> None:
    """After a request, and between the steps of its body, its thread sees no context and no
    variable of it.
    """
    body = call(site(), path)
    assert not has_app_context() and not has_request_context()
    for _ in body:
        assert not has_app_context() and not has_request_context()
        assert mark.get() == "nothing"
    body.close()
    assert not has_app_context() and not has_request_context()
    assert mark.get() == "nothing"


@pytest.mark.parametrize("first", PATHS)
@pytest.mark.parametrize("end", ["read", "close", "drop"])
def test_a_request_sees_nothing_of_the_one_before(first: str, end: str) -> None:
    """Variables and `g` of one request are not there for the next one on that thread."""
    app = site()
    exchange = call(app, first)
    if end == "read":
        exchange.read()
    elif end == "close":
        exchange.close()
    del exchange
    assert get(app, "/plain") == ("200 OK", b"nothing")
    get(app, "/set-g")
    assert get(app, "/set-g") == ("200 OK", b"False")


def test_a_request_sees_the_servers_variables() -> None:
    """The Context of a request is a copy of the server's: what the server set is seen, and
    stays.
    """
    token = mark.set("server's")
    try:
        assert get(site(), "/plain") == ("200 OK", b"server's")
        assert mark.get() == "server's"
    finally:
        mark.reset(token)


def test_one_context_for_the_whole_request() -> None:
    """Hooks, view, every step of the body, close callbacks and teardown functions share one
    Context.
    """
    app = make_app()
    log: list[str] = []

    def add(name: str) -> None:
        log.append(f"{name}<{mark.get()}")
        mark.set(name)

    app.before_request(lambda: add("before"))
    app.teardown_request(lambda exc: add("teardown_request"))
    app.teardown_appcontext(lambda exc: add("teardown_appcontext"))

    @app.after_request
    def after(response: Any) -> Any:
        add("after")
        return response

    @app.get("/")
    def view() -> Any:
        add("view")

        def body() -> Iterator[str]:
            try:
                add("step1")
                yield "1"
                add("step2")
                yield "2"
            finally:
                add("finally")

        response = app.response_class(body())
        response.call_on_close(lambda: add("on_close"))
        return response

    body = iter(call(app))
    next(body)
    in_thread(lambda: next(body))
    in_thread(body.close)  # type: ignore[attr-defined]
    assert log == [
        "before<nothing",
        "view<before",
        "after<view",
        "step1<after",
        "step2<step1",
        "finally<step2",
        "on_close<finally",
        "teardown_request<on_close",
        "teardown_appcontext<teardown_request",
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=14))
@settings(max_examples=60, deadline=None)
def test_interleaved_bodies(steps: list[tuple[int, bool]]) -> None:
    """Bodies that are stepped in any order, on any thread, each see their own request all along."""
    app = site()
    names = ["a", "b", "c"]
    bodies = [iter(call(app, f"/stream/{name}").body) for name in names]
    parts: list[list[bytes]] = [[], [], []]
    with ThreadPoolExecutor(1) as pool:
        for which, elsewhere in steps:
            step = lambda which=which: next(bodies[which], None)  # noqa: E731
            part = pool.submit(step).result() if elsewhere else step()
            assert not has_app_context() and mark.get() == "nothing"
            assert pool.submit(mark.get).result() == "nothing"
            if part is not None:
                parts[which].append(part)
    for name, body, found in zip(names, bodies, parts, strict=True):
        path = f"/stream/{name}"
        found.extend(body)
        seen = [path, f"{name}0", f"{name}1"]
        assert b"".join(found).decode() == "".join(f"nothing {s} {path} True;" for s in seen)


def test_a_body_cannot_be_stepped_twice_at_once() -> None:
    """A second step while one runs is refused with an error that says so, and the first goes on."""
    app = make_app()
    inside, go_on = threading.Event(), threading.Event()
    ends: list[BaseException | None] = []
    app.teardown_request(ends.append)

    @app.get("/")
    def view() -> Iterator[str]:
        inside.set()
        go_on.wait(10)
        yield "first"
        yield "second"

    body = iter(call(app))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, body)
        assert inside.wait(10)
        with pytest.raises(RuntimeError, match="being stepped"):
            next(body)
        go_on.set()
        assert first.result() == b"first"
    assert ends == []
    assert list(body) == [b"second"]
    assert ends == [None]


def test_a_close_during_a_step_is_refused() -> None:
    """close() while another thread is inside a step raises, and the request still has its one
    end.
    """
    app = make_app()
    inside, go_on = threading.Event(), threading.Event()
    ends: list[BaseException | None] = []
    app.teardown_request(ends.append)

    @app.get("/")
    def view() -> Iterator[str]:
        inside.set()
        go_on.wait(10)
        yield "first"

    body: Any = iter(call(app))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, body)
        assert inside.wait(10)
        with pytest.raises(RuntimeError):
            body.close()
        go_on.set()
        assert first.result() == b"first"
    body.close()
    assert ends == [None]


def test_requests_on_many_threads() -> None:
    """Requests at the same time on several threads see their own context only."""
    app = make_app()
    barrier = threading.Barrier(4)

    @app.get("/<int:n>")
    def view(n: int) -> str:
        g.n = n
        mark.set(str(n))
        barrier.wait(10)
        return f"{g.n} {request.path} {mark.get()}"

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: get(app, f"/{n}")[1].decode(), range(8)))
    assert answers == [f"{n} /{n} {n}" for n in range(8)]


# -- what is found at the edge ---------------------------------------------------------------------


def leftovers(app: Any) -> dict[str, Any]:
    """Contexts that somebody may have left pushed."""
    other = make_app()
    return {
        "app": app.app_context(),
        "request": app.test_request_context("/left"),
        "other app": other.app_context(),
        "other app's request": other.test_request_context("/left"),
    }


@pytest.mark.parametrize("kind", leftovers(make_app()))
@pytest.mark.parametrize("path", ["/set-g", "/stream/a", "/fail", "/missing"])
def test_a_context_left_over_is_reported_and_not_inherited(kind: str, path: str) -> None:
    """A context that is current at the edge brings one warning an app; the request starts without
    it.
    """
    app = site()
    left = leftovers(app)[kind]
    with left:
        g.user = "left over"
        with pytest.warns(ContextWarning, match="was current when a request arrived") as caught:
            status, _ = get(app, path)
        assert len(caught) == 1
        assert g.user == "left over"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert get(app, "/set-g") == ("200 OK", b"False")
            assert get(app, path)[0] == status
    assert not has_app_context()


@pytest.mark.parametrize("kind", leftovers(make_app()))
def test_a_context_left_over_is_nowhere_seen(kind: str) -> None:
    """From the making of the request to the last signal nothing of a request sees what was left
    over.
    """
    app = make_app()
    seen: list[tuple[bool, bool]] = []

    def note(*args: Any, **kwargs: Any) -> None:
        seen.append((has_app_context(), has_request_context()))

    class Request(app.request_class):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            note()

    app.request_class = Request
    app.teardown_appcontext(note)
    app.add_url_rule("/", "view", lambda: "x")
    with leftovers(app)[kind], signals.appcontext_popped.connected_to(note, sender=app):
        seen.clear()
        with pytest.warns(ContextWarning):
            get(app)
        found = seen.copy()
    assert found == [(False, False), (True, False), (False, False)]


@pytest.mark.leaves_behind("context")
@pytest.mark.parametrize("propagate", [False, True])
@pytest.mark.parametrize("kind", leftovers(make_app()))
def test_what_a_view_leaves_pushed(kind: str, propagate: bool) -> None:
    """A context that a view pushes and does not pop is gone with the request, whose end runs all
    the same.
    """
    app = make_app(PROPAGATE_EXCEPTIONS=propagate)
    ends: list[str] = []
    app.teardown_request(lambda exc: ends.append("request"))
    app.teardown_appcontext(lambda exc: ends.append("app"))
    kept: list[Any] = []

    @app.get("/")
    def view() -> str:
        kept.append(leftovers(app)[kind])
        kept[0].push()
        if propagate:
            raise LookupError
        return "x"

    def caller() -> None:
        if propagate:
            with pytest.raises(LookupError):
                call(app)
        else:
            assert get(app) == ("200 OK", b"x")
        assert not has_app_context() and not has_request_context()

    copy_context().run(caller)
    assert ends == ["request", "app"]


def test_each_application_reports() -> None:
    """The warning about a context found at the edge comes once for each application."""
    first, second = site(), site()
    with first.app_context():
        for app in (first, second):
            with pytest.warns(ContextWarning):
                get(app, "/plain")


def test_a_context_left_over_on_another_thread_is_not_seen() -> None:
    """What is pushed on one thread is no leftover for requests on another."""
    app = site()
    with app.app_context():
        g.user = "here"
        assert in_thread(lambda: get(app, "/set-g")) == ("200 OK", b"False")


def test_werkzeugs_client_is_a_server() -> None:
    """Werkzeug's own test client, which leaves no mark, is told what was left over and joins
    nothing.
    """
    app = site()
    with app.app_context():
        g.user = "test's"
        with pytest.warns(ContextWarning):
            assert Client(app).get("/set-g").text == "False"
        assert g.user == "test's"


def test_a_mount_is_an_edge() -> None:
    """An application mounted beside another has requests of its own, each with a clean entry."""
    outer, inner = site(), site()
    both = DispatcherMiddleware(outer, {"/inner": inner})
    assert get(both, "/inner/set-g") == ("200 OK", b"False")
    assert get(both, "/set-g") == ("200 OK", b"False")
    bodies = [iter(call(both, f"{mount}/stream/x").body) for mount in ("", "/inner")]
    parts = [b"".join(pair) for pair in zip(*bodies, strict=True)]
    assert parts[0] == b"nothing /stream/x /stream/x True;" * 2


def test_a_view_that_calls_another_application() -> None:
    """A view that answers by another application is reported there; its own context is untouched
    after.
    """
    outer, inner = site(), site()

    @outer.get("/by-inner")
    def by_inner() -> str:
        g.user = "outer's"
        inner_answer = get(inner, "/set-g")[1].decode()
        return f"{inner_answer} {g.user} {request.path} {mark.get()}"

    with pytest.warns(ContextWarning):
        assert get(outer, "/by-inner") == ("200 OK", b"False outer's /by-inner /by-inner")


def test_the_edge_in_a_copied_context() -> None:
    """A server that copies a Context with a pushed context in it finds that reported, and its own
    untouched.
    """
    app = site()
    with app.app_context():
        g.user = "copied"
        copied = copy_context()
    with pytest.warns(ContextWarning):
        assert copied.run(get, app, "/set-g") == ("200 OK", b"False")


# -- what leaves with an exception -----------------------------------------------------------------

EXCEPTIONS = [LookupError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration]


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("where", ["view", "before", "after"])
def test_variables_reach_the_caller_with_an_exception(
    kind: type[BaseException], where: str
) -> None:
    """When an exception leaves the app, the caller sees the variables that the request set, and no
    context.
    """
    app = make_app(PROPAGATE_EXCEPTIONS=True)

    def fail(*args: Any) -> Any:
        mark.set("request's")
        raise kind("left")

    if where == "before":
        app.before_request(fail)
    if where == "after":
        app.after_request(fail)
    app.add_url_rule("/", "view", fail if where == "view" else lambda: "x")

    def middleware() -> str:
        with pytest.raises(kind):
            call(app)
        assert not has_app_context() and not has_request_context()
        return mark.get()

    assert copy_context().run(middleware) == "request's"


def test_an_exception_from_teardown_hands_out_what_teardown_set() -> None:
    """Teardown functions run before the variables are handed out, so the caller sees what these set
    too.
    """
    app = make_app(PROPAGATE_EXCEPTIONS=True)
    app.teardown_request(lambda exc: mark.set(f"after {type(exc).__name__}"))

    @app.get("/")
    def view() -> str:
        raise LookupError

    def middleware() -> str:
        with pytest.raises(LookupError):
            call(app)
        return mark.get()

    assert copy_context().run(middleware) == "after LookupError"


def test_variables_reach_the_caller_when_the_server_refuses_the_answer() -> None:
    """What the server's own `start_response` raises leaves with the request's variables too."""
    app = make_app()

    @app.get("/")
    def view() -> str:
        mark.set("request's")
        return "x"

    def refuse(*args: Any) -> Any:
        raise OSError("gone")

    def server() -> str:
        with pytest.raises(OSError, match="gone"):
            app(environ_for(), refuse)
        assert not has_app_context() and not has_request_context()
        return mark.get()

    assert copy_context().run(server) == "request's"


def test_a_handled_exception_hands_out_nothing() -> None:
    """An exception that became a response leaves the caller's variables alone."""
    assert get(site(), "/fail")[0] == "500 INTERNAL SERVER ERROR"
    assert mark.get() == "nothing"


def test_a_callers_context_is_its_own_after_an_exception() -> None:
    """The context that the caller itself has pushed is still current after an exception, and its
    own to pop.
    """
    app = site(PROPAGATE_EXCEPTIONS=True)

    def caller() -> None:
        with app.test_request_context("/callers"):
            g.user = "caller's"
            with pytest.warns(ContextWarning), pytest.raises(LookupError):
                call(app, "/fail")
            assert g.user == "caller's"
            assert request.path == "/callers"
        assert not has_app_context()

    copy_context().run(caller)
