"""Every route of the examples for ASGI, cancelled at each of its awaits: one end, nothing is held,
and the same request is answered as before.

The routes are found in the application. A new one that needs no arguments is asked as it is; for
another one `EXAMPLES` has to say what to ask.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.routing import Rule

from demijohn import Demijohn

from . import cancelling
from .cancelling import (
    Call,
    Journal,
    Run,
    faults_in,
    faults_of,
    http_call,
    lifespan_call,
    socket_call,
)

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = {"streaming": "depot", "ticker": "ticker", "chat": "chat"}
"""The folders of the examples, and their packages."""

LIFESPAN = "lifespan"


def answer(call: Call) -> list[Any]:
    """What the client was told, without what is different each time."""
    told: list[Any] = []
    body = b""
    for message in call.sent:
        body += message.get("body", b"")
        if message["type"] != "http.response.body":
            headers = dict(message.get("headers", ()))
            told += [message["type"], message.get("status"), headers.get(b"content-type")]
            told += [message.get("text"), message.get("code")]
    return [*told, re.sub(rb"(?m)^id: \S+", b"id:", body)]


# -- examples --------------------------------------------------------------------------------------


@dataclass
class Example:
    """An example's application, how its routes are asked, and what it holds."""

    app: Demijohn
    #: Route, as `routes` has it -> a call of it.
    calls: dict[str, Callable[[], Call]] = field(default_factory=dict)
    #: What calls have left.
    held: Callable[[], Iterator[str]] = lambda: iter(())
    #: How many contexts a call of it may have.
    most: int = 1

    def routes(self) -> dict[str, Rule | None]:
        """Its routes by method and rule; also what runs around the serving.

        Those that are no async function, too: who knows what they return. Not the static files.
        """
        app = self.app
        found: dict[str, Rule | None] = {}
        for rule in app.url_map.iter_rules():
            methods = {"WS"} if getattr(rule, "websocket_view", False) else rule.methods or set()
            if rule.endpoint.rpartition(".")[2] != "static":
                found |= {f"{one} {rule.rule}": rule for one in methods - {"HEAD", "OPTIONS"}}
        if app.before_serving_funcs or app.while_serving_funcs or app.after_serving_funcs:
            found[LIFESPAN] = None
        return found

    def call(self, route: str) -> Callable[[], Call]:
        """How a route is asked."""
        if route in self.calls:
            return self.calls[route]
        if route == LIFESPAN:
            return lifespan_call
        method, path = route.split(" ", 1)
        assert method == "GET" and "<" not in path, f"EXAMPLES does not say how to ask {route}."
        return lambda: http_call(path)


def streaming(folder: Path, make: Callable[[Any], Demijohn]) -> Example:
    """The depot: exports in pages, uploads."""
    uploads = folder / "uploads"
    app = make(
        {
            "DATABASE": str(folder / "orders.sqlite3"),
            "UPLOADS": str(uploads),
            "SAMPLES": 3,
            "PAGE": 2,
        }
    )

    def held() -> Iterator[str]:
        for file in uploads.iterdir():
            if file.name != "one.bin" or file.read_bytes() != b"onetwo":
                yield f"{file.name} is left"
            file.unlink()
        if found := app.extensions.get("uploads"):
            yield f"{found} are under way"

    put = lambda: http_call("/files/one.bin", "PUT", (b"one", b"two"))  # noqa: E731
    return Example(app, {"PUT /files/<name>": put}, held)


def ticker(folder: Path, make: Callable[[Any], Demijohn]) -> Example:
    """The ticker: a stream that the client leaves after three events, and the market."""
    app = make({"PERIOD": 60, "HEARTBEAT": 60})
    ring = app.extensions["ring"]
    ring.write("prices", {"Corks": 1})

    def sent(call: Call) -> None:
        events = len(call.sent) - 1
        if events == 3:
            call.leave()
        elif events:
            ring.write("prices", {"Corks": 1})

    def events() -> Call:
        call = http_call("/events")
        call.on_sent = sent
        return call

    def held() -> Iterator[str]:
        if (found := app.extensions.get("watchers")) and found.count:
            yield f"{found.count} are watching"
        if ring._written._waiters:
            yield "somebody waits for an event"

    return Example(app, {"GET /events": events}, held)


def chat(folder: Path, make: Callable[[Any], Demijohn]) -> Example:
    """The chat: somebody who enters a room, says something, hears it, and leaves."""
    app = make({})
    rooms = app.extensions["rooms"]
    signing = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    headers = [("cookie", f"session={signing.dumps({'name': 'ada'})}")]
    form = [("content-type", "application/x-www-form-urlencoded"), ("content-length", "15")]

    def sent(call: Call) -> None:
        if '"said"' in call.sent[-1].get("text", ""):
            call.leave()

    def talk() -> Call:
        call = socket_call("/rooms/hall/talk", '{"text": "hello"}', headers=headers)
        call.on_sent = sent
        return call

    def held() -> Iterator[str]:
        yield from (f"somebody is in {name}" for name in rooms._rooms)
        rooms._rooms.clear()

    calls = {
        "POST /": lambda: http_call("/", "POST", (b"name=ada&", b"room=x"), headers=form),
        "GET /rooms/<room>": lambda: http_call("/rooms/hall", headers=headers),
        "WS /rooms/<room>/talk": talk,
    }
    return Example(app, calls, held, most=2)


EXAMPLES = {"streaming": streaming, "ticker": ticker, "chat": chat}


@contextmanager
def package(name: str) -> Iterator[Any]:
    """The package of an example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER / name)
        yield importlib.import_module(NAMES[name])


def made(name: str, folder: Path) -> Example:
    """An example whose files are in that folder."""
    with package(name) as found:
        example = EXAMPLES[name](folder, found.create_app)
    example.app.logger.disabled = True
    return example


def check(example: Example, route: str, **how: Any) -> tuple[int, list[str]]:
    """Disturb a route at each of its awaits; how many there are, and what was found."""
    app = example.app
    journal = Journal(app)
    journal.most = example.most
    call = example.call(route)

    def undisturbed() -> tuple[list[Any], list[str]]:
        asked = call()
        faults = faults_in(app, journal, Run(app.asgi_app, asked, (), False))
        return answer(asked), [*faults, *example.held()]

    expected, faults = undisturbed()
    if faults:
        return 0, faults

    def after() -> Iterator[str]:
        yield from example.held()
        got, faults = undisturbed()
        if got != expected:
            yield f"it answers {got} instead of {expected}"
        yield from faults

    return faults_of(app, journal, call, after=after, **how)


@pytest.mark.parametrize("how", ["cancelled", "cancelled twice", "left"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_disturbed_at_every_await(name: str, how: str, tmp_path: Path) -> None:
    """Wherever it is cancelled, once or twice in a row, or its client leaves, a call of any route
    ends once, leaves nothing, and the next one is answered as ever."""
    routes = made(name, tmp_path).routes()
    assert routes
    for number, route in enumerate(routes):
        folder = tmp_path / str(number)
        folder.mkdir()
        example = made(name, folder)
        times = 2 if how == "cancelled twice" else 1
        awaits, faults = check(example, route, times=times, leaves=how == "left")
        print(f"{route}: {awaits} awaits")
        assert faults == [], route
        assert awaits >= 3


def test_examples_with_async_functions() -> None:
    """Every example that has an async function is among these."""
    found = {
        path.relative_to(FOLDER).parts[0]
        for path in FOLDER.glob("*/*/*.py")
        if path.parent.name != "tests" and "async def" in path.read_text()
    }
    assert found == set(EXAMPLES)


# -- examples that must fail -----------------------------------------------------------------------


def test_a_new_route_is_asked(tmp_path: Path) -> None:
    """A route that is added is asked; one of which nobody says how fails, by its name."""
    example = made("ticker", tmp_path)
    watchers = example.app.extensions["watchers"] = SimpleNamespace(count=0)

    @example.app.get("/held")
    async def held() -> str:
        watchers.count += 1
        await asyncio.sleep(0)
        watchers.count -= 1
        return "held"

    @example.app.websocket("/other")
    async def other() -> None:
        pass

    assert {"GET /held", "WS /other"} < example.routes().keys()
    with pytest.raises(AssertionError, match="does not say how to ask WS /other"):
        check(example, "WS /other")
    _, faults = check(example, "GET /held")
    assert [fault for fault in faults if "are watching" in fault]


def leaves_a_member(patch: pytest.MonkeyPatch) -> None:
    """The chat's room without its `finally`."""

    @contextmanager
    def joined(self: Any, name: str, send_away: Callable[[], object]) -> Iterator[Any]:
        member = sys.modules["chat.rooms"].Member(name, 9, send_away)
        self.members.append(member)
        self._tell_who()
        yield member
        self.members.remove(member)

    patch.setattr("chat.rooms.Room.joined", joined)


def leaves_a_task(patch: pytest.MonkeyPatch) -> None:
    """The chat with a task that nobody waits for, instead of a group."""

    class Group:
        async def __aenter__(self) -> Any:
            return asyncio

        async def __aexit__(self, *error: object) -> None:
            pass

    patch.setattr("chat.views.task_group", Group)


def leaves_a_watcher(patch: pytest.MonkeyPatch) -> None:
    """The ticker, counting down only who has seen all."""

    def leave(self: Any, kind: Any, *error: object) -> None:
        self.count -= kind is None

    patch.setattr("ticker.views.Watchers.__exit__", leave)


def leaves_the_market(patch: pytest.MonkeyPatch) -> None:
    """The ticker with a market that goes on."""

    async def trade() -> AsyncIterator[None]:
        market = sys.modules["ticker.market"]
        changing = asyncio.create_task(market._change(market.Ring(1), 60))
        yield
        changing.cancel()

    patch.setattr("ticker.market.trade", trade)


def leaves_a_part(patch: pytest.MonkeyPatch) -> None:
    """The depot, taking away the parts of failed uploads only."""

    def unlink(path: str) -> None:
        if not isinstance(sys.exception(), asyncio.CancelledError):
            Path(path).unlink()

    patch.setattr("depot.uploads.os", SimpleNamespace(unlink=unlink, replace=os.replace))


def leaves_a_thread(patch: pytest.MonkeyPatch) -> None:
    """The depot's reader, whose thread ends only when a page was read."""
    kept: list[Any] = []

    async def close(self: Any) -> None:
        kept.append(self._thread)
        self._thread.submit(self._opened.close)
        if self.pages:
            self._thread.shutdown(wait=False)

    patch.setattr("depot.database.AsyncReader.close", close)
    patch.setattr(cancelling, "PATIENCE", 0.05)


@pytest.mark.parametrize(
    ("name", "route", "fault", "words"),
    [
        ("chat", "WS /rooms/<room>/talk", leaves_a_member, "somebody is in hall"),
        ("chat", "WS /rooms/<room>/talk", leaves_a_task, "a task is left"),
        ("ticker", "GET /events", leaves_a_watcher, "are watching"),
        ("ticker", LIFESPAN, leaves_the_market, "a task is left"),
        ("streaming", "PUT /files/<name>", leaves_a_part, "is left"),
        ("streaming", "GET /orders.csv", leaves_a_thread, "the thread reader_0 is left"),
    ],
)
def test_a_broken_example_is_found(
    name: str,
    route: str,
    fault: Callable[[pytest.MonkeyPatch], None],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An example that loses something where it is cancelled is found."""
    with package(name):
        fault(monkeypatch)
    _, faults = check(made(name, tmp_path), route)
    assert [found for found in faults if words in found], faults
