"""The Click groups: `AppGroup` for an app's own commands, `FlaskGroup` for a program, and `cli`.

`cli` is the program `demijohn`. Not here: the built-in commands (commands.py), the options
(params.py), finding the app (discover.py).
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, overload

import click

from demijohn.cli.commands import routes_command, run_command, shell_command
from demijohn.cli.discover import NoAppException, ScriptInfo, active_app, with_appcontext
from demijohn.cli.params import app_option, debug_option, env_file_option, version_option
from demijohn.cli.serve_command import serve_command

#: Entry-point groups that add commands; for one name in both, the last group's command is taken.
PLUGIN_GROUPS = ("flask.commands", "demijohn.commands")


class AppGroup(click.Group):
    """A Click group whose commands run in an app context, as `app.cli` and `blueprint.cli` are."""

    @overload
    def command(self, f: Callable[..., Any], /) -> click.Command: ...

    @overload
    def command(
        self, *args: Any, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], click.Command]: ...

    def command(
        self, *args: Any, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], click.Command] | click.Command:
        """`click.Group.command`, with the callback wrapped by `with_appcontext`.

        `with_appcontext=False` leaves the callback as it is.
        """
        wanted = kwargs.pop("with_appcontext", True)
        function = args[0] if args and callable(args[0]) else None
        make: Callable[..., click.Command] = super().command(
            *(args[1:] if function else args), **kwargs
        )

        def decorator(f: Callable[..., Any]) -> click.Command:
            return make(with_appcontext(f) if wanted else f)

        return decorator if function is None else decorator(function)

    @overload
    def group(self, f: Callable[..., Any], /) -> click.Group: ...

    @overload
    def group(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], click.Group]: ...

    def group(
        self, *args: Any, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], click.Group] | click.Group:
        """`click.Group.group`, making an `AppGroup` unless `cls` says otherwise."""
        kwargs.setdefault("cls", AppGroup)
        function = args[0] if args and callable(args[0]) else None
        make: Callable[..., click.Group] = super().group(
            *(args[1:] if function else args), **kwargs
        )
        return make if function is None else make(function)


class FlaskGroup(AppGroup):
    """A program: a group that finds its app by `--app` and offers that app's commands too.

    Commands come from three places, the first that has a name wins: plug-ins (the entry points of
    `PLUGIN_GROUPS`, each imported when it is asked for), this group itself, and `app.cli`. Where
    the app cannot be loaded, the error goes to stderr and the other commands still work.

    Arguments:
        add_default_commands: add `run`, `shell` and `routes`.
        create_app: a function without arguments that returns the app, instead of `--app`.
        add_version_option: add `--version`.
        load_dotenv: read `.env` and `.flaskenv`, unless `FLASK_SKIP_DOTENV` is set.
        set_debug_flag: set `app.debug` from `FLASK_DEBUG` when the app is loaded.
        extra: passed on to `click.Group`. Options are read from variables with the prefix `FLASK`
            unless `context_settings` has an `auto_envvar_prefix`.
    """

    #: Whether it has the commands of this package's own entry points: the program `demijohn` alone,
    #: since any other may have a command of such a name.
    own_entries = False

    def __init__(
        self,
        add_default_commands: bool = True,
        create_app: Callable[..., Any] | None = None,
        add_version_option: bool = True,
        load_dotenv: bool = True,
        set_debug_flag: bool = True,
        **extra: Any,
    ) -> None:
        # Options do their work in their own callbacks: the group's callback is the user's.
        params = list(extra.pop("params", None) or ())
        params += [env_file_option, app_option, debug_option]
        if add_version_option:
            params.append(version_option)
        settings = extra.pop("context_settings", None)
        settings = {} if settings is None else settings
        settings.setdefault("auto_envvar_prefix", "FLASK")

        super().__init__(params=params, context_settings=settings, **extra)
        self.create_app = create_app
        self.load_dotenv = load_dotenv
        self.set_debug_flag = set_debug_flag
        if add_default_commands:
            for command in (run_command, shell_command, routes_command):
                self.add_command(command)
        self._plugins: dict[str, EntryPoint] | None = None

    def get_command(  # pyright: ignore[reportIncompatibleMethodOverride]  (Flask's name)
        self, ctx: click.Context, name: str
    ) -> click.Command | None:
        """The command of that name, or None. An app loaded for it has its context pushed."""
        command = self._plugin_command(name) or super().get_command(ctx, name)
        if command is not None:
            return command

        try:
            app = ctx.ensure_object(ScriptInfo).load_app()
        except NoAppException as error:
            _print_error(f"Error: {error.format_message()}")
            return None
        # Already now, so that callbacks of the command's parameters have the app too.
        if active_app() is not app:
            ctx.with_resource(app.app_context())
        return app.cli.get_command(ctx, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, sorted; without the app's when it cannot be loaded."""
        names = {*super().list_commands(ctx), *self._plugin_entries()}
        try:
            names.update(ctx.ensure_object(ScriptInfo).load_app().cli.list_commands(ctx))
        except NoAppException as error:
            _print_error(f"Error: {error.format_message()}")
        except Exception:
            # Any error of the app's code; the help text is wanted all the same.
            _print_error(traceback.format_exc())
        return sorted(names)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """`click.Command.make_context`, with a `ScriptInfo` as its object unless one is given."""
        # Read by `Demijohn.run`: a call of it while the app is imported must not block the command.
        os.environ["FLASK_RUN_FROM_CLI"] = "true"
        if "obj" not in extra and "obj" not in self.context_settings:
            extra["obj"] = ScriptInfo(
                create_app=self.create_app,
                set_debug_flag=self.set_debug_flag,
                load_dotenv_defaults=self.load_dotenv,
            )
        return super().make_context(info_name, args, parent=parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`click.Group.parse_args`; when help is about to be shown, the app is looked up first.

        Click shows the help before it reads variables and files, and the help lists app commands.
        """
        shows_help = not args and self.no_args_is_help
        if shows_help or (len(args) == 1 and args[0] in self.get_help_option_names(ctx)):
            for option in (env_file_option, app_option):
                option.handle_parse_result(ctx, {}, [])
        try:
            return super().parse_args(ctx, args)
        except BaseException:
            # Click never enters this context, so nobody else ends what `get_command` pushed for
            # the list of commands in the help text.
            ctx.close()
            raise

    def _plugin_entries(self) -> dict[str, EntryPoint]:
        if self._plugins is None:
            self._plugins = {
                entry.name: entry
                for group in PLUGIN_GROUPS
                for entry in entry_points(group=group)
                if self.own_entries or not entry.value.startswith("demijohn.")
            }
        return self._plugins

    def _plugin_command(self, name: str) -> click.Command | None:
        """The plug-in command of that name, imported at first use; None when that fails."""
        entry = self._plugin_entries().get(name)
        if entry is None:
            return None
        try:
            self.add_command(entry.load(), name)
        except Exception:
            _print_error(f"Error: The plug-in command '{name}' ({entry.value}) failed to load:")
            _print_error(traceback.format_exc())
        # Kept by the group now, or failed: either way there is nothing more to load.
        del self._plugin_entries()[name]
        return self.commands.get(name)


def _print_error(text: str) -> None:
    click.secho(f"{text}\n", err=True, fg="red")


cli = FlaskGroup(
    name="demijohn",
    help="""\
Work on an application made with Demijohn.

The application is named by the '--app' option or the 'FLASK_APP' environment variable
('DEMIJOHN_APP' wins over it), or is found in a 'wsgi.py' or 'app.py' file in the current directory.
""",
)
# Not in every FlaskGroup: a program's application may have a command `serve` of its own.
cli.own_entries = True
cli.add_command(serve_command)


def main() -> None:
    """Run the program `demijohn` with this process's arguments; exits when done."""
    cli.main()
