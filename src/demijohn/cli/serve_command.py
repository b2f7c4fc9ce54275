"""The command `serve`: the app on a production server.

Not here: the server and what is done for it (`demijohn.serve.granian_server`), and the development
server's command (commands.py).
"""

from __future__ import annotations

import os

import click

from demijohn.cli.discover import NoAppException, ScriptInfo, pass_script_info
from demijohn.framework.config import get_debug_flag
from demijohn.serve.addresses import AddressError
from demijohn.serve.production import (
    MISSING,
    Options,
    default_threads,
    server_installed,
    try_load,
)


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
    default=default_threads,
    show_default="twice the processors and one",
    envvar="DEMIJOHN_SERVE_THREADS",
    help="Requests that one worker answers at a time.",
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
    help="Load the app once in a process of its own before any worker starts.",
)
@pass_script_info
def serve_command(
    info: ScriptInfo,
    host: str,
    port: int,
    uds: str | None,
    workers: int,
    threads: int,
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
        host, port, uds, workers, threads, graceful_timeout, access_log, access_log_format
    )
    if not server_installed():
        raise click.ClickException(MISSING)
    if get_debug_flag():
        _say("Debug mode is on: errors are not handled. 'run' is the command for development.")
    if check:
        _check(info)
    from demijohn.serve.granian_server import serve  # not before: it imports Granian

    try:
        status = serve(info.load_app, options, _say)
    except AddressError as error:
        raise click.ClickException(str(error)) from None
    click.get_current_context().exit(status)


def _check(info: ScriptInfo) -> None:
    """End the command where the app cannot be loaded, as the other commands do."""
    error = try_load(info.load_app)
    if error is None:
        return
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
