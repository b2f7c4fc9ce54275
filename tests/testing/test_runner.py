"""The CLI test runner: an app's commands called without a process."""

from __future__ import annotations

import click
import pytest

from demijohn import Demijohn, current_app
from demijohn.cli.discover import ScriptInfo
from demijohn.testing.runner import FlaskCliRunner


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("site")

    @app.cli.command("hello")
    @click.argument("name", default="you")
    def hello(name: str) -> None:
        click.echo(f"{name} in {current_app.name}")

    return app


def test_app_makes_the_runner(app: Demijohn) -> None:
    """app.test_cli_runner() gives this runner, with its keywords passed to Click's."""
    runner = app.test_cli_runner(env={"FROM_RUNNER": "1"})
    assert isinstance(runner, FlaskCliRunner)
    assert runner.app is app
    assert runner.env == {"FROM_RUNNER": "1"}


@pytest.mark.parametrize("args", [["hello", "Ann"], "hello Ann"])
def test_command_by_name(app: Demijohn, args: list[str] | str) -> None:
    """Without a command, args are a command line of app.cli."""
    assert FlaskCliRunner(app).invoke(args=args).output == "Ann in site\n"


def test_command_by_object(app: Demijohn) -> None:
    """A command is called with the app that the runner has, with no app context around the test."""
    command = app.cli.commands["hello"]
    assert FlaskCliRunner(app).invoke(command).output == "you in site\n"
    assert FlaskCliRunner(app).invoke(cli=command, args=["Bob"]).output == "Bob in site\n"
    assert not current_app


def test_object_can_be_given(app: Demijohn) -> None:
    """`obj` replaces the runner's own ScriptInfo."""
    other = Demijohn("other")
    info = ScriptInfo(create_app=lambda: other)
    result = FlaskCliRunner(app).invoke(app.cli.commands["hello"], obj=info)
    assert result.output == "you in other\n"


def test_exception_is_kept(app: Demijohn) -> None:
    """What a command raises is in the result, or comes through when catching is turned off."""
    app.cli.command("fail")(lambda: {}["key"])
    runner = FlaskCliRunner(app)
    result = runner.invoke(args=["fail"])
    assert (result.exit_code, type(result.exception)) == (1, KeyError)
    with pytest.raises(KeyError):
        runner.invoke(args=["fail"], catch_exceptions=False)


def test_app_keeps_its_debug_flag(app: Demijohn, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Flask, a command run by the runner sets app.debug from FLASK_DEBUG."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    FlaskCliRunner(app).invoke(args=["hello"])
    assert app.debug
