"""Promises 9 and 10: a child is an app context of its own, and harms nobody."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from typing import Any

import gevent
import pytest
from children_kit import EVERY_WAY, PATIENCE, STARTS, Start, called, make_app, view_app

import demijohn
from demijohn import (
    ContextField,
    ContextThread,
    ContextThreadPoolExecutor,
    Demijohn,
    after_this_request,
    copy_current_request_context,
    current_app,
    g,
    has_app_context,
    has_request_context,
    in_child,
    parallel,
    request,
    signals,
    url_for,
)
from demijohn.context import ContextEnded
from demijohn.globals import app_ctx, request_ctx

tenant = ContextField[str]("children tenant", default="none", carries=True)
private = ContextField[str]("children private", default="none")
note: ContextVar[str] = ContextVar("note", default="nothing")


@EVERY_WAY
def test_the_application_and_the_request_are_there(start: Start[Any]) -> None:
    """A child sees the application and the request, and builds URLs for it."""

    def view(name: str) -> Any:
        def work() -> list[Any]:
            return [
                current_app._get_current_object() is app,
                type(request._get_current_object()) is demijohn.Request,
                request.url,
                request.args["q"],
                request.headers["X-Own"],
                request.cookies["c"],
                request.view_args,
                request.endpoint,
                url_for("view", name="other", _external=True),
            ]

        return start(work)

    app = view_app(view, "/user/<name>")
    client = app.test_client()
    client.set_cookie("c", "d", domain="own.test")
    answer = client.get("/user/x?q=1", base_url="http://own.test/", headers={"X-Own": "h"})
    assert answer.json == [
        *(True, True, "http://own.test/user/x?q=1", "1", "h", "d", {"name": "x"}, "view"),
        "http://own.test/user/other",
    ]


@EVERY_WAY
def test_without_a_request(start: Start[Any]) -> None:
    """A child of an app context has no request."""
    app = make_app()
    with app.app_context():
        assert start(lambda: (current_app._get_current_object(), has_request_context())) == (
            app,
            False,
        )
    assert app.log == ["app ok", "app ok"]


@EVERY_WAY
def test_its_g_is_its_own(start: Start[Any]) -> None:
    """A child's `g` has the declared values alone, and what it writes is not the parent's."""
    app = make_app()
    app.carry("user", "roles", "absent")
    with app.app_context():
        g.user, g.roles, g.connection = "ann", ["reader"], object()

        def work() -> dict[str, Any]:
            found = {name: g.get(name) for name in g}
            g.roles.append("writer")
            g.user = g.own = "child"
            return {**found, "roles": list(found["roles"])}

        for _ in range(2):
            assert start(work) == {"user": "ann", "roles": ["reader", "writer"]}
        assert (g.user, g.roles, "own" in g) == ("ann", ["reader"], False)


@EVERY_WAY
def test_fields_that_carry(start: Start[Any]) -> None:
    """A child has the values of fields that carry, and the defaults of the others."""
    with make_app().app_context():
        tenant.set("acme")
        private.set("mine")

        def work() -> tuple[str, str]:
            found = (tenant.get(), private.get())
            tenant.set("other")
            return found

        assert start(work) == ("acme", "none")
        assert tenant.get() == "acme"


def test_a_snapshot_at_the_start() -> None:
    """What the parent changes after the work was started is not seen by the child."""
    app = make_app()
    app.carry("user")
    with app.test_request_context("/"):
        g.user = {"name": "ann"}
        request.view_args = {"a": "b"}
        work = in_child(lambda: (dict(g.user), dict(request.view_args or {})))
        g.user["name"] = "bob"
        request.view_args["a"] = "c"
        assert work() == ({"name": "ann"}, {"a": "b"})


def test_children_of_one_fork_share_nothing() -> None:
    """Two calls of one function have each their own copies: what one changes the other does not
    see."""
    app = make_app()
    app.carry("seen")
    with app.test_request_context("/"):
        g.seen = []
        request.view_args = {}

        def work() -> tuple[list[Any], dict[str, Any], bool]:
            found = (list(g.seen), dict(request.view_args), hasattr(request, "mark"))
            g.seen.append(1)
            request.view_args["x"] = 1
            request.mark = 1
            return found

        run = in_child(work)
        assert [run(), run()] == [([], {}, False)] * 2


def test_a_value_that_is_not_plain() -> None:
    """A declared value that is not plain data is refused where the work is started, by name."""
    app = make_app()
    app.carry("connection")
    with app.app_context():
        g.connection = object()
        with pytest.raises(TypeError, match=r"g\.connection"):
            in_child(lambda: None)


@EVERY_WAY
def test_its_end_is_its_own(start: Start[Any]) -> None:
    """Each child runs teardown_appcontext functions once, and no teardown_request function."""
    seen: list[list[str]] = []

    def view() -> str:
        for _ in range(2):
            start(lambda: None)
            seen.append(list(app.log))
        return "x"

    app = view_app(view)
    app.test_client().get("/")
    assert seen == [["app ok"], ["app ok"] * 2]
    assert app.log == ["app ok", "app ok", "request ok", "app ok"]


@EVERY_WAY
def test_its_signals_and_hooks(start: Start[Any]) -> None:
    """A child sends appcontext_pushed, _tearing_down and _popped once, and runs no hook of the
    request."""
    log: list[str] = []
    names = [name for name in vars(signals) if name.startswith(("request_", "appcontext_"))]

    def view() -> str:
        log.clear()
        start(lambda: log.append("work"))
        seen.extend(log)
        return "x"

    app = view_app(view)
    app.before_request(lambda: log.append("before"))
    app.after_request(lambda response: log.append("after") or response)
    seen: list[str] = []
    receivers = {name: lambda sender, name=name, **kw: log.append(name) for name in names}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, app)
    try:
        app.test_client().get("/")
    finally:
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver, app)
    assert seen == ["appcontext_pushed", "work", "appcontext_tearing_down", "appcontext_popped"]


@EVERY_WAY
def test_an_error_is_the_childs(start: Start[Any]) -> None:
    """An error goes to the caller as itself and to the child's teardown functions, not to the
    parent's."""
    error = LookupError("lost")

    def view() -> str:
        def work() -> None:
            raise error

        with pytest.raises(LookupError) as caught:
            start(work)
        assert caught.value is error
        return "x"

    app = view_app(view)
    assert app.test_client().get("/").text == "x"
    assert app.log == ["app LookupError", "request ok", "app ok"]


@EVERY_WAY
def test_an_error_of_its_end(start: Start[Any]) -> None:
    """What a teardown function of the child raises goes to the caller."""
    app = make_app()
    fail: list[bool] = []

    @app.teardown_appcontext
    def failing(exc: BaseException | None) -> None:
        if fail.pop() if fail else False:
            raise LookupError("teardown")

    with app.app_context(), pytest.raises(LookupError, match="teardown"):
        start(lambda: fail.append(True))
    assert app.log == ["app ok", "app ok"]


@EVERY_WAY
def test_nothing_stays_behind(start: Start[Any]) -> None:
    """After a child the code around sees just what it saw, and nothing stays on a pool's thread."""
    app = make_app()
    with app.test_request_context("/"):
        before = app_ctx._get_current_object(), request_ctx._get_current_object()
        start(lambda: None)
        assert (app_ctx._get_current_object(), request_ctx._get_current_object()) == before
    with ThreadPoolExecutor(1) as pool:
        with app.app_context():
            pool.submit(in_child(lambda: None)).result()
        assert pool.submit(has_app_context).result() is False


@pytest.mark.parametrize("start", STARTS[:-2], ids=lambda start: start.__name__)
def test_it_starts_from_an_empty_context(start: Start[Any]) -> None:
    """A child sees no context variables of its parent's, and what it sets stays with it."""
    with make_app().app_context():
        token = note.set("parent")
        try:

            def work() -> str:
                found = note.get()
                note.set("child")
                return found

            assert [start(work), start(work)] == ["nothing", "nothing"]
            assert note.get() == "parent"
        finally:
            note.reset(token)


@pytest.mark.parametrize("start", STARTS[-2:], ids=lambda start: start.__name__)
def test_a_task_has_a_copy(start: Start[Any]) -> None:
    """An async branch has a copy of its parent's Context, as asyncio's tasks do."""
    with make_app().app_context():
        token = note.set("parent")
        try:

            def work() -> str:
                found = note.get()
                note.set("child")
                return found

            assert start(work) == "parent"
            assert note.get() == "parent"
        finally:
            note.reset(token)


def test_a_given_context() -> None:
    """With `context=` every child starts in a copy of it, without the contexts current in it."""
    app, other = make_app(), make_app()
    with other.test_request_context("/other"):
        given = copy_context()
    given.run(note.set, "given")

    def work() -> list[Any]:
        found = [note.get(), has_request_context(), current_app._get_current_object() is app]
        note.set("child")
        return found

    with app.app_context():
        run = in_child(work, context=given)
        found = [run(), run()]
        with ContextThreadPoolExecutor(1, context=given) as pool:
            found.append(pool.submit(work).result(PATIENCE))
        with parallel(context=given) as p:
            p.submit(work)
        found += p.results
        thread = ContextThread(target=lambda: found.append(work()), context=given)
        thread.start()
        thread.join(PATIENCE)
    assert found == [["given", False, True]] * 5
    assert given.run(note.get) == "given"


@EVERY_WAY
def test_a_child_of_a_child(start: Start[Any]) -> None:
    """Children nest, each with its own `g`, and see the same request."""

    def view() -> Any:
        g.level = 0

        def outer() -> list[Any]:
            g.level = 1

            def inner() -> list[Any]:
                found = [request.path, "level" in g]
                g.level = 2
                return found

            return [called(inner), g.level, request.path]

        return [start(outer), g.level]

    assert view_app(view, "/p").test_client().get("/p").json == [[["/p", False], 1, "/p"], 0]


def test_one_function_on_many_threads_at_once() -> None:
    """One function runs five times at once, each time in a child of its own."""
    barrier = threading.Barrier(5, timeout=PATIENCE)

    def view() -> Any:
        def work(n: int) -> list[Any]:
            g.n = n
            request.view_args["n"] = n  # type: ignore[index]
            barrier.wait()
            found = [g.n, request.view_args["n"], request.path]  # type: ignore[index]
            barrier.wait()
            return found

        with ThreadPoolExecutor(5) as pool:
            return list(pool.map(in_child(work), range(5)))

    app = view_app(view)
    assert app.test_client().get("/").json == [[n, n, "/"] for n in range(5)]
    assert app.log == ["app ok"] * 5 + ["request ok", "app ok"]


def test_greenlets_that_take_turns() -> None:
    """Greenlets that take turns in the middle keep each its own child."""

    def view() -> Any:
        def work(n: int) -> list[Any]:
            g.n = n
            for _ in range(3):
                gevent.sleep(0)
            return [g.n, request.path]

        jobs = [gevent.spawn(in_child(work), n) for n in range(5)]
        gevent.joinall(jobs, raise_error=True)
        return [job.value for job in jobs]

    assert view_app(view).test_client().get("/").json == [[n, "/"] for n in range(5)]


def test_it_outlives_its_parent() -> None:
    """A child that runs after its parent's end has its own request still, also while another one is
    served."""
    kept: list[Any] = []

    def view() -> Any:
        if request.args["q"] == "1":
            kept.append(in_child(lambda: [request.args["q"], list(g)]))
            return "x"
        return kept[0]()

    app = view_app(view)
    client = app.test_client()
    client.get("/?q=1")
    assert app.log == ["request ok", "app ok"]
    assert client.get("/?q=2").json == ["1", []]
    assert kept[0]() == ["1", []]


def test_another_applications_request() -> None:
    """Under another application's context, the request below it does not go along."""
    one, two = make_app(), make_app()
    with one.test_request_context("/"), two.app_context():
        assert called(lambda: (current_app._get_current_object(), has_request_context())) == (
            two,
            False,
        )
        # Flask's function names the request, and so takes its application.
        work = copy_current_request_context(lambda: current_app._get_current_object())
        assert work() is one


def test_nested_app_context_in_a_request() -> None:
    """In an app context that is nested in a request of its application, its `g` goes along, and the
    request."""
    app = make_app()
    app.carry("user")
    with app.test_request_context("/p"):
        g.user = "outer"
        with app.app_context():
            g.user = "inner"
            assert called(lambda: (g.user, request.path)) == ("inner", "/p")


def test_outside_any_context() -> None:
    """Outside a context every way is refused with the explained error, where the work is
    started."""
    ran: list[int] = []
    for start in STARTS:
        with pytest.raises(RuntimeError, match="Working outside of application context"):
            start(lambda: ran.append(1))
    with pytest.raises(RuntimeError, match="when a request context is active"):
        copy_current_request_context(lambda: None)
    assert ran == []
    # Refused where there is an app context alone.
    with make_app().app_context(), pytest.raises(RuntimeError, match="request context is active"):
        copy_current_request_context(lambda: None)


def test_after_the_end() -> None:
    """Work that outlived a context cannot start children of it."""
    app = make_app()
    with app.test_request_context("/"):
        stale = copy_context()
    with pytest.raises(ContextEnded, match="Cannot start a child"):
        stale.run(in_child, lambda: None)
    with pytest.raises(ContextEnded, match="Cannot start a child"):
        stale.run(copy_current_request_context, lambda: None)


def test_a_generator_function_is_refused() -> None:
    """A generator function cannot run in a child: its body would run after the child's end."""
    with make_app().app_context():

        def body() -> Any:
            yield 1

        async def async_body() -> Any:
            yield 1

        for function in (body, async_body):
            with pytest.raises(TypeError, match="generator function"):
                in_child(function)


def test_it_looks_like_the_function() -> None:
    """A wrapped function keeps its name and text, its arguments and its result."""

    def work(a: int, *, b: int) -> int:
        """Add."""
        return a + b

    with make_app().app_context():
        run = in_child(work)
        assert (run.__name__, run.__doc__, run(1, b=2)) == ("work", "Add.", 3)  # type: ignore[attr-defined]


def test_async_functions_on_threads() -> None:
    """An async function is run to its end by an executor, a branch and Flask's wrapper."""
    app = make_app()

    async def work(n: int) -> list[Any]:
        return [n, request.path]

    with app.test_request_context("/p"):
        with ContextThreadPoolExecutor(1) as pool:
            assert pool.submit(work, 1).result(PATIENCE) == [1, "/p"]
            assert pool.submit(in_child(work), 2).result(PATIENCE) == [2, "/p"]
            assert list(pool.map(work, [3])) == [[3, "/p"]]
        with parallel() as p:
            p.submit(work, 4)
        assert p.results == [[4, "/p"]]
        assert copy_current_request_context(work)(5) == [5, "/p"]  # type: ignore[comparison-overlap]
        with pytest.raises(ValueError, match="create_task"):
            in_child(work, context=Context())


def test_an_overridden_app_context() -> None:
    """Children are made by the application's own `app_context` where it is overridden."""

    class Own(demijohn.ctx.AppContext):
        pass

    class App(demijohn.Demijohn):
        def app_context(self, **options: Any) -> Any:
            return Own(self)

    app = App("own", static_folder=None)
    with app.app_context():
        assert called(lambda: type(app_ctx._get_current_object())) is Own


def test_an_object_with_an_async_call() -> None:
    """An object that is called by an async method is awaited in its child, or run to its end."""

    class Work:
        async def __call__(self) -> str:
            name: str = current_app.name
            return name

    app = Demijohn("site")
    with app.app_context():
        wrapped: Any = in_child(Work())
        with ContextThreadPoolExecutor(1) as pool:
            job: Any = Work()
            on_a_thread = pool.submit(job).result(PATIENCE)
    assert asyncio.run(wrapped()) == "site"
    assert on_a_thread == "site"


def test_a_child_has_no_response() -> None:
    """`after_this_request` in a child is an error that says so, and in a copy is as in Flask."""
    app = Demijohn("site")

    def ask() -> str:
        with pytest.raises(RuntimeError, match="has no response"):
            after_this_request(lambda response: response)
        return "refused"

    with app.test_request_context():
        assert in_child(ask)() == "refused"
        copy_current_request_context(lambda: after_this_request(lambda response: response))()
