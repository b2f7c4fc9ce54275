"""Sending files: what a request and an application add to Werkzeug's `send_file`, and which paths
under a folder are files that may be sent.

Knows no current request or application: both come in as `FileSettings`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import werkzeug.utils
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class FileSettings(NamedTuple):
    """What sending a file takes from the request and the application."""

    environ: WSGIEnvironment
    use_x_sendfile: bool
    """Whether the server sends the file, named in `X-Sendfile` (config `USE_X_SENDFILE`)."""
    response_class: type[Response]
    root_path: str | os.PathLike[str]
    """Where relative paths start."""
    get_max_age: Callable[[str | None], int | None]
    """Returns the seconds a client may keep the file of that path (None: an open file); asked
    when a call names no `max_age`."""


def send_file_arguments(settings: FileSettings, options: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments for `werkzeug.utils.send_file`.

    `options` are the caller's; those that the settings decide are replaced, as in Flask.
    """
    arguments = {
        **options,
        "environ": settings.environ,
        "use_x_sendfile": settings.use_x_sendfile,
        "response_class": settings.response_class,
        "_root_path": settings.root_path,
    }
    if arguments.get("max_age") is None:
        arguments["max_age"] = settings.get_max_age
    return arguments


def send_file(
    path_or_file: str | os.PathLike[Any] | IO[bytes], settings: FileSettings, **options: Any
) -> Response:
    """Return a response that sends a file; the path is trusted.

    `options` are those of `werkzeug.utils.send_file`. Raises `OSError` for a path that cannot be
    opened, `RequestedRangeNotSatisfiable` for a range that the file does not have.
    """
    return werkzeug.utils.send_file(path_or_file, **send_file_arguments(settings, options))


def send_from_directory(
    directory: str | os.PathLike[str],
    path: str | os.PathLike[str],
    settings: FileSettings,
    **options: Any,
) -> Response:
    """Return a response that sends the file at `path`, which may come from a client, in a folder.

    Raises `NotFound` when `path` leads out of the folder or not to a regular file. A relative
    folder starts at `settings.root_path`.
    """
    filename = regular_file(directory, path, settings.root_path)
    # The file's name has the root path in it already; a relative one must not be put in twice.
    return send_file(filename, settings._replace(root_path=""), **options)


def regular_file(
    directory: str | os.PathLike[str],
    path: str | os.PathLike[str],
    root_path: str | os.PathLike[str],
) -> str:
    """Return the name of the regular file at `path` in a folder, from `root_path` on.

    `path` is a URL's: its separator is `/`, and `..` may not lead out of the folder. Links are
    followed, as the folder is trusted. Raises `NotFound` for anything else: a folder, and a FIFO,
    a socket or a device, whose reading may never end.
    """
    joined = safe_join(os.fspath(directory), os.fspath(path))
    if joined is not None:
        # Not made canonical: `X-Sendfile` and the `ETag` show this name, as Flask's do.
        filename = os.path.join(root_path, joined)
        try:
            if stat.S_ISREG(os.stat(filename).st_mode):
                return filename
        except (OSError, ValueError):
            # ValueError: a name that no file system can hold, with a NUL or a lone surrogate.
            pass
    raise NotFound()
