"""Cancelling over ASGI: by the server, a deadline, a stop; also while a thread works."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from flask import Flask

from demijohn import Demijohn, request, resource, task_group
from demijohn.globals import app_ctx, request_ctx

from .asgi_kit import DEADLINE, Peer, ask, eventually, scope


@pytest.fixture
def app() -> Demijohn:
    return Demijohn("cancelled")


@pytest.fixture
def log(app: Demijohn) -> list[Any]:
    log: list[Any] = []

    @app.teardown_appcontext
    def ended(exc: BaseException | None) -> None:
        log.append(("end", type(exc).__name__, app_ctx.outcome))

    return log


async def serve(app: Demijohn, peer: Peer, path: str = "/", **more: Any) -> None:
    await app.asgi_app(scope(path=path, **more), peer.receive, peer.send)


def test_a_cancelled_view_is_awaited(app: Demijohn, log: list[Any]) -> None:
    """The server cancels: the view meets it, cleans up in its context, and then the request ends;
    nothing runs on."""
    begun = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            log.append(request.path)
        return "never"

    async def main() -> None:
        task = asyncio.ensure_future(serve(app, Peer()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not request_ctx

    asyncio.run(main())
    assert log == ["/", ("end", "CancelledError", "cancelled")]


@pytest.mark.parametrize("place", ["before", "view", "handler", "after", "teardown"])
def test_a_cancel_while_a_thread_works(app: Demijohn, log: list[Any], place: str) -> None:
    """The cancel is told at once to a sync function that runs on a thread; the end starts after it
    has returned, once, in the Context."""
    begun, gate = threading.Event(), threading.Event()

    def block(*args: Any) -> Any:
        begun.set()
        assert gate.wait(DEADLINE)
        log.append((place, request.path, app_ctx.cancelled, app_ctx.cancel_reason))
        return args[0] if args else None

    @app.get("/")
    def view() -> str:
        if place == "handler":
            raise LookupError
        return block() or "x" if place == "view" else "x"

    if place == "before":
        app.before_request(block)
    elif place == "handler":
        app.register_error_handler(LookupError, lambda error: block() or "handled")
    elif place == "after":
        app.after_request(block)
    elif place == "teardown":
        app.teardown_request(block)

    async def main() -> None:
        task = asyncio.ensure_future(serve(app, Peer()))
        await eventually(begun.is_set)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done() and not log
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    where, end = log
    if place == "teardown":
        # The answer was final, and its end is not called off.
        assert where[:2] == (place, "/")
        assert end == ("end", "NoneType", "ok")
    else:
        assert where == (place, "/", True, "parent")
        assert end == ("end", "CancelledError", "cancelled")


def test_a_cancel_while_it_waits_for_a_thread(app: Demijohn, log: list[Any]) -> None:
    """A request that is cancelled before its function had a thread never runs it, and ends."""
    app.config["SYNC_THREADS"] = 1
    gate = threading.Event()
    ran: list[str] = []

    @app.get("/<name>")
    def view(name: str) -> str:
        ran.append(name)
        gate.wait(DEADLINE)
        return name

    async def main() -> None:
        first = asyncio.ensure_future(ask(app, "/first"))
        await eventually(lambda: ran)
        second = asyncio.ensure_future(ask(app, "/second"))
        await asyncio.sleep(0.01)
        third = asyncio.ensure_future(ask(app, "/third"))
        second.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await first).data == b"first"
        assert (await third).data == b"third"

    asyncio.run(main())
    assert ran == ["first", "third"]
    assert sorted(name for _, name, _ in log) == ["CancelledError", "NoneType", "NoneType"]


def test_an_end_is_shielded(app: Demijohn, log: list[Any]) -> None:
    """A cancel in the middle of an async teardown function waits for the end."""
    begun = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        return "x"

    @app.teardown_request
    async def slow(exc: BaseException | None) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        log.append("slow")

    async def main() -> None:
        task = asyncio.ensure_future(serve(app, Peer()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["slow", ("end", "NoneType", "ok")]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_an_end_that_hangs_is_given_up(
    app: Demijohn, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A cancelled end that is not over in `END_TIMEOUT` is given up, and the log names what it was
    doing."""
    app.config["END_TIMEOUT"] = 0.05
    begun, gate = threading.Event(), threading.Event()
    app.get("/")(lambda: "x")

    if kind == "async":

        @app.teardown_request
        async def hangs(exc: BaseException | None) -> None:
            begun.set()
            await asyncio.sleep(60)
    else:

        @app.teardown_request
        def hangs_too(exc: BaseException | None) -> None:
            begun.set()
            gate.wait(DEADLINE)

    async def main() -> None:
        task = asyncio.ensure_future(serve(app, Peer()))
        await eventually(begun.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        await eventually(lambda: len(asyncio.all_tasks()) == 1)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    (record,) = [r for r in caplog.records if "given up" in r.getMessage()]
    assert "hangs" in record.getMessage()


@pytest.mark.parametrize("swallows", [False, True])
def test_a_deadline_interrupts_what_is_awaited(
    app: Demijohn, log: list[Any], swallows: bool
) -> None:
    """An async view that waits past its deadline is cancelled, and the answer is 503; one that
    keeps the cancel to itself goes on, and the server's task is not left cancelled."""

    @app.get("/", deadline=0.05)
    async def view() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            log.append("cancelled")
            if not swallows:
                raise
        await asyncio.sleep(0)
        return "went on"

    async def main() -> Peer:
        peer = await ask(app)
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        return peer

    peer = asyncio.run(main())
    if swallows:
        assert peer.data == b"went on"
        assert log == ["cancelled", ("end", "NoneType", "ok")]
    else:
        assert peer.status == 503
        assert log == ["cancelled", ("end", "DeadlineExceeded", "deadline")]


@pytest.mark.parametrize("kind", [task_group, asyncio.TaskGroup])
@pytest.mark.parametrize("catches", [False, True])
def test_an_interrupted_group_whose_task_fails(app: Demijohn, kind: Any, catches: bool) -> None:
    """Where an interruption comes out as a task's error, the request is answered, and no sync
    function after the view is skipped."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    ran: list[str] = []

    async def fails_in_the_end() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise LookupError from None

    @app.get("/", deadline=0.05)
    async def view() -> str:
        try:
            async with kind() as group:
                group.create_task(fails_in_the_end())
        except* LookupError:
            if not catches:
                raise
        return "caught"

    @app.after_request
    def after(response: Any) -> Any:
        ran.append("after")
        return response

    async def main() -> Peer:
        peer = await ask(app)
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        return peer

    assert asyncio.run(main()).status == (200 if catches else 500)
    assert ran == ["after"]


def test_a_deadline_and_a_timeout_of_ones_own(app: Demijohn) -> None:
    """An `asyncio.timeout` in the view that is over first stays the view's; a task group in it is
    cancelled by the deadline as a whole."""
    ended: list[str] = []

    @app.get("/", deadline=0.2)
    async def view() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            ended.append("timeout")
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(child())
        return "never"

    async def child() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("child")

    assert asyncio.run(ask(app)).status == 503
    assert ended == ["timeout", "child", "child"]


def test_a_cancel_of_the_servers_comes_first(app: Demijohn, log: list[Any]) -> None:
    """A cancel of the server's that the view cleans up after stays one, though its request is
    cancelled meanwhile."""
    contexts: list[Any] = []
    cleaning = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        contexts.append(request_ctx._get_current_object())  # type: ignore[attr-defined]
        try:
            await asyncio.sleep(60)
        finally:
            cleaning.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                log.append("interrupted")
        return "never"

    async def main() -> None:
        task = asyncio.ensure_future(serve(app, Peer()))
        await eventually(lambda: contexts)
        task.cancel()
        await cleaning.wait()
        contexts[0].cancel()
        done, _ = await asyncio.wait([task], timeout=DEADLINE)
        assert done and task.cancelled()

    asyncio.run(main())
    assert log == ["interrupted", ("end", "CancelledError", "cancelled")]


def test_a_deadline_while_a_body_is_awaited(app: Demijohn) -> None:
    """A client that does not send its body is answered 503 when the deadline is over."""

    @app.post("/", deadline=0.05)
    def view() -> str:
        return "never"

    class Silent(Peer):
        async def receive(self) -> Any:
            await asyncio.sleep(60)

    async def main() -> Peer:
        peer = Silent()
        await serve(app, peer, method="POST", headers=[("content-length", "5")])
        return peer

    assert asyncio.run(main()).status == 503


def test_stopping_a_request_from_another_one(app: Demijohn, log: list[Any]) -> None:
    """`ctx.cancel()`, from any thread, interrupts what a request awaits."""
    contexts: list[Any] = []

    @app.get("/wait")
    async def wait() -> str:
        contexts.append(request_ctx._get_current_object())  # type: ignore[attr-defined]
        await asyncio.sleep(60)
        return "never"

    @app.get("/stop")
    def stop() -> str:
        return str(contexts[0].cancel())

    async def main() -> Peer:
        waiting = asyncio.ensure_future(ask(app, "/wait"))
        await eventually(lambda: contexts)
        assert (await ask(app, "/stop")).data == b"True"
        return await waiting

    assert asyncio.run(main()).status == 503
    assert ("end", "Cancelled", "cancelled") in log  # beside the end of the other one


def test_a_sync_view_is_told_and_goes_on(app: Demijohn) -> None:
    """A deadline does not break into a sync view: it can ask, and what it returns is the answer."""

    @app.get("/", deadline=0.02)
    def view() -> str:
        began = time.monotonic()
        assert request_ctx.wait_cancelled(DEADLINE)
        return "done" if time.monotonic() - began < 10 else "late"

    assert asyncio.run(ask(app)).data == b"done"


def test_after_hooks_run_for_the_answer_to_an_error_too(app: Demijohn) -> None:
    """One that the deadline broke off runs again, whole, for the 503, as one that raised does for
    the 500 under Flask: that answer wants its headers too."""
    passed: list[Any] = []
    woken = asyncio.Event()

    @app.after_request
    async def after(response: Any) -> Any:
        passed.append(response.status_code)
        if response.status_code == 200:
            await woken.wait()
        response.headers["After"] = "ran"
        return response

    app.get("/", deadline=0.02)(lambda: "x")
    peer = asyncio.run(ask(app))
    assert (peer.status, peer.headers["after"], passed) == (503, "ran", [200, 503])

    flask_app, again = Flask("flask"), []
    flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    flask_app.get("/")(lambda: "x")

    @flask_app.after_request
    def raises_once(response: Any) -> Any:
        again.append(response.status_code)
        if response.status_code == 200:
            raise LookupError("the hook")
        return response

    assert flask_app.test_client().get("/").status_code == 500
    assert again == [200, 500]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_view_that_asked_is_not_interrupted_later(app: Demijohn, kind: str) -> None:
    """A view that met its deadline by asking has been told: the hooks after it run whole."""

    @app.get("/sync", deadline=0.02)
    def sync() -> str:
        request_ctx.wait_cancelled(DEADLINE)
        app_ctx.check()
        return "never"

    @app.get("/async", deadline=0.02)
    async def asks() -> str:
        time.sleep(0.03)
        app_ctx.check()
        return "never"

    @app.after_request
    async def after(response: Any) -> Any:
        await asyncio.sleep(0.01)
        response.headers["After"] = "ran"
        return response

    peer = asyncio.run(ask(app, f"/{kind}"))
    assert (peer.status, peer.headers.get("after")) == (503, "ran")


def test_a_cancelled_request_closes_its_resources(app: Demijohn) -> None:
    """What a cancelled request opened, async and sync, is closed, once each."""
    events: list[str] = []
    begun = asyncio.Event()

    @resource
    async def one() -> Any:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            events.append("async closed")

    @resource
    def other() -> Any:
        try:
            yield [2]
        finally:
            events.append("sync closed")

    @app.get("/")
    async def view() -> str:
        await one
        other.append(3)
        begun.set()
        await asyncio.sleep(60)
        return "never"

    async def main() -> None:
        task = asyncio.ensure_future(serve(app, Peer()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert events == ["sync closed", "async closed"]


def test_another_librarys_error_of_the_same_name(app: Demijohn) -> None:
    """`concurrent.futures.CancelledError` out of an async view is an error like others: the request
    does not count as cancelled."""
    from concurrent.futures import CancelledError

    @app.get("/")
    async def view() -> str:
        raise CancelledError

    @app.errorhandler(CancelledError)
    def handle(error: CancelledError) -> str:
        return f"{app_ctx.cancelled} {app_ctx.cancel_reason}"

    assert asyncio.run(ask(app)).data == b"False None"


def test_a_deadline_from_above_that_a_thread_asks_for(app: Demijohn) -> None:
    """A test's app context has a deadline, which a sync hook is the first to ask for: the loop's
    timer is set on the loop, and the async view interrupted."""

    @app.before_request
    def ask_first() -> None:
        assert not app_ctx.cancelled

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(DEADLINE)
        return "never"

    async def main() -> int:
        with app.app_context() as held:
            held._cancel_token().limit(time.monotonic() + 0.3)
            return (await app.async_test_client().get("/")).status_code

    assert asyncio.run(asyncio.wait_for(main(), DEADLINE / 2), debug=True) == 503
