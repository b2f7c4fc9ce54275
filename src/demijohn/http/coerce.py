"""What a view's return value becomes: Flask's rules for `make_response`.

`coerce` knows them all and makes a response; `quick` gives the bytes of the plainest values, for
which nobody may need a response at all. Calling views and after-hooks is the pipeline's part.
"""

from __future__ import annotations

import collections.abc as cabc
import sys
import typing as t

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.utils import get_content_type
from werkzeug.wrappers import Response as WerkzeugResponse

from .json_provider import DefaultJSONProvider, compact_parts
from .watch import changes

if t.TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

ResponseT = t.TypeVar("ResponseT", bound=WerkzeugResponse)

_HTML: t.Final = ("Content-Type", "text/html; charset=utf-8")
_JSON: t.Final = ("Content-Type", "application/json")
_ALLOWED: t.Final = (
    " The return type must be a string, dict, list, tuple with headers or status, Response"
    " instance, or WSGI callable, but it was a "
)


class JSONResponder(t.Protocol):
    """A JSON provider, as far as dicts and lists are made responses by it."""

    def response(self, *args: t.Any, **kwargs: t.Any) -> WerkzeugResponse: ...


class Asked(t.Protocol):
    """A request, as far as a value may need it to become a response."""

    @property
    def environ(self) -> WSGIEnvironment: ...

    @property
    def endpoint(self) -> str | None: ...


def quick(rv: object, json: t.Any) -> tuple[bytes | None, tuple[str, str]]:
    """Body and `Content-Type` header of a plain `str`, `bytes`, `dict` or `list`; no body for
    others.

    Holds where the response class is `Response` itself. `json` is the application's provider; a
    `dict` or a `list` is quick only with one that has `response_bytes` and whose `response` is its
    own.
    """
    kind = type(rv)
    if kind is dict or kind is list:
        if type(json) is DefaultJSONProvider and (
            json._stock is changes.version or json.is_stock()
        ):
            try:
                return ("".join(compact_parts(rv, 0)) + "\n").encode(), _JSON
            except RecursionError:
                pass  # said below, by the provider
        if not isinstance(json, DefaultJSONProvider) or json.has_own_response():
            return None, _HTML
        mimetype = json.mimetype
        if mimetype != "application/json":
            mimetype = get_content_type(mimetype, "utf-8")
        return json.response_bytes(rv), ("Content-Type", mimetype)
    if kind is str:
        return rv.encode(), _HTML  # type: ignore[attr-defined]  # t.cast takes 30 ns
    if kind is bytes:
        return rv, _HTML  # type: ignore[return-value]
    return None, _HTML


def coerce(
    rv: t.Any,
    *,
    response_class: type[ResponseT],
    json: JSONResponder,
    asked: cabc.Callable[[], Asked],
) -> ResponseT:
    """The response that `rv`, returned by the view of a request, stands for.

    `rv` is a body or one of `(body, status, headers)`, `(body, status)`, `(body, headers)`. A body
    is text, bytes, an iterator of either (sync or async), a dict or list for `json`, a response, or
    a WSGI callable, which is run on the request's environ. A status given replaces the response's
    own; headers given replace those of the same name. Raises `TypeError` for anything else, `None`
    above all. `asked` gives the request; it is called only for what needs one, and may raise.
    """
    status: t.Any = None
    headers: t.Any = None
    if isinstance(rv, tuple):
        rv, status, headers = _unpack(rv)
    if rv is None:
        raise TypeError(
            f"The view function for {asked().endpoint!r} did not return a valid response."
            " The function either returned None or ended without a return statement."
        )
    response: t.Any
    if isinstance(rv, response_class):
        response = rv
    elif isinstance(rv, (str, bytes, bytearray, cabc.Iterator, cabc.AsyncIterator)):
        # The class gets status and headers at once, as it may treat them specially.
        return response_class(t.cast(t.Any, rv), status=status, headers=headers)
    elif isinstance(rv, (dict, list)):
        response = json.response(rv)
    elif isinstance(rv, HTTPException) and type(rv).__call__ is HTTPException.__call__:
        # Calling it gives the same bytes by way of a stream, which would keep its context open.
        environ = asked().environ
        response = _force(rv.get_response(environ), response_class, environ)
        if environ["REQUEST_METHOD"] == "HEAD":
            # Called as an application it answers HEAD itself: after hooks see no page to change.
            response.response = ()
    elif isinstance(rv, WerkzeugResponse) or callable(rv):
        response = _force(rv, response_class, asked().environ)
    else:
        raise TypeError(
            f"The view function did not return a valid response.{_ALLOWED}{type(rv).__name__}."
        )
    if status is not None:
        if isinstance(status, (str, bytes, bytearray)):
            response.status = status
        else:
            response.status_code = status
    if headers:
        response.headers.update(headers)
    return t.cast(ResponseT, response)


def _unpack(rv: tuple[t.Any, ...]) -> tuple[t.Any, t.Any, t.Any]:
    if len(rv) == 3:
        return rv
    if len(rv) == 2:
        body, rest = rv
        if isinstance(rest, (Headers, dict, tuple, list)):
            return body, None, rest
        return body, rest, None
    raise TypeError(
        "The view function did not return a valid response tuple. The tuple must have the form"
        " (body, status, headers), (body, status), or (body, headers)."
    )


def _force(rv: t.Any, response_class: type[ResponseT], environ: WSGIEnvironment) -> ResponseT:
    try:
        return t.cast(ResponseT, response_class.force_type(rv, environ))
    except TypeError as error:
        raise TypeError(
            f"{error}\nThe view function did not return a valid response.{_ALLOWED}"
            f"{type(rv).__name__}."
        ).with_traceback(sys.exc_info()[2]) from None
