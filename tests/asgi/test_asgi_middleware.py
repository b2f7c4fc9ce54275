"""An application context for each connection of another framework's ASGI application."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

from demijohn import (
    AppContextASGIMiddleware,
    ContextEnded,
    ContextWarning,
    Demijohn,
    app_ctx,
    current_app,
    g,
    has_app_context,
    has_request_context,
    in_child,
    on_commit,
    on_end,
    resource,
    url_for,
)

from .asgi_kit import DEADLINE, Peer, eventually, scope

Send = Callable[[dict[str, Any]], Awaitable[None]]
log: list[Any] = []


@resource
async def connection() -> AsyncIterator[list[str]]:
    """An async resource that takes its time to open and to close."""
    await asyncio.sleep(0)
    log.append("open")
    try:
        yield ["row"]
    finally:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append("closed")


@resource
def plain() -> Iterator[str]:
    log.append("open plain")
    yield "plain"
    log.append("closed plain")


@pytest.fixture
def shop() -> Demijohn:
    log.clear()
    shop = Demijohn("shop", static_folder=None)
    shop.config["SERVER_NAME"] = "shop.example"

    @shop.get("/orders/<int:number>")
    def order(number: int) -> str:
        return str(number)

    @shop.teardown_appcontext
    def ended(exc: BaseException | None) -> None:
        log.append((g.get("user"), app_ctx.outcome, type(exc).__name__))

    return shop


def of(shop: Demijohn, asgi_app: Any) -> AppContextASGIMiddleware:
    return AppContextASGIMiddleware(asgi_app, shop)


async def ask(asgi_app: Any, path: str = "/", peer: Peer | None = None, **more: Any) -> Peer:
    """One request, to its end; nothing of it is left where it was made."""
    peer = peer or Peer()
    async with asyncio.timeout(DEADLINE):
        await asgi_app(scope(path=path, **more), peer.receive, peer.send)
    assert not has_app_context()
    return peer


def answer(body: bytes = b"", status: int = 200) -> list[dict[str, Any]]:
    headers = [(b"content-length", str(len(body)).encode())]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]


# -- what works inside ----------------------------------------------------------------------------


def user(request: Request) -> None:
    # In a thread, as it is no coroutine function.
    g.user = request.query_params["user"]


async def rows() -> list[str]:
    return await connection


def fast_api() -> FastAPI:
    """Endpoints of every kind, each of which uses the context."""
    api = FastAPI()

    @api.get("/async", dependencies=[Depends(user)])
    async def on_the_loop(found: Annotated[list[str], Depends(rows)]) -> Any:
        await asyncio.sleep(0.001)
        return [current_app.name, g.user, has_request_context(), str(plain), found]

    @api.get("/sync", dependencies=[Depends(user)])
    def in_a_thread() -> Any:
        assert threading.current_thread() is not threading.main_thread()
        return [current_app.name, g.user, url_for("order", number=7), str(plain)]

    @api.get("/stream", dependencies=[Depends(user)])
    async def stream(request: Request) -> StreamingResponse:
        mine = app_ctx._get_current_object()

        async def parts() -> AsyncIterator[str]:
            for part in range(3):
                await asyncio.sleep(0)
                assert app_ctx == mine and not mine.ended
                yield f"{g.user} {part} {(await connection)[0]}\n"

        return StreamingResponse(parts())

    @api.get("/stream/sync", dependencies=[Depends(user)])
    def stream_from_threads() -> StreamingResponse:
        return StreamingResponse(f"{g.user} {part} {plain}\n" for part in range(3))

    @api.get("/fail", dependencies=[Depends(user)])
    async def fail() -> None:
        await connection
        raise LookupError("in the endpoint")

    return api


class Untouched(BaseHTTPMiddleware):
    """Starlette's base of middleware: what is inside runs in a task of its own."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        return await call_next(request)


def inside(shop: Demijohn, how: str) -> Any:
    """FastAPI with the middleware around it, as one of its own, or outside of another one."""
    api = fast_api()
    if how == "around":
        return of(shop, api)
    if how == "with a task inside":
        api.add_middleware(Untouched)
    api.add_middleware(AppContextASGIMiddleware, app=shop)
    if how == "with a task outside":
        api.add_middleware(Untouched)
    return api


HOW = pytest.mark.parametrize(
    "how", ["around", "added", "with a task inside", "with a task outside"]
)


@HOW
def test_endpoints_have_the_application(shop: Demijohn, how: str) -> None:
    """In async and sync endpoints and dependencies `current_app`, one `g`, `url_for` and resources
    work, async ones too; `request` is not there; the end comes once."""
    api = inside(shop, how)
    found = asyncio.run(ask(api, "/async?user=ann"))
    assert found.data == b'["shop","ann",false,"plain",["row"]]'
    assert log == ["open", "open plain", ("ann", "ok", "NoneType"), "closed plain", "closed"]
    log.clear()
    found = asyncio.run(ask(api, "/sync?user=bob"))
    assert found.data == b'["shop","bob","http://shop.example/orders/7","plain"]'
    assert log == ["open plain", ("bob", "ok", "NoneType"), "closed plain"]


@HOW
@pytest.mark.parametrize("path", ["/stream", "/stream/sync"])
def test_a_streamed_response_has_the_context_to_its_end(
    shop: Demijohn, how: str, path: str
) -> None:
    """Each step of a stream, in a task or in threads, sees its request's context; the end comes
    when the last byte was made, once."""
    api = inside(shop, how)
    peer = Peer()
    peer.on_send = lambda message: log.append(message.get("body", message["type"]))  # type: ignore[func-returns-value]
    asyncio.run(ask(api, f"{path}?user=ann", peer))
    word = "row" if path == "/stream" else "plain"
    parts = [f"ann {part} {word}\n".encode() for part in range(3)]
    kept = [entry for entry in log if entry not in ("open", "open plain")]
    end = ["closed"] if path == "/stream" else ["closed plain"]
    assert kept == ["http.response.start", *parts, ("ann", "ok", "NoneType"), *end, b""]


@HOW
def test_an_error_of_an_endpoint(shop: Demijohn, how: str) -> None:
    """An exception that leaves goes on to the server, after an end that was told of it. Where
    FastAPI has answered it with a 500 before, that was the end, and the outcome is "handled"."""
    with pytest.raises(LookupError, match="in the endpoint"):
        asyncio.run(ask(inside(shop, how), "/fail?user=ann"))
    end = ("handled", "NoneType") if how == "around" else ("error", "LookupError")
    assert log == ["open", ("ann", *end), "closed"]


def test_200_requests_at_once(shop: Demijohn) -> None:
    """Of 200 requests that are in their endpoints together, async and in threads, each sees its own
    context alone."""
    api = FastAPI()
    waiting: set[int] = set()
    all_here = asyncio.Event()

    async def meet(number: int) -> None:
        waiting.add(number)
        if len(waiting) == 200:
            all_here.set()
        await all_here.wait()

    @api.get("/async/{number}")
    async def on_the_loop(number: int) -> Any:
        g.number = number
        rows = await connection
        rows[0] = str(number)
        await meet(number)
        await asyncio.sleep(0)
        return [g.number, (await connection)[0]]

    def kept(number: int) -> None:
        g.number = number

    @api.get("/sync/{number}", dependencies=[Depends(kept), Depends(meet)])
    def in_a_thread(number: int) -> Any:
        return [g.number, str(plain)]

    async def main() -> list[Peer]:
        app = of(shop, api)
        paths = (f"/{('async', 'sync')[number % 2]}/{number}" for number in range(200))
        return await asyncio.gather(*(ask(app, path) for path in paths))

    for number, peer in enumerate(asyncio.run(main())):
        second = f'"{number}"' if number % 2 == 0 else '"plain"'
        assert peer.data == f"[{number},{second}]".encode()
    assert log.count((None, "ok", "NoneType")) == 200
    assert log.count("open") == log.count("closed") == 100
    assert log.count("open plain") == log.count("closed plain") == 100


def test_background_tasks_run_after_the_end(shop: Demijohn) -> None:
    """A background task finds the context ended: it can read, and cannot open a resource; one that
    was started with `in_child` has a context of its own."""
    shop.carry("user")
    api = FastAPI()

    def child() -> None:
        log.append(f"child of {g.user}, {plain}")

    @api.get("/")
    async def index(tasks: BackgroundTasks) -> str:
        g.user = "ann"

        async def late() -> None:
            log.append(f"late for {g.user}")
            with pytest.raises(ContextEnded):
                await connection

        tasks.add_task(late)
        tasks.add_task(in_child(child))
        return "done"

    asyncio.run(ask(of(shop, api)))
    assert log == [
        ("ann", "ok", "NoneType"),
        "late for ann",
        *("open plain", "child of ann, plain"),
        *(("ann", "ok", "NoneType"), "closed plain"),
    ]


def test_functions_of_the_end_of_both_kinds(shop: Demijohn) -> None:
    """Async functions of the end are awaited on the server's loop, sync ones are called on a
    thread, callbacks fire, all before the last byte is sent."""

    @shop.teardown_appcontext
    async def on_the_loop(exc: BaseException | None) -> None:
        await asyncio.sleep(0)
        log.append(("async", asyncio.get_running_loop() is loops[0], current_app.name))

    @shop.teardown_appcontext
    def in_a_thread(exc: BaseException | None) -> None:
        log.append(("sync", threading.current_thread() is threading.main_thread()))

    loops: list[Any] = []

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        on_commit(log.append, "commit")
        on_end(log.append, "end")
        for message in answer():
            await send(message)
        log.append("answered")

    peer = Peer()
    peer.on_send = lambda message: log.append(message["type"])  # type: ignore[func-returns-value]
    asyncio.run(ask(of(shop, endpoint), peer=peer))
    assert log == [
        "http.response.start",
        *(("sync", False), ("async", True, "shop"), (None, "ok", "NoneType"), "commit", "end"),
        *("http.response.body", "answered"),
    ]


def test_a_view_resource_is_not_held_while_a_body_streams(shop: Demijohn) -> None:
    """A resource of lifetime "view" is given back when a response without a length starts, and
    opened again at its next use."""

    @resource(lifetime="view")
    async def pooled() -> AsyncIterator[str]:
        log.append("take")
        try:
            yield "pooled"
        finally:
            await asyncio.sleep(0)
            log.append("give back")

    api = FastAPI()

    @api.get("/")
    async def index() -> StreamingResponse:
        await pooled

        async def parts() -> AsyncIterator[str]:
            yield "one"
            log.append("in the body")
            yield await pooled

        return StreamingResponse(parts())

    assert asyncio.run(ask(of(shop, api))).data == b"onepooled"
    assert log == [
        *("take", "give back", "in the body", "take"),
        *((None, "ok", "NoneType"), "give back"),
    ]


# -- every way out --------------------------------------------------------------------------------


class Stopped:
    """Awaits a coroutine and cancels it at one of its suspensions."""

    def __init__(self, coroutine: Any, at: int) -> None:
        self._coroutine = coroutine
        self._at = at
        self.suspensions = 0

    def __await__(self) -> Any:
        steps = self._coroutine.__await__()
        reply: Any = None
        error: BaseException | None = None
        while True:
            try:
                waits = steps.send(reply) if error is None else steps.throw(error)
            except StopIteration as stop:
                return stop.value
            self.suspensions += 1
            if self.suspensions == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            reply = error = None
            try:
                reply = yield waits
            except BaseException as raised:
                error = raised


async def using(scope: Any, receive: Any, send: Send) -> None:
    """An application that awaits in every phase of a request."""
    g.user = "ann"
    await connection
    await receive()
    await asyncio.sleep(0)
    await send(answer()[0] | {"headers": []})
    for _ in range(2):
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body"})
    await asyncio.sleep(0)


def test_cancelled_at_every_await(shop: Demijohn) -> None:
    """Wherever the server cancels, the context ends once, what it held is closed, nothing is left
    current or running, and the cancel comes out."""
    number, outcomes = 0, set()

    async def one() -> bool:
        peer = Peer()

        async def slowly() -> None:
            await asyncio.sleep(0)

        peer.on_send = lambda message: slowly()
        stopped = Stopped(of(shop, using)(scope(), peer.receive, peer.send), number)
        try:
            await stopped
            cancelled = False
        except asyncio.CancelledError:
            cancelled = True
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        assert not has_app_context()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert cancelled is (stopped.suspensions >= number)
        return cancelled

    number = 1
    while asyncio.run(one()):
        ends = [entry for entry in log if type(entry) is tuple]
        assert len(ends) == 1, (number, log)
        outcomes.add(ends[0][1:])
        assert log.count("open") == log.count("closed"), (number, log)
        log.clear()
        number += 1
    assert number > 8
    assert outcomes == {("cancelled", "CancelledError"), ("ok", "NoneType")}


def test_a_cancel_waits_for_the_end(shop: Demijohn) -> None:
    """A cancel that comes while the end runs does not cut it short."""
    begun, gate = threading.Event(), threading.Event()

    @shop.teardown_appcontext
    def slow(exc: BaseException | None) -> None:
        begun.set()
        assert gate.wait(DEADLINE)
        log.append("slow")

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        await connection
        for message in answer():
            await send(message)

    async def main() -> None:
        peer = Peer()
        task = asyncio.ensure_future(of(shop, endpoint)(scope(), peer.receive, peer.send))
        await eventually(begun.is_set)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["open", "slow", (None, "ok", "NoneType"), "closed"]


@pytest.mark.parametrize("told", ["by receive", "by send", "and cancelled", "in a request's body"])
def test_a_client_that_leaves(shop: Demijohn, told: str) -> None:
    """However an application is told that its client has left, the outcome is "disconnected", work
    is asked to stop, and nothing fires that waits for success."""
    api = FastAPI()

    @api.get("/")
    @api.post("/")
    async def index(request: Request) -> Any:
        await connection
        on_commit(log.append, "commit")
        if told == "in a request's body":
            async for _ in request.stream():
                pass

        async def parts() -> AsyncIterator[str]:
            while True:
                yield "part"
                await asyncio.sleep(0.001)
                if told == "by receive" and await request.is_disconnected():
                    log.append(app_ctx.cancel_reason)
                    return

        return StreamingResponse(parts())

    async def main() -> None:
        peer = Peer()
        version = {"asgi": {"version": "3.0", "spec_version": "2.4"}}
        if told == "in a request's body":
            peer.body = [b"a", b"b", b"c"]
            peer.leave()

        def on_send(message: Any) -> None:
            if len(peer.sent) == 3:
                if told == "by send":
                    raise OSError("gone")
                peer.leave()

        peer.on_send = on_send
        if told == "and cancelled":
            # As Starlette does itself for servers of an earlier version.
            version["asgi"]["spec_version"] = "2.1"
        try:
            await ask(of(shop, api), "/", peer, **version)
        except Exception as error:
            assert type(error).__name__ == "ClientDisconnect"

    asyncio.run(main())
    assert "commit" not in log
    assert [entry for entry in log if type(entry) is tuple] == [(None, "disconnected", "NoneType")]
    assert ("disconnect" in log) is (told == "by receive")
    assert log[-1] == "closed"


def test_a_server_cancels_because_the_client_has_left(shop: Demijohn) -> None:
    """A cancel after the server has told of the disconnect is one of those."""

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await asyncio.sleep(DEADLINE)

    async def main() -> None:
        peer = Peer()
        task = asyncio.ensure_future(of(shop, endpoint)(scope(), peer.receive, peer.send))
        peer.leave()
        await eventually(lambda: peer.asked == 2)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == [(None, "disconnected", "NoneType")]


def test_an_application_that_is_dropped(shop: Demijohn) -> None:
    """A coroutine that is closed instead of awaited to its end, as at the end of a loop, ends its
    context there, once."""

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        assert str(plain) == "plain"
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        peer = Peer()
        coroutine = of(shop, endpoint)(scope(), peer.receive, peer.send)
        coroutine.send(None)
        coroutine.close()
        assert not has_app_context()

    asyncio.run(main())
    assert log == ["open plain", (None, "error", "GeneratorExit")]


def test_a_coroutine_closed_in_another_context(shop: Demijohn) -> None:
    """The same where another thread closes it: the end comes there."""

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        peer = Peer()
        coroutine = of(shop, endpoint)(scope(), peer.receive, peer.send)
        coroutine.send(None)
        thread = threading.Thread(target=coroutine.close)
        thread.start()
        thread.join()
        assert log == [(None, "error", "GeneratorExit")]

    asyncio.run(main())
    gc.collect()
    assert len(log) == 1


@pytest.mark.parametrize("status", [404, 500, 503])
def test_the_status_tells_the_outcome(shop: Demijohn, status: int) -> None:
    """An answer of 500 or above is "handled", any other "ok"."""

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        for message in answer(status=status):
            await send(message)

    asyncio.run(ask(of(shop, endpoint)))
    assert log == [(None, "ok" if status == 404 else "handled", "NoneType")]


def test_an_error_of_the_end_is_logged(shop: Demijohn, caplog: pytest.LogCaptureFixture) -> None:
    """What a function of the end raises is logged; the others run and the answer is delivered."""

    @shop.teardown_appcontext
    async def broken(exc: BaseException | None) -> None:
        raise OSError("in teardown")

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        for message in answer(b"good"):
            await send(message)

    assert asyncio.run(ask(of(shop, endpoint))).data == b"good"
    assert "in teardown" in caplog.text
    assert log == [(None, "ok", "NoneType")]


def test_an_error_after_the_response(shop: Demijohn) -> None:
    """What a background task raises goes on to the server; the context has ended well before."""

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        for message in answer():
            await send(message)
        raise LookupError("late")

    with pytest.raises(LookupError, match="late"):
        asyncio.run(ask(of(shop, endpoint)))
    assert log == [(None, "ok", "NoneType")]


# -- WebSockets, the lifespan, what is found ------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "outcome"), [(1000, "ok"), (1001, "ok"), (1005, "ok"), (1006, "disconnected")]
)
@pytest.mark.parametrize("caught", [True, False])
def test_a_websocket_has_one_context(shop: Demijohn, code: int, outcome: str, caught: bool) -> None:
    """All messages of a WebSocket see one context, which ends with the connection."""
    api = FastAPI()

    @api.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        g.user = "ann"
        await websocket.accept()
        try:
            while True:
                text = await websocket.receive_text()
                await websocket.send_text(f"{text} {g.user} {(await connection)[0]}")
        except Exception:
            log.append(app_ctx.ended)
            if not caught:
                raise

    messages = iter(
        [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "one"},
            {"type": "websocket.receive", "text": "two"},
            {"type": "websocket.disconnect", "code": code},
        ]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message.get("text"))

    async def main() -> None:
        try:
            await of(shop, api)({**scope(), "type": "websocket"}, receive, send)
        except Exception as error:
            assert not caught and type(error).__name__ == "WebSocketDisconnect"
        assert not has_app_context()

    asyncio.run(main())
    assert sent == [None, "one ann row", "two ann row"]
    assert log == ["open", False, ("ann", outcome, "NoneType"), "closed"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_lifespan_passes_through(shop: Demijohn, kind: str) -> None:
    """The application's own lifespan runs, with no context; resources of lifetime "app" are closed
    after it, before the server is told."""

    @shop.resource(lifetime="app")
    def pool() -> Iterator[str]:
        log.append("open pool")
        yield "pool"
        log.append("closed pool")

    @shop.resource(lifetime="app")
    async def async_pool() -> AsyncIterator[str]:
        log.append("open pool")
        yield "pool"
        await asyncio.sleep(0)
        log.append("closed pool")

    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        assert not has_app_context()
        log.append("start")
        yield {"size": 3}
        log.append("stop")

    api = FastAPI(lifespan=asynccontextmanager(lifespan))

    @api.get("/")
    async def index(request: Request) -> str:
        found = str(pool) if kind == "sync" else await async_pool
        return f"{found} {request.state.size}"

    async def main() -> None:
        app = of(shop, api)
        asked: asyncio.Queue[Any] = asyncio.Queue()

        async def send(message: Any) -> None:
            log.append(message["type"])

        state: dict[str, Any] = {}
        task = asyncio.ensure_future(app({"type": "lifespan", "state": state}, asked.get, send))
        asked.put_nowait({"type": "lifespan.startup"})
        await eventually(lambda: len(log) == 2)
        assert (await ask(app, state=state)).data == b'"pool 3"'
        asked.put_nowait({"type": "lifespan.shutdown"})
        await task

    asyncio.run(main())
    end = (None, "ok", "NoneType")  # of the context that it was opened in, then of the request
    assert log == [
        *("start", "lifespan.startup.complete", "open pool", end, end),
        *("stop", "closed pool", "lifespan.shutdown.complete"),
    ]


def test_a_context_found_is_reported_and_not_used(shop: Demijohn) -> None:
    """A context that is current at this edge is not inherited, is reported once, and is current
    again afterwards."""
    seen: list[Any] = []

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        seen.append((app_ctx == outer, has_request_context(), "user" in g))
        for message in answer():
            await send(message)

    async def once() -> None:
        peer = Peer()
        await of(shop, endpoint)(scope(), peer.receive, peer.send)
        assert app_ctx == outer and has_request_context()

    with shop.test_request_context() as request_ctx:
        outer = request_ctx.app_ctx
        g.user = "the test"
        with pytest.warns(ContextWarning, match="was current when a request arrived"):
            asyncio.run(once())
        asyncio.run(once())
    assert seen == [(False, False, False)] * 2


def test_an_overridden_app_context_makes_it() -> None:
    """An application that makes its own contexts makes those of foreign requests too."""

    class App(Demijohn):
        def app_context(self) -> Any:  # type: ignore[override]
            ctx = super().app_context()
            ctx.g.user = "given"
            return ctx

    seen: list[Any] = []

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        seen.append(g.user)
        for message in answer():
            await send(message)

    asyncio.run(ask(of(App("own"), endpoint)))
    assert seen == ["given"]


def test_other_scopes_pass_through(shop: Demijohn) -> None:
    """A scope of another type is the application's alone."""
    seen: list[Any] = []

    async def endpoint(scope: Any, receive: Any, send: Send) -> None:
        seen.append((scope["type"], has_app_context()))

    peer = Peer()
    asyncio.run(of(shop, endpoint)({"type": "other"}, peer.receive, peer.send))
    assert seen == [("other", False)]
    assert log == []
