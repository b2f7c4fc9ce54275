"""JSON providers: the object behind an application's ``json`` attribute.

Holds :class:`JSONProvider`, the interface, and :class:`DefaultJSONProvider`, the standard library's
``json`` with kept encoders. The module-level functions that look up the current application's
provider (``dumps``, ``jsonify`` ...) are not here: this layer knows no current application.
"""

from __future__ import annotations

import dataclasses
import decimal
import json
import json.encoder
import uuid
import weakref
from collections.abc import Callable, Iterable
from datetime import date
from operator import attrgetter
from types import MethodType
from typing import IO, Any, AnyStr, Final, Protocol

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from .watch import Watched, changes, tell

_COMPACT: dict[str, Any] = {"separators": (",", ":")}
_INDENTED: dict[str, Any] = {"indent": 2}
_TOO_DEEP = "The JSON document is nested too deeply to be read."


class JSONApp(Protocol):
    """What a provider needs from its application."""

    @property
    def debug(self) -> bool: ...

    @property
    def response_class(self) -> Callable[..., Response]: ...


class JSONProvider(metaclass=Watched):
    """The JSON operations of one application.

    To use another JSON library, subclass this, write at least :meth:`dumps` and :meth:`loads`, and
    name the class in the application's ``json_provider_class`` or put an instance in its ``json``.

    :param app: the application. Only a weak proxy to it is kept, as ``_app``.
    """

    def __init__(self, app: JSONApp) -> None:
        self._app: JSONApp = weakref.proxy(app)
        #: The version of what was looked at, if all of it is the framework's own.
        self._stock: object = None

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return ``obj`` as JSON text; ``kwargs`` are for the JSON library underneath."""
        raise NotImplementedError

    def dump(self, obj: Any, fp: IO[str], **kwargs: Any) -> None:
        """Write ``obj`` as JSON to ``fp``, a file opened for text (UTF-8, to be valid JSON)."""
        fp.write(self.dumps(obj, **kwargs))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Read JSON text, or UTF-8 bytes; ``kwargs`` are for the JSON library underneath."""
        raise NotImplementedError

    def load(self, fp: IO[AnyStr], **kwargs: Any) -> Any:
        """Read JSON from ``fp``, a file opened for text or for UTF-8 bytes."""
        return self.loads(fp.read(), **kwargs)

    def _prepare_response_obj(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the one object that the arguments of :meth:`response` stand for.

        :raises TypeError: if there are both positional and keyword arguments.
        """
        if args and kwargs:
            raise TypeError("app.json.response() takes either args or kwargs, not both")
        if len(args) == 1:
            return args[0]
        return args or kwargs or None

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a response with the arguments as JSON and the type ``application/json``.

        One positional argument is the object itself, several are a list, keyword arguments are a
        dict, none at all is ``null``.
        """
        body = self.dumps(self._prepare_response_obj(args, kwargs))
        return self._app.response_class(body, mimetype="application/json")


def _default(o: Any) -> Any:
    """Turn an object that JSON has no form for into one that it has.

    :raises TypeError: if there is no rule for the object's type.
    """
    if isinstance(o, date):
        return http_date(o)
    if isinstance(o, (decimal.Decimal, uuid.UUID)):
        return str(o)
    if dataclasses.is_dataclass(o):
        # A dataclass itself, not an instance, is refused by asdict, with a TypeError of its own.
        return dataclasses.asdict(o)  # type: ignore[arg-type]
    if hasattr(o, "__html__"):
        return str(o.__html__())
    raise TypeError(f"Object of type {type(o).__name__} is not JSON serializable")


class DefaultJSONProvider(JSONProvider):
    """The standard library's :mod:`json`, for more types.

    Besides what :mod:`json` writes by itself: dates and datetimes as HTTP dates (RFC 9110, 5.6.7),
    ``Decimal`` and ``UUID`` as strings, dataclasses as dicts, and objects with an ``__html__``
    method (Markup) as the string that it returns.

    The attributes may be set on the class, a subclass or the instance at any time; each call reads
    them afresh.
    """

    default: Callable[[Any], Any] = staticmethod(_default)
    """Called with each object that has no JSON form; returns one that has, or raises TypeError."""

    ensure_ascii = True
    """Whether characters outside ASCII are written as escapes."""

    sort_keys = True
    """Whether dicts are written in key order. The keys must then be comparable: all strings."""

    compact: bool | None = None
    """Whether responses are written without spaces and line breaks; None: unless in debug mode."""

    mimetype = "application/json"
    """The type of responses."""

    _kept: _Encoders | None = None

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return ``obj`` as JSON text.

        :param kwargs: for :func:`json.dumps`; ``default``, ``ensure_ascii`` and ``sort_keys`` come
            from the attributes of that name when they are not given.
        :raises TypeError: for an object that has no JSON form.
        :raises ValueError: for an object that contains itself.
        """
        if not kwargs:
            return self._encoders().plain(obj)
        if kwargs == _COMPACT:
            return self._encoders().compact(obj)
        kwargs.setdefault("default", self.default)
        kwargs.setdefault("ensure_ascii", self.ensure_ascii)
        kwargs.setdefault("sort_keys", self.sort_keys)
        return json.dumps(obj, **kwargs)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Read JSON text, or UTF-8 bytes.

        :param kwargs: for :func:`json.loads`.
        :raises ValueError: if it is not JSON (``json.JSONDecodeError``), not UTF-8, nested too
            deeply for the interpreter, or contains an integer too long for it.
        """
        # 0.6 µs for 60 bytes (`json.loads`: 1.8): no search for the encoding, nor by expression for
        # white space. Whatever the short way cannot answer, errors too, is left to json.loads.
        text = ""
        if type(s) is str:
            text = s
        elif type(s) is bytes and s[:1] in (b"{", b"[") and s[1:2] != b"\0":
            # Neither a byte order mark nor the NUL of UTF-16 and UTF-32: json.loads takes it for
            # UTF-8.
            text = s.decode("utf-8", "surrogatepass")
        try:
            if not kwargs and text[:1] in ("{", "["):
                try:
                    obj, end = _scan(text, 0)
                except StopIteration:
                    pass
                else:
                    if end == len(text) or not text[end:].strip(" \t\n\r"):
                        return obj
            return json.loads(s, **kwargs)
        except RecursionError as error:
            raise ValueError(_TOO_DEEP) from error

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a response with the arguments as JSON, of the type :attr:`mimetype`.

        One positional argument is the object itself, several are a list, keyword arguments are a
        dict, none at all is ``null``. See :attr:`compact` for the layout.
        """
        text = self._response_text(self._prepare_response_obj(args, kwargs))
        return self._app.response_class(text, mimetype=self.mimetype)

    def response_bytes(self, obj: Any) -> bytes:
        """Return the body that ``response(obj)`` would have, without making a response.

        Overridden :meth:`dumps`, ``default`` and ``_prepare_response_obj`` are honoured, an
        overridden :meth:`response` is not: ask :meth:`has_own_response` first.
        """
        return self._response_text(self._prepare_response_obj((obj,), {})).encode()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name[0] != "_":
            tell()

    def is_stock(self) -> bool:
        """Return whether nothing is set or overridden that shapes a response, nor debug mode on.

        Then :data:`compact_parts`, joined, is what :meth:`response_bytes` gives. The answer holds
        as long as ``_stock`` is ``watch.changes.version``.
        """
        # Read first, so that a change meanwhile on another thread makes it stale.
        seen = changes.version
        if (
            type(self) is DefaultJSONProvider
            and vars(self).keys() <= _OWN
            and _settings_of(DefaultJSONProvider) == _SETTINGS
            and not self._app.debug
        ):
            # Of another mapping's changes nobody is told.
            if getattr(type(getattr(self._app, "config", None)), "_tells", False):
                self._stock = seen
            return True
        return False

    def has_own_response(self) -> bool:
        """Return whether :meth:`response` is overridden, in a subclass or on this instance."""
        return type(self).response is not _RESPONSE or "response" in self.__dict__

    def _response_text(self, obj: Any) -> str:
        """Return the text of a response's body, with the line end that closes it."""
        compact = self.compact
        indented = self._app.debug if compact is None else compact is False
        if type(self).dumps is _DUMPS and "dumps" not in self.__dict__:
            kept = self._encoders()
            return (kept.indented if indented else kept.compact)(obj) + "\n"
        return f"{self.dumps(obj, **(_INDENTED if indented else _COMPACT))}\n"

    def _encoders(self) -> _Encoders:
        """Return the encoders for the attributes as they are now."""
        kept = self._kept
        default = self.default
        if (
            kept is None
            or kept.ensure_ascii is not self.ensure_ascii
            or kept.sort_keys is not self.sort_keys
            # A method is a new object at each look; equal means: same function, same instance.
            or (
                kept.default is not default
                and (type(default) is not MethodType or kept.default != default)
            )
        ):
            kept = self._kept = _Encoders(default, self.ensure_ascii, self.sort_keys)
        return kept


# What a call compares with to see that nobody has overridden or patched the method.
_DUMPS = DefaultJSONProvider.dumps
_RESPONSE = DefaultJSONProvider.response
_settings_of = attrgetter(
    *("default", "ensure_ascii", "sort_keys", "compact", "mimetype"),
    *("dumps", "response", "_prepare_response_obj"),
)
_SETTINGS = _settings_of(DefaultJSONProvider)
_OWN = {"_app", "_kept", "_stock"}


class _Encoders:
    """The encode functions for one set of a provider's attributes."""

    __slots__ = ("compact", "default", "ensure_ascii", "indented", "plain", "sort_keys")

    def __init__(
        self, default: Callable[[Any], Any] | None, ensure_ascii: bool, sort_keys: bool
    ) -> None:
        self.default = default
        self.ensure_ascii = ensure_ascii
        self.sort_keys = sort_keys
        self.plain = _make_encode(default, ensure_ascii, sort_keys, {})
        self.compact = _make_encode(default, ensure_ascii, sort_keys, _COMPACT)
        self.indented = _make_encode(default, ensure_ascii, sort_keys, _INDENTED)


def _make_encode(
    default: Callable[[Any], Any] | None,
    ensure_ascii: bool,
    sort_keys: bool,
    layout: dict[str, Any],
) -> Callable[[Any], str]:
    """Return a function that writes what :func:`json.dumps` would write with these options.

    ``json.dumps`` makes an encoder at each call, and ``JSONEncoder.encode`` a new C encoder; the C
    encoder kept takes 0.9 µs for a dict of four items (1.6 and 2.2 µs the others). Kept, it may not
    look for objects that contain themselves: its list of open objects would be shared by threads.
    Such an object ends in a RecursionError instead, and the checking encoder then says what is
    wrong, in the standard library's words.
    """
    checking = json.JSONEncoder(
        default=default, ensure_ascii=ensure_ascii, sort_keys=sort_keys, **layout
    )
    make_encoder = getattr(json.encoder, "c_make_encoder", None)
    if make_encoder is None or checking.indent is not None:
        return checking.encode

    string = "encode_basestring_ascii" if ensure_ascii else "encode_basestring"
    unchecked: Callable[[Any, int], tuple[str, ...]] = make_encoder(
        None,  # the open objects: not kept, see above
        checking.default,
        getattr(json.encoder, string),
        None,  # indent
        checking.key_separator,
        checking.item_separator,
        sort_keys,
        False,  # skipkeys
        True,  # allow_nan
    )

    def encode(obj: Any) -> str:
        try:
            return "".join(unchecked(obj, 0))
        except RecursionError:
            pass
        return checking.encode(obj)

    vars(encode)["unchecked"] = unchecked
    return encode


def _compact_parts() -> Callable[[Any, int], Iterable[str]]:
    encode = _make_encode(_default, True, True, _COMPACT)
    unchecked: Callable[[Any, int], Iterable[str]] | None = getattr(encode, "unchecked", None)
    return unchecked or (lambda obj, level: (encode(obj),))  # without the C encoder


compact_parts: Final = _compact_parts()
"""What a provider that nobody changed writes outside debug mode: `compact_parts(obj, 0)`, in parts.

It raises RecursionError for what is nested too deeply or contains itself.
"""

# Raises StopIteration where a value is missing, as JSONDecoder.raw_decode expects.
_scan: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]
