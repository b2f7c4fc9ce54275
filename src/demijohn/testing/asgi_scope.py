"""From a WSGI environ, as Werkzeug's `EnvironBuilder` makes it, to what an ASGI server hands over.

The scope, and the request's body in parts. Calling an application with them is `server_side`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EXTRAS = "demijohn.environ"
"""The scope's key for what a scope has no place for: entries that go into the request's environ as
they are, a test client's mark for instance."""

PART = 64 * 1024
"""Bytes of a body in one message, at most; what servers read at once."""

# What the scope says, what is the server's own to say, and the client's own request.
_SAID = frozenset(
    {
        *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL"),
        *("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_URI", "RAW_URI"),
        *("CONTENT_TYPE", "CONTENT_LENGTH"),
        *("wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.input_terminated"),
        *("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"),
        "werkzeug.request",
    }
)


def http_scope(environ: WSGIEnvironment) -> dict[str, Any]:
    """The scope of an HTTP request (ASGI 3.0, HTTP 2.4)."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
    }
    return scope | connection_scope(environ)


def connection_scope(environ: WSGIEnvironment) -> dict[str, Any]:
    """What the scope of every connection says: where to, from whom, with which headers."""
    root = _text(environ.get("SCRIPT_NAME", ""))
    headers, extras = _headers(environ)
    extras |= {
        name: value
        for name, value in environ.items()
        if name not in _SAID
        and not name.startswith("HTTP_")
        and not (name == "wsgi.errors" and value is sys.stderr)
    }
    if root:
        # Of an application under a prefix, a builder leaves that out.
        extras |= {name: environ[name] for name in ("REQUEST_URI", "RAW_URI") if name in environ}
    return {
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2],
        "root_path": root,
        "path": root + _text(environ.get("PATH_INFO", "")),
        "raw_path": _raw_path(environ),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
        "client": _address(environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")),
        "server": _address(environ.get("SERVER_NAME"), environ.get("SERVER_PORT")),
        EXTRAS: extras,
    }


def _text(value: str) -> str:
    """A text of an environ, which stands for bytes, as the text that these bytes are."""
    return value.encode("latin-1").decode("utf-8", "replace")


def _raw_path(environ: WSGIEnvironment) -> bytes:
    """The path as it stood in the request line, after the prefix that the application has."""
    path = environ.get("PATH_INFO", "")
    uri: str = environ.get("REQUEST_URI", "")
    given = uri.partition("?")[0] if uri.startswith("/") else urlsplit(uri).path
    # Somebody may have given another path since the builder wrote this one down.
    if unquote_to_bytes(given).decode("latin-1") != path:
        given = _quoted(path)
    return (_quoted(environ.get("SCRIPT_NAME", "")) + given).encode("latin-1")


def _quoted(path: str) -> str:
    return quote(path, safe="/", encoding="latin-1")


def _headers(environ: WSGIEnvironment) -> tuple[list[tuple[bytes, bytes]], dict[str, Any]]:
    """The headers, and the entries that look like headers and cannot be sent as such."""
    headers: list[tuple[bytes, bytes]] = []
    others: dict[str, Any] = {}
    for key, value in environ.items():
        if key == "CONTENT_LENGTH" and environ.get("wsgi.input_terminated"):
            continue  # the body ends by itself, and no WSGI application would look at this
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = key
        elif key.startswith("HTTP_"):
            name = key[5:]
        else:
            continue
        try:
            pair = (name.replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        except (AttributeError, UnicodeEncodeError):
            others[key] = value
        else:
            headers.append(pair)
    return headers, others


def _address(host: str | None, port: Any) -> tuple[str, int] | None:
    if not host:
        return None
    try:
        return host, int(port or 0)
    except ValueError:
        return host, 0


class ShortBody(Exception):
    """The body ends before the length that its header says: the client has left."""


def body_parts(environ: WSGIEnvironment) -> Iterator[tuple[bytes, bool]]:
    """The parts of a request's body, each with whether another follows; at least one.

    As on a connection: without a length (and nothing that says where it ends) there is no body, and
    what is longer than its length belongs to no request. Raises `ShortBody` where bytes are
    missing.
    """
    stream = environ["wsgi.input"]
    chunked = environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
    if chunked or environ.get("wsgi.input_terminated"):
        part = _read(stream, PART)
        while following := _read(stream, PART) if part else b"":
            yield part, True
            part = following
        yield part, False
        return
    length = environ.get("CONTENT_LENGTH") or ""
    left = int(length) if length.isascii() and length.isdecimal() else 0
    if not left:
        yield b"", False
    while left:
        part = _read(stream, min(left, PART))
        if not part:
            raise ShortBody
        left -= len(part)
        yield part, bool(left)


def _read(stream: Any, size: int) -> bytes:
    try:
        part: bytes = stream.read(size)
    except OSError as error:
        raise ShortBody from error
    return part
