"""The same two applications for each subject: "plain" and, with hooks, "hooks".

Flask and this package run one source, as a user of either would write it. Falcon and the bare WSGI
callable do the same work their way: Falcon's middleware stands for the hooks, its `req.context` for
`g`, and its JSON handler gets the encoder that costs least for the compact, sorted JSON that
Flask sends.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

from benchmarks.workloads import Connection, Environ, WSGIApp

Apps = dict[str, WSGIApp]
SUBJECTS = ("demijohn", "flask", "falcon", "bare")


def build(subject: str) -> Apps:
    """Return the applications of one of SUBJECTS."""
    if subject == "falcon":
        return {"plain": falcon_plain(), "hooks": falcon_hooks()}
    if subject == "bare":
        return {"plain": bare, "hooks": bare}
    return flask_like(import_module(subject))


def flask_like(framework: Any) -> Apps:
    """Return the applications written with Flask's API, taken from the module given."""
    return {"plain": _plain(framework), "hooks": _hooks(framework)}


def _plain(framework: Any) -> Any:
    request = framework.request
    app = framework.Flask("bench")

    @app.get("/")
    def hello() -> str:
        return "hello"

    @app.get("/u/<int:id>")
    def user(id: int) -> dict[str, Any]:
        return {"id": id, "q": request.args.get("q")}

    @app.post("/echo")
    def echo() -> Any:
        return request.get_json()

    return app


def _hooks(framework: Any) -> Any:
    request, g, current_app = framework.request, framework.g, framework.current_app
    app = framework.Flask("bench")

    @app.before_request
    def load_user() -> None:
        g.user = request.headers.get("X-User")

    @app.after_request
    def mark(response: Any) -> Any:
        response.headers["X-User"] = g.user
        return response

    @app.teardown_request
    def close(exc: BaseException | None) -> None:
        connection = g.pop("connection", None)
        if connection is not None:
            connection.close()

    @app.get("/ctx/<int:id>")
    def view(id: int) -> dict[str, Any]:
        g.connection = Connection()
        return {"id": id, "user": g.user, "path": request.path, "app": current_app.name}

    return app


def _falcon(middleware: Any = None) -> Any:
    import falcon
    import falcon.media

    app: Any = falcon.App(middleware=middleware)
    dumps = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
    handler = falcon.media.JSONHandler(dumps=dumps)
    app.req_options.media_handlers["application/json"] = handler
    app.resp_options.media_handlers["application/json"] = handler
    return app


def falcon_plain() -> Any:
    """Return the plain application written with Falcon."""

    class Hello:
        def on_get(self, req: Any, resp: Any) -> None:
            resp.content_type = "text/html; charset=utf-8"
            resp.text = "hello"

    class User:
        def on_get(self, req: Any, resp: Any, id: int) -> None:
            resp.media = {"id": id, "q": req.get_param("q")}

    class Echo:
        def on_post(self, req: Any, resp: Any) -> None:
            resp.media = req.get_media()

    app = _falcon()
    app.add_route("/", Hello())
    app.add_route("/u/{id:int}", User())
    app.add_route("/echo", Echo())
    return app


def falcon_hooks() -> Any:
    """Return the application with hooks written with Falcon."""

    class Hooks:
        def process_request(self, req: Any, resp: Any) -> None:
            req.context.user = req.get_header("X-User")

        def process_response(self, req: Any, resp: Any, resource: Any, succeeded: bool) -> None:
            resp.set_header("X-User", req.context.user)
            connection = getattr(req.context, "connection", None)
            if connection is not None:
                connection.close()

    class View:
        app_name = "bench"

        def on_get(self, req: Any, resp: Any, id: int) -> None:
            context = req.context
            context.connection = Connection()
            resp.media = {
                "id": id,
                "user": context.user,
                "path": req.path,
                "app": self.app_name,
            }

    app = _falcon([Hooks()])
    app.add_route("/ctx/{id:int}", View())
    return app


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def bare(environ: Environ, start_response: Any) -> list[bytes]:
    """Do the work of all workloads with no framework: the floor under every figure."""
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "application/json")]
    if path == "/":
        body = b"hello"
        headers = [("Content-Type", "text/html; charset=utf-8")]
    elif path == "/echo":
        data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        body = _encode(json.loads(data)).encode()
    elif path.startswith("/u/"):
        query = parse_qs(environ["QUERY_STRING"])
        body = _encode({"id": int(path[3:]), "q": query["q"][0]}).encode()
    else:
        user = environ.get("HTTP_X_USER")
        Connection().close()
        answer = {"id": int(path[5:]), "user": user, "path": path, "app": "bench"}
        body = _encode(answer).encode()
        headers.append(("X-User", user))
    headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    return [body]
