"""Standing in for Flask in other processes, and in the program `demijohn` itself.

A process whose environment is `environment()` resolves `import flask` to this package, and so do
the Python processes that it starts: `PYTHONPATH` begins with the folder `startup`, whose
`sitecustomize` does it when the interpreter starts.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from demijohn.cli.groups import cli

from .alias import install_as_flask

VARIABLE = "DEMIJOHN_AS_FLASK"
STARTUP = str(Path(__file__).parent / "startup")
#: The commands that load an app and therefore take `--as-flask` themselves, where they exist.
COMMANDS = ("run", "serve", "shell", "routes")


def wanted(default: bool = False) -> bool:
    """What `DEMIJOHN_AS_FLASK` says; `default` where it is not set."""
    value = os.environ.get(VARIABLE)
    return default if value is None else value.lower() not in ("", "0", "false", "no", "off")


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` with what makes a Python process and its children take this package for Flask."""
    given = base.get("PYTHONPATH")
    # An empty entry is the current directory: only an empty path has none.
    path = given.split(os.pathsep) if given else []
    if STARTUP not in path:
        path.insert(0, STARTUP)
    return {**base, VARIABLE: "1", "PYTHONPATH": os.pathsep.join(path)}


def stand_in_everywhere() -> None:
    """Stand in for Flask here and in the processes that this one starts from now on.

    Raises `RuntimeError` when the real Flask is imported already.
    """
    install_as_flask()
    os.environ.update(environment(os.environ))


# ---- as-flask CMD


class ProgramNotFound(click.ClickException):
    """The program to run does not exist; exits with a shell's status for that."""

    exit_code = 127


def _resolve(command: tuple[str, ...]) -> list[str]:
    """The file to execute and its arguments. Programs beside this Python win over `PATH`.

    `flask` is always this package's: there may be no such program, or one of another Python.
    Raises `ProgramNotFound`.
    """
    name, *args = command
    if name == "flask":
        return [sys.executable, "-m", "flask", *args]
    beside = os.pathsep.join((sysconfig.get_path("scripts"), os.path.dirname(sys.executable)))
    file = shutil.which(name, path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))
    if file is None:
        raise ProgramNotFound(f"There is no program {name!r} to run.")
    return [file, *args]


def _execute(command: list[str], env: dict[str, str]) -> NoReturn:
    """Become that program; on Windows, which cannot, wait for it and exit with its status."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "posix":
        sys.exit(subprocess.call(command, env=env))
    os.execve(command[0], command, env)


@click.command(
    "as-flask",
    short_help="Run a program in which 'import flask' means Demijohn.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD [ARGS]...")
def as_flask_command(command: tuple[str, ...]) -> None:
    """Run CMD so that 'import flask' means Demijohn in it and in the processes that it starts.

    CMD is any program that a Python with Demijohn runs: gunicorn, celery, pytest, alembic, python.
    'flask' runs the command line of the application.
    """
    env = environment(os.environ)
    # Set when this command was reached through the group: it would make `app.run()` do nothing.
    env.pop("FLASK_RUN_FROM_CLI", None)
    _execute(_resolve(command), env)


# ---- --as-flask


def _as_flask(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    try:
        stand_in_everywhere()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error


def _option(envvar: str | None = None) -> click.Option:
    return click.Option(
        ["--as-flask"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        envvar=envvar,
        allow_from_autoenv=False,
        callback=_as_flask,
        help="Let 'import flask' mean Demijohn, for an application written for Flask.",
    )


def program() -> click.Group:
    """The program `demijohn`: `demijohn.cli.cli` with `as-flask` and `--as-flask`.

    The option stands before any command, and after those of `COMMANDS`.
    """
    group = copy.copy(cli)
    # Last, so that an env file has set the variable by then.
    group.params = [*cli.params, _option(VARIABLE)]
    group.commands = {**cli.commands, as_flask_command.name or "": as_flask_command}
    for name in COMMANDS:
        if name in group.commands:
            command = copy.copy(group.commands[name])
            command.params = [*command.params, _option()]
            group.commands[name] = command
    return group


def main() -> None:
    """Run the program with this process's arguments; exits when done."""
    if sys.argv[1:2] == [as_flask_command.name]:
        # Not through the group, which reads env files into the environment of what it runs.
        prog = "python -m demijohn" if sys.argv[0].endswith(".py") else "demijohn"
        as_flask_command.main(sys.argv[2:], prog_name=f"{prog} {as_flask_command.name}")
    program().main()
