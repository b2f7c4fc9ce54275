"""What code in and around a WebSocket's view sees: registration, the proxy, message contexts."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import pytest
from socket_wire import Wire, make_app, run, talk, talking, until

from demijohn import (
    Blueprint,
    Demijohn,
    SessionReadOnly,
    WebSocket,
    WebSocketDisconnected,
    app_ctx,
    g,
    has_request_context,
    has_websocket_context,
    in_child,
    request,
    resource,
    session,
    task_group,
    websocket,
)
from demijohn.views import View

# -- registration ---------------------------------------------------------------------------------


def sync_view() -> None:
    raise AssertionError


class SyncClass(View):
    def dispatch_request(self) -> str:
        return ""


@pytest.mark.parametrize("view", [sync_view, SyncClass.as_view("sync_view")])
def test_sync_views_are_refused(view: Any) -> None:
    """A view that is no `async def` is refused where it is registered, on blueprints too; the
    message shows the right line."""
    for part in (make_app(), Blueprint("bp", __name__)):
        with pytest.raises(TypeError, match=r"async def sync_view\(\.\.\.\)"):
            part.websocket("/")(view)


def test_async_decorators_are_taken() -> None:
    """A decorated view is taken if the decorator gives an async function."""

    def decorator(f: Any) -> Any:
        @functools.wraps(f)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await f(*args, **kwargs)

        return wrapper

    app = make_app()

    @app.websocket("/")
    @decorator
    async def view() -> None:
        await websocket.accept()

    assert talk(app, "/").close == (1000, "")


def test_methods_are_refused() -> None:
    """A WebSocket has no methods."""
    with pytest.raises(TypeError, match="methods"):
        make_app().websocket("/", methods=["POST"])(receives)


async def receives() -> None:
    await websocket.receive()


def test_options_of_a_rule() -> None:
    """Endpoint, defaults and subdomain are those of other rules; a wrong option is refused."""
    app = make_app()
    seen: list[Any] = []

    @app.websocket("/<name>", endpoint="named", defaults={"page": 1})
    async def view(name: str, page: int) -> None:
        seen.append((name, page, websocket.endpoint))
        await websocket.accept()

    talk(app, "/ada")
    assert seen == [("ada", 1, "named")]
    for wrong in ({"deadline": -1}, {"on_disconnect": "stop"}):
        with pytest.raises(ValueError, match=str(next(iter(wrong)))):
            make_app().add_websocket("/", "x", receives, **wrong)


def test_a_taken_endpoint_names_both_places() -> None:
    """Two views of one endpoint are a conflict, whatever kinds they are of."""
    app = make_app()
    app.add_url_rule("/page", "same", sync_view)
    with pytest.raises(AssertionError, match="overwriting an existing endpoint"):
        app.add_websocket("/socket", "same", receives)


def test_registration_ends_with_the_first_connection() -> None:
    """After the first connection nothing more is registered."""
    app = make_app()
    app.add_websocket("/", "view", receives)
    talk(app, "/", "x")
    with pytest.raises(AssertionError, match="can no longer be called"):
        app.websocket("/other")(receives)


def test_a_class_of_ones_own() -> None:
    """`websocket_class` is what `websocket` stands for."""

    class Mine(WebSocket):
        @property
        def room(self) -> str:
            return self.args["room"]

    class App(Demijohn):
        websocket_class = Mine

    app = App("mine", static_folder=None)
    seen: list[Any] = []

    @app.websocket("/")
    async def view() -> None:
        seen.append(websocket.room)  # type: ignore[attr-defined]
        await websocket.accept()

    talk(app, "/?room=tea")
    assert seen == ["tea"]


# -- the proxy ------------------------------------------------------------------------------------


def test_the_proxy_outside() -> None:
    """Outside a WebSocket the proxy raises the explained error, in a request too; truth and `repr`
    do not."""
    app = make_app()

    def look() -> None:
        with pytest.raises(RuntimeError) as error:
            websocket.path  # noqa: B018
        assert str(error.value).startswith("Working outside of websocket context.")
        assert "@app.websocket" in str(error.value)
        assert not websocket
        assert not has_websocket_context()
        assert repr(websocket) == "<LocalProxy unbound>"

    look()
    with app.test_request_context():
        look()


def test_a_made_up_websocket() -> None:
    """A WebSocket that no server made tells what a request tells, and has no connection."""
    app = make_app()
    environ = {"HTTP_HOST": "localhost", "PATH_INFO": "/x", "wsgi.url_scheme": "https"}
    made = app.websocket_class(environ)  # type: ignore[arg-type]
    assert made.url == "wss://localhost/x"
    with pytest.raises(RuntimeError, match="made-up"):
        asyncio.run(made.receive())


def test_contexts_of_tasks() -> None:
    """A task group's tasks and `in_child` see the WebSocket, with `g` and session of their own, and
    may use its connection; `request` is there too."""
    app = make_app()
    app.carry("user")
    seen: list[Any] = []

    async def child(name: str) -> None:
        seen.append((name, g.user, "local" in g, session.get("a"), websocket.args["q"]))
        assert has_websocket_context() and has_request_context()
        assert request.view_args == {"n": 1}
        with pytest.raises(SessionReadOnly):
            session["b"] = 1
        g.local = name
        await websocket.send(name)

    @app.websocket("/<int:n>")
    async def view(n: int) -> None:
        session["a"] = 1
        g.user, g.local = "ada", "mine"
        await websocket.accept()
        async with task_group() as tg:
            tg.create_task(child("one"))
        await in_child(child)("two")
        assert g.local == "mine"

    wire = talk(app, "/1?q=2")
    assert wire.messages == ["one", "two"]
    assert seen == [("one", "ada", False, 1, "2"), ("two", "ada", False, 1, "2")]


# -- message contexts -----------------------------------------------------------------------------


log: list[Any] = []


@resource
def connection() -> Iterator[str]:
    log.append("open")
    yield "it"
    log.append("close")


def make_logged_app() -> Demijohn:
    log.clear()
    app = make_app()
    app.carry("user")
    app.teardown_websocket(lambda error: log.append(("websocket", app_ctx.outcome)))
    app.teardown_appcontext(lambda error: log.append(("end", app_ctx.outcome)))
    return app


def test_a_message_has_a_context_of_its_own() -> None:
    """Each block has its own `g` with what is carried, opens resources late, and closes them and
    runs the app context's teardown functions at its end; the connection's are untouched."""
    app = make_logged_app()

    @app.websocket("/")
    async def view() -> None:
        g.user, g.local = "ada", "connection"
        outer = app_ctx._get_current_object()
        async for message in websocket:
            async with websocket.message_context():
                assert g.user == "ada"
                assert "local" not in g
                assert app_ctx._get_current_object() is not outer
                g.local = message
                log.append((message, str(connection)))
                await websocket.send(message)
            assert g.local == "connection"
            assert app_ctx._get_current_object() is outer

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            for n in ("1", "2"):
                wire.say(n)
                assert (await wire.hears(int(n)))[-1] == n
            wire.leave(1000)
        assert wire.close is None

    run(main)
    assert log == [
        *("open", ("1", "it"), ("end", "ok"), "close"),
        *("open", ("2", "it"), ("end", "ok"), "close"),
        *(("websocket", "ok"), ("end", "ok")),
    ]


def test_a_message_that_fails() -> None:
    """An error in a block ends the message's context with it; the view may go on."""
    app = make_logged_app()

    @app.websocket("/")
    async def view() -> None:
        for _ in range(2):
            try:
                async with websocket.message_context():
                    str(connection)
                    if await websocket.receive() == "bad":
                        raise LookupError
            except LookupError:
                await websocket.send("sorry")

    assert talk(app, "/", "bad", "good").messages == ["sorry"]
    assert log == [
        *("open", ("end", "error"), "open", ("end", "ok"), "close"),
        *(("websocket", "ok"), ("end", "ok")),
    ]


def test_a_client_that_leaves_in_a_message() -> None:
    """A block goes on to its end when the client leaves, and is told so where it asks; after it the
    view is told."""
    app = make_logged_app()
    go = asyncio.Event()

    @app.websocket("/")
    async def view() -> None:
        message = await websocket.receive()
        async with websocket.message_context():
            str(connection)
            await go.wait()
            log.append((message, app_ctx.cancel_reason))
        await asyncio.sleep(3600)

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            wire.say("order")
            await until(lambda: "open" in log)
            wire.leave(1006)
            await until(lambda: wire.gone)
            await asyncio.sleep(0.02)
            go.set()

    run(main)
    assert log == [
        *("open", ("order", "disconnect"), ("end", "ok"), "close"),
        *(("websocket", "disconnected"), ("end", "disconnected")),
    ]


def test_a_send_to_nobody_ends_a_message() -> None:
    """A block that sends to a client that left ends with the outcome "disconnected"."""
    app = make_logged_app()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        async with websocket.message_context():
            with pytest.raises(WebSocketDisconnected):
                await websocket.receive()
            await websocket.send("x")

    talk(app, "/", leave=1006)
    assert log == [("end", "disconnected"), ("websocket", "disconnected"), ("end", "disconnected")]


def test_a_deadline_of_a_message() -> None:
    """`deadline=` limits one message's work, and not the connection's."""
    app = make_logged_app()

    @app.websocket("/")
    async def view() -> None:
        async with websocket.message_context(deadline=60):
            assert app_ctx.remaining() is not None
            assert 50 < (app_ctx.remaining() or 0) <= 60
        assert app_ctx.remaining() is None
        await websocket.accept()

    assert talk(app, "/").close == (1000, "")


def test_a_message_that_takes_too_long() -> None:
    """The deadline of a message interrupts what its block waits for, and nothing else."""
    app = make_app()
    outcomes: list[str] = []

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        outcomes.append(app_ctx.outcome)

    @app.websocket("/")
    async def view() -> None:
        for _ in range(2):
            message = await websocket.receive()
            try:
                async with websocket.message_context(deadline=0.01):
                    if message == "own":
                        raise TimeoutError(message)
                    await asyncio.Event().wait()
            except TimeoutError as error:
                await websocket.send(type(error).__name__)

    assert talk(app, "/", "long", "own").messages == [
        "DeadlineExceeded",
        "TimeoutError",
    ]
    assert outcomes == ["deadline", "error", "ok"]


def test_messages_in_tasks() -> None:
    """Message contexts work in several tasks of one connection at once."""
    app = make_logged_app()

    async def work(n: int) -> None:
        async with websocket.message_context():
            g.n = n
            await asyncio.sleep(0)
            await websocket.send(str(g.n))

    @app.websocket("/")
    async def view() -> None:
        async with task_group() as tg:
            for n in range(5):
                tg.create_task(work(n))

    assert sorted(talk(app, "/").messages) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("kind", ["message", "task", "in_child", "script"])
def test_async_teardown_functions_of_children(kind: str) -> None:
    """An async teardown function of a context that ends in a coroutine is awaited on its loop, in
    its order among the others, and the loop goes on meanwhile; what it raises comes out."""
    app = make_app()
    seen: list[Any] = []
    free = asyncio.Event()

    @app.teardown_appcontext
    def last(error: BaseException | None) -> None:
        seen.append("last")

    @app.teardown_appcontext
    async def second(error: BaseException | None) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(free.set)
        await free.wait()
        seen.append(("second", loop, g.get("name")))

    @app.teardown_appcontext
    def first(error: BaseException | None) -> None:
        seen.append("first")
        raise LookupError("in the end")

    async def child() -> None:
        g.name = "child"

    async def work() -> None:
        if kind == "message":
            async with websocket.message_context():
                await child()
        elif kind == "task":
            async with task_group() as tg:
                tg.create_task(child())
        elif kind == "in_child":
            await in_child(child)()
        else:
            async with app.app_context(nested="new"):
                await child()

    @app.websocket("/")
    async def view() -> None:
        loop = asyncio.get_running_loop()
        try:
            await work()
        except* LookupError:
            pass
        assert seen == ["first", ("second", loop, "child"), "last"]
        await websocket.send("seen")

    assert talk(app, "/").messages == ["seen"]
