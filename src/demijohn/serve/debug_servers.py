"""Which development servers with debug on this user runs here: a private file for each.

A server writes one, so that a command of the same user finds it and may ask its debug pages; a file
that a killed server left is removed by whoever meets it. Not here: what the pages show.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


@dataclass(frozen=True, slots=True)
class DebugServer:
    """A development server with debug on: how it is reached, and what its debug pages ask for."""

    pid: int
    """The process that was started by hand; the reloader's child has another."""
    app: str
    scheme: str
    address: str
    """The IP address that it listens on."""
    port: int
    token: str

    @property
    def host(self) -> str | None:
        """The host of its debug pages' URLs; None when no trusted name leads to the address."""
        if self.address in ("127.0.0.1", "0.0.0.0"):
            return "127.0.0.1"
        return "localhost" if self.address in ("::1", "::") else None

    @property
    def origin(self) -> str:
        """Scheme, host and port, as in `http://127.0.0.1:5000`."""
        return f"{self.scheme}://{self.host}:{self.port}"


def write(server: DebugServer) -> Path:
    """Keep what is known of a server in a file that only this user can read; returns it.

    Files of servers that are gone are removed. Raises `OSError` when there is no private folder.
    """
    for _ in servers():
        pass  # looking at them removes the dead ones
    folder = _own_folder()
    path = folder / _name(server.pid)
    fresh = folder / f"{path.name}.{os.getpid()}.new"
    fresh.unlink(missing_ok=True)
    # `O_EXCL`: a new file, with these permissions from its first byte on.
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "w") as file:
        json.dump(asdict(server), file)
    os.replace(fresh, path)
    return path


def known(pid: int, token: str) -> bool:
    """Whether there is a file of the server of that process with that token."""
    return any(server.pid == pid and server.token == token for server in servers())


def forget(pid: int) -> None:
    """Remove the file of the server of that process, if there is one."""
    for folder in _private_folders():
        (folder / _name(pid)).unlink(missing_ok=True)


def servers() -> Iterator[DebugServer]:
    """The servers of this user whose process lives, by port; files of others are removed."""
    found: dict[int, DebugServer] = {}
    for folder in _private_folders():
        for path in folder.glob(_name("*")):
            server = _read(path)
            if server is None:
                continue
            if _lives(server.pid):
                found[server.pid] = server
            else:
                path.unlink(missing_ok=True)
    yield from sorted(found.values(), key=lambda server: server.port)


def _name(pid: int | str) -> str:
    return f"server-{pid}.json"


def _folders() -> list[Path]:
    """Where files may be, the best place first. A shell and a server may differ in the first."""
    folders = [Path(tempfile.gettempdir()) / f"demijohn-{_user()}"]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        folders.insert(0, Path(runtime) / "demijohn")
    return folders


def _private_folders() -> list[Path]:
    """Those that are there and this user's alone: in any other somebody else may have put links."""
    return [folder for folder in _folders() if _is_private(folder, stat.S_ISDIR)]


def _user() -> int | str:
    return os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _own_folder() -> Path:
    """The first folder that is there, or can be made, for this user alone."""
    for folder in _folders():
        try:
            folder.mkdir(PRIVATE_FOLDER, exist_ok=True)
        except OSError:
            continue
        if _is_private(folder, stat.S_ISDIR):
            return folder
    raise OSError(f"no folder of this user's alone: tried {', '.join(map(str, _folders()))}")


def _is_private(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Whether it is there, of that kind, no link, and this user's alone."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if not is_kind(found.st_mode):
        return False
    # Elsewhere than on POSIX the temporary folder is the user's own, and modes say nothing.
    return not hasattr(os, "getuid") or (
        found.st_uid == os.getuid() and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    )


def _read(path: Path) -> DebugServer | None:
    """What a file says; None when it is not this user's, or no such file."""
    if not _is_private(path, stat.S_ISREG):
        return None
    try:
        return DebugServer(**json.loads(path.read_bytes()))
    except (OSError, TypeError, ValueError):
        return None


def _lives(pid: int) -> bool:
    if os.name != "posix":
        return True  # asking is not harmless there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is another user's, which a reused number can be
    return True
