"""The application that the client's tests call, made with Flask or with this package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest

import demijohn

BOTH = pytest.mark.parametrize("fw", [demijohn, flask], ids=["demijohn", "flask"])
"""The same assertions on Flask 3.1.3 and here; `fw` is the package."""


def make_site(fw: Any = demijohn, **config: Any) -> Any:
    """An application with a few views; `app.log` is what its teardown functions wrote."""
    app = fw.Flask("site", static_folder=None)
    app.config.update({"SECRET_KEY": "key", **config})
    app.log = log = []
    g, request, session = fw.g, fw.request, fw.session

    app.teardown_request(lambda exc: log.append(f"request {request.path} {exc!r}"))
    app.teardown_appcontext(lambda exc: log.append(f"app {g.get('user')} {exc!r}"))

    @app.get("/")
    def index() -> str:
        return "index"

    @app.get("/user")
    def user() -> str:
        """What was on `g` before; puts this request's user on it."""
        before = g.get("user", "nobody")
        g.user = request.args.get("set", before)
        return str(before)

    @app.get("/session")
    def read_session() -> dict[str, Any]:
        return dict(session)

    @app.post("/session")
    def write_session() -> str:
        session.update(request.form)
        return "written"

    @app.get("/fail")
    def fail() -> str:
        g.user = "failed"
        raise LookupError("view")

    @app.get("/stream")
    def stream() -> Iterator[str]:
        g.user = "streamer"
        session.get("opened")

        def body() -> Iterator[str]:
            for n in range(2):
                yield f"{request.path}{n};"

        return fw.stream_with_context(body())

    @app.get("/redirect")
    def redirect() -> Any:
        g.user = "redirected"
        return fw.redirect("/user?set=final")

    @app.route("/echo/<path:name>", methods=["GET", "POST", "PUT"])
    def echo(name: str) -> dict[str, Any]:
        return {
            "method": request.method,
            "url": request.url,
            "name": name,
            "data": request.get_data(as_text=True),
            "type": request.content_type,
            "agent": request.user_agent.string,
            "addr": request.remote_addr,
            "header": request.headers.get("X-Own"),
            "cookies": dict(request.cookies),
        }

    return app
