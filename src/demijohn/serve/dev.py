"""The development server: Werkzeug's, with a banner, the reloader, the debugger and debug pages.

`demijohn run` calls `serve`, `Demijohn.run` calls `run`. For production see a real server: this one
is neither hardened nor fast. Not here: how the app is found and options are read (cli).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import click
from werkzeug import serving
from werkzeug.routing import Map

from demijohn.framework.config import get_debug_flag

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 5000


@runtime_checkable
class ServedApp(Protocol):
    """What the development server uses of an app. Every `Demijohn` has it."""

    _got_first_request: bool
    url_map: Map

    @property
    def debug(self) -> bool: ...
    @debug.setter
    def debug(self, value: bool, /) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def _runs_around_serving(self) -> bool: ...
    def serving(self) -> AbstractContextManager[Any]: ...
    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse, /
    ) -> Iterable[bytes]: ...


def show_server_banner(debug: bool | None, app_import_path: str | None) -> None:
    """Print what is served and whether debug mode is on; once, not again after each reload."""
    if serving.is_running_from_reloader():
        return
    if app_import_path is not None:
        click.echo(f" * Serving Demijohn app '{app_import_path}'")
    if debug is not None:
        click.echo(f" * Debug mode: {'on' if debug else 'off'}")


def serve(
    host: str, port: int, app: WSGIApplication, *, debug: bool = False, **options: Any
) -> None:
    """Serve until interrupted. `options` are those of `werkzeug.serving.run_simple`.

    With `debug` the pages of debug mode are served too. An address that is in use ends the process
    with Werkzeug's hint on stderr and status 1.
    """
    reloads = bool(options.get("use_reloader"))
    with ExitStack() as around:
        served: Any = app
        if debug:
            from . import debug_pages

            https = options.get("ssl_context") is not None
            served = around.enter_context(debug_pages.around(app, https, reloads))
        if isinstance(app, ServedApp):
            if not serving.is_running_from_reloader():
                _say_what_is_not_served(app)
            # With a reloader, the process that serves is one that it starts.
            if app._runs_around_serving and reloads == serving.is_running_from_reloader():
                around.enter_context(app.serving())
        serving.run_simple(host, port, served, **options)


def _say_what_is_not_served(app: ServedApp) -> None:
    if any(rule.websocket for rule in app.url_map.iter_rules()):
        click.echo(" * WebSockets are not served by this server. 'demijohn serve' serves them.")


def failed_app(error: Exception) -> WSGIApplication:
    """An app for a reload whose real one cannot be loaded: every request raises `error`.

    The debugger shows it, and the reloader waits for the file to be mended.
    """
    found_at = error.__traceback__

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # With the first traceback each time; it would grow by this line at every request.
        raise error.with_traceback(found_at) from None

    return app


def run(
    app: ServedApp,
    host: str | None = None,
    port: int | None = None,
    debug: bool | None = None,
    load_dotenv: Callable[[], object] | None = None,
    **options: Any,
) -> None:
    """Serve `app` on the development server until interrupted; the body of `Demijohn.run`.

    Under a command of the command line this does nothing but say so: an `app.run()` that is met
    while the app is imported would block that command.

    Arguments:
        host: by default the one in `SERVER_NAME`, else 127.0.0.1.
        port: by default the one in `SERVER_NAME`, else 5000; 0 lets the system choose.
        debug: sets `app.debug`, and wins over the variable `FLASK_DEBUG`.
        load_dotenv: called first; a `FLASK_DEBUG` that is set then decides `app.debug`. None:
            files and `FLASK_DEBUG` are left alone. (A function, since reading files is cli's.)
        options: passed on to `werkzeug.serving.run_simple`; `use_reloader` and `use_debugger` are
            on in debug mode, `threaded` is on.
    """
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        _say_run_is_ignored()
        return

    if load_dotenv is not None:
        load_dotenv()
        if "FLASK_DEBUG" in os.environ:
            app.debug = get_debug_flag()
    if debug is not None:
        app.debug = bool(debug)

    host, port = _address(app.config.get("SERVER_NAME"), host, port)
    options.setdefault("use_reloader", app.debug)
    options.setdefault("use_debugger", app.debug)
    options.setdefault("threaded", True)

    show_server_banner(app.debug, app.name)
    try:
        serve(host, port, app, debug=app.debug, **options)
    finally:
        # In a shell the app can be changed and run again: its setup is open once more.
        app._got_first_request = False


def _address(server_name: str | None, host: str | None, port: int | None) -> tuple[str, int]:
    """Host and port to listen on; what is not given comes from `SERVER_NAME`, then the defaults."""
    name, _, number = (server_name or "").partition(":")
    if not port and port != 0:
        port = int(number) if number else DEFAULT_PORT
    return host or name or DEFAULT_HOST, int(port)


def _say_run_is_ignored() -> None:
    if serving.is_running_from_reloader():
        return
    ctx = click.get_current_context(silent=True)
    program = (ctx.find_root().info_name if ctx is not None else None) or "demijohn"
    click.secho(
        f" * Ignoring a call to 'app.run()', which would block this '{program}' command.\n"
        "   Put the call under 'if __name__ == \"__main__\":' to have it in scripts only.",
        fg="red",
    )
