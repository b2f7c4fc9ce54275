"""The response: Werkzeug's, made and sent by shorter ways, with Flask's defaults.

`Response.build` makes one from bytes that are ready; `finish` says what a server is to be given for
any response. What a view's return value becomes is in `coerce`.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import re
import typing as t
from functools import partial

from werkzeug.datastructures import Headers as WerkzeugHeaders
from werkzeug.http import HTTP_STATUS_CODES, dump_cookie
from werkzeug.utils import get_content_type
from werkzeug.wrappers import Response as WerkzeugResponse
from werkzeug.wsgi import ClosingIterator, FileWrapper, _RangeWrapper

from .body_request import RequestSettings
from .headers import Headers, check_all, length_header
from .watch import Watched

if t.TYPE_CHECKING:
    from datetime import datetime, timedelta
    from http import HTTPStatus
    from wsgiref.types import WSGIEnvironment

    from _typeshed.wsgi import WSGIApplication

    Body = cabc.Iterable[bytes] | bytes | cabc.Iterable[str] | str
    HeaderSource = cabc.Mapping[str, str | cabc.Iterable[str]] | cabc.Iterable[tuple[str, str]]

Finished = tuple[str, list[tuple[str, str]], cabc.Iterable[bytes], bool]

# RFC 6265, 4.1.1: none of these may stand in a cookie's name or in the value of an attribute.
_cookie_control = re.compile(r"[\x00-\x1f\x7f;]")
_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What Werkzeug's quoting of a cookie's value leaves, though no header may hold it.
_unquoted = re.compile(r"[\x1a-\x1f]")
# Locations that iri_to_uri leaves as they are: a redirect is sent in 0.6 us instead of 6.
_plain_path = re.compile(r"/(?!/)[\w./~-]*(?:\?[\w.~=&-]+)?", re.ASCII)

# As Werkzeug writes them; what is not here, it is asked for.
_STATUS: t.Final = {code: f"{code} {name.upper()}" for code, name in HTTP_STATUS_CODES.items()}
_CONTENT_TYPES: t.Final = {
    mimetype: get_content_type(mimetype, "utf-8")
    for mimetype in ("text/html", "text/plain", "application/json")
}
_SIZES: t.Final = frozenset({8, 14, 16})
_new: t.Final = object.__new__
R = t.TypeVar("R", bound="Response")
# What a response made or sent by the short way bypasses.
_MADE_BY: t.Final = ("set_data", "data", "status", "status_code", "_clean_status")
_SENT_BY: t.Final = (
    "__call__",
    "close",
    "get_app_iter",
    "get_wsgi_headers",
    "get_wsgi_response",
    "is_sequence",
    "iter_encoded",
    "status",
    "status_code",
)
# What these names stand for on `Response`, once it is complete.
_original: t.Final[dict[str, t.Any]] = {}
# A range of a sequence is made from its iterator.
_PLAIN: t.Final[tuple[type, ...]] = (
    *(list, tuple, str, bytes, bytearray, FileWrapper),
    *(type(iter([])), type(iter(()))),
)


class Response(WerkzeugResponse, metaclass=Watched):
    """The response that Flask users know: Werkzeug's, HTML by default.

    Control characters in the status line, in header names and values (a tab in a value is allowed)
    and in cookie attributes raise `ValueError`, as does a semicolon in the latter.
    """

    default_mimetype: str | None = "text/html"
    #: Has `loads` and `dumps`; the framework puts the app's provider here.
    json_module: t.Any = json
    autocorrect_location_header = False

    # Whether this class leaves alone what __init__, build and finish go round.
    _stock_making: bool
    _stock_init: bool
    _stock_sending: bool

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._note_overrides()

    @classmethod
    def _note_overrides(cls) -> None:
        """Called for a new class, and when an attribute of it or of one above it is set."""
        if not _original:  # `Response` itself is not complete
            return

        def untouched(names: cabc.Iterable[str]) -> bool:
            return all(getattr(cls, name) is _original[name] for name in names)

        slots = hasattr(cls, "headers") or hasattr(cls, "response")
        plain = cls.__setattr__ is object.__setattr__ and not slots
        making = plain and untouched(_MADE_BY)
        put = partial(type.__setattr__, cls)  # without being told of it
        put("_stock_making", making)
        put("_stock_init", making and untouched(("__init__", "__new__")))
        put("_stock_sending", plain and untouched(_SENT_BY))

    def __init__(
        self,
        response: Body | None = None,
        status: int | str | HTTPStatus | None = None,
        headers: HeaderSource | None = None,
        mimetype: str | None = None,
        content_type: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        """Arguments as Werkzeug's `Response` takes them. Raises `ValueError` for control
        characters in status or headers."""
        # 0.8 us for text without headers; by Werkzeug's constructor 3.
        items: list[tuple[str, str]] | None = None
        if headers is None:
            items = []
            kept: WerkzeugHeaders = Headers.trusted(items)
        elif isinstance(headers, WerkzeugHeaders):
            if type(headers) is not Headers:
                # `send_file` puts a name that a client may have chosen into such.
                check_all(headers)
            kept = headers
        else:
            kept = Headers(t.cast(t.Any, headers))
        if not self._stock_making:
            super().__init__(
                response, status, t.cast(t.Any, kept), mimetype, content_type, direct_passthrough
            )
            return
        self.headers = kept
        if content_type is None:
            if mimetype is None and (items is not None or "content-type" not in kept):
                mimetype = self.default_mimetype
            if mimetype is not None:
                content_type = _CONTENT_TYPES.get(mimetype) or get_content_type(mimetype, "utf-8")
        if content_type is not None:
            if items is not None and type(content_type) is str and content_type.isprintable():
                items.append(("Content-Type", content_type))
            else:
                kept["Content-Type"] = content_type
        if status is None:
            status = self.default_status
        self._status, self._status_code = self._clean_status(status)
        self.direct_passthrough = direct_passthrough
        self._on_close = []
        if response is None:
            self.response = []
        elif isinstance(response, (str, bytes, bytearray)):
            body = response.encode() if isinstance(response, str) else response
            self.response = [body]
            if self.automatically_set_content_length:
                if items is not None:
                    items.append(("Content-Length", str(len(body))))
                else:
                    kept["Content-Length"] = str(len(body))
        else:
            self.response = response

    @classmethod
    def build(
        cls, body: bytes, content_type: str, status_code: int = 200, status: str = "200 OK"
    ) -> t.Self:
        """What `cls(body, status, content_type=content_type)` makes, from values that are known to
        be good: nothing is checked, and `status` has to be the line for `status_code`."""
        if not (cls._stock_init and cls.automatically_set_content_length):
            return cls(body, status, content_type=content_type)
        return assemble(cls, body, ("Content-Type", content_type), status_code, status)

    def _settings(self) -> RequestSettings | None:
        """Whose config holds; without any, Werkzeug's defaults do."""
        return None

    @property
    def max_cookie_size(self) -> int:  # type: ignore[override]
        """The size in bytes from which a cookie brings a warning; config `MAX_COOKIE_SIZE`, 0 for
        no warning."""
        settings = self._settings()
        if settings is None:
            return WerkzeugResponse.max_cookie_size
        return settings.config["MAX_COOKIE_SIZE"]  # type: ignore[no-any-return]

    def _clean_status(self, value: str | int | HTTPStatus) -> tuple[str, int]:
        if type(value) is int and value in _STATUS:
            return _STATUS[value], value
        line, code = super()._clean_status(value)
        if not line.isprintable() and _control.search(line):
            raise ValueError(f"The status line must not contain control characters: {line!r}.")
        return line, code

    @classmethod
    def force_type(
        cls, response: WerkzeugResponse | WSGIApplication, environ: WSGIEnvironment | None = None
    ) -> t.Self:
        """`response` as an instance of this class: changed in place if it is a response, else made
        by running it as a WSGI application on `environ`. Raises `TypeError` without an environ for
        that, `ValueError` for control characters in headers."""
        forced = super().force_type(t.cast(t.Any, response), environ)
        if type(forced.headers) is WerkzeugHeaders:
            # `Location` is quoted when it is sent; routing's has what a client put into the query.
            check_all(pair for pair in forced.headers if pair[0] != "Location")
            forced.headers.__class__ = Headers
        return t.cast("t.Self", forced)

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: timedelta | int | None = None,
        expires: str | datetime | int | float | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: str | None = None,
        partitioned: bool = False,
    ) -> None:
        """Adds a `Set-Cookie` header; `max_age` is in seconds. Raises `ValueError` for a semicolon
        or a control character in anything but the value and the path, which are quoted."""
        given = (
            ("name", key),
            ("max_age", max_age),
            ("expires", expires),
            ("domain", domain),
            ("samesite", samesite),
        )
        for what, text in given:
            if isinstance(text, str) and _cookie_control.search(text):
                raise ValueError(
                    f"A cookie's {what} must not contain semicolons or control characters:"
                    f" {text!r}."
                )
        if not value.isprintable() and _unquoted.search(value):
            header = dump_cookie(
                *(key, value, max_age, expires, path, domain, secure, httponly),
                max_size=self.max_cookie_size,
                samesite=samesite,
                partitioned=partitioned,
            )
            self.headers.add("Set-Cookie", _unquoted.sub(lambda c: f"\\{ord(c[0]):03o}", header))
            return
        super().set_cookie(
            key,
            value,
            max_age=max_age,
            expires=expires,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
            partitioned=partitioned,
        )


_original.update(
    {name: getattr(Response, name) for name in ("__init__", "__new__", *_MADE_BY, *_SENT_BY)}
)
Response._note_overrides()


def assemble(
    cls: type[R],
    body: bytes,
    content_type: tuple[str, str],
    status_code: int = 200,
    status: str = "200 OK",
) -> R:
    """What `cls.build` makes, for a class that leaves everything to `Response`; `content_type` is
    the header."""
    response = _new(cls)
    headers = _new(Headers)
    length = length_header(len(body))
    headers._list = [content_type, length]
    response.headers = headers
    response._status = status
    response._status_code = status_code
    response.direct_passthrough = False
    response._on_close = []
    response.response = [body]
    return response


def finish(response: object, environ: WSGIEnvironment) -> Finished | None:
    """What a server is to be given: status line, headers, body, and whether the body is plain.

    The same as `response(environ, start_response)` would hand over (PEP 3333), for HEAD and for
    statuses without a body too. A plain body (list, tuple, file wrapper) needs no context while it
    is sent. `None` means that the response wants to be called: it is no Werkzeug response, or its
    class overrides `__call__`. Raises `ValueError` for control characters in headers.
    """
    # Not isinstance(): of a watched class it takes 0.4 us.
    if not getattr(response, "_stock_sending", False):
        return _finish_other(response, environ)
    made: t.Any = response
    body = made.response
    headers = made.headers
    code = made._status_code
    if (
        not (type(body) is list or type(body) is tuple)
        or type(headers) is not Headers
        or made.direct_passthrough
        or (code != 200 and (code < 200 or code == 204 or code == 304))
    ):
        return _finish_by_methods(made, environ, _is_plain(body, environ))
    # 0.3 us for a page or a JSON document; Werkzeug's methods take 3.2.
    length = location = False
    for name, value in headers._list:
        # "location", "content-length" and "content-location" by their lengths first.
        if name == "Content-Length":
            length = True
        elif len(name) in _SIZES:
            lowered = name.lower()
            if lowered == "content-length":
                length = True
            elif lowered == "content-location":
                return _finish_by_methods(made, environ, True)
            elif lowered == "location":
                if (
                    location
                    or name != "Location"
                    or made.autocorrect_location_header
                    or not _plain_path.fullmatch(value)
                ):
                    return _finish_by_methods(made, environ, True)
                location = True
    chunks: cabc.Iterable[bytes] = body
    # One chunk, by far the most bodies: without a loop.
    if len(body) != 1 or type(body[0]) is not bytes:
        chunks = [part.encode() if isinstance(part, str) else part for part in body]
    items = headers._list.copy()
    if not length and made.automatically_set_content_length:
        items.append(("Content-Length", str(sum(map(len, chunks)))))
    if environ["REQUEST_METHOD"] == "HEAD":
        chunks = ()
    if made._on_close:
        chunks = ClosingIterator(chunks, made.close)
    return made._status, items, chunks, True


def _finish_other(response: object, environ: WSGIEnvironment) -> Finished | None:
    """For a response of another class, or one that overrides how it is sent."""
    if not isinstance(response, WerkzeugResponse):
        return None
    cls = type(response)
    if cls.__call__ is not WerkzeugResponse.__call__:
        return None
    if (
        cls.get_app_iter is WerkzeugResponse.get_app_iter
        and cls.get_wsgi_response is WerkzeugResponse.get_wsgi_response
    ):
        plain = _is_plain(response.response, environ)
        return _finish_by_methods(response, environ, plain)
    return _finish_by_methods(response, environ, None)


def _finish_by_methods(
    response: WerkzeugResponse, environ: WSGIEnvironment, plain: bool | None
) -> Finished:
    """By Werkzeug's way; `plain` is `None` where only the body that comes out can tell."""
    body, status, items = response.get_wsgi_response(environ)
    check_all(items)
    if plain is None:
        plain = isinstance(body, (list, tuple))
    return status, items, body, plain


def _is_plain(body: object, environ: WSGIEnvironment) -> bool:
    """Whether a response's body is data or a file, and not code that runs while it is sent."""
    if isinstance(body, _RangeWrapper):
        body = body.iterable
    if isinstance(body, _PLAIN):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)
