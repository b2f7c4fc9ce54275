"""Header collections: Werkzeug's classes with the common calls made cheap.

`RequestHeaders` reads a WSGI environ; `Headers` is a response's and refuses control characters.
What single headers mean (dates, lists, cookies) is not here: Werkzeug's wrappers know that.
"""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t

from werkzeug.datastructures import EnvironHeaders
from werkzeug.datastructures import Headers as WerkzeugHeaders
from werkzeug.http import dump_options_header

# RFC 9110, 5.5: a field value holds no control character but HTAB; 5.6.2: a field name holds none.
_value_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_name_control = re.compile(r"[\x00-\x1f\x7f]")
_newline = re.compile(r"[\r\n]")

_COMMON_NAMES: t.Final = (
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Date",
    "Expect",
    "Forwarded",
    "Host",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Last-Event-ID",
    "Origin",
    "Pragma",
    "Prefer",
    "Range",
    "Referer",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "TE",
    "Traceparent",
    "Tracestate",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "X-API-Key",
    "X-Api-Key",
    "X-CSRF-Token",
    "X-CSRFToken",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-ID",
    "X-Requested-With",
)


def environ_key(name: str) -> str:
    """The key under which a WSGI environ holds the header `name` (PEP 3333, as in CGI)."""
    key = name.upper().replace("-", "_")
    if key == "CONTENT_TYPE" or key == "CONTENT_LENGTH":
        return key
    return "HTTP_" + key


_MOST_NAMES: t.Final = 1024


class _EnvironKeys(dict[str, str]):
    """Name of a header -> its key: 20 ns, where making the key takes 100.

    Names mostly come from code. Others are remembered too, within bounds.
    """

    def __missing__(self, name: str) -> str:
        key = environ_key(name)
        if len(self) < _MOST_NAMES:
            self[name] = key
        return key


_ENVIRON_KEYS: t.Final = _EnvironKeys(
    (spelling, environ_key(name))
    for name in _COMMON_NAMES
    for spelling in (name, name.lower(), name.title(), name.upper())
)


# 15 ns for a body up to 2 kB, where making the header takes 70.
_LENGTHS: t.Final = tuple([("Content-Length", str(size)) for size in range(2049)])
_MOST_NOTED: t.Final = len(_LENGTHS) - 1


def length_header(size: int) -> tuple[str, str]:
    """The `Content-Length` of a body of so many bytes."""
    return _LENGTHS[size] if size <= _MOST_NOTED else ("Content-Length", str(size))


class RequestHeaders(EnvironHeaders):
    """The read-only, live view of a request's headers; answers as `EnvironHeaders` does."""

    # Werkzeug's inherited methods name it; it stays empty.
    _list: list[tuple[str, str]] = []

    def __init__(self, environ: dict[str, t.Any]) -> None:
        self.environ = environ

    def __getitem__(self, key: t.Any) -> t.Any:
        """The header's value; raises `KeyError`."""
        try:
            return self.environ[_ENVIRON_KEYS[key]]
        except (KeyError, TypeError, AttributeError):  # not there, or no text
            return self._get_key(key)

    def get(  # type: ignore[override]  # one signature says what five overloads do
        self,
        key: str,
        default: t.Any = None,
        type: cabc.Callable[[str], t.Any] | None = None,
    ) -> t.Any:
        """The header's value, passed through `type` if given; `default` where there is none or
        `type` raises `ValueError`."""
        # 75 ns, present or not; Werkzeug's takes 180 for one that is there and 400 for one that is
        # not.
        if type is None and isinstance(key, str):
            return self.environ.get(_ENVIRON_KEYS[key], default)
        return super().get(key, default, t.cast(t.Any, type))

    def __contains__(self, key: object) -> bool:
        """Whether the request has that header, even an empty one."""
        if not isinstance(key, str):
            return False
        return _ENVIRON_KEYS[key] in self.environ

    def __reduce__(self) -> tuple[t.Any, ...]:
        """Pickles as Werkzeug's, so that a request loads under Flask too."""
        return EnvironHeaders, (self.environ,)


# What users see of it, in repr() and in messages, is what they see under Flask.
RequestHeaders.__name__ = RequestHeaders.__qualname__ = EnvironHeaders.__name__


def check_name(name: str) -> None:
    """Raises `ValueError` when the header name holds a control character."""
    # isprintable() is false for every control character and true for nearly all real names;
    # it takes 22 ns, the search 73.
    if not name.isprintable() and _name_control.search(name):
        raise ValueError(f"Header names must not contain control characters: {name!r}.")


def check_value(value: str) -> None:
    """Raises `ValueError` when the header value holds a control character other than a tab."""
    if not value.isprintable() and _value_control.search(value):
        kind = "newline" if _newline.search(value) else "control"
        raise ValueError(f"Header values must not contain {kind} characters.")


def check_all(items: cabc.Iterable[tuple[str, str]]) -> None:
    """Raises `ValueError` for the first header with a control character in its name or value."""
    for name, value in items:
        check_name(name)
        check_value(value)


class Headers(WerkzeugHeaders):
    """The headers of a response. Departs from Werkzeug's in one thing: control characters in names
    or values (a tab in a value is allowed) raise `ValueError`, not only CR and LF in values."""

    def __init__(self, defaults: t.Any = None) -> None:
        """`defaults` are headers, a mapping (whose values may be lists) or pairs."""
        self._list = []
        if type(defaults) is dict:
            # Werkzeug asks abstract classes whether it is a mapping, for 0.6 us.
            for name, value in defaults.items():
                if isinstance(value, (list, tuple, set)):
                    for item in value:
                        self.add(name, item)
                else:
                    self.add(name, value)
        elif defaults is not None:
            self.extend(defaults)

    @classmethod
    def trusted(cls, items: list[tuple[str, str]]) -> Headers:
        """Headers made of `items`, which are kept, not copied, and not checked."""
        self = cls.__new__(cls)
        self._list = items
        return self

    def __eq__(self, other: object) -> bool:
        """Equal to Werkzeug's headers too, as Flask's responses hold those. Case and order of the
        names do not count."""
        if type(other) is not WerkzeugHeaders and type(other) is not type(self):
            return NotImplemented
        return {(k.lower(), v) for k, v in other} == {(k.lower(), v) for k, v in self}

    __hash__ = None  # mutable

    def __reduce__(self) -> tuple[t.Any, ...]:
        """Pickles as Werkzeug's, so that a cached response loads under Flask too."""
        return WerkzeugHeaders, (self._list,)

    def get(  # type: ignore[override]  # one signature says what five overloads do
        self,
        key: str,
        default: t.Any = None,
        type: cabc.Callable[[str], t.Any] | None = None,
    ) -> t.Any:
        """The first value of that header, passed through `type` if given; `default` where there is
        none or `type` raises `ValueError`."""
        if type is not None:
            return super().get(key, default, type)
        lowered = key.lower()
        for name, value in self._list:
            if name.lower() == lowered:
                return value
        return default

    def __contains__(self, key: object) -> bool:
        """Whether there is such a header."""
        lowered = t.cast(str, key).lower()
        for name, _ in self._list:  # noqa: SIM110 -- any() over a generator takes three times as long
            if name.lower() == lowered:
                return True
        return False

    def __setitem__(self, key: t.Any, value: t.Any) -> None:
        """Like `set`; with an index or a slice, puts pairs there. Raises `ValueError` for control
        characters."""
        if isinstance(key, str):
            if not isinstance(value, str):
                value = str(value)
            # Inline what check_name and check_value ask first: saves 80 of 340 ns.
            if not key.isprintable():
                check_name(key)
            if not value.isprintable():
                check_value(value)
            items = self._list
            if key.isascii():
                size = len(key)
                for name, _ in items:
                    # The length first: 10 ns for most names, where lower() takes 35.
                    if len(name) == size and name.lower() == key.lower():
                        break
                else:
                    items.append((key, value))
                    return
            _replace(items, key.lower(), (key, value))
        elif isinstance(key, slice):
            pairs = [(name, str(item)) for name, item in value]
            check_all(pairs)
            super().__setitem__(key, pairs)
        else:
            check_all([(value[0], str(value[1]))])
            super().__setitem__(key, value)

    def set(self, key: str, value: t.Any, /, **kwargs: t.Any) -> None:
        """Puts the header in place of all of that name. Keyword arguments become parameters of the
        value, as in `add`. Raises `ValueError` for control characters."""
        self[key] = _with_options(value, kwargs)

    def add(self, key: str, value: t.Any, /, **kwargs: t.Any) -> None:
        """Adds a header after those that are there. Keyword arguments become parameters of the
        value, underscores dashes: `add("Content-Disposition", "attachment", filename="a.png")`.
        Raises `ValueError` for control characters."""
        if kwargs or not isinstance(value, str):
            value = _with_options(value, kwargs)
            if not isinstance(value, str):
                value = str(value)
        if not key.isprintable():
            check_name(key)
        if not value.isprintable():
            check_value(value)
        self._list.append((key, value))


def _replace(items: list[tuple[str, str]], lowered: str, pair: tuple[str, str]) -> None:
    """Puts `pair` where the first of that name is, and takes the others away."""
    for index, (name, _) in enumerate(items):
        if name.lower() == lowered:
            items[index] = pair
            rest = items[index + 1 :]
            items[index + 1 :] = [other for other in rest if other[0].lower() != lowered]
            return
    items.append(pair)


def _with_options(value: t.Any, options: dict[str, t.Any]) -> t.Any:
    if not options:
        return value
    return dump_options_header(value, {k.replace("_", "-"): v for k, v in options.items()})
