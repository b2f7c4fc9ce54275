"""Environment files: `load_dotenv` reads `.env` and `.flaskenv` through python-dotenv.

Not here: the `--env-file` option (params.py) and the variables that are options (`FLASK_APP`, ...).
"""

from __future__ import annotations

import os

import click

# Later files win over earlier ones: `.env` is often private to one machine, `.flaskenv` shared.
DEFAULT_FILES = (".flaskenv", ".env")


def load_dotenv(path: str | os.PathLike[str] | None = None, load_defaults: bool = True) -> bool:
    """Set environment variables from files, as Flask 3.1 does.

    A variable that the environment has already is never replaced. Between files, `path` wins over
    `.env`, which wins over `.flaskenv`; the two default files are searched for from the current
    directory upwards, which stays the current directory. Files are read as UTF-8.

    Arguments:
        path: a file to read besides; one that does not exist is passed over.
        load_defaults: whether to look for `.env` and `.flaskenv`.

    Returns whether any file had a variable. Without python-dotenv nothing is read: the answer is
    False, and a hint is printed when there was something to read.
    """
    try:
        import dotenv
    except ImportError:
        if path or any(os.path.isfile(name) for name in DEFAULT_FILES):
            click.secho(
                " * Tip: There are .env files present that were not read."
                " Install python-dotenv to have them loaded.",
                fg="yellow",
                err=True,
            )
        return False

    files: list[str | os.PathLike[str]] = []
    if load_defaults:
        files.extend(dotenv.find_dotenv(name, usecwd=True) for name in DEFAULT_FILES)
    if path is not None:
        files.append(path)

    values: dict[str, str | None] = {}
    for file in files:
        if os.path.isfile(file):
            values.update(dotenv.dotenv_values(file, encoding="utf-8"))

    for name, value in values.items():
        # A name without "=" in the file has the value None: nothing to set.
        if value is not None:
            os.environ.setdefault(name, value)

    return bool(values)
