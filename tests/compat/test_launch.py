"""Other processes take this package for Flask: `as-flask`, `--as-flask`, the pytest plugin."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from aliased import SOURCE, output, run
from click.testing import CliRunner

from demijohn.cli import cli
from demijohn.compat.launch import COMMANDS, STARTUP, environment, program

DEMIJOHN = ("-m", "demijohn")
#: Prints what flask is, and whether the commands' switch against `app.run()` is set.
WHERE = """
import json, os, sys, flask
ours = "demijohn" in sys.modules and flask.Flask is sys.modules["demijohn"].Flask
print(json.dumps([ours, os.environ.get("FLASK_RUN_FROM_CLI"), sys.argv[1:]]))
"""
CHILD = "import subprocess, sys; subprocess.run([sys.executable, 'where.py'], check=True)"
APP = """
from flask import Flask, current_app
app = Flask(__name__)
@app.get("/")
def index():
    return "index"
@app.cli.command()
def where():
    import demijohn
    print("ours:", isinstance(current_app, demijohn.Demijohn))
@app.shell_context_processor
def names():
    return {"kind": type(app).__mro__[0].__module__}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files above, an application among them."""
    (tmp_path / "where.py").write_text(WHERE)
    (tmp_path / "parent.py").write_text(CHILD)
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


# ---- as-flask


def test_arguments_and_status_pass_through(folder: Path) -> None:
    """The program gets its options untouched, also ones like ours, and its status comes back."""
    command = (*DEMIJOHN, "as-flask", "python", "where.py", "--app", "x", "--help", "--", "-e", "")
    found = json.loads(output(*command, cwd=folder))
    assert found == [True, None, ["--app", "x", "--help", "--", "-e", ""]]
    assert run(*DEMIJOHN, "as-flask", "python", "-c", "exit(7)", cwd=folder).returncode == 7


def test_children_inherit(folder: Path) -> None:
    """A process that the program starts takes this package for Flask too."""
    assert json.loads(output(*DEMIJOHN, "as-flask", "python", "parent.py", cwd=folder))[0] is True
    assert json.loads(output("parent.py", cwd=folder))[0] is False


def test_through_the_group(folder: Path) -> None:
    """Behind options of the program it is the same, and `app.run()` is not switched off."""
    command = (*DEMIJOHN, "--debug", "as-flask", "python", "where.py")
    assert json.loads(output(*command, cwd=folder)) == [True, None, []]


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        ((), 2, "Missing argument 'CMD"),
        (("no-such-program", "-x"), 127, "no program 'no-such-program'"),
        (("./where.py",), 127, "no program './where.py'"),
        (("--help",), 0, "Usage: python -m demijohn as-flask [OPTIONS] CMD [ARGS]..."),
    ],
)
def test_what_cannot_be_run(folder: Path, args: tuple[str, ...], status: int, says: str) -> None:
    """A missing program is a message and a shell's status; help names the command."""
    result = run(*DEMIJOHN, "as-flask", *args, cwd=folder)
    assert result.returncode == status
    assert says in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_the_program_flask_is_ours(folder: Path) -> None:
    """`flask` runs this package's command line, with or without the program of that name."""
    assert "ours: True" in output(*DEMIJOHN, "as-flask", "flask", "where", cwd=folder)
    text = output(*DEMIJOHN, "as-flask", "flask", "--app", "app", "routes", cwd=folder)
    assert "index" in text
    found = output(*DEMIJOHN, "as-flask", "python", "-m", "flask", "--help", cwd=folder)
    assert found.startswith("Usage: python -m flask [OPTIONS]")


def test_the_environment_is_made_once() -> None:
    """What is on the path stays, the folder comes first, and a second call adds nothing."""
    made = environment({"PYTHONPATH": os.pathsep.join(("", "a")), "X": "1"})
    assert made == {
        "PYTHONPATH": os.pathsep.join((STARTUP, "", "a")),
        "X": "1",
        "DEMIJOHN_AS_FLASK": "1",
    }
    assert environment(made) == made
    assert environment({})["PYTHONPATH"] == environment({"PYTHONPATH": ""})["PYTHONPATH"] == STARTUP


# ---- the start of an interpreter

ALIASED = {"PYTHONPATH": os.pathsep.join((STARTUP, str(SOURCE))), "DEMIJOHN_AS_FLASK": "1"}


def test_starting_costs_little() -> None:
    """Until something imports flask, an interpreter that was started so has loaded none of it."""
    code = "import sys; print([name for name in sys.modules if name.startswith('demijohn')])"
    loaded = set(json.loads(output("-c", code, **ALIASED).replace("'", '"')))
    assert loaded <= {
        "demijohn",
        "demijohn.version",
        "demijohn.compat",
        "demijohn.compat.alias",
        "demijohn.compat.names",
    }


@pytest.mark.parametrize("value", ["", "0", "no", "False"])
def test_the_variable_turns_it_off(folder: Path, value: str) -> None:
    """A child can be kept from it by the variable alone."""
    env = {**ALIASED, "DEMIJOHN_AS_FLASK": value}
    assert json.loads(output("where.py", cwd=folder, **env))[0] is False


def test_the_hidden_sitecustomize_runs(folder: Path) -> None:
    """An interpreter's own `sitecustomize` runs, as itself; an error in it is reported as usual."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys; MARK = 1; sys.marked = __file__")
    path = os.pathsep.join((STARTUP, str(site), str(SOURCE)))
    code = "import sys, sitecustomize; print(sys.marked == sitecustomize.__file__)"
    assert output("-c", code, **{**ALIASED, "PYTHONPATH": path}) == "True"
    (site / "sitecustomize.py").write_text("1 / 0")
    assert "ZeroDivisionError" in run("-c", "", **{**ALIASED, "PYTHONPATH": path}).stderr


def test_a_python_without_this_package(folder: Path) -> None:
    """There `import flask` says what is missing; a program that does not import it is not hurt."""
    hide = folder / "hide"
    hide.mkdir()
    (hide / "demijohn.py").write_text("raise ImportError('not for this Python')")
    env = {**ALIASED, "PYTHONPATH": os.pathsep.join((STARTUP, str(hide)))}
    assert output("-c", "print(1)", **env) == "1"
    refused = run("-c", "import flask", **env).stderr
    assert f"{sys.executable} cannot import Demijohn (not for this Python)" in refused


# ---- --as-flask


@pytest.mark.parametrize(
    "args",
    [
        ("--app", "app", "routes", "--as-flask"),
        ("--app", "app", "--as-flask", "routes"),
        ("--as-flask", "--app", "app", "routes"),
    ],
)
def test_routes(folder: Path, args: tuple[str, ...]) -> None:
    """The option stands before the command or after it."""
    assert "index" in output(*DEMIJOHN, *args, cwd=folder)


def test_shell(folder: Path) -> None:
    """`shell --as-flask` opens in the application, and it is ours."""
    result = run(*DEMIJOHN, "shell", "--as-flask", cwd=folder)
    assert result.returncode == 0 and "App: app" in result.stdout + result.stderr


def test_commands_of_the_application(folder: Path) -> None:
    """A command of the application's own runs with the option before it, or with the variable."""
    assert "ours: True" in output(*DEMIJOHN, "--as-flask", "where", cwd=folder)
    assert "ours: True" in output(*DEMIJOHN, "where", cwd=folder, DEMIJOHN_AS_FLASK="1")
    assert "where" in output(*DEMIJOHN, "--as-flask", "--help", cwd=folder)


def test_without_the_option_flask_is_real(folder: Path) -> None:
    """Control: the same commands refuse an application of the installed Flask, and say why."""
    result = run(*DEMIJOHN, "routes", cwd=folder)
    assert result.returncode == 2 and "'--as-flask'" in result.stderr
    assert run(*DEMIJOHN, "where", cwd=folder, DEMIJOHN_AS_FLASK="0").returncode == 2


def test_a_factory_of_real_flask_is_explained(folder: Path) -> None:
    """The option is named as well when a factory makes an application of the installed Flask."""
    (folder / "app.py").write_text("import flask\ndef create_app():\n    return flask.Flask('x')\n")
    for name in ("app", "app:create_app"):
        found = run(*DEMIJOHN, "--app", name, "routes", cwd=folder)
        assert "was made by the Flask" in found.stderr and "'--as-flask'" in found.stderr
    assert "index" not in output(*DEMIJOHN, "--app", "app", "routes", "--as-flask", cwd=folder)


def test_too_late_is_a_message(folder: Path) -> None:
    """Where Flask is imported before the option is read, that is an error without a traceback."""
    (folder / "usercustomize.py").write_text("import flask")
    path = os.pathsep.join((str(folder), str(SOURCE)))
    code = "import flask; from demijohn.__main__ import main; main()"
    result = run("-c", code, "--as-flask", "routes", cwd=folder, PYTHONPATH=path)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Flask is imported already")


def test_the_option_is_where_an_app_is_loaded() -> None:
    """Help names the option on the program and on each command that loads an app; on no other."""
    with_option = program()
    runner = CliRunner()
    assert "--as-flask" in runner.invoke(with_option, ["--help"]).output
    for name in with_option.commands:
        text = runner.invoke(with_option, [name, "--help"]).output
        assert ("--as-flask" in text) is (name in COMMANDS), name
    assert {"run", "shell", "routes"} <= set(with_option.commands) & set(COMMANDS)
    # The group that applications use for their own programs is left as it is.
    assert "--as-flask" not in runner.invoke(cli, ["run", "--help"]).output


# ---- the pytest plugin

SUITE = """
import subprocess, sys
import flask
def test_here():
    assert flask.Flask is sys.modules["demijohn"].Flask
def test_child():
    code = "import flask, sys; assert flask.Flask is sys.modules['demijohn'].Flask"
    subprocess.run([sys.executable, "-c", code], check=True)
"""
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "suite.py")


@pytest.mark.parametrize("how", ["option", "workers", "addopts", "variable"])
def test_a_suite_runs_on_this_package(folder: Path, how: str) -> None:
    """The plugin comes before the suite's imports, from wherever pytest takes its options."""
    (folder / "suite.py").write_text(SUITE)
    args, env = list(PYTEST), {}
    if how == "addopts":
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -p demijohn.pytest_alias\n")
    elif how == "variable":
        env = {"PYTEST_ADDOPTS": "-p demijohn.pytest_alias"}
    else:
        args += ["-p", "demijohn.pytest_alias", *(["-n", "1"] if how == "workers" else [])]
    assert "2 passed" in output(*args, cwd=folder, **env)


def test_the_plugin_can_be_turned_off(folder: Path) -> None:
    """The variable lets one set of options run a suite on Flask itself."""
    (folder / "suite.py").write_text(SUITE)
    found = run(*PYTEST, "-p", "demijohn.pytest_alias", cwd=folder, DEMIJOHN_AS_FLASK="0")
    assert "2 failed" in found.stdout or "1 failed" in found.stdout
