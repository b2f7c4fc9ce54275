"""docs/howto/from-quart.md: what is to be written in place of Quart's way works.

The page's program is run by test_howto.py. What it says of Quart was found with Quart 0.22.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from documents import FOREIGN, blocks
from quart_pairs import DEADLINE, PAGE, Shop, Table

import demijohn
from demijohn import (
    copy_current_request_context,
    current_app,
    flash,
    g,
    in_child,
    make_response,
    render_template,
    render_template_string,
    request,
    send_file,
    send_from_directory,
    session,
    stream_template,
    stream_with_context,
    websocket,
)

written = Table("What is written differently")


@written("`from quart import Quart`")
def _(shop: Shop) -> None:
    assert type(shop.app) is demijohn.Demijohn


@written("`await request.get_json()`, `await request.json`")
def _(shop: Shop) -> None:
    got = shop.result(lambda: (request.get_json(), request.json), json={"a": 1})
    assert got == ({"a": 1}, {"a": 1})


@written("`await request.form`, `.files`, `.values`, `.data`, `await request.get_data()`")
def _(shop: Shop) -> None:
    def read() -> Any:
        data = request.get_data()  # before the form, which takes the body
        file = request.files["file"].read()
        return request.form["a"], request.values["q"], file, b"name" in data, request.data

    data = {"a": "1", "file": (io.BytesIO(b"x"), "x.txt")}
    got = shop.result(read, data=data, query_string={"q": "2"})
    assert got == ("1", "2", b"x", True, got[4])


@written("`async for part in request.body`")
def _(shop: Shop) -> None:
    async def view() -> str:
        return "".join([part.decode() async for part in request.body_stream])

    shop.view(view, stream_body=True)
    assert shop.ask(method="POST", chunks=[b"a", b"b"]).text == "ab"


@written("`await file.save(path)` of an upload")
def _(shop: Shop) -> None:
    async def view() -> str:
        await asyncio.to_thread(request.files["file"].save, shop.folder / "saved")
        return ""

    shop.view(view)
    shop.ask(method="POST", data={"file": (io.BytesIO(b"x"), "x.txt")})
    assert (shop.folder / "saved").read_bytes() == b"x"


@written("`await render_template(…)`, `await render_template_string(…)`")
def _(shop: Shop) -> None:
    got = shop.result(
        lambda: (render_template("a.html", x=1), render_template_string("{{ x }}", x=2))
    )
    assert got == ("1", "2")


@written("`await stream_template(…)`")
def _(shop: Shop) -> None:
    async def view() -> Any:
        return stream_template("a.html", x=1)

    shop.view(view)
    assert shop.ask().text == "1"


@written("`await make_response(…)`, `await flash(…)`")
def _(shop: Shop) -> None:
    def call() -> Any:
        flash("done")
        return make_response("x", 201)

    assert shop.result(call).status_code == 201


@written(
    "`await send_file(path, attachment_filename=…, cache_timeout=…, add_etags=…)`",
    "`await send_from_directory(…)`",
)
def _(shop: Shop) -> None:
    async def view() -> Any:
        options: dict[str, Any] = {"download_name": "b.txt", "max_age": 7, "etag": False}
        if "directory" in request.args:
            return send_from_directory(shop.folder / "static", "a.txt", **options)
        return send_file(shop.folder / "static" / "a.txt", **options)

    shop.view(view)
    for query in ({}, {"directory": "1"}):
        answer = shop.ask(query_string=query)
        assert answer.data == b"hello" and "ETag" not in answer.headers
        assert "max-age=7" in answer.headers["Cache-Control"]
        assert "b.txt" in answer.headers["Content-Disposition"]


@written(
    "`await response.get_data()`, `.get_json()`, `.data`, `.json`, `.freeze()`,"
    " `.make_conditional(…)`, `.add_etag()`"
)
def _(shop: Shop) -> None:
    def call() -> Any:
        response = make_response({"a": 1})
        response.freeze()
        response.add_etag()
        response.make_conditional(request)
        return response.get_data() == response.data, response.get_json() == response.json

    assert shop.result(call) == (True, True)


@written("`await app.open_resource(…)`, `await app.open_instance_resource(…)`")
def _(shop: Shop) -> None:
    with shop.app.open_resource("static/a.txt") as file:
        assert file.read() == b"hello"
    assert not inspect.iscoroutinefunction(shop.app.open_instance_resource)


@written("`@stream_with_context` around a body", "`response.timeout = None`")
def _(shop: Shop) -> None:
    @stream_with_context
    async def body() -> AsyncIterator[str]:
        yield request.path

    async def view() -> Any:
        response = make_response(body())
        response.timeout = None
        return response

    shop.view(view)
    assert shop.ask().text == "/"


@written("`run_sync(f)` of `quart.utils`")
def _(shop: Shop) -> None:
    async def view() -> list[str]:
        g.user = "ada"
        same = await asyncio.to_thread(lambda: g.user)
        return [same, str(await asyncio.to_thread(in_child(lambda: "user" in g)))]

    shop.view(view)
    assert shop.ask().json == ["ada", "False"]


@written("`app.ensure_async(f)`")
def _(shop: Shop) -> None:
    async def answer() -> int:
        return 42

    assert shop.app.ensure_sync(answer)() == 42


@written(
    "`copy_current_app_context(f)`, `copy_current_websocket_context(f)`,"
    " `copy_current_request_context(f)`",
    "`app.add_background_task(f)`",
)
def _(shop: Shop) -> None:
    tasks: list[asyncio.Task[Any]] = []
    shop.app.carry("user")

    async def later() -> str:
        await asyncio.sleep(0)
        return f"{current_app.name} {g.user}"

    async def view() -> str:
        g.user = "ada"
        tasks.append(asyncio.create_task(in_child(later)()))
        copied = copy_current_request_context(later)
        tasks.append(asyncio.create_task(asyncio.to_thread(copied)))
        return ""

    async def main() -> list[Any]:
        async with asyncio.timeout(DEADLINE):
            await shop.app.async_test_client().get("/")
            return await asyncio.gather(*tasks)

    shop.view(view)
    assert asyncio.run(main()) == ["shop ada", "shop ada"]


@written("`async with app.test_app():`")
def _(shop: Shop) -> None:
    ran: list[str] = []
    shop.app.before_serving(lambda: ran.append("before"))
    shop.app.after_serving(lambda: ran.append("after"))

    @shop.app.while_serving
    async def around() -> AsyncIterator[None]:
        ran.append("begin")
        yield
        ran.append("end")

    async def main() -> None:
        async with shop.app.serving():
            ran.append("serving")

    asyncio.run(main())
    assert ran == ["before", "begin", "serving", "end", "after"]


@written(
    "`app.test_client()`, and every method awaited",
    "`await client.post(path, form={…})`",
    "`client.request(path)`, a connection by hand",
)
def _(shop: Shop) -> None:
    async def view() -> Any:
        session["a"] = request.form.get("a", "no form")
        return f"{session['a']}"

    async def main() -> None:
        client = shop.app.async_test_client()
        async with client.session_transaction() as stored:
            stored["b"] = 1
        answer = await client.post("/", data={"a": "1"})
        assert answer.get_data() == b"1" and answer.status_code == 200
        async with client.stream("GET", "/") as response:
            assert await response.read() == b"no form"
        async with shop.app.app_context(), shop.app.test_request_context("/"):
            assert request.path == "/"

    shop.view(view)
    asyncio.run(main())
    with shop.app.app_context(), shop.app.test_request_context("/"):
        assert shop.app.test_client().post("/", data={"a": "1"}).text == "1"


@written("`app.config.from_prefixed_env()` reads `QUART_…`")
def _(shop: Shop) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUART_A", "1")
        patch.setenv("FLASK_B", "2")
        shop.app.config.from_prefixed_env()
        assert (shop.app.config.get("A"), shop.app.config["B"]) == (None, 2)
        shop.app.config.from_prefixed_env("QUART")
        assert shop.app.config["A"] == 1


@written("`QUART_APP`, `QUART_DEBUG`")
def _(shop: Shop) -> None:
    (shop.folder / "shop.py").write_text(
        "from demijohn import Demijohn, current_app\n"
        "app = Demijohn(__name__)\n"
        "app.cli.command('say')(lambda: print(current_app.debug))\n"
    )
    kept = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
    path = os.pathsep.join([str(PAGE.parents[2] / "src"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "demijohn", "say"],
        cwd=shop.folder,
        env={**kept, "DEMIJOHN_APP": "shop", "DEMIJOHN_DEBUG": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stdout == "True\n", done.stderr


@written("`quart run`, `app.run()`", "`hypercorn shop:app`")
def _(shop: Shop) -> None:
    """Servers are started by tests/serve and by the page on ASGI; here: what they are given."""
    assert inspect.iscoroutinefunction(shop.app.asgi_app.__call__)


@written("`await websocket.accept(headers, subprotocol)`")
def _(shop: Shop) -> None:
    @shop.app.websocket("/ws")
    async def ws() -> None:
        await websocket.accept(subprotocol="chat", headers={"X-A": "b"})
        await websocket.send(await websocket.receive())

    with shop.app.test_client().websocket("/ws", subprotocols=["chat"]) as connection:
        assert connection.subprotocol == "chat"
        connection.send("x")
        assert connection.receive() == "x"


# -- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", written.checks)
def test_what_is_written_here(row: str, tmp_path: Path) -> None:
    """What stands in the column "Here" works."""
    written.checks[row](Shop(tmp_path))


def test_every_row_is_checked() -> None:
    """The rows of the page's table and the checks here are the same."""
    assert sorted(written.rows()) == sorted(written.checks)


def test_left_over_awaits_are_found(tmp_path: Path) -> None:
    """The page's expression finds the awaits that are to go, and no others."""
    (command,) = (
        block.text for block in blocks(PAGE.read_text()) if block.text.startswith("$ grep")
    )
    pattern = re.findall(r'"(.*)"', command)[0]
    to_go = ("request.form", "quart.request.json", "render_template_string('x')", "flash('x')")
    to_go += (
        "send_from_directory(d)",
        "response.get_data()",
        "make_response()",
        "app.open_resource",
    )
    for call in to_go:
        assert re.search(pattern, f"x = await {call}"), call
    for call in ("asyncio.sleep(1)", "websocket.receive()", "client.get('/')", "requests()"):
        assert not re.search(pattern, f"x = await {call}"), call
