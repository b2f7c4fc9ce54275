"""Groups: app commands in an app context, plug-ins, help when the app is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from demijohn import Blueprint, Demijohn, current_app
from demijohn.cli.groups import AppGroup, FlaskGroup, cli

Write = Callable[[str, str], Path]

try:
    CliRunner(mix_stderr=False)  # type: ignore[call-arg]
except TypeError:
    SPLIT: dict[str, bool] = {}
else:
    # Click before 8.2 keeps stderr apart only when asked to.
    SPLIT = {"mix_stderr": False}


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(**SPLIT)  # type: ignore[arg-type]


def has_context() -> bool:
    return bool(current_app)


# ---- AppGroup


def test_app_group_wraps_its_commands(runner: CliRunner) -> None:
    """Commands of an AppGroup and of its groups have an app context, unless declared without."""
    app = Demijohn("site")

    @click.group(cls=AppGroup)
    def tool() -> None:
        click.echo(f"group {has_context()}")

    @tool.command()
    def inside() -> None:
        click.echo(f"inside {has_context()}")

    @tool.command(with_appcontext=False)
    def outside() -> None:
        click.echo(f"outside {has_context()}")

    @tool.group()
    def sub() -> None:
        pass

    @sub.command()
    def deep() -> None:
        click.echo(f"deep {has_context()}")

    from demijohn.cli.discover import ScriptInfo

    outputs = [
        runner.invoke(tool, args, obj=ScriptInfo(create_app=lambda: app)).output.split("\n")[1]
        for args in (["inside"], ["outside"], ["sub", "deep"])
    ]
    assert outputs == ["inside True", "outside False", "deep True"]
    assert isinstance(sub, AppGroup)


def test_app_group_decorators_without_parentheses(runner: CliRunner) -> None:
    """`@group.command` and `@group.group` work bare, as Click's own do."""
    app = Demijohn("site")
    tool = FlaskGroup(create_app=lambda: app)

    @tool.command
    def plain() -> None:
        click.echo(has_context())

    @tool.group
    def sub() -> None:
        pass

    assert isinstance(plain, click.Command)
    assert isinstance(sub, AppGroup)
    assert runner.invoke(tool, ["plain"]).output == "True\n"


def test_group_class_can_be_chosen() -> None:
    """`cls` given to group() is used instead of AppGroup."""
    made = AppGroup("tool").group("sub", cls=click.Group)(lambda: None)
    assert type(made) is click.Group


# ---- FlaskGroup


def test_app_command_has_the_app_from_the_start(runner: CliRunner) -> None:
    """For a command of app.cli, callbacks of parameters see the app that load_app() returns."""
    app = Demijohn("site")

    def check(ctx: click.Context, param: click.Parameter, value: str) -> bool:
        return current_app._get_current_object() is ctx.obj.load_app() is app

    @app.cli.command("check", with_appcontext=False)
    @click.argument("value", callback=check)
    def check_command(value: bool) -> None:
        click.echo(value and has_context())

    result = runner.invoke(FlaskGroup(create_app=lambda: app), ["check", "x"])
    assert (result.exit_code, result.output) == (0, "True\n")


def test_context_of_another_app_is_not_taken(runner: CliRunner) -> None:
    """With another app's context current, the command runs in its own app's."""
    app = Demijohn("mine")
    app.cli.command("name")(lambda: click.echo(current_app.name))
    with Demijohn("other").app_context():
        assert runner.invoke(FlaskGroup(create_app=lambda: app), ["name"]).output == "mine\n"
        assert current_app.name == "other"


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_and_end(runner: CliRunner, code: int) -> None:
    """A command's exit code is the program's, and its context ends once in any case."""
    app = Demijohn("site")
    ends: list[str] = []
    app.teardown_appcontext(lambda error: ends.append("end"))

    @app.cli.command("leave")
    def leave() -> None:
        click.get_current_context().exit(code)

    assert runner.invoke(FlaskGroup(create_app=lambda: app), ["leave"]).exit_code == code
    assert ends == ["end"]
    assert not has_context()


def test_group_in_another_program(runner: CliRunner) -> None:
    """A FlaskGroup mounted in a Click program finds its app by its own factory."""
    app = Demijohn("site")
    tool = click.Group("tool")
    site = FlaskGroup(name="site", create_app=lambda: app)
    site.command("name")(lambda: click.echo(current_app.name))
    tool.add_command(site)
    assert runner.invoke(tool, ["site", "name"]).output == "site\n"


def test_group_callback_and_options_are_the_users(runner: CliRunner) -> None:
    """A FlaskGroup takes a callback and params of its own besides the built-in options."""
    app = Demijohn("site")
    app.cli.command("work")(lambda: click.echo("work"))

    @click.group(
        cls=FlaskGroup,
        create_app=lambda: app,
        params=[click.Option(["--user"], default="nobody")],
        context_settings={"auto_envvar_prefix": "SITE"},
    )
    def tool(user: str) -> None:
        click.echo(f"user {user}")

    assert runner.invoke(tool, ["--user", "ann", "work"]).output == "user ann\nwork\n"
    assert runner.invoke(tool, ["work"], env={"SITE_USER": "bob"}).output == "user bob\nwork\n"


def test_default_commands_can_be_left_out() -> None:
    """run, shell and routes are there unless add_default_commands is false."""
    assert sorted(FlaskGroup().commands) == ["routes", "run", "shell"]
    assert not FlaskGroup(add_default_commands=False).commands


def test_blueprint_commands(runner: CliRunner) -> None:
    """Commands of a blueprint are under its name, its cli_group, or directly when that is None."""
    app = Demijohn("site")
    named, merged = Blueprint("named", __name__), Blueprint("merged", __name__, cli_group=None)
    for blueprint in (named, merged):
        blueprint.cli.command(f"in-{blueprint.name}")(lambda: click.echo(current_app.name))
        app.register_blueprint(blueprint)
    group = FlaskGroup(create_app=lambda: app)
    assert runner.invoke(group, ["named", "in-named"]).output == "site\n"
    assert runner.invoke(group, ["in-merged"]).output == "site\n"


@pytest.mark.parametrize("args", [["--help"], [], ["--nope"], ["missing"], ["-A"]])
def test_nothing_is_left_current(runner: CliRunner, args: list[str]) -> None:
    """Help and usage errors, which look through the app's commands, end the app's context too."""
    app = Demijohn("site")
    app.cli.command("work")(lambda: None)
    ends: list[bool] = []
    app.teardown_appcontext(lambda error: ends.append(True))
    runner.invoke(FlaskGroup(create_app=lambda: app), args)
    assert not has_context()
    assert len(ends) <= 1


# ---- the app cannot be loaded


def test_unknown_command_shows_the_load_error(runner: CliRunner) -> None:
    """For a command that only an app could have, the reason why there is no app comes first."""
    result = runner.invoke(cli, ["missing"])
    assert result.exit_code == 2
    assert "Could not locate a Flask application" in result.stderr
    assert "FLASK_APP" in result.stderr
    assert "No such command 'missing'" in result.stderr


def test_help_shows_the_load_error(runner: CliRunner) -> None:
    """Help is printed without an app, the reason on stderr."""
    result = runner.invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert "Could not locate" in result.stderr
    assert "Usage:" in result.stdout
    assert "routes" in result.stdout


def test_help_shows_an_error_in_the_app(runner: CliRunner) -> None:
    """Help is printed when the app's code raises, with the traceback on stderr."""

    def create_app() -> Demijohn:
        raise LookupError("no luck")

    result = runner.invoke(FlaskGroup(create_app=create_app), ["--help"])
    assert result.exit_code == 0
    assert "Traceback" in result.stderr
    assert "LookupError: no luck" in result.stderr
    assert "Usage:" in result.stdout


def test_error_in_the_app_ends_a_command(runner: CliRunner) -> None:
    """A command that needs the app raises what the app's code raised."""

    def create_app() -> Demijohn:
        raise LookupError("no luck")

    result = runner.invoke(FlaskGroup(create_app=create_app), ["routes"])
    assert isinstance(result.exception, LookupError)


# ---- plug-ins


@pytest.fixture
def plugins(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installed distribution with commands in both entry-point groups."""
    write(
        "plugin_commands.py",
        "import click\n"
        "from demijohn.cli import with_appcontext\n"
        "from demijohn import current_app\n"
        "for n in 'first second third routes'.split():\n"
        "    globals()[n] = click.command(n)(lambda n=n: click.echo(f'plug-in {n}'))\n"
        "named = click.command('named')(with_appcontext(lambda: click.echo(current_app.name)))\n",
    )
    write("plugin_broken.py", "raise ImportError('library is missing')\n")
    write("some_plugins-1.0.dist-info/METADATA", "Name: some-plugins\nVersion: 1.0\n")
    write(
        "some_plugins-1.0.dist-info/entry_points.txt",
        "[flask.commands]\nfirst=plugin_commands:first\nboth=plugin_commands:first\n"
        "broken=plugin_broken:command\nnamed=plugin_commands:named\n"
        "[demijohn.commands]\nsecond=plugin_commands:second\nboth=plugin_commands:second\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "command"), [("first", "first"), ("second", "second"), ("both", "second")]
)
def test_plugin_commands(plugins: None, runner: CliRunner, name: str, command: str) -> None:
    """Both groups' commands are there without an app; for one name demijohn.commands is taken."""
    result = runner.invoke(FlaskGroup(), [name])
    assert (result.stdout, result.stderr) == (f"plug-in {command}\n", "")


def test_plugin_with_appcontext(plugins: None, runner: CliRunner) -> None:
    """A plug-in command gets the app's context by with_appcontext."""
    app = Demijohn("site")
    assert runner.invoke(FlaskGroup(create_app=lambda: app), ["named"]).stdout == "site\n"


def test_plugins_are_imported_when_asked_for(plugins: None, runner: CliRunner) -> None:
    """Another command imports no plug-in, so that a broken one does not stop `run` or `routes`."""
    app = Demijohn("site")
    result = runner.invoke(FlaskGroup(create_app=lambda: app), ["routes"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "static" in result.stdout


def test_plugin_replaces_a_default_command(plugins: None, write: Write, runner: CliRunner) -> None:
    """A plug-in named like a default command is used instead of it, as in Flask."""
    write(
        "some_plugins-1.0.dist-info/entry_points.txt",
        "[flask.commands]\nroutes=plugin_commands:routes\n",
    )
    assert runner.invoke(FlaskGroup(), ["routes"]).stdout == "plug-in routes\n"


def test_broken_plugin_is_named(plugins: None, runner: CliRunner) -> None:
    """A plug-in that cannot be imported is reported by name; help still lists the others."""
    result = runner.invoke(FlaskGroup(), ["--help"])
    assert result.exit_code == 0
    assert "'broken' (plugin_broken:command) failed to load" in result.stderr
    assert "library is missing" in result.stderr
    assert "second" in result.stdout
    assert "broken" not in result.stdout
    result = runner.invoke(FlaskGroup(), ["broken"])
    assert result.exit_code == 2
    assert "library is missing" in result.stderr


def test_own_entries_are_the_programs_alone(runner: CliRunner) -> None:
    """What this package adds by entry points is in the program, and in no group of a user's."""
    own = FlaskGroup(create_app=lambda: Demijohn("site"))
    own.add_command(click.Command("contexts", callback=lambda: click.echo("its own")))
    assert runner.invoke(own, ["contexts"]).stdout == "its own\n"
    assert runner.invoke(cli, ["contexts", "--help"]).exit_code == 0
