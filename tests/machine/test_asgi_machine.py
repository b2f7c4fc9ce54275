"""Requests over ASGI, interleaved as Hypothesis chooses: stepped, cancelled, left, stopped.

Each request waits at gates: in hooks, view, handler, parts of a stream and teardown functions, in
async code on the loop and in sync code on threads. A program opens one gate after the other, or
cancels a request there, or lets its client leave. Whatever it does, each place sees its own
request, and each request ends once.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgi.asgi_kit import DEADLINE, Peer, scope
from hypothesis import given, settings
from hypothesis import strategies as st

from demijohn import Demijohn, g, request, resource
from demijohn.globals import _cv_app, _cv_request, app_ctx

PLACES = ("before", "before-sync", "view", "part", "after", "end", "end-sync", "app-end")
variable: contextvars.ContextVar[str] = contextvars.ContextVar("machine", default="")

requests = st.fixed_dictionaries(
    {
        "view": st.sampled_from(["async", "sync", "async-stream", "sync-stream"]),
        "raises": st.sampled_from(["", "before", "before-sync", "view", "part", "after"]),
        "handled": st.booleans(),
        "resource": st.booleans(),
        "waits": st.sets(st.sampled_from(PLACES), max_size=4),
    }
)
moves = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["go", "go", "go", "cancel", "leave"])),
    max_size=40,
)


class Fault(Exception):
    """What views and hooks raise here."""


class Client:
    """One request, where it waits, and what was seen of it."""

    def __init__(self, name: str, spec: dict[str, Any]) -> None:
        self.name = name
        self.spec = spec
        self.peer = Peer()
        self.task: asyncio.Task[None] | None = None
        self.gate: Any = None
        self.log: list[str] = []
        self.wrong: list[str] = []
        self.cancelled = self.left = False

    def check(self, place: str) -> None:
        seen = (request.args["name"], g.get("name", self.name), variable.get() or self.name)
        if seen != (self.name,) * 3:
            self.wrong.append(f"{place}: {seen}")
        if "end" in self.log and not place.endswith("end") and "end-sync" not in place:
            self.wrong.append(f"{place} after the end")

    async def wait(self, place: str) -> None:
        """Pass a place in async code."""
        self.check(place)
        if place in self.spec["waits"]:
            self.gate = asyncio.Event()
            await self.gate.wait()
            self.check(place)
        self.fail(place)

    def wait_sync(self, place: str) -> None:
        """Pass a place in sync code, on a thread."""
        if asyncio._get_running_loop() is not None:
            self.wrong.append(f"{place} on the loop")
        self.check(place)
        if place in self.spec["waits"]:
            self.gate = threading.Event()
            assert self.gate.wait(DEADLINE)
            self.check(place)
        self.fail(place)

    def fail(self, place: str) -> None:
        if self.spec["raises"] == place:
            raise Fault(place)


def make_app(clients: dict[str, Client]) -> Demijohn:
    app = Demijohn("machine")
    app.config["SYNC_THREADS"] = 3

    def client() -> Client:
        return clients[request.args["name"]]

    @resource
    async def held() -> AsyncIterator[str]:
        mine = client()
        mine.log.append("open")
        try:
            yield mine.name
        finally:
            mine.log.append("close")

    @app.before_request
    async def before() -> None:
        client().check("begin")
        g.name = client().name
        variable.set(g.name)
        await client().wait("before")

    @app.before_request
    def before_sync() -> None:
        client().wait_sync("before-sync")

    @app.get("/async", defaults={"kind": "async"})
    @app.get("/async-stream", defaults={"kind": "async-stream"})
    async def async_view(kind: str) -> Any:
        mine = client()
        if mine.spec["resource"]:
            assert await held == mine.name
        await mine.wait("view")

        async def parts() -> AsyncIterator[str]:
            for _ in range(2):
                await mine.wait("part")
                yield mine.name

        return parts() if "stream" in kind else mine.name

    @app.get("/sync", defaults={"kind": "sync"})
    @app.get("/sync-stream", defaults={"kind": "sync-stream"})
    def sync_view(kind: str) -> Any:
        mine = client()
        mine.wait_sync("view")

        def parts() -> Iterator[str]:
            for _ in range(2):
                mine.wait_sync("part")
                yield mine.name

        return parts() if "stream" in kind else mine.name

    @app.errorhandler(Fault)
    def handler(error: Fault) -> str:
        if not client().spec["handled"]:
            raise error
        return client().name

    @app.after_request
    async def after(response: Any) -> Any:
        await client().wait("after")
        return response

    @app.teardown_request
    async def ends(exc: BaseException | None) -> None:
        await client().wait("end")
        client().log.append("end")

    @app.teardown_request
    def ends_sync(exc: BaseException | None) -> None:
        client().wait_sync("end-sync")
        client().log.append("end-sync")

    @app.teardown_appcontext
    async def app_ends(exc: BaseException | None) -> None:
        mine = clients[g.name]
        if "app-end" in mine.spec["waits"]:
            mine.gate = asyncio.Event()
            await mine.gate.wait()
        mine.log.append(f"app {app_ctx.outcome}")

    app.logger.disabled = True
    return app


async def settle() -> None:
    """Let everything go on that can: tasks on the loop, and functions on threads."""
    for _ in range(3):
        await asyncio.sleep(0)
    await asyncio.sleep(0.0005)
    for _ in range(3):
        await asyncio.sleep(0)


async def play(specs: list[dict[str, Any]], program: list[tuple[int, str]]) -> list[Client]:
    found = [Client(f"r{number}", spec) for number, spec in enumerate(specs)]
    app = make_app({client.name: client for client in found})
    for client in found:
        path = f"/{client.spec['view']}?name={client.name}"
        call = app.asgi_app(scope(path=path), client.peer.receive, client.peer.send)
        client.task = asyncio.ensure_future(call)
    await settle()
    for number, move in program:
        client = found[number % len(found)]
        assert client.task is not None
        if move == "cancel" and not client.task.done():
            client.cancelled = True
            client.task.cancel()
        elif move == "leave":
            client.left = True
            client.peer.leave()
        elif client.gate is not None:
            client.gate.set()
        await settle()
    # What still waits goes on now.
    async with asyncio.timeout(DEADLINE):
        while any(not client.task.done() for client in found if client.task):
            for client in found:
                if client.gate is not None:
                    client.gate.set()
            await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert _cv_app.get(None) is None and _cv_request.get(None) is None
    assert not app._threads.running()
    return found


def outcomes(client: Client) -> set[str]:
    """How the request may have ended: a cancel or a leaving client may come too late."""
    raises, spec = client.spec["raises"], client.spec
    streams = "stream" in spec["view"]
    if raises == "part" and not streams:
        raises = ""
    can = {"ok"} if not raises else {"handled"} if spec["handled"] else {"error"}
    if raises == "after" or (raises == "part" and streams):
        can = {"error"}
    if client.cancelled:
        can |= {"cancelled"}
    if client.left and streams:
        can |= {"disconnected"}
    if raises == "part" and (client.left or client.cancelled):
        can |= {"ok"}
    return can


@settings(max_examples=60)
@given(st.lists(requests, min_size=1, max_size=5), moves)
def test_requests_in_any_order(specs: list[dict[str, Any]], program: list[tuple[int, str]]) -> None:
    """Each place sees its own request; each request ends once, in order, with an outcome that it
    may have; what it opened is closed; nothing is left on the loop or the threads."""
    for client in asyncio.run(play(specs, program)):
        assert not client.wrong
        ends = [event for event in client.log if event.startswith(("end", "app"))]
        assert ends[:2] == ["end-sync", "end"]
        (outcome,) = ends[2:]
        assert outcome.removeprefix("app ") in outcomes(client), client.log
        assert client.log.count("open") == client.log.count("close") <= 1
        assert client.task is not None
        if client.task.cancelled():
            assert client.cancelled
        elif client.task.exception() is not None:
            assert isinstance(client.task.exception(), Fault)
        elif not client.left:
            assert client.peer.over


@pytest.mark.parametrize("fault", ["dirty", "twice"])
def test_the_machine_can_fail(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge whose requests start from the Context of another, or that ends twice, is found."""
    from demijohn.serve import asgi_exchange, asgi_http

    if fault == "dirty":
        made = [contextvars.copy_context()]

        def copy_of_last() -> contextvars.Context:
            made.append(made[-1].copy())
            made[-1].run(_cv_app.set, None)
            made[-1].run(_cv_request.set, None)
            return made[-1]

        monkeypatch.setattr(asgi_http, "copy_context", copy_of_last)
    else:
        end = asgi_exchange.Exchange.end

        async def twice(self: Any, failed: Any) -> None:
            await end(self, failed)
            self.ctx._state, self.ctx._token = self.ctx._state.CURRENT, object()
            await end(self, failed)

        monkeypatch.setattr(asgi_exchange.Exchange, "end", twice)
    spec = {"raises": "", "handled": False, "resource": False, "waits": {"view", "before"}}
    specs = [spec | {"view": "async"}] * 3

    def found() -> bool:
        try:
            played = asyncio.run(play(specs, [(0, "go"), (1, "go"), (2, "go")]))
        except RuntimeError:
            return True
        return any(c.wrong or c.log != ["end-sync", "end", "app ok"] for c in played)

    assert found()
    monkeypatch.undo()
    assert not found()
