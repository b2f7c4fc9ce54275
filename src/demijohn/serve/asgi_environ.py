"""From the scope of an ASGI server to the environ (PEP 3333) that a request is made of.

Request, routing and extensions are the same on both edges: they read an environ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

EXTRA_KEY = "demijohn.environ"
"""The scope key under which a test client gives entries for the environ, its mark among them."""

_SCHEMES = ("http://", "https://")
_LENGTHS = re.compile(r"[0-9]+([ \t]*,[ \t]*[0-9]+)+")
_PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
# Written once for each header name that servers pass on: bounded, as clients choose names.
_names: dict[bytes, str | None] = {}
_MOST_NAMES = 1024


def with_origin_form(scope: Any) -> Any:
    """The scope of a request, also where its target came in absolute form, `GET http://host/path`.

    Servers have to take that (RFC 9112, 3.2.2), and some leave the whole target in `path`. Then the
    target's host stands in the place of the `Host` header, which is to be ignored. (Others drop the
    target's host before anybody has seen it.)

    Nothing is done where a root stands before the target, as uvicorn puts it: with another server
    a client can send the same as a path, and a proxy would have judged another path and host.
    """
    path: str = scope["path"]
    if path.startswith("/") or not scope.get("http_version", "1.1").startswith("1"):
        return scope  # later versions have no such form
    raw: bytes | None = scope.get("raw_path")
    target = quote(path, safe="/:@[]") if raw is None else raw.decode("latin-1")
    if not target[:8].lower().startswith(_SCHEMES):
        return scope
    authority, slash, rest = target.partition("?")[0].partition("://")[2].partition("/")
    if not authority:
        return scope  # invalid (RFC 9110, 4.2.1), and no path of anybody's
    raw_path = slash + rest or "/"
    host = (b"host", authority.encode("latin-1"))
    return {
        **scope,
        "path": unquote(raw_path, errors="surrogateescape"),
        "raw_path": raw_path.encode("latin-1"),
        "headers": [host, *(one for one in scope["headers"] if one[0].lower() != b"host")],
    }


def environ_of(scope: Any, stream: Any) -> dict[str, Any]:
    """The environ of an `http` or `websocket` scope; `stream` is its `wsgi.input`.

    `ValueError` for several hosts, and for lengths that disagree: not every server looks.
    """
    path, root = scope["path"], scope.get("root_path", "")
    # Servers disagree whether the path includes the root; the specification says that it does.
    if root and (path == root or path.startswith(root.rstrip("/") + "/")):
        path = path[len(root.rstrip("/")) :]
    query: bytes = scope.get("query_string", b"")
    host, port = scope.get("server") or ("localhost", None)
    scheme = scope.get("scheme", "http")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": _latin(root),
        "PATH_INFO": _latin(path),
        "QUERY_STRING": query.decode("latin-1"),
        "RAW_URI": _raw_uri(scope, query),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port if port is not None else _default_port(scheme)),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": {"ws": "http", "wss": "https"}.get(scheme, scheme),
        "wsgi.input": stream,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    environ["REQUEST_URI"] = environ["RAW_URI"]
    client = scope.get("client")
    if client:
        environ["REMOTE_ADDR"] = client[0]
        if client[1] is not None:
            environ["REMOTE_PORT"] = str(client[1])
    _add_headers(environ, scope.get("headers", ()))
    if "HTTP_TRANSFER_ENCODING" in environ:
        # Stronger than a length (RFC 9112, 6.3); the server has taken the chunks apart.
        environ.pop("CONTENT_LENGTH", None)
    length = environ.get("CONTENT_LENGTH")
    if length is not None and "," in length and _LENGTHS.fullmatch(length):
        # Somebody on the way has made one header of several.
        environ["CONTENT_LENGTH"] = str(one_length(length))
    if length is None:
        # What a chunked body has is known when it was read; it ends by itself.
        environ["wsgi.input_terminated"] = True
    if EXTRA_KEY in scope:
        environ.update(scope[EXTRA_KEY])
    return environ


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    several: dict[str, list[str]] = {}
    for raw, value in headers:
        try:
            name = _names[raw]
        except KeyError:
            name = _header_key(raw)
            if len(_names) < _MOST_NAMES:
                _names[raw] = name
        if name is None:
            continue
        text = value.decode("latin-1")
        if name not in environ:
            environ[name] = text
        else:
            several.setdefault(name, [environ[name]]).append(text)
    # As one header, which is what several of a name mean (RFC 9110); cookies: RFC 9113. Joined
    # once: a client may send thousands.
    for name, texts in several.items():
        if name == "HTTP_HOST":
            raise ValueError(f"Several hosts (RFC 9112, 3.2): {texts}")
        if name == "CONTENT_LENGTH":
            environ[name] = str(one_length(",".join(texts)))
            continue
        environ[name] = ("; " if name == "HTTP_COOKIE" else ",").join(texts)


def one_length(text: str) -> int:
    """A `Content-Length`, which may have come several times; `ValueError` unless all agree."""
    lengths = {part.strip(" \t") for part in text.split(",")}
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()):
        raise ValueError(f"Content-Length: {text!r}")
    return int(length)


def _header_key(raw: bytes) -> str | None:
    """A header's name in an environ. None for one with an underscore, which would become the same
    as another's with a hyphen: a client could say what only a proxy may."""
    if b"_" in raw:
        return None
    name = raw.decode("latin-1").lower()
    return _PLAIN.get(name) or f"HTTP_{name.upper().replace('-', '_')}"


def _latin(text: str) -> str:
    """Text as an environ has it: its bytes in UTF-8, each one a character."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _raw_uri(scope: Any, query: bytes) -> str:
    raw: bytes | None = scope.get("raw_path")
    path = quote(scope["path"]) if raw is None else raw.partition(b"?")[0].decode("latin-1")
    return f"{path}?{query.decode('latin-1')}" if query else path


def _default_port(scheme: str) -> int:
    return 443 if scheme in ("https", "wss") else 80
