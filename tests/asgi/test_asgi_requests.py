"""A request over ASGI: async and sync functions mixed, where each runs, and its one end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from demijohn import (
    Demijohn,
    after_this_request,
    current_app,
    g,
    request,
    resource,
    session,
    stream_with_context,
)
from demijohn.globals import request_ctx

from .asgi_kit import Peer, ask, eventually, scope

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def here() -> str:
    return threading.current_thread().name


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("mixed")
    app.secret_key = "k"
    return app


@pytest.fixture
def log(app: Demijohn) -> list[Any]:
    """The events of ends, in the order in which they come."""
    log: list[Any] = []

    @app.teardown_request
    def request_ends(exc: BaseException | None) -> None:
        log.append(("request", type(exc).__name__, request.path))

    @app.teardown_appcontext
    async def app_ends(exc: BaseException | None) -> None:
        await asyncio.sleep(0)
        log.append(("app", type(exc).__name__, current_app.name))

    return log


def test_functions_of_both_kinds_see_one_context(app: Demijohn, log: list[Any]) -> None:
    """Sync and async hooks, view and after hooks share `g`, `request` and context variables."""

    @app.before_request
    def sync_before() -> None:
        g.seen = [here()]
        variable.set("by sync")

    @app.before_request
    async def async_before() -> None:
        await asyncio.sleep(0)
        g.seen.append(here())
        g.seen.append(variable.get())
        variable.set("by async")

    @app.get("/<int:number>")
    def view(number: int) -> Any:
        g.seen += [here(), variable.get(), number]
        session["number"] = number
        return {"path": request.path}

    @app.after_request
    async def after(response: Any) -> Any:
        await asyncio.sleep(0)
        response.headers["Seen"] = " ".join(map(str, g.seen))
        return response

    peer = asyncio.run(ask(app, "/7"))
    assert (peer.status, peer.data) == (200, b'{"path":"/7"}\n')
    assert peer.headers["seen"] == "mixed-sync-1 MainThread by sync mixed-sync-1 by async 7"
    assert "session=" in peer.headers["set-cookie"]
    assert log == [("request", "NoneType", "/7"), ("app", "NoneType", "mixed")]
    assert variable.get() == "unset"


def test_sync_functions_of_a_request_run_on_one_thread(app: Demijohn) -> None:
    """What a sync function opened on its thread, a sqlite3 connection say, the others may use."""
    threads: list[str] = []

    @app.before_request
    def before() -> None:
        threads.append(here())

    @app.before_request
    async def wait() -> None:
        g.other = asyncio.ensure_future(ask(app, "/none"))
        await asyncio.sleep(0.01)

    @app.get("/")
    def view() -> Iterator[str]:
        threads.append(here())

        def body() -> Iterator[str]:
            for _ in range(3):
                threads.append(here())
                yield "part"

        return body()

    @app.teardown_appcontext
    def end(exc: BaseException | None) -> None:
        threads.append(here())

    async def main() -> None:
        app.before_request_funcs[None].pop()
        await ask(app)
        assert len(threads) == 6 and len(set(threads)) == 1
        threads.clear()
        await asyncio.gather(*(ask(app) for _ in range(5)))
        assert len(threads) == 30 and len(set(threads)) <= 5

    asyncio.run(main())


def test_sync_functions_never_run_on_the_loop(app: Demijohn) -> None:
    """Hooks, views, handlers, teardown functions and steps of bodies that are sync run on threads;
    in none of them is an event loop running."""
    seen: list[bool] = []

    def note(*args: Any) -> Any:
        seen.append(asyncio._get_running_loop() is not None)
        return args[0] if args and not isinstance(args[0], BaseException) else None

    app.before_request(note)
    app.after_request(note)
    app.teardown_request(note)
    app.teardown_appcontext(note)
    app.url_value_preprocessor(note)

    @app.errorhandler(ZeroDivisionError)
    def handler(error: ZeroDivisionError) -> str:
        note()
        return "handled"

    @app.get("/")
    async def view() -> Any:
        after_this_request(note)
        raise ZeroDivisionError

    @app.get("/stream")
    def stream() -> Iterator[str]:
        note()
        return (str(note()) for _ in range(2))

    app.url_value_preprocessors[None] = [lambda endpoint, args: note()]
    assert asyncio.run(ask(app)).data == b"handled"
    assert seen == [False] * 7
    seen.clear()
    assert asyncio.run(ask(app, "/stream")).data == b"NoneNone"
    assert seen == [False] * 8


def test_async_functions_run_in_the_servers_task(app: Demijohn) -> None:
    """An async view finds the task of the server, so that timeouts and task groups work in it."""

    @app.get("/")
    async def view() -> Any:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            g.late = True
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(n)) for n in range(3)]
        return {"late": g.late, "children": [task.result() for task in tasks]}

    async def child(number: int) -> list[Any]:
        await asyncio.sleep(0)
        return [number, request.path]

    async def main() -> None:
        task = asyncio.current_task()
        seen: list[Any] = []
        app.before_request(lambda: None)
        app.before_request_funcs[None].append(_noting(seen))
        peer = await ask(app)
        assert peer.data == b'{"children":[[0,"/"],[1,"/"],[2,"/"]],"late":true}\n'
        assert seen == [task]
        assert task is not None and task.cancelling() == 0

    asyncio.run(main())


def _noting(seen: list[Any]) -> Any:
    async def note() -> None:
        seen.append(asyncio.current_task())

    return note


def test_requests_at_once_see_only_their_own(app: Demijohn, log: list[Any]) -> None:
    """Of two hundred requests under way together each sees its own `g`, `request` and variables."""
    gate = asyncio.Event()
    waiting: list[int] = []

    @app.before_request
    def before() -> None:
        assert request.view_args is not None
        g.number = request.view_args["number"]
        variable.set(str(g.number))

    @app.get("/<int:number>")
    async def view(number: int) -> Any:
        waiting.append(number)
        await gate.wait()
        return [g.number, number, request.path, variable.get()]

    async def main() -> list[Peer]:
        tasks = [asyncio.ensure_future(ask(app, f"/{n}")) for n in range(200)]
        await eventually(lambda: len(waiting) == 200)
        gate.set()
        return await asyncio.gather(*tasks)

    for number, peer in enumerate(asyncio.run(main())):
        assert peer.data == f'[{number},{number},"/{number}","{number}"]\n'.encode()
    assert len(log) == 400


def test_a_handler_sees_the_error_that_it_handles(app: Demijohn) -> None:
    """`sys.exc_info()` in a sync handler is the error, and its traceback is as it was raised."""
    seen: list[Any] = []

    @app.errorhandler(LookupError)
    def handler(error: LookupError) -> str:
        seen.append(sys.exc_info()[1] is error)
        return traceback.format_exc()

    @app.get("/")
    def view() -> str:
        raise LookupError("found nothing")

    text = asyncio.run(ask(app)).data.decode()
    assert seen == [True]
    assert text.endswith("LookupError: found nothing\n") and "in view" in text


def test_an_error_in_a_sync_and_an_async_view(app: Demijohn, log: list[Any]) -> None:
    """An error that nobody handles is a 500, logged once, told to the teardown functions."""

    @app.get("/<kind>")
    def view(kind: str) -> str:
        raise KeyError(kind)

    @app.get("/async")
    async def async_view() -> str:
        raise KeyError("async")

    for path in ("/sync", "/async"):
        log.clear()
        assert asyncio.run(ask(app, path)).status == 500
        assert log == [("request", "KeyError", path), ("app", "KeyError", "mixed")]


def test_an_error_leaves_the_application_where_it_propagates(app: Demijohn, log: list[Any]) -> None:
    """With `PROPAGATE_EXCEPTIONS` the server gets the error itself, after the end, and the
    variables that the request set."""
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/")
    async def view() -> str:
        variable.set("by the view")
        raise KeyError("mine")

    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            await ask(app)
        assert variable.get() == "by the view"
        assert not request_ctx

    asyncio.run(main())
    assert [what for what, *_ in log] == ["request", "app"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_errors_at_the_end_do_not_spoil_the_answer(
    app: Demijohn, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A good answer is sent although teardown functions raise; all of them run; each is logged."""
    ran: list[str] = []

    @app.get("/")
    def view() -> str:
        return "good"

    for name in ("first", "second"):
        if kind == "sync":

            def sync_end(exc: BaseException | None, name: str = name) -> None:
                ran.append(name)
                raise ValueError(name)

            app.teardown_request(sync_end)
        else:

            async def async_end(exc: BaseException | None, name: str = name) -> None:
                await asyncio.sleep(0)
                ran.append(name)
                raise ValueError(name)

            app.teardown_request(async_end)
    assert asyncio.run(ask(app)).data == b"good"
    assert ran == ["second", "first"]
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ran


def test_async_resources_live_on_the_servers_loop(app: Demijohn) -> None:
    """Two async functions of one request share an async resource; it is closed on their loop."""
    seen: list[Any] = []

    @app.resource
    async def client() -> Any:
        seen.append(("open", asyncio.get_running_loop()))
        yield object()
        await asyncio.sleep(0)
        seen.append(("close", asyncio.get_running_loop()))

    @app.before_request
    async def before() -> None:
        g.client = await client

    @app.get("/")
    async def view() -> str:
        return str(g.client is await client)

    async def main() -> Any:
        peer = await ask(app)
        assert peer.data == b"True"
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    assert seen == [("open", loop), ("close", loop)]


def test_sync_resources_of_sync_functions_stay_on_their_thread(app: Demijohn) -> None:
    """A resource that a sync view opened is closed on the thread that opened it."""
    seen: list[str] = []

    @resource
    def connection() -> Iterator[Any]:
        seen.append(here())
        yield {"a": 1}
        seen.append(here())

    @app.get("/")
    def view() -> Any:
        return connection["a"] and "opened"

    assert asyncio.run(ask(app)).data == b"opened"
    assert seen == ["mixed-sync-1", "mixed-sync-1"]


def test_overridden_steps_are_called(log: list[Any]) -> None:
    """A public step that is overridden is what a request comes through, on a thread."""
    steps: list[str] = []

    class App(Demijohn):
        def full_dispatch_request(self) -> Any:
            steps.append(f"full {here()}")
            return super().full_dispatch_request()

        def dispatch_request(self) -> Any:
            steps.append("dispatch")
            return super().dispatch_request()

        def do_teardown_request(self, *args: Any) -> None:
            steps.append("teardown")
            super().do_teardown_request(*args)

    app = App("steps")

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        return request.path

    assert asyncio.run(ask(app)).data == b"/"
    assert steps == ["full steps-sync-1", "dispatch", "teardown"]


def test_app_is_both(app: Demijohn) -> None:
    """Called with three arguments the application is ASGI, with two WSGI, with none a TypeError."""

    @app.get("/")
    def view() -> str:
        return "both"

    async def main() -> Peer:
        peer = Peer()
        await app(scope(), peer.receive, peer.send)
        return peer

    assert asyncio.run(main()).data == b"both"
    assert app.test_client().get("/").data == b"both"
    with pytest.raises(TypeError):
        app()  # type: ignore[call-overload]


def test_middleware_around_the_edge(app: Demijohn) -> None:
    """`app.asgi_app` can be wrapped, and the application's call goes through the wrapper."""
    inner = app.asgi_app

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        scope["path"] = "/inner"
        await inner(scope, receive, send)

    app.asgi_app = middleware

    @app.get("/inner")
    def view() -> str:
        return request.path

    assert asyncio.run(ask(app, "/outer")).data == b"/inner"


def test_a_context_found_at_the_edge_is_reported(app: Demijohn) -> None:
    """A request starts clean where the server's task has a context, and that is said once."""

    @app.get("/")
    def view() -> str:
        return str(hasattr(g, "left"))

    async def main() -> None:
        with app.app_context():
            g.left = True
            with pytest.warns(RuntimeWarning, match="was current when a request arrived"):
                assert (await ask(app)).data == b"False"

    asyncio.run(main())


def test_streams_with_context_off_the_edge(app: Demijohn) -> None:
    """An async generator keeps the request's context under `test_request_context` too."""
    ended: list[str] = []
    app.teardown_request(lambda exc: ended.append("ended"))

    async def parts() -> Any:
        for _ in range(2):
            yield request.path
            await asyncio.sleep(0)

    async def main() -> list[str]:
        with app.test_request_context("/kept"):
            stream = stream_with_context(parts())
        assert not request_ctx and not ended
        return [part async for part in stream]

    assert asyncio.run(main()) == ["/kept", "/kept"]
    assert ended == ["ended"]


def test_nothing_is_left_after_many_requests(app: Demijohn) -> None:
    """After a thousand requests there are no more threads than were needed, and no tasks."""

    @app.get("/")
    def view() -> str:
        return "x"

    async def main() -> None:
        for _ in range(20):
            await asyncio.gather(*(ask(app) for _ in range(50)))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        ours = [t for t in threading.enumerate() if t.name.startswith("mixed-sync")]
        assert 0 < len(ours) <= 50

    asyncio.run(main())


def test_the_time_that_threads_are_kept(app: Demijohn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that nobody needs end when others come back later."""
    from demijohn.serve import threads

    @app.get("/")
    def view() -> str:
        time.sleep(0.001)
        return "x"

    def ours() -> int:
        return sum(t.name.startswith("mixed-sync") for t in threading.enumerate())

    async def main() -> None:
        await asyncio.gather(*(ask(app) for _ in range(10)))
        before = ours()
        monkeypatch.setattr(threads, "IDLE", 0.0)
        await ask(app)
        await eventually(lambda: ours() < before)

    logging.getLogger("asyncio").setLevel(logging.WARNING)
    asyncio.run(main())
