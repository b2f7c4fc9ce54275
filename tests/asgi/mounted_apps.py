"""Applications of several frameworks that answer the same paths, and calling one on either edge.

`/` says "index"; `/where/REST` where the application thinks it is; `/echo` what was sent; `/stream`
three parts; `/fail` raises `LookupError`; `/cookie` gives two and shows the one it got.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import flask
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from werkzeug.test import EnvironBuilder

import demijohn
from demijohn import has_app_context, has_request_context

from . import mounted_django
from .asgi_kit import DEADLINE, Peer, scope
from .mounted_django import PARTS


def of_flask(fw: Any) -> Any:
    """An application of Flask, or of this package."""
    app = fw.Flask(f"mounted_{fw.__name__}", static_folder=None)

    @app.get("/")
    def index() -> str:
        return "index"

    @app.get("/where/<path:rest>")
    def where(rest: str) -> Any:
        own = has_app_context() or has_request_context()
        if fw is demijohn:
            # Its own contexts, and no other's.
            own = fw.current_app._get_current_object() is not app
        return {
            "root": fw.request.root_path,
            "rest": rest,
            "q": fw.request.args.get("q"),
            "url": fw.url_for("where", rest="x"),
            "forwarded": fw.request.headers.get("X-Forwarded-User"),
            "contexts": own,
        }

    @app.post("/echo")
    def echo() -> Any:
        return {"length": len(fw.request.get_data()), "type": fw.request.mimetype}

    @app.get("/stream")
    def stream() -> Any:
        return iter(PARTS), {"Content-Type": "text/plain"}

    @app.get("/fail")
    def fail() -> Any:
        raise LookupError("in the view")

    @app.get("/cookie")
    def cookie() -> Any:
        response = fw.make_response(fw.request.cookies.get("given", "none"))
        response.set_cookie("given", "by the site")
        response.set_cookie("second", "2")
        return response

    return app


def of_fastapi() -> FastAPI:
    api = FastAPI()

    @api.get("/")
    async def index() -> Any:
        return PlainTextResponse("index")

    @api.get("/where/{rest:path}", name="where")
    async def where(rest: str, request: Request, q: str | None = None) -> Any:
        return {
            "root": request.scope["root_path"],
            "rest": rest,
            "q": q,
            "url": request.url_for("where", rest="x").path,
            "forwarded": request.headers.get("X-Forwarded-User"),
            "contexts": has_app_context() or has_request_context(),
        }

    @api.post("/echo")
    async def echo(request: Request) -> Any:
        kind = request.headers["content-type"]
        return {"length": len(await request.body()), "type": kind}

    @api.get("/stream")
    async def stream() -> Any:
        async def parts() -> AsyncIterator[str]:
            for part in PARTS:
                await asyncio.sleep(0)
                yield part

        return StreamingResponse(parts(), media_type="text/plain")

    @api.get("/fail")
    def fail() -> Any:
        raise LookupError("in the view")

    @api.get("/cookie")
    async def cookie(request: Request) -> Any:
        response = PlainTextResponse(request.cookies.get("given", "none"))
        response.set_cookie("given", "by the site")
        response.set_cookie("second", "2")
        return response

    return api


KINDS: dict[str, Callable[[], Any]] = {
    "django-wsgi": lambda: mounted_django.by_wsgi,
    "django-asgi": lambda: mounted_django.by_asgi,
    "fastapi": of_fastapi,
    "flask": lambda: of_flask(flask),
    "demijohn": lambda: of_flask(demijohn),
}


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key.lower() == name]


def ask_wsgi(app: Any, path: str = "/", method: str = "GET", **options: Any) -> Answer:
    """One request as a WSGI server makes it, of which every step is taken."""
    told: list[Any] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        told[:] = [status, headers]
        return told.append

    builder = EnvironBuilder(path, method=method, **options)
    try:
        body = app(builder.get_environ(), start_response)
        try:
            data = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
    finally:
        builder.close()
    return Answer(int(told[0][:3]), list(told[1]), data)


def ask_asgi(
    app: Any,
    path: str = "/",
    method: str = "GET",
    headers: Any = (),
    data: bytes = b"",
    content_type: str | None = None,
    **options: Any,
) -> Answer:
    """The same as an ASGI server makes it. What the application raises after its answer is left to
    the server, as is what it raises before."""
    target, _, query = path.partition("?")
    given = [(name.lower(), value) for name, value in headers]
    if data:
        given += [("content-length", str(len(data))), ("content-type", content_type or "x")]
    more = {"raw_path": target.encode(), "query_string": query.encode()} | options
    peer = Peer([data[i : i + 65536] for i in range(0, len(data), 65536)])

    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            found = scope(method, headers=given, **more) | {"path": unquote(target)}
            await app.asgi_app(found, peer.receive, peer.send)

    try:
        asyncio.run(main())
    except LookupError:
        if peer.sent[-1:] == [] or peer.sent[-1].get("more_body"):
            raise
    pairs = [(name.decode(), value.decode()) for name, value in peer.sent[0]["headers"]]
    return Answer(peer.status, pairs, peer.data)


ASK: dict[str, Callable[..., Answer]] = {"wsgi": ask_wsgi, "asgi": ask_asgi}
