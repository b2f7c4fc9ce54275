"""`FlaskCliRunner` calls an app's commands in a test, without a process. Not here: HTTP clients."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner, Result

from demijohn.cli.discover import CliApp, ScriptInfo


class FlaskCliRunner(CliRunner):
    """A `click.testing.CliRunner` that knows its app; `app.test_cli_runner()` makes one.

    Arguments are the app and those of `CliRunner`.
    """

    def __init__(self, app: CliApp, **kwargs: Any) -> None:
        self.app = app
        super().__init__(**kwargs)

    def invoke(self, cli: Any = None, args: Any = None, **kwargs: Any) -> Result:  # type: ignore[override]
        """Call a command and return its result: exit code, output, exception.

        Arguments:
            cli: the command or group; by default the app's own, `app.cli`.
            args: the command line, as a list of strings or one string.
            kwargs: as for `CliRunner.invoke`. Unless `obj` is given, the command gets a
                `ScriptInfo` that loads this app.
        """
        kwargs.setdefault("obj", ScriptInfo(create_app=lambda: self.app))
        return super().invoke(self.app.cli if cli is None else cli, args, **kwargs)
