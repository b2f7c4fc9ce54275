"""Every way out of a WebSocket ends its context once, with the right outcome and close code."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from socket_wire import PATIENCE, Wire, make_app, run, talk, talking, until

from demijohn import (
    Demijohn,
    WebSocketDisconnected,
    abort,
    app_ctx,
    g,
    got_request_exception,
    request,
    resource,
    task_group,
    websocket,
)


def test_a_value_that_reaches_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What a view returns for a connection that it accepted or closed is in the log, once for each
    endpoint; what refuses a connection is not, and neither is None."""
    app = make_app()

    @app.websocket("/<what>")
    async def view(what: str) -> Any:
        if what == "refused":
            return "no", 401
        await (websocket.close(4001) if what == "closed" else websocket.accept())
        return None if what == "quiet" else ("bye", 200)

    @app.before_websocket
    async def before() -> Any:
        if request.path == "/before":
            await websocket.accept()
            return {}
        return None

    app.add_websocket("/other/<what>", "other", view)
    assert talk(app, "/refused").close is None
    assert talk(app, "/quiet").close == (1000, "")
    assert not caplog.messages
    for path, code in {"/accepted": 1000, "/closed": 4001, "/before": 1000}.items():
        assert talk(app, path).close == (code, "")
    (message,) = caplog.messages
    assert "'view'" in message and "(tuple) is dropped" in message
    talk(app, "/other/accepted")
    assert "'other'" in caplog.messages[1]


class Ends:
    """What the ends of an application's contexts were: one record an end."""

    def __init__(self, app: Demijohn) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.released: list[str] = []
        app.before_websocket(self.mark)
        app.teardown_websocket(self.teardown_websocket)
        app.teardown_appcontext(self.teardown)

    def mark(self) -> None:
        g.connections_own = True

    async def teardown_websocket(self, error: BaseException | None) -> None:
        await asyncio.sleep(0)
        assert request.path
        self.seen.append(("websocket", app_ctx.outcome, type(error).__name__))

    def teardown(self, error: BaseException | None) -> None:
        if "connections_own" in g:  # children have ends of their own
            self.seen.append(("context", app_ctx.outcome, type(error).__name__))

    def assert_one(self, outcome: str, error: str = "NoneType") -> None:
        assert self.seen == [("websocket", outcome, error), ("context", outcome, error)]
        assert self.released == ["closed"]


ends: Ends


@resource
def held() -> Iterator[dict[str, Any]]:
    try:
        yield {}
    finally:
        ends.released.append("closed")


async def returns() -> None:
    held["x"] = 1
    await websocket.send("x")


async def raises() -> None:
    await returns()
    raise LookupError("a fault")


async def aborts() -> None:
    held["x"] = 1
    abort(403)


async def aborts_late() -> None:
    await returns()
    abort(404)


async def fails_late() -> None:
    await returns()
    abort(503)


async def closes() -> None:
    await returns()
    await websocket.close(4001, "bye")


async def closes_and_sends() -> None:
    await closes()
    await websocket.send("too late")


async def closes_in_tasks() -> None:
    async with task_group() as tg:
        tg.create_task(asyncio.sleep(3600))
        await closes()


async def a_task_closes() -> None:
    async with task_group() as tg:
        tg.create_task(closes())
        while True:
            await websocket.receive()


async def closes_and_works() -> None:
    await closes()
    await asyncio.sleep(0.01)
    held["worked"] = True


async def receives() -> None:
    held["x"] = 1
    while True:
        await websocket.receive()


async def catches() -> None:
    try:
        await receives()
    except WebSocketDisconnected:
        # What it awaits after that is not interrupted.
        await asyncio.sleep(0.01)
        g.cleaned = True


async def works() -> None:
    await returns()
    await asyncio.Event().wait()


async def in_tasks() -> None:
    held["x"] = 1
    async with task_group() as tg:
        tg.create_task(receives_in_a_task())
        tg.create_task(asyncio.sleep(3600))


async def receives_in_a_task() -> None:
    async for _ in websocket:
        pass


async def asks() -> None:
    await returns()
    while True:
        app_ctx.check()
        try:
            async with asyncio.timeout(0.005):
                await asyncio.sleep(1)
        except TimeoutError:
            pass


async def cancels_itself() -> None:
    await returns()
    app_ctx.cancel()
    await asyncio.sleep(3600)


# View; None, or the code with which the client leaves; then close code, outcome and error.
WAYS: dict[str, tuple[Callable[..., Any], int | None, int | None, str, str]] = {
    "returns": (returns, None, 1000, "ok", "NoneType"),
    "raises": (raises, None, 1011, "error", "LookupError"),
    "aborts": (aborts, None, None, "ok", "NoneType"),
    "aborts late": (aborts_late, None, 1008, "error", "NotFound"),
    "fails late": (fails_late, None, 1011, "error", "ServiceUnavailable"),
    "closes": (closes, None, 4001, "ok", "NoneType"),
    "sends after its close": (closes_and_sends, None, 4001, "ok", "NoneType"),
    "closes in a task group": (closes_in_tasks, None, 4001, "ok", "NoneType"),
    "a task closes": (a_task_closes, None, 4001, "ok", "NoneType"),
    "closes and works": (closes_and_works, None, 4001, "ok", "NoneType"),
    "the client leaves in receive": (receives, 1001, None, "disconnected", "NoneType"),
    "the client is lost in receive": (receives, 1006, None, "disconnected", "NoneType"),
    "the view catches that": (catches, 1006, None, "ok", "NoneType"),
    "the client leaves while the view works": (works, 1001, None, "disconnected", "NoneType"),
    "the client leaves tasks": (in_tasks, 1006, None, "disconnected", "NoneType"),
    "the client says goodbye to tasks": (in_tasks, 1000, None, "disconnected", "NoneType"),
    "a view that asks is told": (asks, 1006, None, "disconnected", "NoneType"),
    "the view cancels itself": (cancels_itself, None, 1013, "cancelled", "Cancelled"),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_out(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever ends a view: its context ends once, its resource closes once, the client is told the
    code, and only an error of the view's own is logged."""
    global ends
    app = make_app()
    ends = Ends(app)
    view, leave, code, outcome, error = WAYS[way]
    app.add_websocket("/", "view", view)
    wire = talk(app, "/", leave=leave)
    ends.assert_one(outcome, error)
    assert wire.close == (None if code is None else (code, wire.close[1] if wire.close else ""))
    logged = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert logged == ([LookupError] if way == "raises" else [])


def test_the_client_is_lost_while_the_view_sends() -> None:
    """A server that raises for a message to a client that left ends the view quietly."""
    global ends
    app = make_app()
    ends = Ends(app)

    @app.websocket("/")
    async def view() -> None:
        await returns()
        for _ in range(3):
            await websocket.send("y")

    async def main() -> None:
        wire = Wire()
        wire.reads.clear()
        async with talking(app, wire):
            await asyncio.sleep(0.01)
            wire.gone = True
            wire.reads.set()
        assert wire.sent == []

    app.before_websocket(lambda: held.update(x=1))
    run(main)
    ends.assert_one("disconnected")


def test_a_client_that_left_before_the_accept() -> None:
    """A client that is gone when the connection is accepted ends the view; one that is gone at once
    is never looked at."""
    global ends
    app = make_app()
    ends = Ends(app)
    app.add_websocket("/", "view", receives)

    async def main() -> None:
        wire = Wire()
        wire.gone = True
        async with talking(app, wire):
            pass
        assert wire.sent == []
        ends.assert_one("disconnected")
        at_once = Wire()
        at_once._to_app.get_nowait()
        at_once.leave(1006)
        async with talking(app, at_once):
            pass
        assert len(ends.seen) == 2

    run(main)


def test_a_deadline() -> None:
    """The `deadline` of a rule ends the connection, with 1013; `REQUEST_DEADLINE` does not."""
    global ends
    app = make_app(REQUEST_DEADLINE=0.01)
    ends = Ends(app)
    app.add_websocket("/short", "short", works, deadline=0.05)
    seen: list[Any] = []

    @app.websocket("/long")
    async def long() -> None:
        await websocket.accept()
        await asyncio.sleep(0.05)
        seen.append(app_ctx.deadline)

    wire = talk(app, "/short")
    assert wire.close == (1013, "deadline")
    ends.assert_one("deadline", "DeadlineExceeded")
    assert talk(app, "/long").close == (1000, "")
    assert seen == [None]


def test_going_on_without_the_client() -> None:
    """With `on_disconnect="continue"` the view goes on, and its context is not cancelled."""
    app = make_app()
    done: list[Any] = []
    go = asyncio.Event()

    @app.websocket("/", on_disconnect="continue")
    async def view() -> None:
        await websocket.accept()
        await go.wait()
        done.append(app_ctx.cancelled)
        with pytest.raises(WebSocketDisconnected):
            await websocket.send("x")
        await asyncio.sleep(0.01)
        done.append("done")

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            wire.leave(1006)
            await until(lambda: wire.gone)
            await asyncio.sleep(0.02)
            go.set()

    run(main)
    assert done == [False, "done"]


def test_the_context_is_cancelled_from_another_thread() -> None:
    """`ctx.cancel()` from any thread ends a connection that waits."""
    global ends
    app = make_app()
    ends = Ends(app)
    app.add_websocket("/", "view", works)
    contexts: list[Any] = []
    app.before_websocket(lambda: contexts.append(app_ctx._get_current_object()))

    async def main() -> None:
        wire = Wire()
        async with talking(app, wire):
            await wire.hears(1)
            threading.Thread(target=contexts.pop().cancel, args=("banned",)).start()
        assert wire.close == (1013, "banned")

    run(main)
    ends.assert_one("cancelled", "Cancelled")


def test_a_disconnect_is_noticed_at_once() -> None:
    """A view that waits for something else is told of a client that left within 100 ms."""
    app = make_app()
    told: list[float] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            told.append(asyncio.get_running_loop().time())
            assert app_ctx.cancel_reason == "disconnect"

    async def main() -> float:
        wire = Wire()
        async with talking(app, wire):
            await until(lambda: wire.accepted)
            left = asyncio.get_running_loop().time()
            wire.leave(1001)
        return told[0] - left

    assert min(run(main) for _ in range(5)) < 0.1


def test_errors_of_other_connections_are_errors(caplog: pytest.LogCaptureFixture) -> None:
    """A view that sends to another connection, which is closed, has not lost its own client."""
    app = make_app()
    others: list[Any] = []

    @app.websocket("/other")
    async def other() -> None:
        others.append(websocket._get_current_object())
        await websocket.accept()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await others[0].send("x")

    talk(app, "/other")
    assert talk(app, "/").close == (1011, "")
    assert "WebSocketDisconnected" in caplog.text


def test_an_exception_is_signalled_once() -> None:
    """`got_request_exception` is sent for an error after the accept, as for one before it."""
    app = make_app()
    told: list[Any] = []
    app.add_websocket("/late", "late", raises)

    @app.websocket("/early")
    async def early() -> None:
        raise LookupError

    def receiver(sender: Any, exception: Exception) -> None:
        told.append((sender, type(exception)))

    global ends
    ends = Ends(app)
    with got_request_exception.connected_to(receiver):
        talk(app, "/late")
        talk(app, "/early")
    assert told == [(app, LookupError)] * 2


def test_errors_that_propagate_reach_the_server() -> None:
    """In testing mode the error comes out of the application, after the close and the end."""
    global ends
    app = make_app(TESTING=True)
    ends = Ends(app)
    app.add_websocket("/", "view", raises)

    async def main() -> Wire:
        wire = Wire()
        with pytest.raises(LookupError, match="a fault"):
            async with talking(app, wire):
                pass
        return wire

    assert run(main).close == (1011, "")
    ends.assert_one("error", "LookupError")


def test_errors_of_the_end_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A teardown function that raises keeps neither the others nor the close from happening."""
    global ends
    app = make_app()
    ends = Ends(app)

    @app.teardown_websocket
    def fails(error: BaseException | None) -> None:
        raise LookupError("in the end")

    app.add_websocket("/", "view", returns)
    assert talk(app, "/").close == (1000, "")
    ends.assert_one("ok")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]


def test_the_client_hears_the_close_after_the_end() -> None:
    """When the client is told that a connection is over, its context has ended."""
    app = make_app()
    order: list[str] = []

    class Noting(Wire):
        async def send(self, message: dict[str, Any]) -> None:
            order.append(message["type"])
            await super().send(message)

    @app.teardown_appcontext
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        order.append("end")

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()

    talk(app, Noting)
    assert order == ["websocket.accept", "end", "websocket.close"]


def test_sync_hooks_run_on_threads() -> None:
    """Sync hooks and teardown functions of a WebSocket are called on worker threads, in its
    context; the loop goes on meanwhile."""
    app = make_app()
    threads: list[Any] = []

    @app.before_websocket
    def before() -> None:
        threads.append(threading.current_thread())
        g.name = "ada"

    @app.teardown_websocket
    def teardown(error: BaseException | None) -> None:
        threads.append(threading.current_thread())

    @app.websocket("/")
    async def view() -> None:
        assert threading.current_thread() is threading.main_thread()
        await websocket.send(g.name)

    assert talk(app, "/").messages == ["ada"]
    assert threads[0] is threads[1] is not threading.main_thread()


# -- cancelled by the server ----------------------------------------------------------------------


def make_long_app() -> Demijohn:
    """A view with many awaits: hooks, a task group, a message context, receive and send."""
    app = make_app()

    @app.before_websocket
    async def before() -> None:
        await asyncio.sleep(0)
        held["x"] = 1

    @app.before_websocket
    def before_sync() -> None:
        pass

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await websocket.receive()
        async with websocket.message_context():
            await asyncio.sleep(0)
            await websocket.send("x")
        async with task_group() as tg:
            tg.create_task(websocket.send("y"))
            tg.create_task(asyncio.sleep(0))
        await asyncio.sleep(0)

    return app


class Counting:
    """Awaits a coroutine and cancels its task when it waits for the `stop`th time."""

    def __init__(self, coroutine: Any, stop: int) -> None:
        self.coroutine = coroutine
        self.stop = stop
        self.waits = 0

    def __await__(self) -> Any:
        reply: Any = None
        error: BaseException | None = None
        while True:
            try:
                if error is not None:
                    step = self.coroutine.throw(error)
                else:
                    step = self.coroutine.send(reply)
            except StopIteration as end:
                return end.value
            reply = error = None
            self.waits += 1
            if self.waits == self.stop:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                reply = yield step
            except BaseException as raised:
                error = raised


def test_cancelled_at_every_await() -> None:
    """A server that cancels the connection at its first, second … last await gets its
    `CancelledError` back, and the context has ended once; nothing is left running."""
    global ends
    stop, cancelled = 0, 0
    while True:
        stop += 1
        app = make_long_app()
        ends = Ends(app)

        async def main(app: Demijohn = app, stop: int = stop) -> bool:
            wire = Wire()
            wire.say("hello")
            serving = Counting(app.asgi_app(wire.scope, wire.receive, wire.send), stop)

            async def serve() -> None:
                await serving

            task = asyncio.ensure_future(serve())
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
            return serving.waits >= stop and task.cancelled()

        was_cancelled = run(main)
        cancelled += was_cancelled
        if not was_cancelled and cancelled:
            break
        kinds = [kind for kind, *_ in ends.seen if kind == "websocket"]
        opened = len(ends.released)
        assert kinds == ["websocket"] * len(kinds) and len(kinds) <= 1, (stop, ends.seen)
        assert opened <= 2, (stop, ends.released)
        own = [end for end in ends.seen if end[0] == "websocket"]
        assert all(end[1] in ("cancelled", "ok") for end in own), (stop, ends.seen)
        assert stop < 200
    assert cancelled > 5


# -- nothing is left ------------------------------------------------------------------------------


def test_the_connection_leaves_nothing() -> None:
    """With the cyclic collector off, a connection that is over leaves no context behind, whichever
    way it went."""
    global ends
    app = make_app()
    ends = Ends(app)
    refs: list[weakref.ref[Any]] = []

    @app.before_websocket
    def note() -> None:
        refs.append(weakref.ref(request._get_current_object()))

    for way in ("returns", "closes", "the client leaves in receive", "the view catches that"):
        app.add_websocket(f"/{way.replace(' ', '-')}", way.replace(" ", "_"), WAYS[way][0])
    ways = {rule.endpoint.replace("_", " "): rule.rule for rule in app.url_map.iter_rules()}

    async def main() -> None:
        for way, path in ways.items():
            wire = Wire(path)
            if WAYS[way][1] is not None:
                wire.leave(WAYS[way][1] or 0)
            async with talking(app, wire):
                pass

    gc.collect()
    gc.disable()
    try:
        run(main)
        # The worker thread of the last one may be on its way back.
        until_then = time.monotonic() + PATIENCE
        while any(ref() is not None for ref in refs) and time.monotonic() < until_then:
            time.sleep(0.001)
        alive = [ref() for ref in refs if ref() is not None]
    finally:
        gc.enable()
    assert len(refs) == 4
    assert alive == []
