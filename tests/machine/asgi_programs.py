"""Programs of requests over ASGI: how they are made, played, and what must hold of each request.

Each request waits at gates: in hooks, view, handler, parts of a stream and teardown functions, in
async code on the loop and in sync code on threads. A program opens one gate after the other, or
cancels a request there, or lets its client leave.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgi.asgi_kit import DEADLINE, Peer, scope

from demijohn import Demijohn, g, request, resource
from demijohn.globals import _cv_app, _cv_request, app_ctx

VIEWS = ("async", "sync", "async-stream", "sync-stream")
RAISES = ("", "before", "before-sync", "view", "part", "after")
PLACES = ("before", "before-sync", "view", "part", "after", "end", "end-sync", "app-end")
MOVES = ("go", "go", "go", "cancel", "leave")
variable: contextvars.ContextVar[str] = contextvars.ContextVar("machine", default="")


def drawn(chance: random.Random) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Requests, and the moves of a program over them."""
    specs = [
        {
            "view": chance.choice(VIEWS),
            "raises": chance.choice(RAISES),
            "handled": chance.random() < 0.5,
            "resource": chance.random() < 0.5,
            "waits": set(chance.sample(PLACES, chance.randint(0, 4))),
        }
        for _ in range(chance.randint(1, 5))
    ]
    moves = [(chance.randint(0, 5), chance.choice(MOVES)) for _ in range(chance.randint(0, 40))]
    return specs, moves


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


def fault_of(client: Client) -> str | None:
    """What does not hold of a request that is over: each place saw its own request; it ended once,
    in order, with an outcome that it may have; what it opened is closed."""
    ends = [event for event in client.log if event.startswith(("end", "app"))]
    task = client.task
    assert task is not None
    error = None if task.cancelled() else task.exception()
    faults = {
        "saw another request": bool(client.wrong),
        "did not end once, in order": len(ends) != 3 or ends[:2] != ["end-sync", "end"],
        "ended otherwise than it may": not ends
        or ends[-1].removeprefix("app ") not in outcomes(client),
        "left a resource": client.log.count("open") != client.log.count("close")
        or client.log.count("open") > 1,
        "was cancelled by nobody": task.cancelled() and not client.cancelled,
        "raised": error is not None and not isinstance(error, Fault),
        "was never answered": not task.cancelled()
        and error is None
        and not client.left
        and not client.peer.over,
    }
    found = [what for what, holds in faults.items() if holds]
    if not found:
        return None
    return f"{client.name} {client.spec} {', '.join(found)}: {client.log} {client.wrong} {error!r}"
