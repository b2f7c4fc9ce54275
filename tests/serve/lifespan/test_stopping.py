"""Telling what goes on for long that the process stops; hearing the signals for that."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import greenlet
import pytest

import demijohn
from demijohn import app_ctx, current_app
from demijohn.serve.stopping import AGAIN, SIGNALS, Stopping, heard, last_words, stopping_of

from .kit import WAIT, Site, by_server

SOURCE = Path(demijohn.__file__).parent.parent


@pytest.fixture
def stopping() -> Stopping:
    return Stopping()


def test_begins_once(stopping: Stopping) -> None:
    """A stop begins once, and the first reason stays; until it is renewed."""
    assert not stopping and not stopping.begun and stopping.reason is None
    assert stopping.begin()
    assert not stopping.begin("other")
    assert stopping and stopping.begun and stopping.reason == "shutdown"
    stopping.renew()
    assert not stopping and stopping.begin("other") and stopping.reason == "other"


def test_told_without_a_loop(stopping: Stopping) -> None:
    """Who has no event loop is told on the thread that begins the stop, within the block only."""
    told: list[str] = []
    with stopping.told(lambda: told.append(threading.current_thread().name)):
        with stopping.told(lambda: told.append("never")):
            pass
        thread = threading.Thread(target=stopping.begin, name="begins")
        thread.start()
        thread.join()
    assert told == ["begins"]


def test_told_at_once(stopping: Stopping) -> None:
    """Who asks after the stop has begun is told at once."""
    told: list[int] = []
    stopping.begin()
    with stopping.told(lambda: told.append(1)):
        assert told == [1]


def test_told_on_its_loop(stopping: Stopping) -> None:
    """Who has an event loop is told there, in an empty Context, and not after its block."""
    told: list[object] = []
    app = Site()

    async def main() -> None:
        def note() -> None:
            told.append((asyncio.get_running_loop(), bool(current_app)))

        here = asyncio.get_running_loop()
        with stopping.told(note):
            with stopping.told(lambda: told.append("late")):

                def begin() -> None:
                    with app.app_context():
                        stopping.begin()

                thread = threading.Thread(target=begin)
                thread.start()
                thread.join()
                assert told == []
            while not told:
                await asyncio.sleep(0)
        assert told == [(here, False)]

    asyncio.run(main())


def test_a_closed_loop(stopping: Stopping) -> None:
    """A loop that was closed keeps nobody else from being told."""
    told: list[int] = []
    first = stopping.told(lambda: told.append(1))

    async def main() -> None:
        first.__enter__()

    asyncio.run(main())
    with stopping.told(lambda: told.append(2)):
        stopping.begin()
    assert told == [2]
    first.__exit__(None, None, None)


def test_waiting(stopping: Stopping) -> None:
    """Threads and tasks can wait for the stop; a time that is over says that it has not begun."""
    assert stopping.wait(0) is False

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stopping.wait_async()
        thread = threading.Thread(target=stopping.begin)
        task = asyncio.create_task(stopping.wait_async())
        await asyncio.sleep(0)
        thread.start()
        assert stopping.wait(WAIT) is True
        await task
        await stopping.wait_async()

    asyncio.run(main())
    assert stopping.wait() is True
    assert stopping._told == {}


def test_one_an_application() -> None:
    """Each application has one, the same for all who ask."""
    app, other = Site(), Site()
    assert app.stopping is stopping_of(app) is app.stopping is not other.stopping
    with app.app_context():
        assert current_app.stopping is app.stopping


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", b"retry: 1500\n\n"),
        (b"data: 1\n\n", b"retry: 1500\n\n"),
        (b"data: 1\r\n\r\n", b"retry: 1500\n\n"),
        (b"data: 1\n", b""),
        (b"data: 1", b""),
    ],
)
def test_last_words(sent: bytes, words: bytes) -> None:
    """An event stream ends with `retry` between two events, and with nothing within one."""
    assert last_words(sent, 1500) == words


@pytest.mark.parametrize("in_greenlet", [False, True])
@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("waits", ["data: 1\n\n", "retry: 1000\n\n"]),
        ("says goodbye", ["data: 1\n\n", "data: bye\n\n", "retry: 1000\n\n"]),
        ("in an event", ["data: 1"]),
        ("fails", ["data: 1\n\n", "LookupError"]),
    ],
)
def test_an_idle_async_stream_by_wsgi(kind: str, sent: list[str], in_greenlet: bool) -> None:
    """A stop interrupts an async event stream where it waits, by WSGI too: on its thread's loop,
    and in a greenlet on that of a thread of its own."""
    app = Site()
    log: list[Any] = []
    app.teardown_request(lambda error: log.append((type(error).__name__, app_ctx.outcome)))

    @app.get("/events")
    async def events() -> Any:
        async def parts() -> AsyncIterator[str]:
            yield "data: 1" if kind == "in an event" else "data: 1\n\n"
            waiting.set()
            try:
                await asyncio.sleep(WAIT)
            except asyncio.CancelledError:
                log.append(app_ctx.cancel_reason)
                if kind == "says goodbye":
                    yield "data: bye\n\n"
                elif kind == "fails":
                    raise LookupError("the stream") from None
                else:
                    raise

        return parts(), {"Content-Type": "text/event-stream"}

    waiting = threading.Event()

    def begin() -> None:
        assert waiting.wait(WAIT)
        app.stopping.begin()

    def take() -> list[str]:
        taken: list[str] = []
        with app.test_client().get("/events") as response:
            try:
                taken.extend(part.decode() for part in response.response)
            except LookupError as error:
                taken.append(type(error).__name__)
        return taken

    thread = threading.Thread(target=begin)
    thread.start()
    began = time.monotonic()
    assert (greenlet.greenlet(take).switch() if in_greenlet else take()) == sent
    assert time.monotonic() - began < WAIT / 2
    thread.join(WAIT)
    ended = ("LookupError", "error") if kind == "fails" else ("NoneType", "cancelled")
    assert log == ["shutdown", ended]


# -- signals ---------------------------------------------------------------------------------------


@pytest.fixture
def noted() -> Iterator[list[Any]]:
    """What handlers of SIGTERM and SIGINT note; they are the process's within the test."""
    calls: list[Any] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: calls.append(number))
    yield calls
    for number, handler in before.items():
        signal.signal(number, handler)


def test_heard_besides_the_handler(noted: list[Any]) -> None:
    """Within the block the first signal is heard, and whoever handled signals before gets each;
    afterwards their handlers are in place again."""
    before = [signal.getsignal(number) for number in SIGNALS]
    with heard(lambda: noted.append("begin")):
        for number in SIGNALS:
            signal.raise_signal(number)
            assert noted == ["begin", number]
            noted.clear()
    assert [signal.getsignal(number) for number in SIGNALS] == before
    signal.raise_signal(signal.SIGTERM)
    assert noted == [signal.SIGTERM]


def test_somebody_above(noted: list[Any]) -> None:
    """A handler that was installed later stays when the block ends, and what is below it still
    gets what it passes on."""
    with heard(lambda: noted.append("begin")):
        below: Any = signal.getsignal(signal.SIGTERM)

        def above(number: int, frame: Any) -> None:
            noted.append("above")
            below(number, frame)

        signal.signal(signal.SIGTERM, above)
    assert signal.getsignal(signal.SIGTERM) is above
    signal.raise_signal(signal.SIGTERM)
    assert noted == ["above", signal.SIGTERM]


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_what_nobody_handles_is_left_alone(noted: list[Any], handler: Any) -> None:
    """A signal that is ignored, or ends the process on the spot, is not touched."""
    signal.signal(signal.SIGTERM, handler)
    with heard(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is handler
        assert signal.getsignal(signal.SIGINT) is not handler


def test_python_own_handler(noted: list[Any]) -> None:
    """Ctrl-C still raises `KeyboardInterrupt`, each time."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with heard(lambda: noted.append("begin")):
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    assert noted == ["begin"]


def test_on_another_thread(noted: list[Any]) -> None:
    """Outside of the main thread no handler is installed."""
    before = signal.getsignal(signal.SIGTERM)

    def block() -> None:
        with heard(lambda: None):
            noted.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert noted == [before]


async def signalled(app: Any, entered: Callable[[], Any], noted: list[Any]) -> None:
    told = asyncio.Event()
    async with entered():
        with app.stopping.told(told.set):
            assert not app.stopping
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(told.wait(), WAIT)
        assert app.stopping and noted == [signal.SIGTERM]


@pytest.mark.parametrize("by", ["server", "serving"])
def test_a_loop_is_told_of_a_signal(noted: list[Any], by: str) -> None:
    """While an application is served, a signal tells tasks of its loop, and the server gets it."""
    app = Site()
    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(signalled(app, app.serving if by == "serving" else lambda: by_server(app), noted))
    assert signal.getsignal(signal.SIGTERM) is before


async def asked(app: Any, **more: Any) -> None:
    """One request of a server that serves no lifespan."""
    scope = {"type": "http", "path": "/", "headers": [(b"host", b"x")]} | more

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        pass

    await app.asgi_app(scope, receive, send)


def test_heard_since_the_first_request(noted: list[Any]) -> None:
    """Without a lifespan signals are heard from the first request on, once; a server that comes
    after another one in the process is heard anew."""
    app, outer = Site(), Site()
    outer.mount("/in", app)
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        await asked(outer)
        handler = signal.getsignal(signal.SIGTERM)
        assert handler is not before
        for path in ("/", "/in/"):
            await asked(outer, path=path)
        assert signal.getsignal(signal.SIGTERM) is handler
        assert not app.stopping
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(app.stopping.wait_async(), WAIT)
        assert outer.stopping

    for _ in range(2):
        asyncio.run(main())
        for number in SIGNALS:  # as servers do
            signal.signal(number, before)
    assert noted == [signal.SIGTERM] * 2


@pytest.mark.parametrize("why", ["nobody handles SIGTERM", "a lifespan", "a test", "a thread"])
def test_what_hears_no_signals_late(noted: list[Any], why: str) -> None:
    """A request installs no handlers where no server has any, where the lifespan hears them, for a
    test client, and outside of the main thread."""
    app = Site()
    if why == "nobody handles SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    before = [signal.getsignal(number) for number in SIGNALS]

    async def main() -> None:
        if why == "a lifespan":
            async with by_server(app):
                inside = signal.getsignal(signal.SIGTERM)
                await asked(app)
                assert signal.getsignal(signal.SIGTERM) is inside
        elif why == "a test":
            await app.async_test_client().get("/")
        else:
            await asked(app)

    if why == "a thread":
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        thread.join(WAIT)
    else:
        asyncio.run(main())
    assert [signal.getsignal(number) for number in SIGNALS] == before


def depth(number: signal.Signals) -> int:
    """How many of the framework's handlers stand before the first that is none."""
    handler: Any = signal.getsignal(number)
    found = 0
    while hasattr(handler, "_previous"):
        handler, found = handler._previous, found + 1
    return found


def test_one_loop_after_the_other(noted: list[Any]) -> None:
    """A host that keeps its SIGTERM handler, and gives each request a loop, gets no pile of
    handlers, loses none of `asyncio.run`'s, and is not ended by its second signal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    apps = Site(), Site()

    async def main() -> None:
        for app in apps:
            await asked(app)

    for _ in range(3):
        asyncio.run(main())
    assert depth(signal.SIGTERM) == len(apps)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2 * AGAIN)  # the second one is no echo of the first
    assert noted == [signal.SIGTERM] * 2


def test_loops_in_turns(noted: list[Any]) -> None:
    """An application that two threads serve, each on its loop, has one handler, and is told."""
    app = Site()

    async def main() -> None:
        for _ in range(3):
            await asked(app)
            await asyncio.to_thread(asyncio.run, asked(app))
        assert depth(signal.SIGTERM) == 1
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(app.stopping.wait_async(), WAIT)

    asyncio.run(main())
    assert noted == [signal.SIGTERM]


def test_handlers_of_a_loop(noted: list[Any]) -> None:
    """A handler that the server gave its event loop is called as well."""
    app = Site()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, called.set)
        noted.append(signal.SIGTERM)
        await signalled(app, lambda: by_server(app), noted)
        await asyncio.wait_for(called.wait(), WAIT)
        loop.remove_signal_handler(signal.SIGTERM)

    asyncio.run(main())


def test_a_block_of_a_thread(noted: list[Any]) -> None:
    """`with app.serving():` on the main thread has its signals begin the stop."""
    app = Site()
    with app.serving():
        signal.raise_signal(signal.SIGTERM)
        assert app.stopping.wait(WAIT)
    assert noted == [signal.SIGTERM]


TWICE = """
import atexit, signal
from demijohn.serve import stopping

atexit.register(print, "at exit")
signal.signal(signal.{name}, lambda number, frame: print("handled", flush=True))
with stopping.heard(lambda: print("begun", flush=True)):
    signal.raise_signal(signal.{name})
    stopping.AGAIN = 1000
    signal.raise_signal(signal.{name})
    stopping.AGAIN = -1
    signal.raise_signal(signal.{name})
    print("goes on")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_second_signal(name: str) -> None:
    """The same signal again ends the process at once, as that signal does, with one line; one that
    comes in the same moment is taken for the first."""
    done = subprocess.run(
        [sys.executable, "-c", TWICE.format(name=name)],
        capture_output=True,
        text=True,
        timeout=WAIT,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert done.returncode == -getattr(signal, name)
    assert done.stdout.split() == ["begun", "handled", "handled"]
    assert done.stderr == f"{name} again: this process ends at once.\n"


def test_a_second_signal_of_a_worker(noted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker the main process decides: its signals are passed on, however many."""
    monkeypatch.setattr("demijohn.serve.stopping._is_worker", lambda: True)
    monkeypatch.setattr("demijohn.serve.stopping.AGAIN", -1)
    with heard(lambda: noted.append("begin")):
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
    assert noted == ["begin", *[signal.SIGTERM] * 3]
