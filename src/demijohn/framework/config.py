"""The application's configuration: `Config`, `ConfigAttribute`, the defaults, environment flags.

Behaviour is that of Flask 3.1.3's configuration. What the keys mean is the business of the code
that reads them; nothing here looks at a request or at an application.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from types import ModuleType
from typing import IO, Any, Final, Generic, Protocol, Self, TypeVar, cast, overload

from werkzeug.datastructures import ImmutableDict
from werkzeug.utils import import_string

from ..http.watch import tell

T = TypeVar("T")

DEFAULTS: Final[ImmutableDict[str, Any]] = ImmutableDict(
    {
        "DEBUG": None,
        "TESTING": False,
        "PROPAGATE_EXCEPTIONS": None,
        "SECRET_KEY": None,
        "SECRET_KEY_FALLBACKS": None,
        "PERMANENT_SESSION_LIFETIME": timedelta(days=31),
        "USE_X_SENDFILE": False,
        "TRUSTED_HOSTS": None,
        "SERVER_NAME": None,
        "APPLICATION_ROOT": "/",
        "SESSION_COOKIE_NAME": "session",
        "SESSION_COOKIE_DOMAIN": None,
        "SESSION_COOKIE_PATH": None,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SECURE": False,
        "SESSION_COOKIE_PARTITIONED": False,
        "SESSION_COOKIE_SAMESITE": None,
        "SESSION_REFRESH_EACH_REQUEST": True,
        "MAX_CONTENT_LENGTH": None,
        "MAX_FORM_MEMORY_SIZE": 500_000,
        "MAX_FORM_PARTS": 1_000,
        "SEND_FILE_MAX_AGE_DEFAULT": None,
        "TRAP_BAD_REQUEST_ERRORS": None,
        "TRAP_HTTP_EXCEPTIONS": False,
        "EXPLAIN_TEMPLATE_LOADING": False,
        "PREFERRED_URL_SCHEME": "http",
        "TEMPLATES_AUTO_RELOAD": None,
        "MAX_COOKIE_SIZE": 4093,
        "PROVIDE_AUTOMATIC_OPTIONS": True,
    }
)
"""What every application's configuration starts from: Flask 3.1.3's keys, values and order.
Sizes are in bytes."""

DEADLINE: Final = "REQUEST_DEADLINE"
"""The key of how long a request may take, in seconds; None or no key for no limit."""

END: Final = "END_TIMEOUT"
"""The key of how long the end of a request, or of the serving, may go on after it was cancelled, in
seconds; no key for `context.ending.END_TIMEOUT`."""

_NO_PYFILE: Final = frozenset({errno.ENOENT, errno.EISDIR, errno.ENOTDIR})
# Flask's `from_file` does not forgive a path that leads through a file (ENOTDIR).
_NO_FILE: Final = frozenset({errno.ENOENT, errno.EISDIR})

_NO_WORDS: Final = frozenset({"0", "false", "no"})


def get_debug_flag() -> bool:
    """Return whether `FLASK_DEBUG` asks for debug mode: set, and none of `0`, `false`, `no`."""
    value = os.environ.get("FLASK_DEBUG")
    return bool(value and value.lower() not in _NO_WORDS)


def get_load_dotenv(default: bool = True) -> bool:
    """Return whether dotenv files are to be loaded: not if `FLASK_SKIP_DOTENV` says so.

    `default` is the answer when that variable is unset or empty.
    """
    value = os.environ.get("FLASK_SKIP_DOTENV")
    return value.lower() in _NO_WORDS if value else default


class HasConfig(Protocol):
    """Anything with a configuration."""

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, by key."""
        ...


class ConfigAttribute(Generic[T]):
    """A class attribute whose value is a key of the instance's `config`, both ways.

    `get_converter` is applied on each read; a write stores the value as it is. Read from the
    class, the descriptor itself is the answer.
    """

    def __init__(self, name: str, get_converter: Callable[[Any], T] | None = None) -> None:
        self.__name__ = name
        self.get_converter = get_converter

    @overload
    def __get__(self, obj: None, owner: type[object] | None = None) -> Self: ...

    @overload
    def __get__(self, obj: HasConfig, owner: type[object] | None = None) -> T: ...

    def __get__(self, obj: HasConfig | None, owner: type[object] | None = None) -> T | Self:
        if obj is None:
            return self
        value = obj.config[self.__name__]
        if self.get_converter is None:
            return cast("T", value)
        return self.get_converter(value)

    def __set__(self, obj: HasConfig, value: Any) -> None:
        obj.config[self.__name__] = value


class Config(dict[str, Any]):
    """A `dict` that can also be filled from files, objects and environment variables.

    Except for `from_prefixed_env`, the loaders take only keys in capitals, so that a
    configuration file may have helpers of its own. Relative file names start at `root_path`.

    A loader replaces the values of the keys that it brings and leaves all others.
    """

    #: Whether changes of what each request asks for are told (`http.watch`): not by a class that
    #: reads or keeps values in ways of its own.
    _tells = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._tells = all(getattr(cls, name) is getattr(Config, name) for name in _ACCESS)

    def __init__(
        self, root_path: str | os.PathLike[str], defaults: dict[str, Any] | None = None
    ) -> None:
        super().__init__(defaults or {})
        self.root_path = root_path

    def from_envvar(self, variable_name: str, silent: bool = False) -> bool:
        """Load the Python file that an environment variable names, as `from_pyfile` does.

        Returns whether a file was loaded. With `silent`, an unset or empty variable and a missing
        file give False; without it, the former raises `RuntimeError` and the latter `OSError`.
        """
        filename = os.environ.get(variable_name)
        if filename:
            return self.from_pyfile(filename, silent=silent)
        if silent:
            return False
        raise RuntimeError(
            f"The environment variable {variable_name!r} is not set and as such configuration"
            " could not be loaded. Let it hold the path of a configuration file, or pass"
            " silent=True."
        )

    def from_prefixed_env(
        self, prefix: str = "FLASK", *, loads: Callable[[str], Any] = json.loads
    ) -> bool:
        """Load each environment variable whose name starts with `prefix` and an underscore.

        The key is what follows that underscore, in any case. The value is what `loads` makes of
        the text, or the text itself where `loads` raises. `A__B__C` sets `config["A"]["B"]["C"]`;
        levels that are missing are made. Variables are taken in the order of their names. Always
        returns True.
        """
        start = f"{prefix}_"
        for name in sorted(os.environ):
            if name.startswith(start):
                *levels, key = name.removeprefix(start).split("__")
                target: Any = self
                for level in levels:
                    if level not in target:
                        target[level] = {}
                    target = target[level]
                target[key] = _loaded(os.environ[name], loads)
        return True

    def from_pyfile(self, filename: str | os.PathLike[str], silent: bool = False) -> bool:
        """Run a Python file and load the names in capitals that it leaves behind.

        Returns True when loaded. A file that is not there (or is a folder, or lies under a file)
        gives False with `silent`; otherwise the `OSError` says so. Whatever else the file's code
        raises comes out.
        """
        path = os.path.join(self.root_path, filename)
        module = ModuleType("config")
        module.__file__ = path
        try:
            with open(path, "rb") as file:
                code = compile(file.read(), path, "exec")
            exec(code, module.__dict__)
        except OSError as error:
            if silent and error.errno in _NO_PYFILE:
                return False
            _name_the_cause(error)
            raise
        self.from_object(module)
        return True

    def from_object(self, obj: object | str) -> None:
        """Load the attributes in capitals of an object: usually a module or a class.

        A string is the import name of that object (`package.module`, `package.module:Class`).
        Attributes are read from what is given: a class with properties is to be instantiated
        first. The items of a `dict` are not attributes; see `from_mapping`.
        """
        source = import_string(obj) if isinstance(obj, str) else obj
        for name in dir(source):
            if name.isupper():
                self[name] = getattr(source, name)

    def from_file(
        self,
        filename: str | os.PathLike[str],
        load: Callable[[IO[Any]], Mapping[str, Any]],
        silent: bool = False,
        text: bool = True,
    ) -> bool:
        """Load the mapping that `load` reads from a file, opened for text or for bytes.

        `config.from_file("app.toml", load=tomllib.load, text=False)`. Returns True when loaded;
        a file that is not there gives False with `silent` and an `OSError` without.
        """
        path = os.path.join(self.root_path, filename)
        try:
            with open(path, "r" if text else "rb") as file:
                values = load(file)
        except OSError as error:
            if silent and error.errno in _NO_FILE:
                return False
            _name_the_cause(error)
            raise
        return self.from_mapping(values)

    def from_mapping(self, mapping: Mapping[str, Any] | None = None, **kwargs: Any) -> bool:
        """Load the items of a mapping, then the keyword arguments: keys in capitals only.

        Always returns True.
        """
        values: dict[str, Any] = {}
        if mapping is not None:
            values.update(mapping)
        values.update(kwargs)
        for key, value in values.items():
            if key.isupper():
                self[key] = value
        return True

    def get_namespace(
        self, namespace: str, lowercase: bool = True, trim_namespace: bool = True
    ) -> dict[str, Any]:
        """Return the items whose key starts with `namespace`, as a new dict.

        The keys lose that prefix with `trim_namespace` and are in small letters with `lowercase`,
        which makes them fit for keyword arguments.
        """
        cut = len(namespace) if trim_namespace else 0
        found = {key[cut:]: value for key, value in self.items() if key.startswith(namespace)}
        if lowercase:
            return {key.lower(): value for key, value in found.items()}
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {dict.__repr__(self)}>"


def _telling(name: str) -> Callable[..., Any]:
    own = getattr(dict, name)

    @wraps(own)
    def method(self: Config, *args: Any, **kwargs: Any) -> Any:
        before = [self.get(key) for key in _TOLD]
        try:
            return own(self, *args, **kwargs)
        finally:
            if any(self.get(key) is not old for key, old in zip(_TOLD, before, strict=True)):
                tell()

    return cast("Callable[..., Any]", method)


# What each request asks for is known from its application's plans, which notice this.
_TOLD: Final = (DEADLINE, "DEBUG", "TRUSTED_HOSTS")
_CHANGING: Final = (
    *("__setitem__", "__delitem__", "__ior__"),
    *("setdefault", "update", "pop", "popitem", "clear"),
)
_ACCESS: Final = (*_CHANGING, "__getitem__", "__getattribute__", "get")
for _name in _CHANGING:
    setattr(Config, _name, _telling(_name))


def _loaded(text: str, loads: Callable[[str], Any]) -> Any:
    """Return what `loads` makes of `text`; where it cannot (whatever it raises), `text`."""
    try:
        return loads(text)
    except Exception:
        return text


def _name_the_cause(error: OSError) -> None:
    """Let the error say that it was a configuration file that could not be loaded."""
    error.strerror = f"Unable to load configuration file ({error.strerror})"
