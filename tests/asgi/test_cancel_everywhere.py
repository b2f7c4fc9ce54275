"""Calls of every kind, cancelled at each of their awaits: one end each, and nothing is held."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

import demijohn
from demijohn import Demijohn, g, request, resource, session, websocket
from demijohn.sessions import SecureCookieSessionInterface

from .asgi_kit import DEADLINE, eventually
from .cancelling import (
    Application,
    Call,
    Journal,
    faults_of,
    http_call,
    lifespan_call,
    socket_call,
)

Build = Callable[[Demijohn, Journal], Any]
CASES: dict[str, tuple[Build, dict[str, Any]]] = {}


def case(**options: Any) -> Callable[[Build], Build]:
    """Declare a case: `build` makes the routes, the options are `http_call`'s."""

    def declare(build: Build) -> Build:
        CASES[build.__name__] = build, options
        return build

    return declare


def hooks(app: Demijohn, journal: Journal) -> None:
    """Hooks of both kinds, before, after and at the end."""

    @app.before_request
    async def before() -> None:
        await journal.waits("async before")

    @app.before_request
    def before_on_a_thread() -> None:
        with journal.during("sync before"):
            g.before = True

    @app.after_request
    async def after(response: Any) -> Any:
        await journal.waits("async after")
        return response

    @app.after_request
    def after_on_a_thread(response: Any) -> Any:
        with journal.during("sync after"):
            return response

    @app.teardown_request
    async def end(exc: BaseException | None) -> None:
        await journal.completes("async teardown_request")

    @app.teardown_request
    def end_on_a_thread(exc: BaseException | None) -> None:
        with journal.during("sync teardown_request"):
            assert request.path

    @app.teardown_appcontext
    async def end_of_app(exc: BaseException | None) -> None:
        await journal.completes("async teardown_appcontext")


@case()
def async_view(app: Demijohn, journal: Journal) -> None:
    hooks(app, journal)

    @app.get("/")
    async def view() -> str:
        await journal.waits("view")
        return request.path


@case()
def sync_view(app: Demijohn, journal: Journal) -> None:
    hooks(app, journal)

    @app.get("/")
    def view() -> str:
        with journal.during("view"):
            time.sleep(0.001)  # so that a cancel meets it at work
            return request.path


@case()
def resources(app: Demijohn, journal: Journal) -> None:
    @resource
    async def slow() -> AsyncIterator[str]:
        await journal.waits("opening")
        with journal.during("slow"):
            yield "slow"
            await asyncio.sleep(0)

    @resource(lifetime="view")
    def plain() -> Iterator[str]:
        with journal.during("plain"):
            yield "plain"

    @app.get("/")
    async def view() -> str:
        with journal.during("view"):
            first = str(await slow)
            await asyncio.sleep(0)
            return first + str(plain)


@case(method="POST", body=(b'{"a":', b"[1,", b"2]}"))
def a_body(app: Demijohn, journal: Journal) -> None:
    @app.post("/")
    async def view() -> Any:
        await journal.waits("view")
        return request.get_json()


@case(method="POST", body=(b"one", b"two", b"three"))
def a_body_as_it_arrives(app: Demijohn, journal: Journal) -> None:
    @app.post("/", stream_body=True)
    async def view() -> str:
        with journal.during("view"):
            return str([chunk async for chunk in request.body_stream])


@case(method="POST", body=(b"one", b"two"))
def a_body_as_it_arrives_on_a_thread(app: Demijohn, journal: Journal) -> None:
    @app.post("/", stream_body=True)
    def view() -> bytes:
        with journal.during("view"):
            return request.stream.read()


@case()
def an_async_stream(app: Demijohn, journal: Journal) -> None:
    hooks(app, journal)

    @app.get("/")
    async def view() -> Any:
        async def steps() -> AsyncIterator[str]:
            with journal.during("stream"):
                try:
                    for number in range(3):
                        await journal.waits("step")
                        yield f"{number} {request.path}"
                finally:
                    await asyncio.sleep(0)

        return steps()


@case()
def a_sync_stream(app: Demijohn, journal: Journal) -> None:
    hooks(app, journal)

    @app.get("/")
    def view() -> Any:
        def steps() -> Iterator[str]:
            with journal.during("stream"):
                for number in range(3):
                    yield f"{number} {request.path}"

        return steps()


@case()
def a_stream_with_resources(app: Demijohn, journal: Journal) -> None:
    @resource(lifetime="body")
    async def source() -> AsyncIterator[str]:
        with journal.during("source"):
            await asyncio.sleep(0)
            yield "source"
            await asyncio.sleep(0)

    @app.get("/")
    async def view() -> Any:
        async def steps() -> AsyncIterator[str]:
            with journal.during("stream"):
                yield str(await source)
                yield str(source)

        return steps()


@case()
def handlers(app: Demijohn, journal: Journal) -> None:
    hooks(app, journal)

    @app.errorhandler(LookupError)
    async def handle(error: LookupError) -> tuple[str, int]:
        await journal.waits("handler")
        raise ValueError

    @app.errorhandler(500)
    def answer(error: Exception) -> tuple[str, int]:
        with journal.during("handler of 500"):
            return "failed", 500

    @app.get("/")
    async def view() -> str:
        await journal.waits("view")
        raise LookupError


@case()
def tasks(app: Demijohn, journal: Journal) -> None:
    @app.teardown_appcontext
    def end(exc: BaseException | None) -> None:
        journal.entries.append("child ended") if "child" in g else None

    async def branch(name: str) -> None:
        await journal.waits(name)

    @app.get("/")
    async def view() -> str:
        with journal.during("view"):
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(branch("first"))
                group.create_task(branch("second"))
                await asyncio.to_thread(time.sleep, 0.001)
            await asyncio.gather(branch("third"), asyncio.shield(branch("fourth")))
            return "done"


@case()
def a_child_on_a_thread(app: Demijohn, journal: Journal) -> None:
    def work() -> str:
        with journal.during("work"):
            return request.path

    @app.get("/")
    async def view() -> str:
        with journal.during("view"):
            return await asyncio.to_thread(work)


@case()
def a_session_kept_elsewhere(app: Demijohn, journal: Journal) -> None:
    class Interface(SecureCookieSessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            with journal.during("open_session"):
                return super().open_session(app, request)

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            with journal.during("save_session"):
                super().save_session(app, session, response)

    app.secret_key = "key"
    app.session_interface = Interface()

    @app.get("/")
    async def view() -> str:
        await journal.waits("view")
        session["a"] = 1
        return "set"


@case()
def overridden_steps(app: Demijohn, journal: Journal) -> None:
    stock, dispatch = app.preprocess_request, app.dispatch_request

    def preprocess() -> Any:
        with journal.during("preprocess"):
            return stock()

    def dispatched() -> Any:
        with journal.during("dispatch"):
            return dispatch()

    app.preprocess_request = preprocess  # type: ignore[method-assign]
    app.dispatch_request = dispatched  # type: ignore[method-assign]

    @app.before_request
    async def before() -> None:
        await journal.waits("before")

    @app.get("/")
    async def view() -> str:
        await journal.waits("view")
        return "overridden"


@case()
def a_file(app: Demijohn, journal: Journal) -> None:
    journal.late = {"end file"}

    class File(io.BytesIO):
        def __init__(self, data: bytes) -> None:
            journal.entries.append("begin file")
            super().__init__(data)

        def close(self) -> None:
            if not self.closed:
                journal.entries.append("end file")
            super().close()

    @app.get("/")
    async def view() -> Any:
        await journal.waits("view")
        return demijohn.send_file(File(b"some bytes"), "text/plain")


@case(call=partial(socket_call, "/", "a", "b"))
def a_websocket(app: Demijohn, journal: Journal) -> None:
    @app.before_websocket
    async def before() -> None:
        await journal.waits("before_websocket")

    @app.before_websocket
    def before_on_a_thread() -> None:
        with journal.during("sync before_websocket"):
            g.before = True

    @app.teardown_websocket
    async def end(exc: BaseException | None) -> None:
        await journal.completes("teardown_websocket")

    @app.websocket("/")
    async def view() -> None:
        with journal.during("view"):
            await websocket.accept()
            for _ in range(2):
                await websocket.send(await websocket.receive())


@case(call=lifespan_call)
def around_the_serving(app: Demijohn, journal: Journal) -> None:
    journal.most = 6

    @app.before_serving
    async def before() -> None:
        await journal.waits("before")

    @app.before_serving
    def before_on_a_thread() -> None:
        with journal.during("sync before"):
            g.before = True

    @app.while_serving
    async def around() -> AsyncIterator[None]:
        with journal.during("around"):
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(asyncio.sleep(DEADLINE))
                yield
                waiting.cancel()

    @app.while_serving
    def around_on_a_thread() -> Iterator[None]:
        with journal.during("sync around"):
            yield

    @app.after_serving
    async def after() -> None:
        await journal.completes("after")

    @app.after_serving
    def after_on_a_thread() -> None:
        with journal.during("sync after"):
            time.sleep(0.001)


def prepared(name: str) -> tuple[Demijohn, Journal, Callable[[], Call]]:
    build, options = CASES[name]
    app = Demijohn(name)
    app.logger.disabled = True
    journal = Journal(app)
    build(app, journal)
    options = dict(options)
    return app, journal, options.pop("call", None) or partial(http_call, **options)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_cancelled_at_every_await(name: str, times: int) -> None:
    """Wherever it is cancelled, once or twice in a row, a call ends once and leaves nothing."""
    app, journal, call = prepared(name)
    awaits, faults = faults_of(app, journal, call, times)
    print(f"{name}: {awaits} awaits")
    assert faults == []
    assert awaits >= 3


@pytest.mark.parametrize("name", CASES)
def test_left_at_every_await(name: str) -> None:
    """Wherever its client leaves, a call ends once and leaves nothing."""
    app, journal, call = prepared(name)
    _, faults = faults_of(app, journal, call, leaves=True)
    assert faults == []


def test_a_sync_stream_without_an_end_is_cancelled() -> None:
    """A cancel that comes while a thread makes a part of a body stops it after that part."""
    app = Demijohn("endless")
    journal = Journal(app)
    begun, gate = threading.Event(), threading.Event()

    @app.get("/")
    def view() -> Any:
        def steps() -> Iterator[str]:
            with journal.during("stream"):
                for number in count():
                    begun.set()
                    assert gate.wait(DEADLINE)
                    yield str(number)

        return steps()

    async def main() -> None:
        call = http_call()
        task = asyncio.ensure_future(app.asgi_app(call.scope, call.receive, call.send))
        await eventually(begun.is_set)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        done, _ = await asyncio.wait([task], timeout=DEADLINE)
        assert done and task.cancelled()
        assert [message["type"] for message in call.sent] == ["http.response.start"]

    asyncio.run(main())
    assert list(journal.faults()) == []


# -- edges that must fail --------------------------------------------------------------------------


def orphaning(app: Any) -> Application:
    """The call in a task that a cancel does not reach."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.shield(asyncio.ensure_future(app(scope, receive, send)))

    return serve


def swallowing(app: Any) -> Application:
    """A cancel ends here, as if all were well."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            pass

    return serve


def current(app: Any) -> Application:
    """A context of the call's own is left open by a cancel."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        manager = app.app_context()
        manager.push()
        await app.asgi_app(scope, receive, send)
        manager.pop()

    return serve


@pytest.mark.leaves_behind
@pytest.mark.filterwarnings("ignore::demijohn.context.errors.ContextWarning")
@pytest.mark.parametrize(
    ("edge", "words"),
    [
        (lambda app: orphaning(app.asgi_app), "a task is left"),
        (lambda app: swallowing(app.asgi_app), "the call was cancelled and returned"),
        (current, "pushed, popped and ended"),
    ],
    ids=["orphaning", "swallowing", "current"],
)
def test_a_broken_edge_is_found(edge: Callable[[Any], Application], words: str) -> None:
    """The harness finds an edge that leaves its task, keeps a cancel, or leaves a context open."""
    app, journal, call = prepared("async_view")
    _, faults = faults_of(app, journal, call, serve=edge(app))
    assert [fault for fault in faults if words in fault]


def test_an_end_that_is_not_shielded_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness finds an edge whose ends a cancel reaches."""
    from demijohn.serve.driving import Work

    drive = Work.drive

    def unshielded(
        self: Work, coroutine: Any, *args: Any, shield: bool = False, **more: Any
    ) -> Any:
        return drive(self, coroutine, *args, **more)

    monkeypatch.setattr(Work, "drive", unshielded)
    app, journal, call = prepared("async_view")
    _, faults = faults_of(app, journal, call)
    assert faults
