"""Worker threads of the ASGI edge that fail, are lost, or belong to another process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from typing import Any

import pytest

from demijohn import Demijohn, abort
from demijohn.serve.asgi import threads_of
from demijohn.serve.threads import Limit

from .asgi_kit import DEADLINE, Peer, ask, eventually, scope


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("threads")
    app.config["SYNC_THREADS"] = 1
    app.get("/")(lambda: "x")
    return app


def test_a_thread_that_cannot_be_started(app: Demijohn, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error of the request, which ends; the place among those that run is not lost."""
    ends: list[Any] = []

    @app.teardown_request
    async def ended(exc: BaseException | None) -> None:
        ends.append(type(exc).__name__)

    @app.errorhandler(RuntimeError)
    async def explain(error: RuntimeError) -> tuple[str, int]:
        return str(error), 503

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("threads-sync"):
            raise RuntimeError("can't start new thread")
        start(thread)

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert (await ask(app)).status == 503
            assert (await ask(app)).data == b"can't start new thread"
        assert (await ask(app)).data == b"x"

    asyncio.run(main())
    assert ends == ["NoneType"] * 3
    assert threads_of(app).calls.running == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_starts_threads_of_its_own(app: Demijohn) -> None:
    """The parent's are not there, whether they were free or busy at the fork."""
    assert asyncio.run(ask(app)).data == b"x"
    threads_of(app).calls.running = 1
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(DEADLINE))
        try:
            os._exit(0 if asyncio.run(ask(app)).data == b"x" else 1)
        finally:
            os._exit(2)
    threads_of(app).calls.running = 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert asyncio.run(ask(app)).data == b"x"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_under_a_function(app: Demijohn) -> None:
    """The function's place and thread are given back when it returns, and not before."""
    begun, gate = threading.Event(), threading.Event()

    @app.get("/waits")
    def waits() -> str:
        begun.set()
        gate.wait(DEADLINE)
        return "x"

    loop = asyncio.new_event_loop()
    peer = Peer()
    served = app.asgi_app(scope(path="/waits"), peer.receive, peer.send)
    task = loop.create_task(served)
    loop.run_until_complete(eventually(begun.is_set))
    loop.close()
    threads = threads_of(app)
    assert threads.running() and threads.calls.running == 1
    gate.set()

    async def main() -> None:
        await eventually(lambda: threads.calls.running == 0)
        assert (await ask(app)).data == b"x"

    asyncio.run(main())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task, served
    gc.collect()
    assert not threads._kept


def test_a_thread_whose_end_was_given_up(app: Demijohn, caplog: pytest.LogCaptureFixture) -> None:
    """It serves nobody else while the function that hangs is on it; what follows that keeps no
    thread. A cancel that came before the end counts from the end's begin."""
    app.config |= {"END_TIMEOUT": 0.05, "SYNC_THREADS": 2}
    gate, begun, ends = threading.Event(), asyncio.Event(), []

    @app.teardown_request
    def then(exc: BaseException | None) -> None:
        ends.append(type(exc).__name__)

    @app.teardown_request
    def hangs(exc: BaseException | None) -> None:
        if exc is not None:
            gate.wait(DEADLINE)

    @app.get("/waits")
    async def waits() -> str:
        begun.set()
        await asyncio.sleep(DEADLINE)
        return "never"

    async def main() -> None:
        peer = Peer()
        task = asyncio.ensure_future(app.asgi_app(scope(path="/waits"), peer.receive, peer.send))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not gate.is_set()
        assert (await ask(app)).data == b"x"
        gate.set()
        await eventually(lambda: len(asyncio.all_tasks()) == 1)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert [r.getMessage() for r in caplog.records if "given up" in r.getMessage()]
    assert ends == ["NoneType", "CancelledError"]
    assert not threads_of(app)._kept
    assert threads_of(app).calls.running == 0


def test_errors_of_http_take_no_thread(app: Demijohn) -> None:
    """An application that has async functions only answers 404 and 400 on the loop."""
    app.add_url_rule("/bad", view_func=bad)

    async def main() -> list[int]:
        return [(await ask(app, path)).status for path in ("/none", "/bad")]

    assert asyncio.run(main()) == [404, 400]
    assert not threads_of(app)._free


async def bad() -> str:
    abort(400)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("closed", [True, False])
def test_a_place_that_a_stopped_loop_never_hears_of(app: Demijohn, closed: bool) -> None:
    """What waited there gives it back when it is dropped, once."""
    loop = asyncio.new_event_loop()
    peers = [Peer(), Peer()]
    first, second = (
        loop.create_task(app.asgi_app(scope(), peer.receive, peer.send)) for peer in peers
    )
    loop.run_until_complete(first)
    limit = threads_of(app).calls
    if closed:
        loop.close()
    assert limit.running == 1 or not peers[1].sent
    second._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    del second
    gc.collect()
    assert limit.running == 0
    assert asyncio.run(ask(app)).data == b"x"
    assert limit.running == 0


def test_a_place_is_given_once() -> None:
    """Also to one that is cancelled in the moment in which it gets it."""
    limit = Limit(1)

    async def take() -> None:
        await _Taken(limit)

    async def main() -> None:
        await take()
        tasks = [asyncio.ensure_future(take()) for _ in range(3)]
        await asyncio.sleep(0)
        limit.give()
        tasks[0].cancel()
        await asyncio.wait([tasks[1]])
        assert (limit.running, tasks[2].done()) == (1, False)
        tasks[2].cancel()
        limit.give()
        await asyncio.wait(tasks)
        assert limit.running == 0

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


class _Taken:
    def __init__(self, limit: Limit) -> None:
        self.limit = limit

    def __await__(self) -> Any:
        yield from self.limit.take(asyncio.get_running_loop())


@pytest.mark.parametrize("most", [0, -1, "40", None, True])
@pytest.mark.parametrize("name", ["SYNC_THREADS", "STREAM_THREADS"])
def test_a_limit_that_lets_nothing_run(app: Demijohn, name: str, most: Any) -> None:
    """It is an error at the first request, and no wait for ever."""
    app.config[name] = most
    with pytest.raises(ValueError, match=f"{name}={most!r}"):
        asyncio.run(ask(app))
