"""The columns of the table of faults: a fault each, as a test of one running server.

A cell is a function of a `Bench`; `@cell` names its column. What a server does otherwise for a
reason of its own is written down in `differences.py`, and asserted there.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from servers.clients import Wire, ask, wire
from servers.kinds import Running, eventually
from servers.test_behaviour import body_of

from .rows import Bench


@dataclass(frozen=True)
class Column:
    """A fault of the table.

    Arguments:
        name: as reliability reports number it, "F2".
        says: what must hold.
        run: asserts that it holds.
    """

    name: str
    says: str
    run: Callable[[Bench], None]


COLUMNS: dict[str, Column] = {}


def cell(name: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Make a function the column of this name; its docstring says what must hold."""

    def add(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
        assert name not in COLUMNS and function.__doc__
        COLUMNS[name] = Column(name, " ".join(function.__doc__.split()), function)
        return function

    return add


# ---- what the cells' modules share

TIMES: dict[str, list[float]] = {}  # row and fault -> seconds that were measured


def took(bench: Bench, fault: str, since: float) -> None:
    """Note the seconds since then for this fault; the soak records them."""
    TIMES.setdefault(f"{bench.row.name} {fault}", []).append(time.monotonic() - since)


def ended(server: Running, key: str) -> list[str]:
    """The outcomes with which a request has ended; one, if all is well."""
    return [line.split()[2] for line in server.log() if line.startswith(f"{key} ended")]


def wait_ended(server: Running, key: str, *outcomes: str) -> None:
    """Wait until a request has ended, and assert that it was once, with one of these outcomes."""
    eventually(lambda: ended(server, key), lambda: f"the end of {key}: {server.log()[-20:]}")
    found = ended(server, key)
    assert len(found) == 1 and found[0] in (outcomes or ("ok",)), found


def lines(server: Running, key: str) -> list[str]:
    return [line.partition(" ")[2] for line in server.log() if line.startswith(f"{key} ")]


def wait_line(server: Running, key: str, text: str) -> None:
    eventually(
        lambda: any(line.startswith(text) for line in lines(server, key)),
        lambda: f"{text!r} of {key}: {server.log()[-20:]}\n{server.output()[-2000:]}",
    )


def status_of(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1])


def whole(raw: bytes) -> bool:
    """Whether the client can tell that the body came to its end."""
    return body_of(raw)[1]


@contextmanager
def opened(server: Running, path: str, until: bytes = b"\r\n\r\n") -> Iterator[Wire]:
    """A connection that has asked for a path and read until this text came."""
    with wire(server.port) as connection:
        connection.send(f"GET {path} HTTP/1.1", "Host: x")
        connection.until(until)
        yield connection


def leave(connection: Wire, how: str) -> float:
    """Close a connection, with FIN or RST; return when."""
    if how == "RST":
        linger = struct.pack("ii", 1, 0)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.socket.close()
    return time.monotonic()


def logged(server: Running, text: str) -> int:
    """How many tracebacks in the server's output end with this error."""
    return len(re.findall(rf"^\S*{re.escape(text)}", server.output(), re.MULTILINE))


def left_over(server: Running) -> None:
    """Assert that a server answers as at first, and nothing of an earlier request is seen."""
    answer = ask(server.port, "/plain")
    assert (answer.status, answer.json) == (200, {"key": ""}), answer
