"""HTTP clients: one request with `http.client`, and a bare socket for what that one hides."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .kinds import DEADLINE


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    path: str,
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, body, dict(headers or {}), **options)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Wire:
    """A connection whose bytes are the test's.

    Arguments:
        receive_buffer: bytes that the system takes for it before it reads; its default if 0.
    """

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        if receive_buffer:
            # Before the connection is made: what it announces depends on it.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.got = b""

    def send(self, *lines: str, body: bytes = b"") -> None:
        head = "".join(f"{line}\r\n" for line in (*lines, ""))
        self.socket.sendall(head.encode("latin-1") + body)

    def until(self, text: bytes) -> bytes:
        """Read until `text` came; return all that came."""
        while text not in self.got:
            data = self.socket.recv(65536)
            assert data, self.got
            self.got += data
        return self.got

    def rest(self) -> bytes:
        """Read to the end of the connection; return all that came. A reset is an end."""
        try:
            while data := self.socket.recv(65536):
                self.got += data
        except ConnectionError:
            pass
        return self.got


@contextmanager
def wire(port: int, receive_buffer: int = 0) -> Iterator[Wire]:
    connection = Wire(port, receive_buffer)
    try:
        yield connection
    finally:
        connection.socket.close()
