"""The async test client: requests, streams, sessions, cookies, blocks, in the test's own loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from werkzeug.test import ClientRedirectError

import demijohn
from demijohn import Demijohn, app_ctx, g, redirect, request, session
from demijohn.testing import EnvironBuilder
from demijohn.testing.server_side import ProtocolError


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def app(log: list[str]) -> Demijohn:
    app = Demijohn("site", static_folder=None)
    app.secret_key = "key"
    app.testing = True

    @app.teardown_request
    def end(exc: BaseException | None) -> None:
        log.append(f"end {app_ctx.outcome}")

    @app.route("/", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def index() -> Any:
        g.method = request.method
        return {
            "method": request.method,
            "args": request.args,
            "data": request.get_data(as_text=True),
        }

    @app.get("/task")
    async def task() -> str:
        return str(id(asyncio.current_task()))

    @app.get("/stream")
    async def stream() -> Any:
        async def steps() -> AsyncIterator[str]:
            try:
                for number in range(3):
                    log.append(f"step {number}")
                    yield str(number)
            finally:
                log.append("closed")

        return steps()

    @app.get("/fails")
    async def fails() -> str:
        raise LookupError("view")

    @app.get("/fails-later")
    async def fails_later() -> Any:
        async def steps() -> AsyncIterator[str]:
            yield "first"
            raise LookupError("stream")

        return steps()

    @app.get("/n")
    def count() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/to/<path:where>")
    async def to(where: str) -> Any:
        return redirect(f"/{where}")

    return app


def test_methods_and_arguments(app: Demijohn) -> None:
    """Each method has its call, and the arguments are those of the sync client."""

    async def main() -> None:
        client = app.async_test_client()
        for method in ("get", "post", "put", "patch", "delete", "options"):
            response = await getattr(client, method)("/", query_string={"a": "1"})
            assert response.status_code == 200
            assert response.json == {"method": method.upper(), "args": {"a": "1"}, "data": ""}
        assert (await client.head("/")).data == b""
        assert (await client.post("/", data="text")).json["data"] == "text"
        assert (await client.post("/", json=[1])).json["data"] == "[1]"
        assert (await client.open(EnvironBuilder(app, "/", method="PUT"))).json["method"] == "PUT"
        assert client.last is not None and client.last.method == "PUT"

    asyncio.run(main())


def test_a_request_is_made_in_the_tests_task(app: Demijohn) -> None:
    """The view runs in the task of the test, so that a timeout around a request reaches it."""

    async def main() -> None:
        response = await app.async_test_client().get("/task")
        assert response.text == str(id(asyncio.current_task()))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_timeout_cancels_the_request(app: Demijohn, log: list[str]) -> None:
    """A request that the test gives up is cancelled, and has ended when the test goes on."""

    @app.get("/waits")
    async def waits() -> str:
        await asyncio.Event().wait()
        return "never"

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await app.async_test_client().get("/waits")
        assert log == ["end cancelled"]

    asyncio.run(main())


def test_a_stream_is_read_as_it_is_made(app: Demijohn, log: list[str]) -> None:
    """A streamed body goes on only when its next part is asked for."""

    async def main() -> None:
        async with app.async_test_client().stream("GET", "/stream") as response:
            assert (response.status_code, response.status) == (200, "200 OK")
            assert response.headers["Content-Type"].startswith("text/html")
            assert response.request.path == "/stream"
            parts = aiter(response)
            assert await anext(parts) == b"0"
            assert log == ["step 0"]
            assert await response.read() == b"12"
        assert log == ["step 0", "step 1", "step 2", "closed", "end ok"]

    asyncio.run(main())


@pytest.mark.parametrize("how", ["disconnect", "leave the block", "raise"])
def test_a_client_that_leaves(app: Demijohn, log: list[str], how: str) -> None:
    """A client leaves when it says so, and at the end of its block: the request has ended then."""

    async def main() -> None:
        try:
            async with app.async_test_client().stream("GET", "/stream") as response:
                await anext(response)
                if how == "disconnect":
                    await response.disconnect()
                    assert log[-2:] == ["closed", "end disconnected"]
                    assert await response.read() == b""
                elif how == "raise":
                    raise KeyError
        except KeyError:
            assert how == "raise"
        assert log[-2:] == ["closed", "end disconnected"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_errors_come_out(app: Demijohn) -> None:
    """An exception comes out as under the sync client, that of a stream where it happens."""

    async def main() -> None:
        client = app.async_test_client()
        with pytest.raises(LookupError, match="view"):
            await client.get("/fails")
        with pytest.raises(LookupError, match="view"):
            async with client.stream("GET", "/fails"):
                pass
        async with client.stream("GET", "/fails-later") as response:
            assert await anext(response) == b"first"
            with pytest.raises(LookupError, match="stream"):
                await anext(response)
        app.config.update(TESTING=False)
        app.logger.disabled = True
        assert (await client.get("/fails")).status_code == 500

    asyncio.run(main())


def test_cookies_and_sessions(app: Demijohn) -> None:
    """Cookies stay between requests; a session can be changed in between."""

    async def main() -> None:
        client = app.async_test_client()
        assert [(await client.get("/n")).text for _ in range(2)] == ["1", "2"]
        async with client.session_transaction() as changed:
            assert changed["n"] == 2
            changed["n"] = 10
        assert (await client.get("/n")).text == "11"
        assert client.get_cookie("session") is not None
        client.delete_cookie("session")
        assert (await client.get("/n")).text == "1"
        client.set_cookie("session", "bad")
        assert (await client.get("/n")).text == "1"

    asyncio.run(main())


def test_redirects(app: Demijohn) -> None:
    """Redirects are followed where that is asked for; those in a circle are found."""

    async def main() -> None:
        client = app.async_test_client()
        assert (await client.get("/to/n")).status_code == 302
        response = await client.get("/to/to/n", follow_redirects=True)
        assert (response.text, len(response.history)) == ("1", 2)

    asyncio.run(main())


def test_redirects_in_a_circle(app: Demijohn) -> None:
    """Redirects in a circle raise what they raise under the sync client."""
    app.add_url_rule("/round", "round", lambda: redirect("/round"))

    async def main() -> None:
        with pytest.raises(ClientRedirectError):
            await app.async_test_client().get("/round", follow_redirects=True)

    asyncio.run(main())


def test_a_block_keeps_the_last_request(app: Demijohn, log: list[str]) -> None:
    """In `async with client:` the last request's contexts stay current, until its end."""

    async def main() -> None:
        async with app.async_test_client() as client:
            await client.get("/?a=1")
            assert (request.args["a"], g.method) == ("1", "GET")
            await client.post("/")
            assert g.method == "POST"
            async with client.stream("GET", "/stream") as response:
                assert request.path == "/stream"
                assert await response.read() == b"012"
                assert request.path == "/stream"
            with pytest.raises(RuntimeError, match="nest"):
                async with client:
                    pass
        assert not demijohn.has_request_context()

    asyncio.run(main())


def test_a_test_context_is_joined(app: Demijohn) -> None:
    """A request joins the app context that the test holds, unless the client is isolated."""

    async def main() -> None:
        async with app.app_context():
            await app.async_test_client().get("/")
            assert g.method == "GET"
            await app.async_test_client(isolated=True).put("/")
            assert g.method == "GET"

    asyncio.run(main())


def test_a_body_in_parts(app: Demijohn) -> None:
    """`chunks` is a body without a length, sent part by part, from an async iterator too."""
    got: list[bytes] = []

    @app.post("/live", stream_body=True)
    async def live() -> str:
        async for chunk in request.body_stream:
            got.append(chunk)
        return "done"

    async def slowly() -> AsyncIterator[bytes]:
        for part in (b"one", b"two"):
            await asyncio.sleep(0)
            yield part

    async def main() -> None:
        client = app.async_test_client()
        assert (await client.post("/", chunks=[b"a", b"b"])).json["data"] == "ab"
        assert (await client.post("/live", chunks=slowly())).text == "done"
        assert got == [b"one", b"two"]

    asyncio.run(main())


def test_an_application_that_breaks_the_protocol_is_found(app: Demijohn) -> None:
    """The client refuses what no server would send: it says what was wrong."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    body = {"type": "http.response.body", "body": b"x"}
    wrong = {
        "sent twice": [start, start],
        "before the status": [body],
        "after the end": [start, body, body],
        "without an answer": [],
        "before the end of its answer": [start],
        "capital letters": [start | {"headers": [(b"A", b"b")]}],
        "no message of": [{"type": "websocket.send"}],
    }

    async def main() -> None:
        for words, messages in wrong.items():

            async def asgi_app(
                scope: Any, receive: Any, send: Any, messages: Any = messages
            ) -> None:
                for message in messages:
                    await send(message)

            app.asgi_app = asgi_app  # type: ignore[assignment]
            with pytest.raises(ProtocolError, match=words):
                await app.async_test_client().get("/")
            with pytest.raises(ProtocolError, match=words):
                async with app.async_test_client().stream("GET", "/") as response:
                    await response.read()

    asyncio.run(main())


def test_the_sync_client_in_a_running_loop(app: Demijohn, log: list[str]) -> None:
    """`app.test_client(edge="asgi")` works where a loop runs: streams, blocks and sessions too."""
    client = app.test_client(edge="asgi")

    async def main() -> None:
        assert client.get("/").status_code == 200
        with client:
            response = client.get("/stream")
            assert log[-1] == "step 0"
            assert response.text == "012"
            assert request.path == "/stream"
        client.get("/stream").close()
        assert log[-1] == "end disconnected"

    asyncio.run(main())


def test_a_body_that_failed_is_over(app: Demijohn) -> None:
    """By the sync client too, an exception in a stream comes once, and then there is nothing."""
    body = app.test_client(edge="asgi").get("/fails-later").iter_encoded()
    assert next(body) == b"first"
    with pytest.raises(LookupError, match="stream"):
        next(body)
    assert list(body) == []


def test_loops_and_threads_are_given_back(app: Demijohn) -> None:
    """A process that used every client ends without a warning."""
    code = """
import asyncio, threading
from demijohn import Demijohn
app = Demijohn("site", static_folder=None)
@app.get("/")
def view():
    return "x"
@app.get("/stream")
async def stream():
    async def steps():
        yield "a"
        yield "b"
    return steps()
def ask():
    client = app.test_client(edge="asgi")
    assert client.get("/").text == "x"
    assert client.get("/stream").text == "ab"
    client.get("/stream").close()
async def main():
    ask()
    assert (await app.async_test_client().get("/")).text == "x"
ask()
asyncio.run(main())
thread = threading.Thread(target=ask); thread.start(); thread.join()
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_asyncio_is_loaded_for_asgi_only() -> None:
    """Importing the package and its test client loads no asyncio."""
    code = (
        "import demijohn, demijohn.testing, sys; demijohn.Demijohn; print('asyncio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@asynccontextmanager
async def httpx_client(app: Demijohn, edge: str) -> AsyncIterator[Any]:
    if edge == "asgi":
        transport = httpx.ASGITransport(app=app.asgi_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            yield client
    else:
        with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://site") as client:
            yield client


@pytest.mark.parametrize("edge", ["asgi", "wsgi"])
def test_httpx(app: Demijohn, log: list[str], edge: str) -> None:
    """httpx calls the application through its transports for either edge."""

    @app.get("/sync-stream")
    def sync_stream() -> Any:
        def steps() -> Iterator[bytes]:
            yield b"0"
            yield b"1"

        return steps()

    async def main() -> None:
        async with httpx_client(app, edge) as client:

            async def ask(method: str, path: str, **options: Any) -> Any:
                answer = client.request(method, path, **options)
                return await answer if edge == "asgi" else answer

            assert (await ask("POST", "/?a=b", content=b"text")).json()["data"] == "text"
            assert (await ask("GET", "/sync-stream")).text == "01"
            assert [(await ask("GET", "/n")).text for _ in range(2)] == ["1", "2"]
            assert (await ask("GET", "/to/n", follow_redirects=True)).text == "3"
            with pytest.raises(LookupError, match="view"):
                await ask("GET", "/fails")
            app.config.update(TESTING=False)
            app.logger.disabled = True
            assert (await ask("GET", "/fails")).status_code == 500
        assert not [entry for entry in log if entry not in ("end ok", "end error")]

    asyncio.run(main())
