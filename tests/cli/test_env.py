"""Environment files: which are read, which wins, and what happens without python-dotenv."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import flask.cli
import pytest
from click.testing import CliRunner

from demijohn import Demijohn
from demijohn.cli.env import load_dotenv
from demijohn.cli.groups import FlaskGroup

Write = Callable[[str, str], Path]

NAMES = ("ONLY_ENV", "ONLY_FLASKENV", "ONLY_GIVEN", "BOTH", "ALL", "SET", "BARE", "EMPTY", "UNI")


@pytest.fixture
def files(write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(".flaskenv", "ONLY_FLASKENV=flaskenv\nBOTH=flaskenv\nALL=flaskenv\nSET=flaskenv\nBARE\n")
    write(".env", "ONLY_ENV=env\nBOTH=env\nALL=env\nSET=env\nEMPTY=\nUNI=火腿\n")
    monkeypatch.setenv("SET", "environment")
    return write("given.txt", "ONLY_GIVEN=given\nALL=given\nSET=given\n")


def loaded(load: Callable[..., bool], *args: object, **kwargs: object) -> object:
    """The answer of `load` and the variables that it set, which are then taken away again."""
    before = dict(os.environ)
    answer = load(*args, **kwargs)
    try:
        return answer, {name: os.environ.get(name) for name in NAMES}
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("defaults", [True, False])
@pytest.mark.parametrize("path", [None, "given.txt", "missing.txt", "."])
@pytest.mark.parametrize("folder", [".", "deep/down"])
def test_files_are_read_as_by_flask(
    files: Path, path: str | None, defaults: bool, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every mix of given and default files, variables and answer are those of Flask."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    ours = loaded(load_dotenv, path, load_defaults=defaults)
    assert ours == loaded(flask.cli.load_dotenv, path, load_defaults=defaults)


def test_precedence(files: Path) -> None:
    """The environment wins over a given file, that over .env, that over .flaskenv."""
    assert load_dotenv(files)
    assert [os.environ.get(name) for name in NAMES] == [
        "env", "flaskenv", "given", "env", "given", "environment", None, "", "火腿",
    ]  # fmt: skip


def test_current_directory_stays(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files found in a parent folder do not change the current directory."""
    (files.parent / "deep").mkdir()
    monkeypatch.chdir("deep")
    assert load_dotenv()
    assert Path.cwd() == files.parent / "deep"


def test_nothing_to_read() -> None:
    """Without any file the answer is False."""
    assert not load_dotenv()


def test_without_dotenv(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without python-dotenv nothing is set, and a hint is printed only when a file is there."""
    monkeypatch.setitem(sys.modules, "dotenv", None)
    assert not load_dotenv()
    assert capsys.readouterr().err == ""
    write(".env", "ONLY_ENV=env\n")
    assert not load_dotenv()
    assert "ONLY_ENV" not in os.environ
    assert "Install python-dotenv" in capsys.readouterr().err


def site(seen: dict[str, str | None]) -> FlaskGroup:
    app = Demijohn("site")

    @app.cli.command("look")
    def look() -> None:
        seen.update((name, os.environ.get(name)) for name in NAMES)

    return FlaskGroup(create_app=lambda: app)


def test_option_reads_the_file_first(files: Path, runner: CliRunner) -> None:
    """--env-file is loaded before the command runs, together with the default files."""
    seen: dict[str, str | None] = {}
    result = runner.invoke(site(seen), ["-e", "given.txt", "look"])
    assert result.exit_code == 0, result.output
    assert (seen["ALL"], seen["BOTH"]) == ("given", "env")


def test_env_file_can_name_the_app(write: Write, runner: CliRunner) -> None:
    """FLASK_APP from a file names the app, also for the list of commands in the help text."""
    write(".env", "FLASK_APP=found_by_file\n")
    write(
        "found_by_file.py",
        "from demijohn import Demijohn\napp = Demijohn('x')\n"
        "@app.cli.command('special')\ndef special(): print('ran')\n",
    )
    for args in (["--help"], []):
        assert "special" in runner.invoke(FlaskGroup(), args).output
    assert runner.invoke(FlaskGroup(), ["special"]).exit_code == 0


@pytest.mark.parametrize("switch", ["variable", "argument"])
def test_default_files_can_be_left_out(
    files: Path, runner: CliRunner, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    """FLASK_SKIP_DOTENV or load_dotenv=False leaves the default files alone, not a given one."""
    seen: dict[str, str | None] = {}
    group = site(seen)
    if switch == "variable":
        monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    else:
        group.load_dotenv = False
    assert runner.invoke(group, ["-e", "given.txt", "look"]).exit_code == 0
    assert (seen["ONLY_GIVEN"], seen["ONLY_ENV"]) == ("given", None)


def test_option_needs_dotenv(
    files: Path, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--env-file without python-dotenv is an error; default files alone are only a hint."""
    monkeypatch.setitem(sys.modules, "dotenv", None)
    seen: dict[str, str | None] = {}
    result = runner.invoke(site(seen), ["-e", "given.txt", "look"])
    assert result.exit_code == 2
    assert "python-dotenv must be installed to load an env file" in result.output
    result = runner.invoke(site(seen), ["look"])
    assert result.exit_code == 0
    assert "Install python-dotenv" in result.output
