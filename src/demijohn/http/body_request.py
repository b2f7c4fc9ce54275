"""A request's body: read in one go or as a stream, as JSON or a form, within limits.

It knows no application: limits and the debug flag come through `_settings`, which the framework
answers. What a request tells besides is in `request`.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import typing as t

from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wsgi import LimitedStream

from .bodies import UpTo, read_up_to
from .debughelpers import attach_enctype_error_multidict
from .forms import FormParser
from .headers import RequestHeaders
from .watch import Watched

# Larger bodies are read in pieces, so that memory follows what arrives, not what is announced.
_ONE_READ: t.Final = 64 * 1024  # bytes


class RequestSettings(t.Protocol):
    """Where a request finds its limits: an application, as far as a request sees it."""

    @property
    def config(self) -> cabc.Mapping[str, t.Any]: ...

    @property
    def debug(self) -> bool: ...


class BodyRequest(WerkzeugRequest, metaclass=Watched):
    """Werkzeug's request with the limits of an application, and shorter ways to a body."""

    #: Has `loads` and `dumps`; the framework puts the app's provider here.
    json_module: t.Any = json
    form_data_parser_class = FormParser

    _max_content_length: int | None = None
    _max_form_memory_size: int | None = None
    _max_form_parts: int | None = None
    #: Whether a form was parsed, so that there may be files to close.
    _form_loaded: bool
    # What was made or assigned; None before. An attribute each, as `__dict__` takes 130 ns to ask.
    _headers: Headers | None
    # A number: the bytes that `_read_body` took from wsgi.input, past `stream`.
    _stream: t.IO[bytes] | int | None
    # Whether this class leaves alone what the short ways go round; see Request._note_overrides.
    _stock_body: bool
    _stock_json: bool

    def _settings(self) -> RequestSettings | None:
        """Whose limits and debug flag hold; without any, Werkzeug's defaults do."""
        return None

    # Limits: the request's own, else the app's, else Werkzeug's

    def _limit(self, own: int | None, key: str, default: int | None) -> int | None:
        if own is not None:
            return own
        settings = self._settings()
        return default if settings is None else settings.config[key]

    @property
    def max_content_length(self) -> int | None:
        """The most bytes of body to read, else 413; config `MAX_CONTENT_LENGTH`, `None` for no
        limit. Assigning sets it for this request; assigning `None` goes back to the config."""
        return self._limit(
            self._max_content_length, "MAX_CONTENT_LENGTH", WerkzeugRequest.max_content_length
        )

    @max_content_length.setter
    def max_content_length(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, value: int | None
    ) -> None:
        self._max_content_length = value

    @property
    def max_form_memory_size(self) -> int | None:
        """The most bytes of one form value that is no file, else 413; config
        `MAX_FORM_MEMORY_SIZE`. Assigning works as for `max_content_length`."""
        return self._limit(
            self._max_form_memory_size, "MAX_FORM_MEMORY_SIZE", WerkzeugRequest.max_form_memory_size
        )

    @max_form_memory_size.setter
    def max_form_memory_size(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, value: int | None
    ) -> None:
        self._max_form_memory_size = value

    @property  # type: ignore[override]
    def max_form_parts(self) -> int | None:
        """The most fields and files of a form, else 413; config `MAX_FORM_PARTS`. Assigning works
        as for `max_content_length`."""
        return self._limit(self._max_form_parts, "MAX_FORM_PARTS", WerkzeugRequest.max_form_parts)

    @max_form_parts.setter
    def max_form_parts(self, value: int | None) -> None:
        self._max_form_parts = value

    # The body

    @property
    def stream(self) -> t.IO[bytes]:
        """The body as a stream that ends where the body does; it can be read once."""
        found = self._stream
        if found is None:
            found = self._make_stream()
        elif isinstance(found, int):
            found = read_up_to(self.environ["wsgi.input"], found, found)
        object.__setattr__(self, "_stream", found)  # as above
        return found

    @stream.setter
    def stream(self, value: t.IO[bytes]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        object.__setattr__(self, "_stream", value)

    @stream.deleter
    def stream(self) -> None:
        # What was read past the stream stays read.
        if not isinstance(self._stream, int):
            object.__setattr__(self, "_stream", None)

    @property
    def body_stream(self) -> cabc.AsyncIterator[bytes]:
        """The body's parts: `async for part in request.body_stream`.

        On a route with `stream_body=True` at an edge with an event loop, as they arrive, and a
        client is held back while nobody asks; elsewhere what `stream` has, in pieces. Raises
        `RequestEntityTooLarge` beyond `max_content_length`, and `ClientDisconnected`.
        """
        source = self.environ["wsgi.input"]
        live = hasattr(source, "__aiter__")
        return _counted(source, self.max_content_length) if live else _pieces(self.stream)

    def _make_stream(self) -> t.IO[bytes]:
        if (
            "wsgi.input_terminated" in self.environ
            and not self.shallow
            and self.max_content_length is None
        ):
            return t.cast(t.IO[bytes], self.environ["wsgi.input"])  # Werkzeug's finding, sooner
        own: t.Any = vars(WerkzeugRequest)["stream"]
        stream = own.fget(self)
        if type(stream) is LimitedStream and stream._limit_is_max:
            stream = UpTo(stream._stream, stream.limit, is_max=True)
        return t.cast(t.IO[bytes], stream)

    def _read_body(self) -> bytes | None:
        """The body in one read, 0.6 us where `stream.read()` takes 3.2; `None` when that is not
        sure to give what `stream` would: then `stream` must be read. Raises `ClientDisconnected`.
        """
        environ = self.environ
        length: str = environ.get("CONTENT_LENGTH", "")
        if (
            not (self._stock_body and length.isdecimal() and length.isascii() and len(length) < 18)
            or self._stream is not None
            or self.shallow
            or "wsgi.input_terminated" in environ
            or "HTTP_TRANSFER_ENCODING" in environ
        ):
            return None
        size = int(length)
        # Written out, as three frames more take 0.2 us.
        most = self._max_content_length
        if most is None and (settings := self._settings()) is not None:
            most = settings.config["MAX_CONTENT_LENGTH"]
        if size > _ONE_READ or (most is not None and size > most):
            return None
        source = environ["wsgi.input"]
        data = b""
        while len(data) < size:
            try:
                piece = source.read(size - len(data))
            except (OSError, ValueError) as error:
                self._stream = read_up_to(source, size, len(data))
                raise ClientDisconnected() from error
            if not piece:
                self._stream = read_up_to(source, size, len(data))
                raise ClientDisconnected()
            data = data + piece if data else piece
        self._stream = size
        return data

    @t.overload
    def get_data(  # pyright: ignore[reportOverlappingOverload]  # Werkzeug's own overloads
        self, cache: bool = True, as_text: t.Literal[False] = False, parse_form_data: bool = False
    ) -> bytes: ...

    @t.overload
    def get_data(
        self, cache: bool = True, as_text: t.Literal[True] = ..., parse_form_data: bool = False
    ) -> str: ...

    def get_data(
        self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False
    ) -> bytes | str:
        """The whole body, decoded as UTF-8 with `as_text`. It is kept for further calls unless
        `cache` is false. With `parse_form_data` a form goes to `form` and `files` instead, and the
        result is empty. Raises `RequestEntityTooLarge`, `ClientDisconnected`."""
        data: bytes | None = getattr(self, "_cached_data", None)
        if data is None:
            if parse_form_data:
                self._load_form_data()
            data = self._read_body()
            if data is None:
                try:
                    data = self.stream.read()
                except OSError as error:
                    # The server's own stream, not Werkzeug's limited one: a malformed chunk, say.
                    raise ClientDisconnected() from error
            if cache:
                self._cached_data = data
        return data.decode(errors="replace") if as_text else data

    @t.overload
    def get_json(
        self, force: bool = ..., silent: t.Literal[False] = ..., cache: bool = ...
    ) -> t.Any: ...

    @t.overload
    def get_json(
        self, force: bool = ..., silent: bool = ..., cache: bool = ...
    ) -> t.Any | None: ...

    def get_json(
        self, force: bool = False, silent: bool = False, cache: bool = True
    ) -> t.Any | None:
        """The body, parsed as JSON; kept for further calls if `cache`.

        Where the content type is not JSON's (unless `force`) or the body is not JSON, the result is
        `None` if `silent`, else that of `on_json_loading_failed`, which raises 415 or 400. A body
        nested deeper than the parser can follow counts as not JSON.
        """
        known: tuple[t.Any, t.Any] = self._cached_json
        if cache and known[silent] is not ...:
            return known[silent]
        # The first two ask in 0.1 us what is_json finds out in 0.5.
        if not (
            force
            or (
                self._stock_json
                and ((headers := self._headers) is None or type(headers) is RequestHeaders)
                and self.environ.get("CONTENT_TYPE") == "application/json"
            )
            or self.is_json
        ):
            return None if silent else self.on_json_loading_failed(None)
        data = self.get_data(cache=cache)
        try:
            value = self.json_module.loads(data)
        except (ValueError, RecursionError) as error:
            if silent:
                result = None
                known = (known[0], result)
            else:
                result = self.on_json_loading_failed(_as_value_error(error))
                known = (result, known[1])
        else:
            result = value
            known = (value, value)
        if cache:
            self._cached_json = known
        return result

    def on_json_loading_failed(self, e: ValueError | None) -> t.Any:
        """What `get_json` gives for a body that is not JSON (`e` says why) or does not claim to be
        (`e` is `None`): raises 400 or 415. The reason is in the answer in debug mode only."""
        try:
            return super().on_json_loading_failed(e)
        except BadRequest as error:
            settings = self._settings()
            if settings is not None and settings.debug:
                raise
            raise BadRequest() from error

    def _load_form_data(self) -> None:
        self._form_loaded = True
        super()._load_form_data()
        if "stream" in self.__dict__ and type(self).stream is BodyRequest.stream:
            # Werkzeug puts it there, past the property.
            self._stream = vars(self).pop("stream")
        settings = self._settings()
        if (
            settings is not None
            and settings.debug
            and self.mimetype != "multipart/form-data"
            and not self.files
        ):
            attach_enctype_error_multidict(self)


async def _counted(source: t.Any, most: int | None) -> cabc.AsyncIterator[bytes]:
    size = 0
    async for part in source:
        size += len(part)
        if most is not None and size > most:
            raise RequestEntityTooLarge()
        yield part


async def _pieces(stream: t.IO[bytes]) -> cabc.AsyncIterator[bytes]:
    while part := stream.read(_ONE_READ):
        yield part


def _as_value_error(error: ValueError | RecursionError) -> ValueError:
    if isinstance(error, ValueError):
        return error
    reason = ValueError("the document is nested too deeply")
    reason.__cause__ = error
    return reason
