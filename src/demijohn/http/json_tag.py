"""Tagged JSON: a compact form that brings back tuples, bytes, dates and other non-JSON types.

Holds the tags and the serializer that sessions are written with; signing is in ``sessions``. A
value of a tagged type becomes a JSON object with one key, the tag: ``(1, 2)`` is ``{" t":[1,2]}``.

A new type takes a class and a line::

    class TagDeque(JSONTag):
        __slots__ = ()
        key = " dq"

        def check(self, value):
            return isinstance(value, deque)

        def to_json(self, value):
            return [self.serializer.tag(item) for item in value]

        def to_python(self, value):
            return deque(value)

    app.session_interface.serializer.register(TagDeque)

Tags are asked in order, so one for a subtype of a type that has a tag (``OrderedDict``, say) must
be registered before it: ``register(TagOrderedDict, index=0)``.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from markupsafe import Markup
from werkzeug.http import http_date, parse_date

from .json_provider import _default


class JSONCodec(Protocol):
    """What writes and reads the JSON text; a JSON provider is one."""

    def dumps(self, obj: Any, /, **kwargs: Any) -> str: ...

    def loads(self, s: str, /, **kwargs: Any) -> Any: ...


class _PlainJSON:
    """The standard library's JSON, as providers use it outside any application."""

    def dumps(self, obj: Any, /, **kwargs: Any) -> str:
        return json.dumps(obj, default=_default, **kwargs)

    def loads(self, s: str, /, **kwargs: Any) -> Any:
        return json.loads(s, **kwargs)


_PLAIN = _PlainJSON()


class JSONTag:
    """A type's tag: how its values are recognised, written and read back. To be subclassed."""

    __slots__ = ("serializer",)

    key: str = ""
    """The tag in the JSON text. Empty for a type that is only walked through, never marked."""

    def __init__(self, serializer: TaggedJSONSerializer) -> None:
        self.serializer = serializer

    def check(self, value: Any) -> bool:
        """Return whether this tag is for ``value``."""
        raise NotImplementedError

    def to_json(self, value: Any) -> Any:
        """Return ``value`` as something that JSON can write, without the tag around it."""
        raise NotImplementedError

    def to_python(self, value: Any) -> Any:
        """Return the value back from its JSON form, from which the tag is already taken."""
        raise NotImplementedError

    def tag(self, value: Any) -> dict[str, Any]:
        """Return the JSON form of ``value`` with the tag around it."""
        return {self.key: self.to_json(value)}


class TagDict(JSONTag):
    """Dicts that would be mistaken for a tag: one item, under a key that is a tag.

    Two underscores after the key tell them apart.
    """

    __slots__ = ()
    key = " di"

    def check(self, value: Any) -> bool:
        if not isinstance(value, dict) or len(value) != 1:
            return False
        return next(iter(value)) in self.serializer.tags

    def to_json(self, value: Any) -> Any:
        key = next(iter(value))
        return {f"{key}__": self.serializer.tag(value[key])}

    def to_python(self, value: Any) -> Any:
        key = next(iter(value))
        return {key[:-2]: value[key]}


class PassDict(JSONTag):
    """Other dicts: their values are tagged. Keys are not, JSON's can only be strings."""

    __slots__ = ()

    def check(self, value: Any) -> bool:
        return isinstance(value, dict)

    def to_json(self, value: Any) -> Any:
        tag = self.serializer.tag
        return {key: tag(item) for key, item in value.items()}

    tag = to_json


class TagTuple(JSONTag):
    __slots__ = ()
    key = " t"

    def check(self, value: Any) -> bool:
        return isinstance(value, tuple)

    def to_json(self, value: Any) -> Any:
        return list(map(self.serializer.tag, value))

    def to_python(self, value: Any) -> Any:
        return tuple(value)


class PassList(JSONTag):
    """Lists: their items are tagged."""

    __slots__ = ()

    def check(self, value: Any) -> bool:
        return isinstance(value, list)

    def to_json(self, value: Any) -> Any:
        return list(map(self.serializer.tag, value))

    tag = to_json


class TagBytes(JSONTag):
    __slots__ = ()
    key = " b"

    def check(self, value: Any) -> bool:
        return isinstance(value, bytes)

    def to_json(self, value: Any) -> Any:
        return b64encode(value).decode("ascii")

    def to_python(self, value: Any) -> Any:
        return b64decode(value)


class TagMarkup(JSONTag):
    """Objects with an ``__html__`` method. All come back as :class:`markupsafe.Markup`."""

    __slots__ = ()
    key = " m"

    def check(self, value: Any) -> bool:
        return callable(getattr(value, "__html__", None))

    def to_json(self, value: Any) -> Any:
        return str(value.__html__())

    def to_python(self, value: Any) -> Any:
        return Markup(value)


class TagUUID(JSONTag):
    __slots__ = ()
    key = " u"

    def check(self, value: Any) -> bool:
        return isinstance(value, UUID)

    def to_json(self, value: Any) -> Any:
        return value.hex

    def to_python(self, value: Any) -> Any:
        return UUID(value)


class TagDateTime(JSONTag):
    """Datetimes, as HTTP dates: whole seconds, in UTC; a naive one is taken to be in UTC."""

    __slots__ = ()
    key = " d"

    def check(self, value: Any) -> bool:
        return isinstance(value, datetime)

    def to_json(self, value: Any) -> Any:
        return http_date(value)

    def to_python(self, value: Any) -> Any:
        return parse_date(value)


class TaggedJSONSerializer:
    """Writes and reads tagged JSON; has the ``dumps`` and ``loads`` that ItsDangerous asks for.

    Knows dicts, lists, tuples, bytes, Markup, UUIDs and datetimes, each inside the others too, and
    whatever is registered.
    """

    __slots__ = ("order", "tags")

    default_tags: list[type[JSONTag]] = [
        TagDict,
        PassDict,
        TagTuple,
        PassList,
        TagBytes,
        TagMarkup,
        TagUUID,
        TagDateTime,
    ]
    """The tags that a new serializer starts with, in this order."""

    def __init__(self) -> None:
        self.tags: dict[str, JSONTag] = {}
        self.order: list[JSONTag] = []
        for tag_class in self.default_tags:
            self.register(tag_class)

    def register(
        self,
        tag_class: type[JSONTag],
        force: bool = False,
        index: int | None = None,
    ) -> None:
        """Add a tag.

        :param tag_class: is called with this serializer.
        :param force: let it take the place of a tag with the same key when reading.
        :param index: where in the order of asking it goes; None: last.
        :raises KeyError: if the key is taken, and ``force`` is not set.
        """
        tag = tag_class(self)
        key = tag.key
        if key:
            if key in self.tags and not force:
                raise KeyError(f"Tag {key!r} is already registered.")
            self.tags[key] = tag
        self.order.insert(len(self.order) if index is None else index, tag)

    def tag(self, value: Any) -> Any:
        """Return the JSON form of ``value`` by the first tag that is for it, else ``value``."""
        for tag in self.order:
            if tag.check(value):
                return tag.tag(value)
        return value

    def untag(self, value: dict[str, Any]) -> Any:
        """Return what the object read from JSON stands for: itself when it is not a tag."""
        if len(value) == 1:
            key = next(iter(value))
            if key in self.tags:
                return self.tags[key].to_python(value[key])
        return value

    def _untag_scan(self, value: Any) -> Any:
        """Untag from the inside out."""
        if isinstance(value, dict):
            return self.untag({key: self._untag_scan(item) for key, item in value.items()})
        if isinstance(value, list):
            return [self._untag_scan(item) for item in value]
        return value

    def _codec(self) -> JSONCodec:
        """Return what writes and reads the text. A layer that knows a current app overrides it."""
        return _PLAIN

    def dumps(self, value: Any) -> str:
        """Return ``value`` as compact tagged JSON."""
        return self._codec().dumps(self.tag(value), separators=(",", ":"))

    def loads(self, value: str) -> Any:
        """Return the value that tagged JSON text stands for."""
        return self._untag_scan(self._codec().loads(value))


class _BoundSerializer:
    """A tagged serializer that writes its text through a given codec."""

    __slots__ = ("_codec", "_tagged")

    def __init__(self, tagged: TaggedJSONSerializer, codec: JSONCodec) -> None:
        self._tagged = tagged
        self._codec = codec

    def dumps(self, value: Any) -> str:
        return self._codec.dumps(self._tagged.tag(value), separators=(",", ":"))

    def loads(self, value: str) -> Any:
        return self._tagged._untag_scan(self._codec.loads(value))


def bind_codec(serializer: Any, codec: JSONCodec | None) -> Any:
    """Return ``serializer`` writing its JSON text through ``codec``, an app's provider.

    It is returned unchanged when there is no codec, when it is no tagged serializer, or when its
    class has a ``dumps`` or ``loads`` of its own.
    """
    cls = type(serializer)
    if (
        codec is None
        or not isinstance(serializer, TaggedJSONSerializer)
        or cls.dumps is not TaggedJSONSerializer.dumps
        or cls.loads is not TaggedJSONSerializer.loads
    ):
        return serializer
    return _BoundSerializer(serializer, codec)
