"""Where receivers of signals run over ASGI: sync ones on threads, async ones on the loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest
from blinker import Signal

import demijohn
from demijohn import Demijohn, app_ctx, g, has_app_context, has_request_context

from .asgi_kit import DEADLINE, Peer, ask, eventually, scope

SENT = (
    *("appcontext_pushed", "request_started", "request_finished", "request_tearing_down"),
    *("appcontext_tearing_down", "appcontext_popped"),
)
"""The signals of each request, in their order."""


def signal(name: str) -> Signal:
    """The signal of this name."""
    found: Signal = getattr(demijohn, name)
    return found


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("signals")
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.get("/")
    async def view() -> str:
        return "x"

    @app.get("/fails")
    async def fails() -> str:
        raise LookupError("the view")

    return app


def on_loop() -> bool:
    """Whether an event loop runs where this is called."""
    return asyncio._get_running_loop() is not None


def test_a_receiver_that_blocks_holds_up_nobody(app: Demijohn) -> None:
    """While a sync receiver of any signal of a request waits, the loop serves others."""
    gate, waiting = threading.Event(), threading.Semaphore(0)

    def blocks(sender: Any, **what: Any) -> None:
        waiting.release()
        assert gate.wait(DEADLINE)

    async def main(name: str, path: str) -> None:
        gate.clear()
        with signal(name).connected_to(blocks, app):
            peer = Peer()
            task = asyncio.ensure_future(app.asgi_app(scope(path=path), peer.receive, peer.send))
            assert await asyncio.to_thread(waiting.acquire, timeout=DEADLINE)
        # The loop goes on: it serves another request while that one is held up.
        assert not task.done()
        assert (await ask(app)).data == b"x"
        gate.set()
        await task
        assert peer.over

    for name in SENT:
        asyncio.run(main(name, "/"))
    asyncio.run(main("got_request_exception", "/fails"))


def test_where_receivers_run(app: Demijohn) -> None:
    """Sync receivers run on the request's one thread and see its contexts as under WSGI; async ones
    run on the loop, those of `appcontext_pushed` on one of a thread's."""
    seen: list[Any] = []
    threads: set[int] = set()

    @app.before_request
    def before() -> None:
        g.thread = threading.get_ident()
        threads.add(g.thread)

    def contexts() -> str:
        return "a" * has_app_context() + "r" * has_request_context()

    def connected(name: str) -> list[Any]:
        def receive(sender: Any, **what: Any) -> None:
            assert sender is app
            seen.append((name, contexts(), sorted(what)))
            threads.add(threading.get_ident())
            assert not on_loop()

        async def receive_async(sender: Any, **what: Any) -> None:
            await asyncio.sleep(0)
            seen.append((name, contexts(), "async"))
            main = threading.current_thread() is threading.main_thread()
            assert main is (edge == "asgi" and name != "appcontext_pushed")

        signal(name).connect(receive, app)
        signal(name).connect(receive_async, app)
        return [receive, receive_async]

    edge = "asgi"
    receivers = [connected(name) for name in (*SENT, "got_request_exception")]
    try:
        asyncio.run(ask(app, "/fails"))
        over_asgi = sorted(map(str, seen))
        assert len(threads) == 1
        assert threading.get_ident() not in threads
        assert [name for name, _, what in seen if what != "async"] == [
            *SENT[:2],
            "got_request_exception",
            *SENT[2:],
        ]
        seen.clear()
        edge = "wsgi"
        thread = threading.Thread(target=lambda: app.test_client().get("/fails"))
        thread.start()
        thread.join(DEADLINE)
        assert sorted(map(str, seen)) == over_asgi
    finally:
        for name, made in zip((*SENT, "got_request_exception"), receivers, strict=True):
            for receiver in made:
                signal(name).disconnect(receiver)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", [*SENT, "got_request_exception"])
def test_a_receiver_that_raises(
    app: Demijohn, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Answer, log and end are the same as under WSGI."""
    called: list[str] = []

    def first(sender: Any, **what: Any) -> None:
        called.append("first")
        raise LookupError("the receiver")

    async def first_async(sender: Any, **what: Any) -> None:
        first(sender)

    path = "/fails" if name == "got_request_exception" else "/"
    outcomes = []
    app.teardown_appcontext(lambda exc: called.append(f"{type(exc).__name__} {app_ctx.outcome}"))
    with signal(name).connected_to(first if kind == "sync" else first_async, app):
        for edge in ("wsgi", "asgi"):
            called.clear()
            caplog.clear()
            try:
                answer: Any = app.test_client(edge=edge).get(path)
                answer = (answer.status, answer.data)
            except LookupError as error:
                answer = str(error)
            logged = [record.getMessage().partition(" at 0x")[0] for record in caplog.records]
            outcomes.append((answer, called[:], logged))
    assert outcomes[0] == outcomes[1]
    assert "first" in called


def test_receivers_are_held_weakly(app: Demijohn) -> None:
    """A receiver that nobody else holds is gone after requests that it was told of."""

    class Listener:
        def receive(self, sender: Any, **what: Any) -> None:
            self.told = True

        async def receive_async(self, sender: Any, **what: Any) -> None:
            self.told_async = True

    listener = Listener()
    demijohn.request_started.connect(listener.receive, app)
    demijohn.request_started.connect(listener.receive_async, app)
    asyncio.run(ask(app))
    assert listener.told
    assert listener.told_async
    ref = weakref.ref(listener)
    del listener
    # A thread that was told of it may be on its way out of the call still.
    asyncio.run(eventually(lambda: (gc.collect(), ref())[1] is None))
    asyncio.run(ask(app))
    assert not demijohn.request_started.has_receivers_for(app)


def test_a_muted_signal(app: Demijohn) -> None:
    """Nobody is told of a signal that is muted."""
    told: list[Any] = []

    def receive(sender: Any, **what: Any) -> None:
        told.append(sender)

    with demijohn.request_started.connected_to(receive, app):
        with demijohn.request_started.muted():
            asyncio.run(ask(app))
        assert not told
        asyncio.run(ask(app))
    assert told == [app]


def test_an_overridden_ensure_sync() -> None:
    """Async receivers go through it, on the request's thread, as under WSGI."""
    wrapped: list[Any] = []

    class Own(Demijohn):
        def ensure_sync(self, func: Any) -> Any:
            wrapped.append(func)
            return super().ensure_sync(func)

    app = Own("own")
    app.get("/")(lambda: "x")

    async def receive(sender: Any, **what: Any) -> None:
        pass

    def receive_plainly(sender: Any, **what: Any) -> None:
        pass

    found = []
    with (
        demijohn.request_started.connected_to(receive, app),
        demijohn.request_started.connected_to(receive_plainly, app),
    ):
        for edge in ("wsgi", "asgi"):
            wrapped.clear()
            assert app.test_client(edge=edge).get("/").text == "x"
            found.append((wrapped.count(receive), wrapped.count(receive_plainly)))
    assert found == [(1, 0), (1, 0)]


def test_an_error_of_a_websocket_is_told_and_logged_on_a_thread(app: Demijohn) -> None:
    """Receivers of `got_request_exception` and the log's handlers may block there, too."""
    where: list[bool] = []

    @app.websocket("/ws")
    async def broken() -> None:
        await demijohn.websocket.accept()
        raise LookupError("the view")

    def receive(sender: Any, **what: Any) -> None:
        where.append(on_loop())

    def log(error: Any) -> None:
        where.append(on_loop())

    app.log_exception = log  # type: ignore[method-assign]

    async def main() -> None:
        async with app.async_test_client().websocket("/ws") as ws:
            with pytest.raises(demijohn.WebSocketDisconnected, match="1011"):
                await ws.receive()

    with demijohn.got_request_exception.connected_to(receive, app):
        asyncio.run(main())
    assert where == [False, False]
