"""Options: certificates, path lists, variables, debug mode and the version."""

from __future__ import annotations

import os
import platform
import ssl
import sys
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import demijohn
from demijohn import Demijohn
from demijohn.cli.commands import run_command
from demijohn.cli.groups import FlaskGroup, cli


@pytest.fixture(autouse=True)
def certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate and a key file, an importable SSLContext, and a cryptography library."""
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "cryptography", types.ModuleType("cryptography"))
    module = types.ModuleType("Certs")
    module.__dict__["Context"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    monkeypatch.setitem(sys.modules, "Certs", module)


def run_params(*args: str) -> dict[str, Any]:
    return run_command.make_context("run", list(args)).params


@pytest.mark.parametrize(
    "args",
    [
        ("--cert", "cert.pem", "--key", "key.pem"),
        ("--key", "key.pem", "--cert", "cert.pem"),
    ],
)
def test_certificate_with_key(args: tuple[str, ...], tmp_path: Path) -> None:
    """A certificate file and its key come out as a pair of absolute paths, in either order."""
    folder = os.path.realpath(tmp_path)
    assert run_params(*args)["cert"] == (f"{folder}/cert.pem", f"{folder}/key.pem")


@pytest.mark.parametrize("value", ["adhoc", "ADHOC"])
def test_certificate_on_the_spot(value: str) -> None:
    """`adhoc` is handed to the server as that word, in any case."""
    assert run_params("--cert", value)["cert"] == "adhoc"


@pytest.mark.parametrize("path", ["Certs.Context", "Certs:Context"])
def test_certificate_by_import(path: str) -> None:
    """An SSLContext can be named by its import path, capitals included."""
    assert isinstance(run_params("--cert", path)["cert"], ssl.SSLContext)


def test_no_certificate() -> None:
    """Without options there is none, and the key is never a parameter of its own."""
    params = run_params()
    assert params["cert"] is None
    assert "key" not in params


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--cert", "cert.pem"], 'Required when using "--cert"'),
        (["--key", "key.pem"], '"--cert" must also be specified'),
        (["--cert", "adhoc", "--key", "key.pem"], 'When "--cert" is "adhoc", "--key" is not used'),
        (
            ["--cert", "Certs.Context", "--key", "key.pem"],
            'When "--cert" is an SSLContext object, "--key" is not used',
        ),
        (["--cert", "missing.pem"], "'missing.pem' does not exist"),
        (["--cert", "Certs"], "'Certs' does not exist"),
        (["--cert", "cert.pem", "--key", "missing.pem"], "'missing.pem' does not exist"),
    ],
)
def test_certificate_refused(args: list[str], message: str) -> None:
    """Each combination that cannot be served is refused with the reason."""
    with pytest.raises(click.BadParameter) as caught:
        run_params(*args)
    assert message in caught.value.format_message()


@pytest.mark.parametrize(
    ("module", "message"),
    [("cryptography", "requires the cryptography library"), ("ssl", "compiled with SSL support")],
)
def test_certificate_without_library(
    module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a library that HTTPS needs is missing, the error names it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(click.BadParameter, match=message):
        run_params("--cert", "adhoc")


def test_path_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Path lists are split at the separator of PATH, on the command line and in variables."""
    monkeypatch.setenv("DEMIJOHN_RUN_EXCLUDE_PATTERNS", os.pathsep.join(["*.log", "*.tmp"]))
    params = run_params("--extra-files", os.pathsep.join(["cert.pem", "key.pem"]))
    assert params["extra_files"] == ["cert.pem", "key.pem"]
    assert params["exclude_patterns"] == ["*.log", "*.tmp"]
    assert run_params()["extra_files"] is None


def run_option_names() -> list[str]:
    return [p.name for p in run_command.params if isinstance(p, click.Option) and p.name]


@pytest.mark.parametrize("name", run_option_names())
def test_each_run_option_has_both_variables(name: str) -> None:
    """Every option of `run` says its DEMIJOHN_ variable, and lets Click read the FLASK_ one."""
    option = next(p for p in run_command.params if p.name == name)
    assert isinstance(option, click.Option)
    assert option.envvar == f"DEMIJOHN_RUN_{name.upper()}"
    assert option.allow_from_autoenv


@pytest.mark.parametrize(
    ("env", "args", "port"),
    [
        ({}, [], 5000),
        ({"FLASK_RUN_PORT": "1"}, [], 1),
        ({"DEMIJOHN_RUN_PORT": "2"}, [], 2),
        ({"FLASK_RUN_PORT": "1", "DEMIJOHN_RUN_PORT": "2"}, [], 2),
        ({"FLASK_RUN_PORT": "1", "DEMIJOHN_RUN_PORT": "2"}, ["--port", "3"], 3),
    ],
)
def test_variable_precedence(env: dict[str, str], args: list[str], port: int) -> None:
    """The command line wins over a DEMIJOHN_ variable, that over its FLASK_ twin."""
    ports: list[int] = []

    class Program(FlaskGroup):
        def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
            name, command, rest = super().resolve_command(ctx, args)
            assert command is not None
            ports.append(command.make_context(name, list(rest), parent=ctx).params["port"])
            ctx.exit()

    result = CliRunner().invoke(Program(name="demijohn"), ["run", *args], env=env)
    assert (result.exit_code, ports) == (0, [port]), result.output


@pytest.mark.parametrize(
    ("env", "args", "debug"),
    [
        ({}, ["look"], None),
        ({}, ["--debug", "look"], "1"),
        ({}, ["--no-debug", "look"], "0"),
        ({"FLASK_DEBUG": "true"}, ["look"], "1"),
        ({"FLASK_DEBUG": "1"}, ["--no-debug", "look"], "0"),
        ({"DEMIJOHN_DEBUG": "1", "FLASK_DEBUG": "0"}, ["look"], "1"),
        ({"DEMIJOHN_DEBUG": "0"}, ["--debug", "look"], "1"),
    ],
)
def test_debug_option(
    env: dict[str, str], args: list[str], debug: str | None, runner: CliRunner
) -> None:
    """The option or variable is put into FLASK_DEBUG, where an app factory sees it."""
    seen: list[str | None] = []

    def create_app() -> Demijohn:
        seen.append(os.environ.get("FLASK_DEBUG"))
        app = Demijohn("site")
        app.cli.command("look")(lambda: click.echo(app.debug))
        return app

    result = runner.invoke(FlaskGroup(create_app=create_app), args, env=env)
    assert result.output == f"{debug == '1'}\n"
    assert seen == [debug]


@pytest.mark.parametrize(
    ("env", "args", "debug"),
    [
        ({}, ["--debug", "run"], True),
        ({}, ["run", "--debug"], True),
        ({}, ["--debug", "run", "--no-debug"], False),
        ({"DEMIJOHN_DEBUG": "0"}, ["--debug", "run"], True),
        ({"DEMIJOHN_RUN_DEBUG": "1", "DEMIJOHN_DEBUG": "0"}, ["run"], True),
    ],
)
def test_debug_of_run(env: dict[str, str], args: list[str], debug: bool, runner: CliRunner) -> None:
    """`--debug` works before and after `run`; a variable of the program does not undo either."""

    class Loaded(Exception):
        pass

    def create_app() -> Demijohn:
        raise Loaded(os.environ["FLASK_DEBUG"])

    result = runner.invoke(FlaskGroup(create_app=create_app), args, env=env)
    assert isinstance(result.exception, Loaded)
    assert result.exception.args == (str(int(debug)),)


def test_bad_debug_variable(runner: CliRunner) -> None:
    """A FLASK_DEBUG that is no boolean is refused, and the message shows it."""
    result = runner.invoke(cli, ["routes"], env={"FLASK_DEBUG": "maybe"})
    assert result.exit_code == 2
    assert "'maybe' is not a valid boolean" in result.output


def test_version(runner: CliRunner) -> None:
    """--version prints Python's, Demijohn's and Werkzeug's version, and needs no app."""
    result = runner.invoke(cli, ["--version"])
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            f"Python {platform.python_version()}",
            f"Demijohn {demijohn.__version__} (the API of Flask {demijohn.FLASK_API})",
            f"Werkzeug {version('werkzeug')}",
        ],
    )
    assert runner.invoke(FlaskGroup(add_version_option=False), ["--version"]).exit_code == 2
