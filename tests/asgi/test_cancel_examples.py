"""Every route of the examples for ASGI, cancelled at each of its awaits: one end, nothing is held,
and the same request is answered as before.

The routes are found in the application. A new one that needs no arguments is asked as it is; for
another one its example here has to say what to ask.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demijohn import Demijohn

from . import cancelling
from .cancelling import Call, http_call, socket_call
from .every_route import LIFESPAN, Site, check

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = {"streaming": "depot", "ticker": "ticker", "chat": "chat"}
"""The folders of the examples, and their packages."""


def streaming(folder: Path, make: Callable[[Any], Demijohn]) -> Site:
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
    return Site(app, {"PUT /files/<name>": put}, held)


def ticker(folder: Path, make: Callable[[Any], Demijohn]) -> Site:
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

    return Site(app, {"GET /events": events}, held)


def chat(folder: Path, make: Callable[[Any], Demijohn]) -> Site:
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
    return Site(app, calls, held, most=2)


EXAMPLES = {"streaming": streaming, "ticker": ticker, "chat": chat}


@contextmanager
def package(name: str) -> Iterator[Any]:
    """The package of an example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER / name)
        yield importlib.import_module(NAMES[name])


def made(name: str, folder: Path) -> Site:
    """An example whose files are in that folder."""
    with package(name) as found:
        example = EXAMPLES[name](folder, found.create_app)
    example.app.logger.disabled = True
    return example


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
        for path in FOLDER.rglob("*.py")
        if "tests" not in path.parts[-2:] and "async def" in path.read_text()
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

    @example.app.websocket("/other/<name>")
    async def other(name: str) -> None:
        pass

    assert {"GET /held", "WS /other/<name>"} < {*example.routes()}
    with pytest.raises(AssertionError, match="Nobody says how to ask WS /other/<name>"):
        check(example, "WS /other/<name>")
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
