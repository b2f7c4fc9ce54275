"""What a server meets that took the application, or its ASGI side, for something else.

Servers tell an application's interface by its looks where no option says it, and some guess wrong
(docs/howto/servers.md has the table). An interface that can be served is served; for any other
each request is answered with 500 and the command that is right, which is logged once.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_HEADERS = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]

# By server: the commands that serve an application.
_COMMANDS = {
    "granian": ("granian --interface asgi {target}.asgi_app", "granian --interface wsgi {target}"),
    "gunicorn": ("gunicorn --worker-class asgi {target}", "gunicorn {target}"),
}


def double_callable(app: Any, scope: Any) -> Callable[..., Awaitable[None]]:
    """The application for one connection: servers of ASGI 2 call `app(scope)(receive, send)`.

    So does uvicorn with what has no `async def __call__`. Raises `TypeError` where `scope` is none:
    then no server is calling.
    """
    if not (isinstance(scope, dict) and "type" in scope):
        raise TypeError(
            "An application is called with (environ, start_response) by WSGI servers, and with"
            " (scope, receive, send) by ASGI servers."
        )

    def connection(receive: Any, send: Any) -> Awaitable[None]:
        done: Awaitable[None] = app.asgi_app(scope, receive, send)
        return done

    return connection


def refuse_wsgi(
    app: Any, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer a WSGI server that was given `app.asgi_app`."""
    target = target_of(app)
    server = str(environ.get("SERVER_SOFTWARE") or "server").partition("/")[0].lower()
    commands = _COMMANDS.get(server, (f"{server} {{target}}",))
    body = _explained(app, f"This is the ASGI side of {target}, called by a WSGI server.", commands)
    start_response("500 Internal Server Error", [*_HEADERS, ("content-length", str(len(body)))])
    return [body]


async def refuse_rsgi(app: Any, scope: Any, protocol: Any) -> None:
    """Answer Granian, which speaks RSGI unless it is told otherwise."""
    target = target_of(app)
    body = _explained(
        app,
        f"{target} speaks WSGI and ASGI, and Granian calls it by its own interface, RSGI.",
        _COMMANDS["granian"],
    )
    if scope.proto == "http":
        protocol.response_bytes(500, _HEADERS, body)
    else:
        protocol.close(500)


def _explained(app: Any, what: str, commands: tuple[str, ...]) -> bytes:
    lines = [f"    {command.format(target=target_of(app))}" for command in commands]
    text = "\n".join([what, "Serve it with one of these:", *lines])
    if "_guess_explained" not in vars(app):
        app._guess_explained = True
        app.logger.error(text)
    return f"{text}\n".encode()


def target_of(app: Any) -> str:
    """How a server's command names the application: `module:name`, of the module that made it."""
    module = sys.modules.get(app.import_name)
    names = [name for name, value in vars(module).items() if value is app] if module else []
    return f"{app.import_name}:{names[0] if names else 'app'}"
