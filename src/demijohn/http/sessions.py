"""Sessions in signed cookies, and the interface for other kinds.

Holds the session classes and the session interfaces. When a session is opened, counted as accessed
and saved is the pipeline's to say: nothing here knows a current request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from traceback import clear_frames
from typing import Any, NoReturn, Protocol, SupportsIndex, cast

from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.datastructures import CallbackDict
from werkzeug.wrappers import Request, Response

from .json_tag import TaggedJSONSerializer, bind_codec
from .watch import Watched, tell

_NO_KEY = (
    "The session is unavailable because no secret key was set. Set app.secret_key (the setting"
    " SECRET_KEY) to a random value that only this application knows."
)


class SessionApp(Protocol):
    """What a session interface needs from its application.

    An application that has a ``json`` (a JSON provider) gets its cookies written through it.
    """

    @property
    def config(self) -> Mapping[str, Any]: ...

    @property
    def secret_key(self) -> str | bytes | None: ...

    @property
    def permanent_session_lifetime(self) -> timedelta: ...


class SessionMixin(MutableMapping[str, Any]):
    """What a session has besides being a dict. Use: ``class Session(dict, SessionMixin)``."""

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser's session; kept under the key ``_permanent``."""
        return cast(bool, self.get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self["_permanent"] = bool(value)

    new = False
    """Whether the session was made in this request. Few kinds of session can tell."""

    modified = True
    """Whether it is to be saved. Kinds that cannot tell leave it True."""

    accessed = False
    """Whether the request's work looked at the session at all, so that the response depends on the
    cookie (``Vary: Cookie``). Set by the request context when it hands the session out."""


def _mark_modified(session: SecureCookieSession) -> None:
    session.modified = True


class SecureCookieSession(  # pyright: ignore[reportIncompatibleMethodOverride]
    # Werkzeug types update() differently from MutableMapping.
    CallbackDict[str, Any],
    SessionMixin,
):
    """A session that is kept in a signed cookie.

    Only changes of the dict itself are noticed. After changing something inside a value (a list, a
    dict), set ``session.modified = True``.
    """

    modified = False

    def __init__(self, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(initial, _mark_modified)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without the function, which is not there under Flask."""
        state = dict(self.__dict__)
        if state.get("on_update") is _mark_modified:
            del state["on_update"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.on_update = _mark_modified
        self.__dict__.update(state)

    def freeze(self, make_error: Callable[[], Exception]) -> None:
        """Refuse changes from now on, and go on answering reads.

        Every method that changes the dict, ``|=``, and setting ``permanent`` or ``modified`` raise
        ``make_error()`` before anything is changed. What is inside a value is not guarded. A copy
        (:func:`copy.copy`) is not frozen. On a frozen session only ``make_error`` is replaced.

        The instance changes its class meanwhile, to a subclass, so that neither reads nor writes
        of a session that is not frozen pay for this.
        """
        self.__dict__["_make_error"] = make_error
        if not isinstance(self, _Frozen):
            cls = type(self)
            self.__class__ = cls.__dict__.get("_frozen_class") or _make_frozen_class(cls)

    def thaw(self) -> None:
        """Allow changes again."""
        if isinstance(self, _Frozen):
            self.__class__ = self._thawed_class
            del self.__dict__["_make_error"]


class _Frozen:
    """Goes in front of a session's class while it is frozen."""

    __slots__ = ()

    _make_error: Callable[[], Exception]
    _thawed_class: type[Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a session that is not frozen, when asked for ``type(session)(...)``."""
        return cls._thawed_class(*args, **kwargs)

    def __init_subclass__(cls) -> None:
        """Keep the hooks of the session's class out: a frozen class is not news to them."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self._make_error()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def _get_modified(self) -> Any:
        try:
            return self.__dict__["modified"]
        except KeyError:
            return self._thawed_class.modified

    modified = property(_get_modified, _refuse)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle as the session that it is when it is not frozen."""
        reduced = cast("tuple[Any, ...]", super().__reduce_ex__(max(int(protocol), 2)))
        _, (_, *args), state, *rest = reduced
        state = {name: value for name, value in state.items() if name != "_make_error"}
        cls = self._thawed_class
        return (cls.__new__, (cls, *args), state, *rest)


def _make_frozen_class(cls: type[SecureCookieSession]) -> type[Any]:
    """Make the class that ``cls`` has while it is frozen, and keep it there."""
    names = {
        "__slots__": (),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "_thawed_class": cls,
    }
    make_class = cast("Callable[[str, tuple[type, ...], dict[str, Any]], type[Any]]", type(cls))
    frozen = make_class(cls.__name__, (_Frozen, cls), names)
    setattr(cls, "_frozen_class", frozen)
    return frozen


class ReadOnlySession(SessionMixin):
    """A session of a class without `freeze`, for code that may read it only."""

    def __init__(self, session: Any, make_error: Callable[[], Exception]) -> None:
        self.__dict__.update(_session=session, _make_error=make_error)
        # `SessionMixin` has them on the class, for sessions that cannot tell.
        for name in ("new", "modified"):
            self.__dict__[name] = getattr(session, name, getattr(SessionMixin, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Set by the context that hands it out.
        if name != "accessed":
            raise self._make_error()
        self.__dict__[name] = value

    def __getitem__(self, key: str) -> Any:
        return self._session[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._session)

    def __len__(self) -> int:
        return len(self._session)

    def _refuse(self, *args: Any) -> NoReturn:
        raise self._make_error()

    __setitem__ = __delitem__ = pop = popitem = _refuse


def read_only(session: Any, make_error: Callable[[], Exception]) -> Any:
    """``session``, or what stands for it, refusing changes with ``make_error()``."""
    freeze = getattr(session, "freeze", None)
    if freeze is None:
        return ReadOnlySession(session, make_error)
    freeze(make_error)
    return session


class NullSession(SecureCookieSession):
    """The session of an application that cannot have one, as it has no secret key.

    It is empty; reads work, writes raise a RuntimeError that says what is missing.
    """

    def _fail(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(_NO_KEY)

    __setitem__ = __delitem__ = __ior__ = _fail
    clear = pop = popitem = setdefault = update = _fail

    del _fail

    def freeze(self, make_error: Callable[[], Exception]) -> None:
        """Do nothing: writes are refused as they are, and the missing key is the better reason."""

    def thaw(self) -> None:
        """Do nothing."""


class SessionInterface(metaclass=Watched):
    """How an application opens and saves sessions. Assign one to ``app.session_interface``.

    Subclasses write :meth:`open_session` and :meth:`save_session`; the rest answers from the
    application's settings. Requests of one user may run at the same time and end in any order: an
    interface with a store decides for itself what then happens to their changes.
    """

    null_session_class = NullSession
    """What :meth:`make_null_session` makes, and :meth:`is_null_session` knows."""

    pickle_based = False
    """Whether sessions are pickled. A mark for extensions; nothing here reads it."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _TOLD:
            tell()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in _TOLD:
            tell()

    def make_null_session(self, app: SessionApp) -> NullSession:
        """Return the stand-in used when :meth:`open_session` returns None."""
        return self.null_session_class()

    def is_null_session(self, obj: object) -> bool:
        """Return whether ``obj`` is the stand-in, which is never saved."""
        return isinstance(obj, self.null_session_class)

    def get_cookie_name(self, app: SessionApp) -> str:
        """Return the cookie's name: ``SESSION_COOKIE_NAME``."""
        return cast(str, app.config["SESSION_COOKIE_NAME"])

    def get_cookie_domain(self, app: SessionApp) -> str | None:
        """Return the cookie's ``Domain``: ``SESSION_COOKIE_DOMAIN``; None: this host only."""
        return cast("str | None", app.config["SESSION_COOKIE_DOMAIN"])

    def get_cookie_path(self, app: SessionApp) -> str:
        """Return the cookie's ``Path``: ``SESSION_COOKIE_PATH``, else ``APPLICATION_ROOT``."""
        return cast(str, app.config["SESSION_COOKIE_PATH"] or app.config["APPLICATION_ROOT"])

    def get_cookie_httponly(self, app: SessionApp) -> bool:
        """Return whether scripts may not see the cookie: ``SESSION_COOKIE_HTTPONLY``."""
        return cast(bool, app.config["SESSION_COOKIE_HTTPONLY"])

    def get_cookie_secure(self, app: SessionApp) -> bool:
        """Return whether the cookie is for HTTPS only: ``SESSION_COOKIE_SECURE``."""
        return cast(bool, app.config["SESSION_COOKIE_SECURE"])

    def get_cookie_samesite(self, app: SessionApp) -> str | None:
        """Return the cookie's ``SameSite``: ``SESSION_COOKIE_SAMESITE``; None: no attribute."""
        return cast("str | None", app.config["SESSION_COOKIE_SAMESITE"])

    def get_cookie_partitioned(self, app: SessionApp) -> bool:
        """Return whether the cookie is ``Partitioned``: ``SESSION_COOKIE_PARTITIONED``."""
        return cast(bool, app.config["SESSION_COOKIE_PARTITIONED"])

    def get_expiration_time(self, app: SessionApp, session: SessionMixin) -> datetime | None:
        """Return when the cookie expires, in UTC; None: with the browser's session."""
        if not session.permanent:
            return None
        return datetime.now(UTC) + app.permanent_session_lifetime

    def should_set_cookie(self, app: SessionApp, session: SessionMixin) -> bool:
        """Return whether the response sets the cookie of a session that is not empty.

        It does when the session was modified; when it is permanent, and
        ``SESSION_REFRESH_EACH_REQUEST`` is on, always.
        """
        return session.modified or (
            session.permanent and app.config["SESSION_REFRESH_EACH_REQUEST"]
        )

    def open_session(self, app: SessionApp, request: Request) -> SessionMixin | None:
        """Return the session of ``request``, or None when there cannot be one.

        Called before the URL is matched. For None, :meth:`make_null_session` makes a stand-in.
        """
        raise NotImplementedError

    def save_session(self, app: SessionApp, session: SessionMixin, response: Response) -> None:
        """Keep ``session`` and put what that takes on ``response``.

        Called when the response is made, unless :meth:`is_null_session` knows the session.
        """
        raise NotImplementedError


session_json_serializer = TaggedJSONSerializer()
"""Writes the sessions of :class:`SecureCookieSessionInterface`; register further types here."""


def _lazy_sha1(string: bytes = b"") -> Any:
    """Return ``hashlib.sha1(string)``, looked up at the call: a FIPS build may not have it."""
    return hashlib.sha1(string)


_KeptSigner = tuple[tuple[Any, ...], URLSafeTimedSerializer | None]


class SecureCookieSessionInterface(SessionInterface):
    """Keeps sessions in cookies that ItsDangerous signs. Clients can read them, not change them."""

    salt = "cookie-session"
    """Joined with the secret key, so that no other use of the key signs a valid session."""

    digest_method = staticmethod(_lazy_sha1)
    """The hash function of the signature."""

    key_derivation = "hmac"
    """How ItsDangerous derives the signing key from the secret key and the salt."""

    serializer = session_json_serializer
    """Turns the session's dict into text and back: has ``dumps`` and ``loads``."""

    session_class = SecureCookieSession

    # Beside the instance's __dict__, which holds what somebody has set.
    __slots__ = ("_kept_signer",)

    def get_signing_serializer(self, app: SessionApp) -> URLSafeTimedSerializer | None:
        """Return what signs and reads ``app``'s cookies, or None if it has no secret key.

        Signs with the secret key; reads what that or one of ``SECRET_KEY_FALLBACKS`` signed.
        """
        key = app.secret_key
        if not key:
            return None
        # ItsDangerous signs with the last key of the list, whatever the order of the others.
        keys = [*(app.config["SECRET_KEY_FALLBACKS"] or ()), key]
        return URLSafeTimedSerializer(
            keys,
            salt=self.salt,
            serializer=bind_codec(self.serializer, getattr(app, "json", None)),
            signer_kwargs={
                "key_derivation": self.key_derivation,
                "digest_method": self.digest_method,
            },
        )

    def _signer(self, app: SessionApp) -> URLSafeTimedSerializer | None:
        """Return what :meth:`get_signing_serializer` does, made anew only when that would differ.

        Making one takes 3.5 µs, of 14 to open a session. Callers of the public method may change
        what they get, so they always get a new one.
        """
        if type(self).get_signing_serializer is not _SIGNER or "get_signing_serializer" in vars(
            self
        ):
            return self.get_signing_serializer(app)
        made_from = (
            app.secret_key,
            tuple(app.config["SECRET_KEY_FALLBACKS"] or ()),
            self.salt,
            self.key_derivation,
            self.digest_method,
            self.serializer,
            getattr(app, "json", None),
        )
        kept: _KeptSigner | None = getattr(self, "_kept_signer", None)
        if kept is None or kept[0] != made_from:
            kept = self._kept_signer = (made_from, self.get_signing_serializer(app))
        return kept[1]

    def open_session(self, app: SessionApp, request: Request) -> SecureCookieSession | None:
        """Return the session that the request's cookie holds; None without a secret key.

        It is empty when there is no cookie, and when the cookie is not one that this application
        signed, or is older than ``permanent_session_lifetime``.
        """
        signer = self._signer(app)
        if signer is None:
            return None
        value = request.cookies.get(self.get_cookie_name(app))
        if not value:
            return self.session_class()
        max_age = int(app.permanent_session_lifetime.total_seconds())
        try:
            data = signer.loads(value, max_age=max_age)
        except BadData as error:
            # Variables of ItsDangerous refer to errors whose tracebacks have their frames. Such a
            # cycle would keep the callers' frames too, until the cyclic collector runs.
            clear_frames(error.__traceback__)
            return self.session_class()
        return self.session_class(data)

    def save_session(self, app: SessionApp, session: SessionMixin, response: Response) -> None:
        """Set the cookie when the session asks for it, delete it when the session was emptied.

        The response gets ``Vary: Cookie`` with either, and when the session was only looked at.
        """
        name = self.get_cookie_name(app)
        attributes: dict[str, Any] = {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "partitioned": self.get_cookie_partitioned(app),
            "samesite": self.get_cookie_samesite(app),
            "httponly": self.get_cookie_httponly(app),
        }
        if session.accessed:
            response.vary.add("Cookie")

        if not session:
            if session.modified:
                response.delete_cookie(name, **attributes)
                response.vary.add("Cookie")
            return

        if not self.should_set_cookie(app, session):
            return
        expires = self.get_expiration_time(app, session)
        signer = self._signer(app)
        if signer is None:
            raise RuntimeError(_NO_KEY)
        response.set_cookie(name, signer.dumps(dict(session)), expires=expires, **attributes)
        response.vary.add("Cookie")

    def is_stock(self) -> bool:
        """Return whether every step is the framework's own, on the class and on the instance.

        Then a request without cookies cannot tell a session that was never opened. The answer holds
        as long as ``watch.changes.version`` does.
        """
        cls = type(self)
        return (
            _steps(cls) == _STOCK
            and _STEPS.isdisjoint(self.__dict__)
            # A mixin that is not watched may get a step later.
            and all(isinstance(base, Watched) for base in cls.__mro__[:-1])
        )

    def untouched(self, app: SessionApp, environ: Mapping[str, Any]) -> bool:
        """Return whether the session can stay unopened for as long as nothing touches it.

        True only if opening the session of this request would give an empty one, and saving that
        would do nothing; False also when that is not certain, so for every subclass or instance
        with a step of its own. Speaks for requests whose ``cookies`` are Werkzeug's.
        """
        if not self.is_stock():
            return False
        header = environ.get("HTTP_COOKIE")
        if not header:
            return True
        # Werkzeug takes names as they stand in the header, so one that is not even a part of it is
        # not there. Names outside ASCII are not relied on.
        name = self.get_cookie_name(app)
        return isinstance(name, str) and name.isascii() and name not in header


# What to compare with to see whether a step is overridden or patched. The steps are those that a
# request without a session cookie takes, and what they look at.
_SIGNER = SecureCookieSessionInterface.get_signing_serializer
_NOT_TAKEN = ("get_expiration_time", "pickle_based", "should_set_cookie")
_STEPS = frozenset(
    name for name in vars(SessionInterface) if name[0] != "_" and name not in _NOT_TAKEN
) | {"get_signing_serializer", "session_class"}
_TOLD = _STEPS | {"__class__"}
_steps = attrgetter(*sorted(_STEPS), "__setattr__", "__delattr__")
_STOCK = _steps(SecureCookieSessionInterface)
