"""The commands that every app has: `run`, `shell` and `routes`.

Not here: the group that holds them (groups.py), the types of their options (params.py) and the
development server (`demijohn.serve.dev`).
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click
from werkzeug.routing import Map, Rule
from werkzeug.serving import is_running_from_reloader

from demijohn.cli.discover import CliApp, ScriptInfo, active_app, pass_script_info, with_appcontext
from demijohn.cli.params import (
    Certificate,
    CertParamType,
    SeparatedPathType,
    join_cert_and_key,
    run_debug_option,
)
from demijohn.framework.config import get_debug_flag
from demijohn.serve.dev import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    failed_app,
    serve,
    show_server_banner,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


# ---- run


@click.command("run", short_help="Run a development server.", params=[run_debug_option])
@click.option(
    "--host", "-h", default=DEFAULT_HOST, envvar="DEMIJOHN_RUN_HOST", help="Address to listen on."
)
@click.option(
    "--port", "-p", default=DEFAULT_PORT, envvar="DEMIJOHN_RUN_PORT", help="Port to listen on."
)
@click.option(
    "--cert",
    type=CertParamType(),
    envvar="DEMIJOHN_RUN_CERT",
    is_eager=True,
    help="Serve HTTPS with this certificate: a file, 'adhoc', or the import of an SSLContext.",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    envvar="DEMIJOHN_RUN_KEY",
    callback=join_cert_and_key,
    expose_value=False,
    help="The file with the key that belongs to the certificate file.",
)
@click.option(
    "--reload/--no-reload",
    default=None,
    envvar="DEMIJOHN_RUN_RELOAD",
    help="Restart when code changes. On in debug mode unless set.",
)
@click.option(
    "--debugger/--no-debugger",
    default=None,
    envvar="DEMIJOHN_RUN_DEBUGGER",
    help="Show the interactive debugger for errors. On in debug mode unless set.",
)
@click.option(
    "--with-threads/--without-threads",
    default=True,
    envvar="DEMIJOHN_RUN_WITH_THREADS",
    help="Answer each request in a thread of its own, or one request after the other.",
)
@click.option(
    "--extra-files",
    default=None,
    type=SeparatedPathType(),
    envvar="DEMIJOHN_RUN_EXTRA_FILES",
    help=f"More files that restart the server on change, separated by {os.pathsep!r}.",
)
@click.option(
    "--exclude-patterns",
    default=None,
    type=SeparatedPathType(),
    envvar="DEMIJOHN_RUN_EXCLUDE_PATTERNS",
    help=(
        "Files that match one of these fnmatch patterns do not restart the server,"
        f" separated by {os.pathsep!r}."
    ),
)
@pass_script_info
def run_command(
    info: ScriptInfo,
    host: str,
    port: int,
    reload: bool | None,
    debugger: bool | None,
    with_threads: bool,
    cert: Certificate,
    extra_files: list[str] | None,
    exclude_patterns: list[str] | None,
) -> None:
    """Serve the app for development.

    This server is for one developer's machine: it is not made to be secure, stable or fast, so use
    a production server to publish the app.

    With '--debug' the reloader and the debugger are on.
    """
    app = _app_to_serve(info)
    debug = get_debug_flag()
    show_server_banner(debug, info.app_import_path)
    serve(
        host,
        port,
        app,
        debug=debug,
        use_reloader=debug if reload is None else reload,
        use_debugger=debug if debugger is None else debugger,
        threaded=with_threads,
        ssl_context=cert,
        extra_files=extra_files,
        exclude_patterns=exclude_patterns,
    )


def _app_to_serve(info: ScriptInfo) -> WSGIApplication:
    """The app; after a reload, one that raises the error when the real one cannot be loaded.

    At the first start the error ends the command. Later, the developer is in the middle of a
    change: the error is printed, and the server stays up for the next one.
    """
    try:
        return info.load_app()
    except Exception as error:
        if not is_running_from_reloader():
            raise
        traceback.print_exc()
        return failed_app(error)


# ---- shell


@click.command("shell", short_help="Run a shell in the app context.")
@with_appcontext
def shell_command() -> None:
    """Open an interactive Python shell in the app's context.

    The app, 'g' and what the app's shell context processors give are there by name, for small
    pieces of work that need no script.
    """
    import code

    app = _current_app()
    banner = (
        f"Python {sys.version} on {sys.platform}\n"
        f"App: {app.import_name}\n"
        f"Instance: {app.instance_path}"
    )
    names: dict[str, Any] = {}
    _run_startup_file(names)
    names.update(app.make_shell_context())
    _prepare_readline(names)
    code.interact(banner=banner, local=names)


def _run_startup_file(names: dict[str, Any]) -> None:
    """Run the file that `PYTHONSTARTUP` names, as Python's own shell does."""
    startup = os.environ.get("PYTHONSTARTUP")
    if startup and os.path.isfile(startup):
        with open(startup, "rb") as file:
            exec(compile(file.read(), startup, "exec"), names)


def _prepare_readline(names: dict[str, Any]) -> None:
    """Call the hook that sets up history and completion; completion looks into `names`.

    Without the readline module, and with the hook taken away (`python -I`), there is neither.
    """
    hook = getattr(sys, "__interactivehook__", None)
    if hook is None:
        return
    try:
        import readline
        from rlcompleter import Completer
    except ImportError:
        pass
    else:
        readline.set_completer(Completer(names).complete)
    hook()


def _current_app() -> CliApp:
    app = active_app()
    if app is None:
        raise RuntimeError("This command runs in an app context: decorate it with with_appcontext.")
    return app


# ---- routes


@click.command("routes", short_help="Show the routes for the app.")
@click.option(
    "--sort",
    "-s",
    type=click.Choice(("endpoint", "methods", "domain", "rule", "match")),
    default="endpoint",
    envvar="DEMIJOHN_ROUTES_SORT",
    help="Column to sort by; 'match' keeps the order in which rules are tried for a request.",
)
@click.option(
    "--all-methods",
    is_flag=True,
    envvar="DEMIJOHN_ROUTES_ALL_METHODS",
    help="Show HEAD and OPTIONS too.",
)
@with_appcontext
def routes_command(sort: str, all_methods: bool) -> None:
    """Print the app's URL rules with their endpoints and methods."""
    url_map = _current_app().url_map
    rules = list(url_map.iter_rules())
    if not rules:
        click.echo("No routes were registered.")
        return

    columns = _route_columns(url_map, rules, all_methods)
    rows = list(zip(*columns.values(), strict=True))
    if sort in columns:
        position = list(columns).index(sort)
        rows.sort(key=lambda row: row[position])

    headers = [name.capitalize() for name in columns]
    if "domain" in columns:
        headers[list(columns).index("domain")] = "Host" if url_map.host_matching else "Subdomain"
    _print_table(headers, rows)


def _route_columns(url_map: Map, rules: list[Rule], all_methods: bool) -> dict[str, list[str]]:
    """Column by column what the table shows, under the names that `--sort` takes.

    There is a domain column only when a rule has a host or subdomain.
    """
    hidden = set() if all_methods else {"HEAD", "OPTIONS"}
    domains = [(r.host if url_map.host_matching else r.subdomain) or "" for r in rules]
    columns = {
        "endpoint": [str(r.endpoint) for r in rules],
        "methods": [", ".join(sorted((r.methods or set()) - hidden)) for r in rules],
    }
    if any(domains):
        columns["domain"] = domains
    columns["rule"] = [r.rule for r in rules]
    return columns


def _print_table(headers: list[str], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, ["-" * width for width in widths], *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
