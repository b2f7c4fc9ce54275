"""Where a production server listens: a TCP address or a Unix socket, checked before it starts.

The server's workers open their sockets themselves, and several may share one port. Asking first
tells an address that another program serves, which they would join without a word.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class AddressError(Exception):
    """The server cannot listen there; the message says why."""


@dataclass(frozen=True)
class Address:
    """A numeric host and a port that is not 0, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @property
    def url(self) -> str:
        """How to show it: `http://127.0.0.1:8000`, `unix:/run/app.sock`."""
        if self.path is not None:
            return f"unix:{self.path}"
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def answers(self) -> bool:
        """Whether somebody accepts connections there now."""
        family = _family(self.host) if self.path is None else socket.AF_UNIX
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            try:
                # On the wildcard addresses 0.0.0.0 and :: this reaches the loopback interface.
                client.connect((self.host, self.port) if self.path is None else self.path)
            except OSError:
                return False
        return True


@contextmanager
def claim(host: str, port: int, path: str | None) -> Iterator[Address]:
    """Make sure that the address is free, and keep its port for this process and its workers.

    Arguments:
        host: a name or a number; of a name's addresses the first counts.
        port: 0 lets the system choose one.
        path: of a Unix socket, instead of host and port. A socket that nobody listens on any more
            is removed, as its owner could not do that.

    Raises `AddressError`.
    """
    if path is not None:
        path = os.path.abspath(path)
        _clear_path(path)
        yield Address(path=path)
        return
    number = _resolve(host, port)
    with _reserve(number, port) as kept:
        yield Address(number, kept.getsockname()[1])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _resolve(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no host name"
        raise AddressError(f"The host {host!r} cannot be resolved: {reason}.") from error
    return str(found[0][4][0])


def _reserve(host: str, port: int) -> socket.socket:
    """A socket that is bound and never listens: with it, the workers can still bind the port."""
    try:
        if port:
            # Without SO_REUSEPORT this fails where anybody serves the port, however he bound it.
            socket.create_server((host, port), family=_family(host)).close()
        kept = socket.socket(_family(host), socket.SOCK_STREAM)
        try:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            kept.bind((host, port))
        except OSError:
            kept.close()
            raise
    except OSError as error:
        raise AddressError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
    return kept


def _clear_path(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path)):
            raise AddressError(f"Cannot listen on {path}: there is no such folder.") from None
        return
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"Cannot listen on {path}: this is a file, not a socket.")
    if Address(path=path).answers():
        raise AddressError(f"Cannot listen on {path}: another program serves it.")
    os.unlink(path)
