"""People in rooms: what each of them is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import PATIENCE, serving
from demijohn import Demijohn, WebSocketDisconnected
from demijohn.testing.websocket import WebSocketDenied
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def enter(app: Demijohn, name: str) -> Any:
    """A client that has said a name."""
    client = app.async_test_client()
    return client, client.post("/", data={"name": name, "room": "kitchen"})


async def visitor(app: Demijohn, name: str) -> Any:
    client, entering = enter(app, name)
    answer = await entering
    assert answer.location == "/rooms/kitchen"
    return client


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await main()

    asyncio.run(bounded())


def here(*names: str) -> dict[str, Any]:
    return {"kind": "here", "names": list(names)}


def said(name: str, text: str) -> dict[str, Any]:
    return {"kind": "said", "name": name, "text": text}


def test_two_people_talk(app: Demijohn) -> None:
    """Each is told who is there and what is said, in the same order; who leaves is gone."""

    async def main() -> None:
        ada, bob = await visitor(app, "ada"), await visitor(app, "bob")
        async with ada.websocket("/rooms/kitchen/talk") as first:
            assert await first.receive_json() == here("ada")
            async with bob.websocket("/rooms/kitchen/talk") as second:
                assert await second.receive_json() == here("ada", "bob")
                assert await first.receive_json() == here("ada", "bob")
                await first.send_json({"text": "hello"})
                await first.send_json({"text": "  "})
                await second.send_json({"text": "<b>hi</b>"})
                for ws in (first, second):
                    got = [await ws.receive_json(), await ws.receive_json()]
                    assert sorted(got, key=str) == sorted(
                        [said("ada", "hello"), said("bob", "<b>hi</b>")], key=str
                    )
            assert await first.receive_json() == here("ada")
        assert len(app.extensions["rooms"]) == 0

    run(main)


def test_a_newcomer_is_told_what_was_said_last(app: Demijohn) -> None:
    """A newcomer gets the last messages of the room first, and none of another room's."""

    async def main() -> None:
        ada, bob = await visitor(app, "ada"), await visitor(app, "bob")
        async with ada.websocket("/rooms/kitchen/talk") as first:
            await first.receive_json()
            for n in range(5):
                await first.send_json({"text": str(n)})
                assert await first.receive_json() == said("ada", str(n))
            async with bob.websocket("/rooms/garden/talk") as other:
                assert await other.receive_json() == here("bob")
            async with bob.websocket("/rooms/kitchen/talk") as second:
                got = [await second.receive_json() for _ in range(4)]
                assert got == [*(said("ada", str(n)) for n in (2, 3, 4)), here("ada", "bob")]

    run(main)


def test_strangers_stay_outside(app: Demijohn) -> None:
    """Who has said no name is refused; so is a page of another site."""

    async def main() -> None:
        ada = await visitor(app, "ada")
        stranger = app.async_test_client()
        evil = {"Origin": "https://evil.example"}
        for client, headers, status in ((stranger, {}, 401), (ada, evil, 403)):
            with pytest.raises(WebSocketDenied) as denied:
                async with client.websocket("/rooms/kitchen/talk", headers=headers):
                    raise AssertionError
            assert denied.value.response.status_code == status
        assert (await stranger.get("/rooms/kitchen")).location == "/"
        assert (await stranger.post("/", data={"name": " ", "room": "x"})).status_code == 400

    run(main)


@pytest.mark.parametrize("message", ['"text"', '{"text": 1}', '{"text": "' + "x" * 1001 + '"}'])
def test_messages_of_the_wrong_kind(app: Demijohn, message: str) -> None:
    """What is no message closes the connection, with a reason."""

    async def main() -> None:
        ada = await visitor(app, "ada")
        async with ada.websocket("/rooms/kitchen/talk") as ws:
            await ws.receive_json()
            await ws.send(message)
            with pytest.raises(WebSocketDisconnected, match="right kind") as closed:
                await ws.receive()
            assert closed.value.code == 1008

    run(main)


def test_a_slow_member_is_sent_away(app: Demijohn) -> None:
    """A member whose inbox is full is sent away, once; the others go on."""
    sent_away: list[str] = []
    rooms = app.extensions["rooms"]
    with (
        rooms.joined("kitchen", "slow", lambda: sent_away.append("slow")) as (room, slow),
        rooms.joined("kitchen", "quick", lambda: sent_away.append("quick")) as (_, quick),
    ):
        got = []
        for n in range(8):
            room.say("quick", str(n))
            while not quick.inbox.empty():
                got.append(quick.inbox.get_nowait())
        assert sent_away == ["slow"]
        assert slow.inbox.full()
        assert got[1:] == [said("quick", str(n)) for n in range(8)]


def test_the_server_stops() -> None:
    """When uvicorn is asked to stop, everybody is told so at once: 1012."""

    async def main() -> None:
        with serving() as server:
            address = f"ws://127.0.0.1:{server.port}/rooms/kitchen/talk"
            cookie = await asyncio.to_thread(log_in, server.address)
            async with connect(address, proxy=None, additional_headers={"Cookie": cookie}) as ws:
                await ws.recv()
                server.process.terminate()
                with pytest.raises(ConnectionClosed) as closed:
                    await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012

    run(main)


def log_in(address: str) -> str:
    """Say a name; the session's cookie."""
    import http.client
    from urllib.parse import urlencode, urlsplit

    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    form = urlencode({"name": "ada", "room": "kitchen"})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/", form, headers)
    answer = connection.getresponse()
    connection.close()
    return str(answer.headers["Set-Cookie"]).partition(";")[0]
