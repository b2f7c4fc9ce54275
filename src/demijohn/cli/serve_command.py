"""The command `serve`: the app on a production server.

Not here: the server and what is done for it (`demijohn.serve.granian_server`), and the development
server's command (commands.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from demijohn.cli.discover import NoAppException, ScriptInfo, pass_script_info
from demijohn.framework.config import get_debug_flag
from demijohn.serve.addresses import AddressError
from demijohn.serve.production import MISSING, Options, server_installed, try_load

if TYPE_CHECKING:
    from demijohn.serve.interface import Choice


@click.command("serve", short_help="Run a production server.")
@click.option(
    "--host",
    "-h",
    default=Options.host,
    show_default=True,
    envvar="DEMIJOHN_SERVE_HOST",
    help="Address to listen on; 0.0.0.0 for all of this machine's.",
)
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    default=Options.port,
    show_default=True,
    envvar="DEMIJOHN_SERVE_PORT",
    help="Port to listen on; 0 lets the system choose.",
)
@click.option(
    "--uds",
    type=click.Path(),
    envvar="DEMIJOHN_SERVE_UDS",
    help="Listen on a Unix socket with this path instead.",
)
@click.option(
    "--workers",
    "-w",
    type=click.IntRange(1),
    default=Options.workers,
    show_default=True,
    envvar="DEMIJOHN_SERVE_WORKERS",
    help="Processes, each with the app loaded.",
)
@click.option(
    "--threads",
    "-t",
    type=click.IntRange(1),
    show_default="twice the processors and one; by ASGI, SYNC_THREADS of the app's configuration",
    envvar="DEMIJOHN_SERVE_THREADS",
    help="Requests that one worker answers at a time; by ASGI, sync functions that it runs.",
)
@click.option(
    "--interface",
    "-i",
    type=click.Choice(["auto", "wsgi", "asgi"]),
    default=Options.interface,
    show_default=True,
    envvar="DEMIJOHN_SERVE_INTERFACE",
    help="How the app is called; 'auto' looks for what is async in it.",
)
@click.option(
    "--graceful-timeout",
    type=click.IntRange(1, 1800),
    default=Options.graceful_timeout,
    show_default=True,
    metavar="SECONDS",
    envvar="DEMIJOHN_SERVE_GRACEFUL_TIMEOUT",
    help="How long requests in flight may go on after SIGTERM or Ctrl-C; then they are cut.",
)
@click.option(
    "--access-log/--no-access-log",
    default=Options.access_log,
    envvar="DEMIJOHN_SERVE_ACCESS_LOG",
    help="Print a line for each request to stdout.",
)
@click.option(
    "--access-log-format",
    metavar="FORMAT",
    envvar="DEMIJOHN_SERVE_ACCESS_LOG_FORMAT",
    help="What that line has, in Granian's names: '%(addr)s %(method)s %(path)s %(status)d'.",
)
@click.option(
    "--check/--no-check",
    default=True,
    envvar="DEMIJOHN_SERVE_CHECK",
    help="Load the app once in a process of its own before any worker starts. Without that, 'auto'"
    " means WSGI.",
)
@pass_script_info
def serve_command(
    info: ScriptInfo,
    host: str,
    port: int,
    uds: str | None,
    workers: int,
    threads: int | None,
    interface: str,
    graceful_timeout: int,
    access_log: bool,
    access_log_format: str | None,
    check: bool,
) -> None:
    """Serve the app for production, on Granian.

    SIGTERM and Ctrl-C stop it once the requests in flight are answered, a second one at once;
    SIGHUP replaces the workers by new ones, with the app loaded afresh.
    """
    options = Options(
        *(host, port, uds, workers, threads, interface),
        *(graceful_timeout, access_log, access_log_format),
    )
    if not server_installed():
        raise click.ClickException(MISSING)
    if get_debug_flag():
        _say("Debug mode is on: errors are not handled. 'run' is the command for development.")
    # Not before: other commands need neither.
    from demijohn.serve.granian_server import serve
    from demijohn.serve.interface import choose, unseen

    if check:
        choice: Choice = _loaded(info, partial(choose, wanted=interface))
    else:
        choice = unseen(interface)
    try:
        status = serve(info.load_app, choice, options, _say)
    except AddressError as error:
        raise click.ClickException(str(error)) from None
    click.get_current_context().exit(status)


def _loaded(info: ScriptInfo, look: Callable[[Any], Any]) -> Any:
    """What `look(app)` gives. Ends the command where the app cannot be loaded, as the other
    commands do."""
    tried = try_load(info.load_app, look)
    error = tried.error
    if error is None:
        return tried.found
    if error.kind == NoAppException.__name__:
        raise NoAppException(error.message)
    click.echo(error.trace, err=True, nl=False)
    raise click.ClickException(f"The app could not be loaded: {error.message}")


def _say(line: str) -> None:
    """Print without the buffer of `sys.stdout`: a signal may come while another one's line is
    printed.
    """
    try:
        os.write(1, f" * {line}\n".encode())
    except OSError:
        # Nobody reads any more. That is no reason to stop serving.
        pass
