"""The body of a request as a production worker hands it to the application."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from demijohn.serve.worker import Input, mended


class Body:
    """Granian's body (2.8.7) with its faults: `read()` forgets what was buffered, a line comes
    without its end, which stays, and sizes are not negative.
    """

    def __init__(self, data: bytes, piece: int) -> None:
        self.data, self.piece, self.buffer = data, piece, b""

    def read(self, size: int | None = None) -> bytes:
        if size is None:
            data, self.data = self.data, b""
            return data
        if size < 0:
            raise OverflowError("can't convert negative int to unsigned")
        while len(self.buffer) < size and self.data:
            self.buffer += self.data[: self.piece]
            self.data = self.data[self.piece :]
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def readline(self) -> bytes:
        self.buffer, self.data = self.buffer + self.data, b""
        line, end, rest = self.buffer.partition(b"\n")
        self.buffer = end + rest
        return line


SIZES = st.none() | st.integers(-1, 9)
CALLS = st.lists(
    st.tuples(st.sampled_from(("read", "readline", "readlines", "readinto")), SIZES), max_size=8
)


def answer(file: Any, call: str, size: int | None) -> Any:
    if call == "readinto":
        buffer = bytearray(max(size or 0, 0))
        count = file.readinto(buffer)
        return count, bytes(buffer)
    return getattr(file, call)(-1 if size is None else size)


@given(
    st.binary(max_size=40) | st.text("a\n", max_size=40).map(str.encode), CALLS, st.integers(1, 9)
)
def test_it_reads_as_a_file_does(data: bytes, calls: list[Any], piece: int) -> None:
    """Any sequence of reads gives what it gives on a file."""
    ours, theirs = Input(Body(data, piece)), io.BufferedReader(io.BytesIO(data))
    for call, size in calls:
        assert answer(ours, call, size) == answer(theirs, call, size), (call, size)
    assert ours.read() == theirs.read()


def test_the_bare_body_does_not() -> None:
    """The stand-in has the faults that are mended."""
    body = Body(b"abcdef", 4)
    assert body.read(1) + body.read() != b"abcdef"
    body = Body(b"a\nb", 4)
    assert [body.readline(), body.readline()] != [b"a\n", b"b"]


def test_it_can_be_wrapped() -> None:
    """Text and buffered readers of the standard library take it."""
    text = "ä\nö\n"
    assert io.TextIOWrapper(Input(Body(text.encode(), 3)), "utf-8").readlines() == ["ä\n", "ö\n"]
    assert io.BufferedReader(Input(Body(b"abc", 1))).read() == b"abc"


def seen(environ: dict[str, Any], multiprocess: bool = False) -> dict[str, Any]:
    """The environ that the application gets."""
    found: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.update(environ)
        return []

    base = {"SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": Body(b"", 1), "wsgi.multiprocess": False}
    mended(app, multiprocess)({**base, "wsgi.input_terminated": True, **environ}, lambda *_: None)
    return found


def test_the_environ_is_mended(monkeypatch: Any) -> None:
    """Variables of the process are taken out, what a client sent stays, several workers are
    told.
    """
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    monkeypatch.setenv("REMOTE_USER", "root")
    environ = seen({"HTTP_PROXY": "http://proxy", "REMOTE_USER": "root", "HTTP_HOST": "h"}, True)
    assert "HTTP_PROXY" not in environ
    assert "REMOTE_USER" not in environ
    assert environ["HTTP_HOST"] == "h"
    assert environ["wsgi.multiprocess"] is True
    assert seen({"HTTP_PROXY": "sent"})["HTTP_PROXY"] == "sent"
    assert seen({})["wsgi.multiprocess"] is False


def test_bodies_are_counted_where_they_have_a_length() -> None:
    """Only a body without a length may be read until it ends."""
    environ = seen({"CONTENT_LENGTH": "3"})
    assert "wsgi.input_terminated" not in environ
    assert isinstance(environ["wsgi.input"], Input)
    environ = seen({"HTTP_TRANSFER_ENCODING": "chunked"})
    assert environ["wsgi.input_terminated"]
    assert isinstance(environ["wsgi.input"], Input)
    assert isinstance(seen({})["wsgi.input"], Body)
