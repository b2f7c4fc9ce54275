"""Promise 9: `copy_current_request_context` and `RequestContext.copy` harm nobody."""

from __future__ import annotations

import gc
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gevent
import pytest
from context_kit import (
    BOTH,
    EVERYWHERE,
    in_thread,
    make_app,
    view_app,
)

import demijohn
from demijohn import (
    copy_current_request_context,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
    signals,
    url_for,
)
from demijohn.globals import app_ctx, request_ctx


@EVERYWHERE
def test_the_request_is_there(place: Any) -> None:
    """The function sees the application, the request, and builds URLs for it, wherever it runs."""

    def view(name: str) -> Any:
        @copy_current_request_context
        def work(suffix: str) -> list[Any]:
            return [
                current_app._get_current_object() is app,
                request.path + suffix,
                request.args["q"],
                request.view_args,
                url_for("view", name="other", _external=True),
            ]

        return place(lambda: work("!"))

    app = view_app(view, "/user/<name>")
    answer = app.test_client().get("/user/x?q=1", base_url="http://own.test/").json
    assert answer == [True, "/user/x!", "1", {"name": "x"}, "http://own.test/user/other"]


@EVERYWHERE
def test_its_g_is_its_own(place: Any) -> None:
    """The function's `g` starts empty, and what it writes is not the parent's."""

    def view() -> Any:
        g.user = "parent"

        @copy_current_request_context
        def work() -> list[str]:
            found = list(g)
            g.user = "child"
            return found

        assert place(work) == []
        assert place(work) == []
        return g.user

    assert view_app(view).test_client().get("/").text == "parent"


@EVERYWHERE
def test_its_end_is_its_own(place: Any) -> None:
    """Each call runs teardown_appcontext functions once, and neither teardown_request functions nor
    the parent's end.
    """
    seen: list[list[str]] = []

    def view() -> str:
        work = copy_current_request_context(lambda: None)
        for _ in range(2):
            place(work)
            seen.append(list(app.log))
        return "x"

    app = view_app(view)
    app.test_client().get("/")
    assert seen == [["app ok"], ["app ok"] * 2]
    assert app.log == ["app ok", "app ok", "request ok", "app ok"]


@EVERYWHERE
def test_its_signals(place: Any) -> None:
    """A call sends appcontext_pushed, _tearing_down and _popped once, and no request signal."""
    log: list[str] = []
    names = [name for name in vars(signals) if name.startswith(("request_", "appcontext_"))]

    def view() -> str:
        work = copy_current_request_context(lambda: log.append("work"))
        log.clear()
        place(work)
        seen.extend(log)
        return "x"

    app = view_app(view)
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


@EVERYWHERE
def test_hooks_do_not_run_for_it(place: Any) -> None:
    """before_request, after_request and after_this_request functions belong to the parent alone."""
    log: list[str] = []

    def view() -> str:
        demijohn.after_this_request(lambda response: log.append("this") or response)
        place(copy_current_request_context(lambda: log.append("work")))
        return "x"

    app = view_app(view)
    app.before_request(lambda: log.append("before"))
    app.after_request(lambda response: log.append("after") or response)
    app.test_client().get("/")
    assert log == ["before", "work", "this", "after"]


@EVERYWHERE
def test_an_exception_of_the_function(place: Any) -> None:
    """An exception goes to the caller and to the child's teardown functions, not to the
    parent's.
    """

    def view() -> str:
        def work() -> None:
            raise LookupError

        with pytest.raises(LookupError):
            place(copy_current_request_context(work))
        return "x"

    app = view_app(view)
    assert app.test_client().get("/").text == "x"
    assert app.log == ["app LookupError", "request ok", "app ok"]


@BOTH
def test_it_looks_like_the_function(fw: Any) -> None:
    """The wrapped function keeps its name and text, takes arguments, and returns what the function
    does.
    """

    def work(a: int, *, b: int) -> int:
        """Add."""
        return a + b

    with make_app(fw).test_request_context():
        wrapped = fw.copy_current_request_context(work)
        assert (wrapped.__name__, wrapped.__doc__, wrapped(1, b=2)) == ("work", "Add.", 3)


@EVERYWHERE
def test_nothing_stays_where_it_ran(place: Any) -> None:
    """After a call nothing is current there that was not before."""

    def view() -> str:
        def called() -> bool:
            before = (app_ctx and app_ctx._get_current_object(), has_request_context())
            work()
            return before == (app_ctx and app_ctx._get_current_object(), has_request_context())

        work = copy_current_request_context(lambda: None)
        return str(place(called))

    assert view_app(view).test_client().get("/").text == "True"


def test_a_pools_thread_is_clean() -> None:
    """A pool's thread sees no context between two calls."""
    with ThreadPoolExecutor(1) as pool:

        def view() -> str:
            pool.submit(copy_current_request_context(lambda: None)).result()
            return str(pool.submit(has_app_context).result())

        assert view_app(view).test_client().get("/").text == "False"


def test_one_function_on_several_threads_at_once() -> None:
    """One wrapped function can run on five threads at the same time, each call with a `g` of its
    own.
    """
    barrier = threading.Barrier(5, timeout=10)

    def view() -> Any:
        @copy_current_request_context
        def work(n: int) -> list[Any]:
            g.n = n
            barrier.wait()
            found = [g.n, request.path]
            barrier.wait()
            return found

        with ThreadPoolExecutor(5) as pool:
            return list(pool.map(work, range(5)))

    app = view_app(view)
    assert app.test_client().get("/").json == [[n, "/"] for n in range(5)]
    assert app.log == ["app ok"] * 5 + ["request ok", "app ok"]


def test_greenlets() -> None:
    """Wrapped functions in gevent's greenlets, switched in the middle, keep their own context."""

    def view() -> Any:
        @copy_current_request_context
        def work(n: int) -> list[Any]:
            g.n = n
            gevent.sleep(0)
            return [g.n, request.path]

        jobs = [gevent.spawn(work, n) for n in range(3)]
        gevent.joinall(jobs, raise_error=True)
        return [job.value for job in jobs]

    assert view_app(view).test_client().get("/").json == [[n, "/"] for n in range(3)]


def test_an_async_function() -> None:
    """A wrapped coroutine function is run to its end, as Flask does."""

    def view() -> Any:
        @copy_current_request_context
        async def work() -> str:
            return str(request.path)

        return in_thread(work)

    assert view_app(view, "/path").test_client().get("/path").text == "/path"


def test_a_copy_of_a_copy() -> None:
    """A function can be wrapped inside a wrapped one, with the same promises."""

    def view() -> Any:
        g.level = 0

        @copy_current_request_context
        def outer() -> list[Any]:
            g.level = 1

            @copy_current_request_context
            def inner() -> list[Any]:
                found = [request.path, "level" in g]
                session["inner"] = 1
                return found

            return [in_thread(inner), g.level]

        return [in_thread(outer), g.level]

    app = view_app(view)
    client = app.test_client()
    assert client.get("/").json == [[["/", False], 1], 0]
    with client.session_transaction() as opened:
        assert opened == {"inner": 1}
    assert app.log[:4] == ["app ok", "app ok", "request ok", "app ok"]


@EVERYWHERE
def test_the_parents_view_args_are_left_alone(place: Any) -> None:
    """A call does not match the URL again: what a preprocessor took out of `view_args` stays
    out.
    """

    def view(name: str) -> Any:
        place(copy_current_request_context(lambda: None))
        return dict(request.view_args or {})

    app = view_app(view, "/<lang>/<name>")
    app.url_value_preprocessor(lambda endpoint, values: values.pop("lang"))
    assert app.test_client().get("/de/x").json == {"name": "x"}


# -- RequestContext.copy ---------------------------------------------------------------------------


@BOTH
def test_a_copy_by_hand(fw: Any) -> None:
    """A copied context is on the same request and session, and leaves the original as it was."""
    app = make_app(fw)
    ctx = app.test_request_context("/path")
    with ctx:
        fw.session["a"] = 1
        copied = ctx.copy()
        assert type(copied) is type(ctx)
        assert copied is not ctx
        with copied:
            assert copied.request is ctx.request
            assert (fw.request.path, fw.session["a"]) == ("/path", 1)
        assert fw.request.path == "/path"


def test_a_copy_by_hand_ends_alone() -> None:
    """A copied context runs teardown_appcontext functions for its own `g`, and nothing of the
    original's end.
    """
    app = make_app()
    ctx = app.test_request_context()
    with ctx:
        g.user = "original"
        with ctx.copy():
            assert "user" not in g
        assert app.log == ["app ok"]
        assert g.user == "original"
    assert app.log == ["app ok", "request ok", "app ok"]


def with_upload(app: Any) -> tuple[Any, Any]:
    """A request context with an upload, and that upload's file."""
    data = {"f": (io.BytesIO(b"content"), "f.txt")}
    ctx = app.test_request_context("/", method="POST", data=data)
    return ctx, ctx.request.files["f"].stream


def test_a_copy_closes_nothing_of_the_original() -> None:
    """A copy's end, and that of its second life, leaves the original's uploads open; the original's
    closes them.
    """
    app = make_app()
    ctx, file = with_upload(app)
    with ctx:
        copied = ctx.copy()
        with copied:
            pass
        assert not file.closed
        with copied:
            assert request.files["f"].read() == b"content"
        assert not file.closed
    assert file.closed


def test_a_copy_outlives_the_original() -> None:
    """A copy that is entered before the original's end keeps uploads open until its own."""
    app = make_app()
    ctx, file = with_upload(app)
    ctx.push()
    copied = ctx.copy()
    ctx.pop()
    assert not file.closed
    with copied:
        assert request.files["f"].read() == b"content"
    assert file.closed


def test_a_copy_that_is_never_entered() -> None:
    """A copy that is dropped unused does not keep the uploads open."""
    app = make_app()
    ctx, file = with_upload(app)
    with ctx:
        ctx.copy()
        gc.collect()
    try:
        assert file.closed
    finally:
        file.close()


def test_copies_of_a_subclass() -> None:
    """A subclass's `copy` is the one that wrapped functions use."""

    class Own(demijohn.ctx.RequestContext):
        label = "original"

        def copy(self) -> Own:
            copied = super().copy()
            copied.label = "copied"  # type: ignore[attr-defined]
            return copied  # type: ignore[return-value]

    class App(demijohn.Demijohn):
        def request_context(self, environ: Any) -> Any:
            return Own(self, environ)

    app = App("own", static_folder=None)

    @app.get("/")
    def view() -> str:
        return str(in_thread(copy_current_request_context(lambda: request_ctx.label)))

    assert app.test_client().get("/").text == "copied"
