"""An application in Tornado: served by its `WSGIContainer`, and used in its own handlers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.wsgi import WSGIContainer

import demijohn
from demijohn import (
    ContextField,
    app_ctx,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
)

COUNT = 20
"""Requests that are under way at the same time."""
PATIENCE = 60.0  # seconds

number = ContextField("number", default=-1)


@contextmanager
def tornado(make: Callable[[], Any]) -> Iterator[Callable[[str], Any]]:
    """Serve what `make` returns, called on the loop's thread; gives a function that gets a page."""
    ready = threading.Event()
    running: dict[str, Any] = {}

    async def main() -> None:
        [socket] = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(make())
        server.add_sockets([socket])
        running.update(
            port=socket.getsockname()[1], loop=asyncio.get_running_loop(), over=asyncio.Event()
        )
        ready.set()
        await running["over"].wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=[main()], name="tornado")
    thread.start()
    assert ready.wait(PATIENCE)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(path: str) -> Any:
        with opener.open(f"http://127.0.0.1:{running['port']}{path}", timeout=PATIENCE) as answer:
            return json.load(answer)

    try:
        yield get
    finally:
        running["loop"].call_soon_threadsafe(running["over"].set)
        thread.join()


def get_all(get: Callable[[str], Any], path: str) -> list[Any]:
    """What COUNT requests at once are answered; `{}` in the path stands for each one's number."""
    with ThreadPoolExecutor(COUNT) as clients:
        return list(clients.map(lambda mine: get(path.format(mine)), range(COUNT)))


def served_app() -> tuple[Any, list[str]]:
    """An application whose streamed bodies end together, and the log of its ends."""
    app = demijohn.Demijohn("served", static_folder=None)
    log: list[str] = []
    arrived: list[int] = []

    @app.teardown_appcontext
    def note(exc: BaseException | None) -> None:
        log.append(f"{number.get()} {exc}")

    @app.get("/stream/<int:mine>")
    def stream(mine: int) -> Any:
        g.mine = mine
        number.set(mine)

        def body() -> Iterator[str]:
            yield "["
            arrived.append(mine)
            until = time.monotonic() + PATIENCE
            # A step after the other, so that the bodies take turns, also on one thread.
            while len(arrived) < COUNT and time.monotonic() < until:
                assert (g.mine, number.get(), request.path) == (mine, mine, f"/stream/{mine}")
                yield ""
            yield f"{g.mine}, {number.get()}, {json.dumps(request.path)}]"

        return app.response_class(body(), mimetype="application/json")

    @app.get("/async/<int:mine>")
    async def asynchronous(mine: int) -> Any:
        g.mine = mine
        await asyncio.sleep(0)
        return [g.mine, request.path, current_app.name]

    @app.get("/left")
    def left() -> Any:
        return {"mine": g.get("mine"), "number": number.get()}

    return app, log


@contextmanager
def no_executor() -> Iterator[None]:
    yield None


@pytest.fixture(params=[no_executor, lambda: ThreadPoolExecutor(4)], ids=["loop", "executor"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    with request.param() as executor:
        yield executor


def test_the_container_keeps_streams_apart(executor: Executor | None) -> None:
    """Bodies that Tornado steps in turn, on its loop's thread or on any of an executor's, each see
    their own request, and each context ends once."""
    app, log = served_app()
    with tornado(lambda: WSGIContainer(app, executor)) as get:
        found = get_all(get, "/stream/{}")
        assert get("/left") == {"mine": None, "number": -1}
    assert found == [[mine, mine, f"/stream/{mine}"] for mine in range(COUNT)]
    assert sorted(log) == sorted([*(f"{mine} None" for mine in range(COUNT)), "-1 None"])


def test_the_container_runs_async_views(executor: Executor | None) -> None:
    """An async view runs under a loop that is running already, with its own request."""
    app, log = served_app()
    with tornado(lambda: WSGIContainer(app, executor)) as get:
        found = get_all(get, "/async/{}")
    assert found == [[mine, f"/async/{mine}", "served"] for mine in range(COUNT)]
    assert len(log) == COUNT


class Interleaved(RequestHandler):
    """Opens a context, and meets all others between its steps."""

    def initialize(self, app: Any, seen: list[Any], meet: asyncio.Barrier) -> None:
        self.app, self.seen, self.meet = app, seen, meet

    async def get(self, mine: str) -> None:
        assert not has_app_context()
        with self.app.app_context() as ctx:
            g.mine = mine
            number.set(int(mine))
            for _ in range(3):
                await self.meet.wait()
                assert app_ctx == ctx and g.mine == mine
            inner = await asyncio.create_task(self.read())
            found = [g.mine, number.get(), current_app.name, inner, has_request_context()]
        self.seen.append(has_app_context())
        self.write(json.dumps(found))

    async def read(self) -> str:
        await self.meet.wait()
        value: str = g.mine
        return value


def test_handlers_that_interleave_each_have_their_own() -> None:
    """`with app.app_context()` in Tornado's async handlers: each sees its own across its awaits, a
    task that it starts sees it too, and each ends once."""
    app = demijohn.Demijohn("handlers", static_folder=None)
    seen: list[Any] = []
    log: list[int] = []
    app.teardown_appcontext(lambda exc: log.append(number.get()))

    def make() -> Application:
        options = {"app": app, "seen": seen, "meet": asyncio.Barrier(COUNT)}
        return Application([(r"/(\d+)", Interleaved, options)], log_function=lambda handler: None)

    with tornado(make) as get:
        found = get_all(get, "/{}")
    assert found == [[str(mine), mine, "handlers", str(mine), False] for mine in range(COUNT)]
    assert seen == [False] * COUNT
    assert sorted(log) == list(range(COUNT))


def test_both_in_one_server() -> None:
    """A handler that has a context open leaves a request of the container without it."""
    app, log = served_app()

    class Both(RequestHandler):
        async def get(self) -> None:
            with app.app_context():
                g.mine = "handler"
                found: list[Any] = []
                status: list[str] = []
                environ = WSGIContainer(app).environ(self.request)
                environ["PATH_INFO"] = "/left"
                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(
                    None, app, environ, lambda code, headers: status.append(code)
                )
                found = json.loads(b"".join(body))
                self.write(json.dumps([status, found, g.mine]))

    with tornado(lambda: Application([("/", Both)], log_function=lambda handler: None)) as get:
        assert get("/") == [["200 OK"], {"mine": None, "number": -1}, "handler"]
    assert log == ["-1 None", "-1 None"]
