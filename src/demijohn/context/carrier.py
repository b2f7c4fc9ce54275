"""Plain data, and the carrier: the declared values of a context for another process.

`plain` is the one check of what may go along. A carrier is a dict that JSON gives back unchanged.
Which values are declared is not decided here: see `fields`, and `framework.carrying` for `g`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, nan
from time import monotonic, time
from typing import Any

VERSION = 1
"""The version of the carriers that are written here. A new entry does not raise it, since readers
pass over what they do not know; a changed meaning does."""

_DEPTH = 100
_VALUES = 1_000_000
_BITS = 2126  # 640 digits: the most that every Python can turn into text, whatever its settings

_REMEDIES = {
    "tuple": "Use a list: JSON would make it one.",
    "set": "Use a list, sorted.",
    "frozenset": "Use a list, sorted.",
    "bytes": "Use text, by `decode()` or base64.",
    "bytearray": "Use text, by `decode()` or base64.",
    "datetime.date": "Use text, by `isoformat()`.",
    "datetime.datetime": "Use text, by `isoformat()`.",
    "datetime.timedelta": "Use a number, by `total_seconds()`.",
    "decimal.Decimal": "Use text, by `str()`.",
    "uuid.UUID": "Use text, by `str()`.",
    "generator": "Use a list.",
}
_REMEDY = (
    "Only None, bool, int, float, str, list and dict with str keys go along;"
    " of anything else carry what finds it again, an id for instance."
)


class CarrierError(ValueError):
    """A carrier that cannot be read: malformed, or of a version that this code does not know."""


class _NotPlain(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[int | str] = []


def plain(value: Any, what: str) -> Any:
    """A deep copy of `value`, which must be plain data: JSON gives it back equal.

    That is exactly None, bool, int, finite float, str, list, and dict with str keys, no subclass of
    them, at most 100 deep. Anything else raises `TypeError`, which begins with `what` ("g.tenant",
    say) and says where inside the value it was found, its type, and what to use instead.
    """
    try:
        return _copy(value, [], [_VALUES])
    except _NotPlain as refused:
        message = f"{what}{_at(refused.path)} {refused.reason}"
    raise TypeError(message)


def _at(path: list[int | str]) -> str:
    """Where inside the value, as it is indexed; the first ten steps of it."""
    if not path:
        return ""
    steps = "".join(f"[{key!r:.80}]" for key in path[:10])
    return f", at {steps}{'...' if len(path) > 10 else ''},"


def _copy(value: Any, around: list[int], left: list[int]) -> Any:
    """The copy; `around` holds the ids of the containers that `value` is in, `left[0]` how many
    values may follow."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        _check_text(value)
        return value
    if kind is int:
        if value.bit_length() > _BITS:
            raise _NotPlain(f"is an int of {value.bit_length()} bits: JSON takes {_BITS} at most.")
        return value
    if kind is float:
        if not isfinite(value):
            raise _NotPlain(f"is the float {value!r}, which JSON does not have. Use None.")
        return value
    if kind is list or kind is dict:
        return _copy_container(value, around, left)
    raise _NotPlain(_wrong_type(value))


def _copy_container(
    value: list[Any] | dict[Any, Any], around: list[int], left: list[int]
) -> list[Any] | dict[str, Any]:
    if id(value) in around:
        raise _NotPlain(f"is a {type(value).__name__} that contains itself.")
    if len(around) == _DEPTH:
        raise _NotPlain(f"is nested more than {_DEPTH} deep.")
    # One step takes all items, so that another thread may change the container meanwhile.
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value[:]))
    left[0] -= len(pairs)
    if left[0] < 0:
        raise _NotPlain(f"brings more than {_VALUES} values.")
    around.append(id(value))
    copied: dict[Any, Any] = {}
    for key, item in pairs:
        if isinstance(value, dict):
            _check_key(key)
        try:
            copied[key] = _copy(item, around, left)
        except _NotPlain as refused:
            refused.path.insert(0, key)
            raise
    around.pop()
    return copied if isinstance(value, dict) else list(copied.values())


def _check_key(key: object) -> None:
    if type(key) is not str:
        raise _NotPlain(f"has a key of type {_name(type(key))}. Use str keys.")
    _check_text(key)


def _check_text(text: str) -> None:
    # A pair of lone surrogates comes back from JSON as one character.
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _NotPlain("has a lone surrogate, which UTF-8 does not have.") from None


def _wrong_type(value: object) -> str:
    kind = type(value)
    for base in (bool, int, float, str, list, dict):
        if issubclass(kind, base):
            return f"is of type {_name(kind)}. Make it a plain {base.__name__}."
    return f"is of type {_name(kind)}. {_REMEDIES.get(_name(kind), _REMEDY)}"


def _name(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


@dataclass(frozen=True, slots=True)
class Carried:
    """The declared values of one context, copied: what a child starts with."""

    g: dict[str, Any] = field(default_factory=dict)
    """Name -> value."""
    fields: dict[str, Any] = field(default_factory=dict)
    """A field's name -> value."""
    deadline: float | None = None
    """In monotonic seconds, which mean something in this process alone."""


def write_carrier(owner: str, carried: Carried) -> dict[str, Any]:
    """What `carried` is in another process; JSON gives it back unchanged.

    `owner` names the application, for whoever reads messages. The deadline becomes Unix time.
    """
    deadline = carried.deadline
    return {
        "v": VERSION,
        "app": owner,
        "g": plain(carried.g, "g"),
        "fields": plain(carried.fields, "fields"),
        "deadline": None if deadline is None else time() + (deadline - monotonic()),
    }


def read_carrier(carrier: object) -> Carried:
    """The values in a carrier, copied; entries that this version does not know are passed over.

    Raises `CarrierError`, and nothing else, for what is no carrier or of another version.
    """
    if type(carrier) is not dict:
        raise CarrierError(f"A carrier is a dict; this is of type {_name(type(carrier))}.")
    version = carrier.get("v")
    if type(version) is not int:
        raise CarrierError(
            f"This dict is no carrier: its version 'v' is of type {_name(type(version))}."
        )
    if version != VERSION:
        shown = version if version.bit_length() <= 64 else "over 2**64"
        raise CarrierError(
            f"The carrier has version {shown}, and this process reads version {VERSION}."
            " Update the older side of the two."
        )
    return Carried(
        g=_read_values(carrier, "g"),
        fields=_read_values(carrier, "fields"),
        deadline=_read_deadline(carrier.get("deadline")),
    )


def _read_values(carrier: dict[Any, Any], entry: str) -> dict[str, Any]:
    values = carrier.get(entry, {})
    if type(values) is not dict:
        raise CarrierError(
            f"The carrier's {entry!r} is of type {_name(type(values))}. It is a dict."
        )
    try:
        copied: dict[str, Any] = plain(values, f"The carrier's {entry!r}")
    except TypeError as error:
        raise CarrierError(str(error)) from None
    return copied


def _read_deadline(deadline: object) -> float | None:
    if deadline is None:
        return None
    if type(deadline) is int or type(deadline) is float:
        try:
            left = float(deadline) - time()
        except OverflowError:
            left = nan
        if isfinite(left):
            return monotonic() + left
    raise CarrierError("The carrier's 'deadline' is no Unix time in seconds.")
