"""The program as a process: its name, its exit codes, and the shell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str], Path]
Python = Callable[..., subprocess.CompletedProcess[str]]
CONSOLE_SCRIPT = (
    "import sys; from demijohn.__main__ import main; sys.argv[0] = 'bin/demijohn'; main()"
)
SITE = """\
from demijohn import Demijohn
app = Demijohn(__name__)
app.shell_context_processor(lambda: {"answer": 42})
"""


@pytest.mark.parametrize(
    ("start", "name"),
    [(("-m", "demijohn"), "python -m demijohn"), (("-c", CONSOLE_SCRIPT), "demijohn")],
)
def test_program_name(python: Python, start: tuple[str, ...], name: str) -> None:
    """Help and errors call the program as it was started."""
    result = python(*start, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"Usage: {name} [OPTIONS] COMMAND")
    assert f"'{name} --app'" in result.stderr


@pytest.mark.parametrize(
    ("site", "app", "message"),
    [
        ("", "missing", "Error: Could not import 'missing'."),
        ("import no_such_library\n", "site_app", "No module named 'no_such_library'"),
        ("def create_app(x): pass\n", "site_app", "Detected factory 'create_app'"),
        ("def create_app(x): pass\n", "site_app:create_app", "could not be called with the"),
        ("1 / 0\n", "site_app", "ZeroDivisionError"),
    ],
)
def test_bad_app_ends_run(python: Python, write: Write, site: str, app: str, message: str) -> None:
    """An app that cannot be loaded ends `run` with a clear message and no server."""
    write("site_app.py", site)
    result = python("-m", "demijohn", "--app", app, "run")
    assert result.returncode == (1 if "ZeroDivision" in message else 2)
    assert message in result.stderr
    assert "Running on" not in result.stdout + result.stderr


def test_app_run_is_ignored(python: Python, write: Write) -> None:
    """A call of app.run() at import does not block a command, and the command says so."""
    write("app.py", "from demijohn import Demijohn\napp = Demijohn('x')\napp.run(port=0)\n")
    result = python("-m", "demijohn", "routes")
    assert result.returncode == 0
    assert "Ignoring a call to 'app.run()'" in result.stdout
    assert "static" in result.stdout


def test_shell(python: Python, write: Write) -> None:
    """The shell has a context, the app's names, and those of the startup file, which come first."""
    write("app.py", SITE)
    write("startup.py", "started = 'by file'\nanswer = 'overwritten'\n")
    result = python(
        "-m", "demijohn", "shell",
        stdin="from demijohn import current_app\n"
        "print('is', current_app.name, app.name, answer, started)\n"
        "g.x = 1; print('len', len(list(g)))\n",
        PYTHONSTARTUP="startup.py",
    )  # fmt: skip
    assert result.returncode == 0
    assert "is app app 42 by file" in result.stdout
    assert "len 1" in result.stdout
    assert f"Python {sys.version}" in result.stderr
    assert "App: app\nInstance: " in result.stderr


def test_shell_without_startup_or_readline(python: Python, write: Write) -> None:
    """A missing startup file is passed over; without the interactive hook the shell works too."""
    write("app.py", SITE)
    program = "import sys; del sys.__interactivehook__\n" + CONSOLE_SCRIPT
    result = python("-c", program, "shell", stdin="print(answer)\n", PYTHONSTARTUP="none.py")
    assert result.returncode == 0
    assert "42" in result.stdout


def test_import_of_the_command_is_light(python: Python) -> None:
    """Importing the command loads neither dotenv nor what only the shell needs."""
    program = (
        "import sys, demijohn.cli; print([m for m in ('dotenv', 'code', 'rlcompleter')"
        " if m in sys.modules])"
    )
    assert python("-c", program).stdout == "[]\n"
