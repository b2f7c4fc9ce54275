"""Options and parameter types of the `demijohn` command, those of `demijohn run` included.

Every option can be set by a variable: `DEMIJOHN_RUN_PORT`, else `FLASK_RUN_PORT`, sets the port of
`run`. The `FLASK_` name is Click's automatic one (`auto_envvar_prefix` of the group), so that
deployments which set it run unchanged; the `DEMIJOHN_` name is declared on the option and wins.

Not here: the commands (commands.py) and the groups that take the common options (groups.py).
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click
from click.core import ParameterSource

from demijohn.cli.discover import ScriptInfo
from demijohn.cli.env import load_dotenv
from demijohn.version import FLASK_API, __version__

if TYPE_CHECKING:
    import ssl

    # Generic to type checkers only: Click before 8.4 cannot subscript these at run time.
    _CertBase: TypeAlias = click.ParamType["CertValue"]
    _PathBase: TypeAlias = click.Path[Any]
    CertValue: TypeAlias = str | ssl.SSLContext
else:
    _CertBase = click.ParamType
    _PathBase = click.Path

#: What `--cert` and `--key` come to: a context, two files, one made on the spot, or plain HTTP.
Certificate: TypeAlias = "ssl.SSLContext | tuple[str, str] | Literal['adhoc'] | None"


# ---- options of the program


def get_version(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Callback of `--version`: print the versions of Python, Demijohn and Werkzeug, and exit."""
    if not value or ctx.resilient_parsing:
        return
    click.echo(
        f"Python {platform.python_version()}\n"
        f"Demijohn {__version__} (the API of Flask {FLASK_API})\n"
        f"Werkzeug {version('werkzeug')}",
        color=ctx.color,
    )
    ctx.exit()


def _set_app(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        ctx.ensure_object(ScriptInfo).app_import_path = value
    return value


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> bool | None:
    source = ctx.get_parameter_source(param.name) if param.name else None
    if source in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP):
        # Nobody chose: FLASK_DEBUG, which an env file may have set meanwhile, decides.
        return None
    # By variable and not on ScriptInfo, so that an app factory sees it too.
    os.environ["FLASK_DEBUG"] = "1" if value else "0"
    return value


def _load_env_file(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        import dotenv  # noqa: F401
    except ImportError:
        # Without a file to load, load_dotenv() below says what is missing and goes on.
        if value is not None:
            raise click.BadParameter(
                "python-dotenv must be installed to load an env file.", ctx=ctx, param=param
            ) from None

    defaults = ctx.ensure_object(ScriptInfo).load_dotenv_defaults
    if value is not None or defaults:
        load_dotenv(value, load_defaults=defaults)
    return value


version_option = click.Option(
    ["--version"],
    help="Print the versions of Python, Demijohn and Werkzeug.",
    expose_value=False,
    callback=get_version,
    is_flag=True,
    is_eager=True,
)

# Eager options run in the order of the group's list. --env-file stands first, as it may set what
# --app reads; --app stands before --help, which lists the app's commands.
env_file_option = click.Option(
    ["-e", "--env-file"],
    type=click.Path(exists=True, dir_okay=False),
    help=(
        "Read environment variables from this file. It wins over '.env' and '.flaskenv';"
        " variables that are set already win over all files. Needs python-dotenv."
    ),
    envvar="DEMIJOHN_ENV_FILE",
    is_eager=True,
    expose_value=False,
    callback=_load_env_file,
)

app_option = click.Option(
    ["-A", "--app"],
    metavar="IMPORT",
    help=(
        "Where the application or its factory is: 'module:name', the module as a dotted name or a"
        " file. ':name' can be left out for 'app', 'application', 'create_app' and 'make_app';"
        " 'module:name(args)' passes arguments to a factory."
    ),
    envvar="DEMIJOHN_APP",
    is_eager=True,
    expose_value=False,
    callback=_set_app,
)


def _debug_option(envvar: str) -> click.Option:
    return click.Option(
        ["--debug/--no-debug"],
        help="Turn debug mode on or off.",
        envvar=envvar,
        expose_value=False,
        callback=_set_debug,
    )


# Two options, not one in both places: DEMIJOHN_DEBUG, read again for `run`, would undo the
# `--debug` of `demijohn --debug run`.
debug_option = _debug_option("DEMIJOHN_DEBUG")
run_debug_option = _debug_option("DEMIJOHN_RUN_DEBUG")


# ---- parameter types of `run`


def is_ssl_context(value: object) -> bool:
    """Whether `value` is an `ssl.SSLContext`; False also where Python has no ssl module."""
    try:
        import ssl
    except ImportError:
        return False
    return isinstance(value, ssl.SSLContext)


class CertParamType(_CertBase):
    """Type of `--cert`: an existing file, `adhoc`, or the import path of an `ssl.SSLContext`."""

    name = "path"

    def __init__(self) -> None:
        self.path_type = click.Path(exists=True, dir_okay=False, resolve_path=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> CertValue:
        try:
            import ssl  # noqa: F401
        except ImportError:
            raise click.BadParameter(
                'Using "--cert" requires Python to be compiled with SSL support.', ctx, param
            ) from None

        try:
            return str(self.path_type(value, param, ctx))
        except click.BadParameter:
            # No such file; when it is nothing else either, that stays the message.
            context = self._without_file(click.STRING(value, param, ctx), param, ctx)
            if context is None:
                raise
            return context

    def _without_file(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> CertValue | None:
        if value.lower() != "adhoc":
            from werkzeug.utils import import_string

            context: ssl.SSLContext | None = import_string(value, silent=True)
            return context if is_ssl_context(context) else None

        try:
            import cryptography  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
        except ImportError:
            raise click.BadParameter(
                "Using ad-hoc certificates requires the cryptography library.", ctx, param
            ) from None
        return "adhoc"


def join_cert_and_key(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Callback of `--key`: a certificate file needs a key, nothing else takes one.

    Makes `ctx.params["cert"]` the pair `(cert, key)`. `--cert` is eager, so it is there already.
    """
    cert = ctx.params.get("cert")
    needs_key = cert is not None and cert != "adhoc" and not is_ssl_context(cert)

    if value is None:
        if needs_key:
            raise click.BadParameter('Required when using "--cert".', ctx, param)
    elif cert is None:
        raise click.BadParameter('"--cert" must also be specified.', ctx, param)
    elif cert == "adhoc":
        raise click.BadParameter('When "--cert" is "adhoc", "--key" is not used.', ctx, param)
    elif not needs_key:
        raise click.BadParameter(
            'When "--cert" is an SSLContext object, "--key" is not used.', ctx, param
        )
    else:
        ctx.params["cert"] = cert, value
    return value


class SeparatedPathType(_PathBase):
    """Several paths in one value, separated as in `PATH` (`:`, on Windows `;`).

    Each is checked as a `click.Path` with the same settings would check it.
    """

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        # Click converts defaults and values from Python too; a list is what was separated already.
        items = self.split_envvar_value(value) if isinstance(value, str) else value
        convert = super().convert
        return [convert(item, param, ctx) for item in items]
