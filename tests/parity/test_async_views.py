"""Async functions under WSGI: the answers, the order and the errors are Flask's."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import flask
import pytest
from werkzeug.exceptions import Conflict

import demijohn

from .kit import Framework, make, same, serve

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def site(framework: Framework, kind: str) -> Any:
    """Hooks, handlers and views, async (`a`), sync (`s`) or alternating (`m`)."""
    app = make(framework)
    blueprint = framework.Blueprint("b", "site_of_parity", root_path="/nowhere", url_prefix="/b")
    turn = iter(range(1000))

    def of_kind(name: str, act: Callable[..., Any] = lambda *args: None) -> Any:
        def sync(*args: Any, **kwargs: Any) -> Any:
            app.log.append((name, framework.has_request_context(), VARIABLE.get()))
            VARIABLE.set(name)
            return act(*args, **kwargs)

        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return sync(*args, **kwargs)

        is_async = kind == "a" or (kind == "m" and next(turn) % 2 == 0)
        return asynchronous if is_async else sync

    def hook(scope: Any, name: str) -> None:
        def torn(error: BaseException | None) -> None:
            app.log.append(repr(error))

        scope.before_request(of_kind(f"{name} before", lambda: stop(framework)))
        scope.after_request(of_kind(f"{name} after", lambda response: marked(response, name)))
        scope.teardown_request(of_kind(f"{name} teardown", torn))
        scope.context_processor(of_kind(f"{name} context", lambda: {name: name}))
        scope.errorhandler(KeyError)(of_kind(f"{name} KeyError", lambda e: (f"{name} {e}", 422)))
        scope.errorhandler(409)(of_kind(f"{name} 409", lambda e: (f"{name} conflict", 409)))

    hook(app, "app")
    hook(blueprint, "b")
    app.teardown_appcontext(of_kind("appcontext", lambda error: app.log.append(repr(error))))

    def later() -> str:
        framework.after_this_request(of_kind("this request", lambda response: response))
        framework.session["a"] = framework.g.get("x", "none")
        return framework.request.args.get("q", "later")  # type: ignore[no-any-return]

    def fail(error: Exception) -> Any:
        raise error

    views: dict[str, Callable[..., Any]] = {
        "text": lambda: "text",
        "dict": lambda: {"a": 1},
        "tuple": lambda: ("t", 201, {"X-T": "1"}),
        "later": later,
        "template": lambda: framework.render_template_string("{{ app }}{{ b }}{{ request.path }}"),
        "none": lambda: None,
        "key": lambda: fail(KeyError("k")),
        "conflict": lambda: fail(Conflict()),
        "lookup": lambda: fail(LookupError("l")),
        "abort": lambda: framework.abort(418),
        "streamed": lambda: framework.stream_with_context(p for p in ("a", framework.request.path)),
        "stopped": lambda: "never",
    }
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, of_kind(name, view))
        blueprint.add_url_rule(f"/{name}", name, of_kind(f"b {name}", view))
    app.register_blueprint(blueprint)
    add_classes(framework, app)
    return app


def stop(framework: Framework) -> Any:
    framework.g.x = "g"
    return "stopped here" if framework.request.endpoint.endswith("stopped") else None


def marked(response: Any, name: str) -> Any:
    response.headers.add("X-After", name)
    return response


def add_classes(framework: Framework, app: Any) -> None:
    views = importlib.import_module(f"{framework.__name__}.views")

    class Own(views.View):  # type: ignore[misc,name-defined]
        async def dispatch_request(self, n: int) -> Any:
            await asyncio.sleep(0)
            return {"n": n}

    class Methods(views.MethodView):  # type: ignore[misc,name-defined]
        async def get(self) -> str:
            return "async get"

        def post(self) -> str:
            return "sync post"

    app.add_url_rule("/view/<int:n>", view_func=Own.as_view("view"))
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))


PATHS = [
    *("text", "dict", "tuple", "later?q=1", "template", "none", "key", "conflict", "lookup"),
    *("abort", "streamed", "stopped", "gone"),
]


# Async context processors under an async view: Flask refuses that, see below.
KINDS = [(path, kind) for path in PATHS for kind in "asm" if (path, kind) != ("template", "a")]


@pytest.mark.parametrize("prefix", ["", "b/"])
@pytest.mark.parametrize(("path", "kind"), KINDS)
def test_hooks_views_handlers(path: str, prefix: str, kind: str) -> None:
    """Async or not, the answer is Flask's, and functions run in its order.

    Of a stream only the answer is compared: its end comes after its last byte here.
    """

    def ask(framework: Framework) -> Any:
        served = serve(site(framework, kind), f"/{prefix}{path}")
        served.headers = [(n, v) for n, v in served.headers if n != "Set-Cookie"]
        if path == "streamed":
            served.log = []
        return served

    same(ask)


def test_async_inside_async() -> None:
    """An async function under an async view, which Flask refuses, runs here."""
    ours, theirs = (serve(site(f, "a"), "/b/template") for f in (demijohn, flask))
    assert (ours.status, ours.body) == ("200 OK", b"appb/b/template")
    assert theirs.status[:3] == "500"


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT"])
@pytest.mark.parametrize("path", ["/methods", "/view/3"])
def test_classes(path: str, method: str) -> None:
    """Async methods of views are called as Flask calls them."""

    def ask(framework: Framework) -> Any:
        served = serve(site(framework, "m"), path, method=method)
        allow = served.header("Allow") or ""
        served.headers = [(n, v) for n, v in served.headers if n != "Allow"]
        return served, sorted(allow.split(", "))

    same(ask)


def gathering(framework: Framework) -> Any:
    async def part(n: int) -> str:
        await asyncio.sleep(0)
        return f"{n}{framework.request.path}"

    async def view() -> str:
        return " ".join(await asyncio.gather(*(part(n) for n in range(3))))

    return view


def in_a_task(framework: Framework) -> Any:
    async def view() -> str:
        task = asyncio.create_task(asyncio.sleep(0, framework.request.method))
        return str(await task)

    return view


def in_a_thread(framework: Framework) -> Any:
    async def view() -> str:
        return await asyncio.to_thread(lambda: str(framework.request.path))

    return view


def copied(framework: Framework) -> Any:
    async def view() -> str:
        @framework.copy_current_request_context
        def path() -> str:
            return str(framework.request.path)

        return await asyncio.get_running_loop().run_in_executor(None, path)

    return view


def timed_out(framework: Framework) -> Any:
    async def view() -> str:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        except TimeoutError:
            return "timed out"
        return "never"

    return view


def returns_a_coroutine(framework: Framework) -> Any:
    async def inner() -> str:
        return "inner"

    def view() -> Any:
        coroutine = inner()
        coroutine.close()
        return coroutine

    return view


def calls_sync(framework: Framework) -> Any:
    async def inner() -> str:
        return str(framework.request.path)

    def view() -> str:
        return str(framework.current_app.ensure_sync(inner)())

    return view


VIEWS = [gathering, in_a_task, in_a_thread, copied, timed_out, returns_a_coroutine,
         calls_sync]  # fmt: skip


@pytest.mark.parametrize("make_view", VIEWS)
@pytest.mark.parametrize("testing", [False, True])
def test_what_views_await(make_view: Callable[..., Any], testing: bool) -> None:
    """What async views await, start and return has the answer, or the error, of Flask."""

    def ask(framework: Framework) -> Any:
        app = make(framework, TESTING=testing)
        app.add_url_rule("/x", "x", make_view(framework))
        served = serve(app, "/x")
        # Texts of errors are our own after their first words.
        served.error = served.error.partition(":")[0]
        return served

    served = same(ask)
    assert served.error or served.status[:3] in {"200", "500"}


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_of_views(error: type[BaseException]) -> None:
    """What is no `Exception` leaves the application in both."""

    def ask(framework: Framework) -> Any:
        app = make(framework)

        async def view() -> str:
            raise error("by hand")

        app.add_url_rule("/x", "x", view)
        with pytest.raises(error):
            serve(app, "/x")
        return True

    assert same(ask)


def test_async_receivers_of_signals() -> None:
    """Async receivers of a request's signals run, with the request at hand."""

    def ask(framework: Framework) -> Any:
        app = make(framework)
        app.add_url_rule("/x", "x", lambda: framework.render_template_string("x"))
        signals = importlib.import_module(f"{framework.__name__}.signals")
        connected = ExitStack()
        for name in ("request_started", "request_finished", "request_tearing_down",
                     "before_render_template", "template_rendered",
                     "appcontext_pushed", "appcontext_popped"):  # fmt: skip

            async def receive(sender: Any, name: str = name, **kwargs: Any) -> None:
                await asyncio.sleep(0)
                app.log.append((name, sender is app, framework.has_request_context()))

            connected.enter_context(getattr(signals, name).connected_to(receive, app))
        with connected:
            return serve(app, "/x")

    assert len(same(ask).log) == 7
