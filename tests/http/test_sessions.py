"""Cookie sessions: Flask's behaviour and cookies both ways, freezing, and the untouched check."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import flask
import flask.sessions
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer
from markupsafe import Markup
from werkzeug.datastructures import CallbackDict
from werkzeug.sansio.http import parse_cookie
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from demijohn.http.json_provider import DefaultJSONProvider
from demijohn.http.sessions import (
    NullSession,
    SecureCookieSession,
    SecureCookieSessionInterface,
    SessionInterface,
    SessionMixin,
    session_json_serializer,
)

NOW = 1_700_000_000


class App:
    """As much of an application as a session interface needs."""

    response_class = Response
    debug = False

    def __init__(self, **config: Any) -> None:
        self.config: dict[str, Any] = {
            "SECRET_KEY_FALLBACKS": None,
            "SESSION_COOKIE_NAME": "session",
            "SESSION_COOKIE_DOMAIN": None,
            "SESSION_COOKIE_PATH": None,
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SECURE": False,
            "SESSION_COOKIE_SAMESITE": None,
            "SESSION_COOKIE_PARTITIONED": False,
            "SESSION_REFRESH_EACH_REQUEST": True,
            "APPLICATION_ROOT": "/",
            **config,
        }
        self.secret_key: str | bytes | None = "key"
        self.permanent_session_lifetime = timedelta(days=31)
        self.json = DefaultJSONProvider(self)


def flask_app(app: App) -> flask.Flask:
    """Real Flask with the same settings."""
    peer = flask.Flask("peer")
    peer.config.update(app.config)
    peer.secret_key = app.secret_key
    peer.permanent_session_lifetime = app.permanent_session_lifetime
    return peer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signer's clock, standing still until its only item is changed."""
    now = [NOW]
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now[0])
    yield now


def request_with(cookie: str | None = None) -> Request:
    builder = EnvironBuilder()
    if cookie is not None:
        builder.headers["Cookie"] = cookie
    return Request(builder.get_environ())


def cookie_of(response: Response) -> str:
    """The value that the response sets for the session cookie."""
    [header] = response.headers.getlist("Set-Cookie")
    return next(iter(parse_cookie(header).values()))


def save(app: Any, session: Any, interface: Any = None) -> Response:
    response = Response()
    (interface or SecureCookieSessionInterface()).save_session(app, session, response)
    return response


def opened(app: Any, value: str, interface: Any = None) -> Any:
    interface = interface or SecureCookieSessionInterface()
    return interface.open_session(app, request_with(f"session={value}"))


def boom() -> Exception:
    return LookupError("frozen")


# The session objects


def test_kinds_and_defaults() -> None:
    """The classes have Flask's bases, and new, modified and accessed Flask's defaults."""
    session = SecureCookieSession({"a": 1})
    assert isinstance(session, (CallbackDict, SessionMixin))
    assert isinstance(session, dict) and issubclass(NullSession, SecureCookieSession)
    assert (session.new, session.modified, session.accessed) == (False, False, False)
    assert (SessionMixin.new, SessionMixin.modified, SessionMixin.accessed) == (False, True, False)
    assert repr(session) == "<SecureCookieSession {'a': 1}>"


def refill(s: Any) -> None:
    s |= {"b": 2}


def set_permanent(s: Any) -> None:
    s.permanent = True


def set_modified(s: Any) -> None:
    s.modified = True


CHANGES: dict[str, Callable[[Any], Any]] = {
    "setitem": lambda s: s.__setitem__("b", 2),
    "delitem": lambda s: s.__delitem__("a"),
    "update": lambda s: s.update(b=2),
    "update with a dict": lambda s: s.update({"b": 2}),
    "update with nothing": lambda s: s.update(),
    "pop": lambda s: s.pop("a"),
    "pop with a default": lambda s: s.pop("a", None),
    "popitem": lambda s: s.popitem(),
    "clear": lambda s: s.clear(),
    "setdefault": lambda s: s.setdefault("b", 2),
    "ior": refill,
    "permanent": set_permanent,
    "modified": set_modified,
}
READS: dict[str, Callable[[Any], Any]] = {
    "getitem": lambda s: s["a"],
    "get": lambda s: s.get("a"),
    "get missing": lambda s: s.get("x"),
    "in": lambda s: "a" in s,
    "len": len,
    "bool": bool,
    "iter": lambda s: list(iter(s)),
    "keys": lambda s: list(s.keys()),
    "values": lambda s: list(s.values()),
    "items": lambda s: list(s.items()),
    "equal": lambda s: s == {"a": 1},
    "repr": repr,
    "dict": dict,
    "copy": lambda s: s.copy(),
    "or": lambda s: s | {"x": 1},
    "reversed": lambda s: list(reversed(s)),
    "permanent": lambda s: s.permanent,
    "modified": lambda s: s.modified,
    "accessed": lambda s: s.accessed,
    "new": lambda s: s.new,
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_mark_it_modified(name: str) -> None:
    """Each way of changing a session marks it modified, and only where Flask's is, accessed."""
    ours, theirs = SecureCookieSession({"a": 1}), flask.sessions.SecureCookieSession({"a": 1})
    CHANGES[name](ours)
    CHANGES[name](theirs)
    assert ours == theirs
    assert (ours.modified, ours.accessed) == (theirs.modified, theirs.accessed) == (True, False)


@pytest.mark.parametrize(
    "change",
    [lambda s: s.setdefault("a", 2), lambda s: s.pop("x", None)],
    ids=["setdefault", "pop"],
)
def test_no_change_is_no_modification(change: Callable[[Any], Any]) -> None:
    """setdefault of a key that is there, and pop of one that is not, modify nothing."""
    session = SecureCookieSession({"a": 1})
    change(session)
    assert not session.modified


@pytest.mark.parametrize("name", READS)
def test_reads_change_nothing(name: str) -> None:
    """No read marks a session modified or accessed: accessed is the request context's to set."""
    session = SecureCookieSession({"a": 1})
    READS[name](session)
    assert not session.modified and not session.accessed


def test_permanent() -> None:
    """permanent is kept under _permanent as a bool."""
    session = SecureCookieSession()
    assert session.permanent is False
    session.permanent = "yes"  # type: ignore[assignment]
    assert session == {"_permanent": True} and session.permanent is True


# Frozen sessions


@pytest.mark.parametrize("name", CHANGES)
def test_frozen_refuses_changes(name: str) -> None:
    """Each way of changing a frozen session raises the given error and changes nothing."""
    session = SecureCookieSession({"a": 1})
    session.freeze(boom)
    with pytest.raises(LookupError, match="frozen"):
        CHANGES[name](session)
    assert session == {"a": 1} and not session.modified


@pytest.mark.parametrize("name", READS)
def test_frozen_answers_reads(name: str) -> None:
    """Each read of a frozen session gives what it gave before."""
    session = SecureCookieSession({"a": 1})
    session.accessed = True
    before = READS[name](session)
    session.freeze(boom)
    assert READS[name](session) == before
    session.accessed = True
    assert isinstance(session, SecureCookieSession)


def test_freeze_check_finds_an_unguarded_change() -> None:
    """The check of changes fails for a session with a way of changing it that is not guarded."""

    class Leaky(SecureCookieSession):
        def put(self, key: str, value: Any) -> None:
            dict.__setitem__(self, key, value)

    session = Leaky()
    session.freeze(boom)
    session.put("a", 1)
    assert session == {"a": 1}


def test_every_dict_method_is_known() -> None:
    """Every method of dict is one of the changes or one of the reads that are tested here."""
    reads = {"copy", "fromkeys", "get", "items", "keys", "values"}
    changes = {"clear", "pop", "popitem", "setdefault", "update"}
    assert {name for name in dir(dict) if name[0] != "_"} == reads | changes
    assert {n for n in dir(dict) if n.startswith(("__set", "__del", "__i"))} == {
        "__setattr__",
        "__setitem__",
        "__delattr__",
        "__delitem__",
        "__init__",
        "__init_subclass__",
        "__ior__",
        "__iter__",
    }


def test_thaw() -> None:
    """A thawed session is as it was: its class, its state, its changes."""
    session = SecureCookieSession({"a": 1})
    session["b"] = 2
    before = dict(vars(session))
    session.freeze(boom)
    session.freeze(lambda: KeyError("other"))
    with pytest.raises(KeyError, match="other"):
        session["a"] = 2
    session.thaw()
    session.thaw()
    assert type(session) is SecureCookieSession and vars(session) == before
    session["a"] = 2
    assert session == {"a": 2, "b": 2} and session.modified


def test_freeze_in_a_subclass() -> None:
    """A subclass's own writes are refused before they do anything; each class freezes as itself."""
    made: list[str] = []

    class Counting(SecureCookieSession):
        writes = 0

        def __init_subclass__(cls) -> None:
            made.append(cls.__name__)

        def __setitem__(self, key: str, value: Any) -> None:
            self.writes += 1
            super().__setitem__(key, value)

        def login(self, user: str) -> None:
            self["user"] = user

    class Modified(Counting):
        modified = True

    for cls in (Counting, Modified, Counting):
        session = cls({"a": 1})
        session.freeze(boom)
        assert isinstance(session, cls) and type(session).__name__ == cls.__name__
        with pytest.raises(LookupError):
            session.login("x")
        assert session.writes == 0 and session.modified is (cls is Modified)
        with pytest.raises(LookupError):
            session.modified = True
        session.thaw()
        assert type(session) is cls
        session.login("x")
        assert session.writes == 1 and session["user"] == "x"
    assert made == ["Modified"]


def test_copies_of_a_frozen_session() -> None:
    """Copies, pickles and sessions made by the class of a frozen one are not frozen."""
    session = SecureCookieSession({"a": [1]})
    session.modified = True
    session.freeze(boom)
    copies = [copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))]
    for made in copies:
        assert type(made) is SecureCookieSession and made == {"a": [1]} and made.modified
        made["b"] = 2
    assert copies[0]["a"] is session["a"] and copies[1]["a"] is not session["a"]
    other = type(session)({"c": 3})
    other["d"] = 4
    assert type(other) is SecureCookieSession and other == {"c": 3, "d": 4}
    with pytest.raises(LookupError):
        session["b"] = 2


# No secret key


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "modified"])
def test_null_session(name: str) -> None:
    """Without a secret key a session is empty, and a write says that the key is missing."""
    app = App()
    app.secret_key = None
    interface = SecureCookieSessionInterface()
    assert interface.open_session(app, request_with("session=x")) is None
    session = interface.make_null_session(app)
    assert interface.is_null_session(session)
    assert not interface.is_null_session(SecureCookieSession())
    assert not session and session.get("a") is None and session.permanent is False
    with pytest.raises(RuntimeError, match="session is unavailable because no secret key was set"):
        CHANGES[name](session)
    session.freeze(boom)
    with pytest.raises(RuntimeError, match="no secret key was set"):
        CHANGES[name](session)
    session.modified = True
    session.thaw()
    assert not session


@pytest.mark.parametrize("key", ["", b"", None])
def test_empty_key_is_no_key(key: Any) -> None:
    """An empty key is as good as none."""
    app = App()
    app.secret_key = key
    assert SecureCookieSessionInterface().get_signing_serializer(app) is None


def test_save_without_a_key() -> None:
    """Saving a session that has content without a key says that the key is missing."""
    app = App()
    app.secret_key = None
    session = SecureCookieSession()
    session["a"] = 1
    with pytest.raises(RuntimeError, match="no secret key was set"):
        save(app, session)


# Cookies both ways

session_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary(max_size=30)
    | st.uuids()
    | st.text(max_size=5).map(Markup)
    | st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(
        lambda d: d.replace(microsecond=0)
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
sessions = st.dictionaries(st.text(max_size=8), session_values, min_size=1, max_size=4)
secrets = st.text(min_size=1, max_size=8) | st.binary(min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(content=sessions, key=secrets, fallbacks=st.lists(secrets, max_size=2))
def test_cookies_both_ways(content: Any, key: Any, fallbacks: list[Any]) -> None:
    """Flask reads our cookies and we read Flask's; signed in the same second they are the same."""
    app = App(SECRET_KEY_FALLBACKS=fallbacks)
    app.secret_key = key
    peer = flask_app(app)
    ours, theirs = SecureCookieSessionInterface(), flask.sessions.SecureCookieSessionInterface()
    signer = ours.get_signing_serializer(app)
    assert signer is not None
    mine = signer.dumps(content)
    with peer.app_context():
        peer_signer = theirs.get_signing_serializer(peer)
        assert peer_signer is not None
        other = peer_signer.dumps(content)
        assert opened(peer, mine, theirs) == content
    assert mine.split(".")[:-2] == other.split(".")[:-2]
    assert opened(app, other) == content
    assert opened(app, mine) == content


def test_same_cookie_as_flask(clock: list[int]) -> None:
    """At the same second, the cookie is Flask's byte for byte, key order and compression too."""
    app = App()
    peer = flask_app(app)
    content = {"z": 1, "a": ("x",), "id": UUID(int=7), "long": "text " * 60}
    ours = SecureCookieSession()
    ours.update(content)
    theirs = flask.sessions.SecureCookieSession()
    theirs.update(content)
    with peer.app_context():
        expected = save(peer, theirs, flask.sessions.SecureCookieSessionInterface())
    assert save(app, ours).headers.to_wsgi_list() == expected.headers.to_wsgi_list()


def signs_with(interface: Any, app: App) -> set[str]:
    """Which of the keys alone reads what ``interface`` signs for ``app``."""
    value = interface.get_signing_serializer(app).dumps({"a": 1})
    found = set()
    for key in (app.secret_key, *app.config["SECRET_KEY_FALLBACKS"]):
        alone = App()
        alone.secret_key = key
        if opened(alone, value):
            found.add(str(key))
    return found


def test_newest_key_signs() -> None:
    """With fallback keys the secret key signs (GHSA-4grg-w6v8-c28g)."""
    app = App(SECRET_KEY_FALLBACKS=["old2", "old1"])
    app.secret_key = "new"
    assert signs_with(SecureCookieSessionInterface(), app) == {"new"}


def test_newest_key_check_finds_the_old_order() -> None:
    """Known-bad control: with the key first in the list, as in Flask 3.1.0, an old key signs."""

    class KeyFirst(SecureCookieSessionInterface):
        def get_signing_serializer(self, app: Any) -> Any:
            return URLSafeTimedSerializer(
                [app.secret_key, *app.config["SECRET_KEY_FALLBACKS"]],
                salt=self.salt,
                serializer=self.serializer,
                signer_kwargs={
                    "key_derivation": self.key_derivation,
                    "digest_method": self.digest_method,
                },
            )

    app = App(SECRET_KEY_FALLBACKS=["old2", "old1"])
    app.secret_key = "new"
    assert signs_with(KeyFirst(), app) == {"old1"}


def test_rotation() -> None:
    """A cookie of an old key is accepted, signed anew on a write, and empty without the key."""
    app = App()
    app.secret_key = "old"
    interface = SecureCookieSessionInterface()
    value = cookie_of(save(app, _changed({"user": 1}), interface))
    app.secret_key = "new"
    assert opened(app, value, interface) == {}
    app.config["SECRET_KEY_FALLBACKS"] = fallbacks = ["older", "old"]
    session = opened(app, value, interface)
    assert session == {"user": 1}
    session["n"] = 1
    renewed = cookie_of(save(app, session, interface))
    fallbacks[1] = "oldest"
    assert opened(app, value, interface) == {}
    assert opened(app, renewed, interface) == {"user": 1, "n": 1}


def _changed(content: dict[str, Any], **attributes: Any) -> SecureCookieSession:
    session = SecureCookieSession()
    session.update(content)
    for name, value in attributes.items():
        setattr(session, name, value)
    return session


def test_settings_of_the_signature_are_live() -> None:
    """salt, digest, derivation, serializer and the app's json set later act on the next cookie."""
    app = App()
    interface = SecureCookieSessionInterface()
    values = [cookie_of(save(app, _changed({"b": 1, "a": 2}), interface))]
    changes: list[Callable[[], None]] = [
        lambda: setattr(interface, "salt", "other"),
        lambda: setattr(interface, "digest_method", hashlib.sha256),
        lambda: setattr(interface, "key_derivation", "concat"),
        lambda: setattr(interface, "serializer", flask.json),
        lambda: setattr(app, "secret_key", "other"),
    ]
    for change in changes:
        change()
        if interface.serializer is not flask.json:
            assert opened(app, values[-1], interface) == {}
        values.append(cookie_of(save(app, _changed({"b": 1, "a": 2}), interface)))
        assert opened(app, values[-1], interface) == {"a": 2, "b": 1}
    fresh = SecureCookieSessionInterface()
    app.json.sort_keys = False
    unsorted = cookie_of(save(app, _changed({"b": 1, "a": 2}), fresh))
    assert list(opened(app, unsorted, fresh)) == ["b", "a"]


def test_replaced_provider_writes_the_cookie() -> None:
    """The JSON provider that the app has at the time writes the session, custom types included."""
    app = App()
    interface = SecureCookieSessionInterface()
    with pytest.raises(TypeError):
        save(app, _changed({"x": object()}), interface)
    app.json = DefaultJSONProvider(app)
    app.json.default = lambda o: "own"  # type: ignore[method-assign]
    value = cookie_of(save(app, _changed({"x": object()}), interface))
    assert opened(app, value, interface) == {"x": "own"}


def test_two_apps_on_one_interface() -> None:
    """One interface may serve several apps, each with its own key."""
    first, second = App(), App()
    second.secret_key = "second"
    interface = SecureCookieSessionInterface()
    values = [cookie_of(save(app, _changed({"n": 1}), interface)) for app in (first, second)]
    for _ in range(2):
        assert opened(first, values[0], interface) == opened(second, values[1], interface)
        assert opened(first, values[1], interface) == {}
        assert opened(second, values[0], interface) == {}


def test_own_signing_serializer_is_called() -> None:
    """A get_signing_serializer of a subclass or an instance opens and saves."""

    class Plain(SecureCookieSessionInterface):
        def get_signing_serializer(self, app: Any) -> Any:
            return URLSafeTimedSerializer("own")

    app = App()
    interface: SecureCookieSessionInterface = Plain()
    value = cookie_of(save(app, _changed({"a": 1}), interface))
    assert URLSafeTimedSerializer("own").loads(value) == {"a": 1}
    assert opened(app, value, interface) == {"a": 1}
    interface = SecureCookieSessionInterface()
    assert opened(app, value, interface) == {}
    interface.get_signing_serializer = (  # type: ignore[method-assign]
        lambda app: URLSafeTimedSerializer("own")
    )
    assert opened(app, value, interface) == {"a": 1}


def test_public_serializer_is_the_callers() -> None:
    """What get_signing_serializer returns is new each time, so that a caller may change it."""
    app = App()
    interface = SecureCookieSessionInterface()
    value = cookie_of(save(app, _changed({"a": 1}), interface))
    signer = interface.get_signing_serializer(app)
    assert signer is not None and signer is not interface.get_signing_serializer(app)
    signer.secret_keys[:] = [b"changed"]
    assert opened(app, value, interface) == {"a": 1}


# Cookies that are not ours


def good_cookie(app: App) -> str:
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert signer is not None
    return str(signer.dumps({"user": "alice", "data": "x" * 40}))


def decoded(value: str) -> list[bytes]:
    """The parts of a cookie without the ignored bits at the end of each part's base64."""
    from itsdangerous.encoding import base64_decode

    try:
        return [base64_decode(part) for part in value.split(".")]
    except Exception:
        return [value.encode()]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_tampered_cookie_is_an_empty_session(data: st.DataObject) -> None:
    """A cookie with any bit flipped is an empty session, never an exception."""
    app = App()
    value = good_cookie(app)
    position = data.draw(st.integers(0, len(value) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = value[:position] + chr(ord(value[position]) ^ 1 << bit) + value[position + 1 :]
    session = SecureCookieSessionInterface().open_session(app, _CookieRequest(changed))
    assert type(session) is SecureCookieSession
    if session:
        # The last character of the signature has two bits that base64 does not use.
        assert position == len(value) - 1 and decoded(changed) == decoded(value)


class _CookieRequest(Request):
    """A request with one session cookie of any text."""

    def __init__(self, value: str) -> None:
        super().__init__(EnvironBuilder().get_environ())
        self.__dict__["cookies"] = {"session": value}


@settings(max_examples=200, deadline=None)
@given(header=st.text(st.characters(max_codepoint=255)) | st.text('session=.;"\\ ,eyJ0_-\t\x00'))
@example("session=\xff")
@example('session="\\377\\400"')
@example("session=.eJw.AAAA.AAAA")
@example("session=....")
def test_garbage_header_is_an_empty_session(header: str) -> None:
    """A Cookie header of any bytes is an empty session, never an exception."""
    environ = EnvironBuilder().get_environ()
    for text in (header, f"session={header}"):
        environ["HTTP_COOKIE"] = text
        session = SecureCookieSessionInterface().open_session(App(), Request(environ))
        assert type(session) is SecureCookieSession and not session
        assert not session.modified and not session.accessed


@pytest.mark.parametrize("payload", [b"not base64!", b"eyJ", b".AAAA", b"bm90IGpzb24", b""])
def test_signed_garbage_is_an_empty_session(payload: bytes) -> None:
    """A payload with a good signature that cannot be read is an empty session too."""
    app = App()
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert signer is not None
    assert opened(app, signer.make_signer().sign(payload).decode()) == {}


@pytest.mark.parametrize(
    ("age", "alive"), [(0, True), (60, True), (61, False), (10**6, False), (-1, False)]
)
def test_expired_cookie_is_an_empty_session(age: int, alive: bool, clock: list[int]) -> None:
    """A cookie is read until permanent_session_lifetime has passed, and not before its time."""
    app = App()
    app.permanent_session_lifetime = timedelta(seconds=60)
    value = good_cookie(app)
    clock[0] += age
    assert bool(opened(app, value)) is alive
    peer = flask_app(app)
    with peer.app_context():
        theirs = opened(peer, value, flask.sessions.SecureCookieSessionInterface())
    assert bool(theirs) is alive


def test_other_salt_is_not_a_session() -> None:
    """What the same key signs for another purpose is no session."""
    app = App()
    value = URLSafeTimedSerializer("key", salt="other").dumps({"admin": True})
    assert opened(app, value) == {}
    with pytest.raises(BadSignature):
        URLSafeTimedSerializer("key", salt="other").loads(good_cookie(app))


# Saving, and Vary: Cookie

cookie_settings = st.fixed_dictionaries(
    {
        "SESSION_COOKIE_NAME": st.sampled_from(["session", "s"]),
        "SESSION_COOKIE_DOMAIN": st.sampled_from([None, "example.com", ".example.com"]),
        "SESSION_COOKIE_PATH": st.sampled_from([None, "/app", ""]),
        "SESSION_COOKIE_HTTPONLY": st.booleans(),
        "SESSION_COOKIE_SECURE": st.booleans(),
        "SESSION_COOKIE_SAMESITE": st.sampled_from([None, "Lax", "Strict", "None"]),
        "SESSION_COOKIE_PARTITIONED": st.booleans(),
        "SESSION_REFRESH_EACH_REQUEST": st.booleans(),
        "APPLICATION_ROOT": st.sampled_from(["/", "/root"]),
    }
)
operations = st.lists(st.sampled_from([*CHANGES.values(), *READS.values()]), max_size=4)
varies = st.sampled_from([None, "Cookie", "cookie", "Accept", "Accept, Cookie", "*"])


def normal_headers(response: Response) -> list[tuple[str, str]]:
    """The headers of the session; a date of expiry only by its presence, and by its being past."""
    headers = []
    for name, value in response.headers:
        if name not in ("Set-Cookie", "Vary"):
            continue
        parts = [
            "Expires" + (" 1970" if "1970" in part else "") if "Expires" in part else part
            for part in value.split("; ")
        ]
        headers.append((name, "; ".join(parts)))
    return headers


def run_operations(session: Any, steps: list[Any], accessed: bool) -> Any:
    for step in steps:
        try:
            step(session)
        except KeyError:
            pass
    session.accessed = accessed
    return session


@settings(max_examples=200, deadline=None)
@given(
    config=cookie_settings,
    initial=st.sampled_from([{}, {"a": 1}, {"a": 1, "_permanent": True}]),
    steps=operations,
    accessed=st.booleans(),
    vary=varies,
)
def test_saving_as_flask(
    config: dict[str, Any], initial: Any, steps: list[Any], accessed: bool, vary: str | None
) -> None:
    """For any settings and use of a session, the response has the headers that Flask gives it."""
    app = App(**config)
    peer = flask_app(app)
    ours = run_operations(SecureCookieSession(initial), steps, accessed)
    theirs = run_operations(flask.sessions.SecureCookieSession(initial), steps, accessed)
    responses = Response(), flask.Response()
    for response in responses:
        if vary is not None:
            response.headers["Vary"] = vary
    with pytest.MonkeyPatch.context() as patch, peer.app_context():
        patch.setattr(TimestampSigner, "get_timestamp", lambda self: NOW)
        SecureCookieSessionInterface().save_session(app, ours, responses[0])
        flask.sessions.SecureCookieSessionInterface().save_session(peer, theirs, responses[1])
    assert normal_headers(responses[0]) == normal_headers(responses[1])


def vary_problems(interface: Any, refresh: bool = True) -> list[str]:
    """The uses of a session after which the response has a cookie, or was looked at, and no Vary.

    Each use with a permanent session and one that is not, as the request context hands them
    out (CVE-2023-30861, CVE-2026-27205).
    """
    app = App(SESSION_REFRESH_EACH_REQUEST=refresh)
    uses = {**{f"read {n}": f for n, f in READS.items()}, **CHANGES}
    problems = []
    for permanent in (False, True):
        initial = {"a": 1, **({"_permanent": True} if permanent else {})}
        for name, use in uses.items():
            session = run_operations(SecureCookieSession(initial), [use], accessed=True)
            if "Cookie" not in save(app, session, interface).vary:
                problems.append(name)
        # The context never handed it out, so it was not accessed: Vary must come with the cookie.
        response = save(app, SecureCookieSession(initial), interface)
        if ("Set-Cookie" in response.headers) != ("Cookie" in response.vary):
            problems.append("untouched")
        if ("Set-Cookie" in response.headers) != (permanent and refresh):
            problems.append("refreshed")
    return problems


@pytest.mark.parametrize("refresh", [True, False])
def test_vary_with_every_use(refresh: bool) -> None:
    """Any use of a session, and any response that sets its cookie, has Vary: Cookie; no other."""
    assert vary_problems(SecureCookieSessionInterface(), refresh) == []


def test_vary_check_finds_a_refresh_without_it() -> None:
    """Known-bad control: the check fails for an interface that sends the cookie without Vary."""

    class Refreshing(SecureCookieSessionInterface):
        def save_session(self, app: Any, session: Any, response: Any) -> None:
            super().save_session(app, session, response)
            if not session.accessed:
                response.vary.discard("cookie")

    assert vary_problems(Refreshing()) == ["untouched"]


def test_vary_is_added_once_and_star_is_kept() -> None:
    """Vary is a set: Cookie is added once, whatever its case, beside what is there, * included."""
    for before, after in [
        ("Accept-Encoding", "Accept-Encoding, Cookie"),
        ("cookie", "cookie"),
        ("*", "*, Cookie"),
    ]:
        response = Response(headers={"Vary": before})
        session = SecureCookieSession()
        session["a"] = 1
        session.accessed = True
        SecureCookieSessionInterface().save_session(App(), session, response)
        assert response.headers.getlist("Vary") == [after]


def test_emptied_session_deletes_the_cookie() -> None:
    """A session that was emptied deletes its cookie, with the same name, path and domain."""
    app = App(SESSION_COOKIE_PATH="/p", SESSION_COOKIE_DOMAIN="example.com")
    session = SecureCookieSession({"a": 1})
    del session["a"]
    response = save(app, session)
    [header] = response.headers.getlist("Set-Cookie")
    assert header.startswith("session=; ") and "Max-Age=0" in header
    assert "Domain=example.com" in header and "Path=/p" in header
    assert response.headers["Vary"] == "Cookie"


def test_permanent_session_expires() -> None:
    """A permanent session's cookie expires after permanent_session_lifetime."""
    app = App()
    app.permanent_session_lifetime = timedelta(hours=1)
    interface = SecureCookieSessionInterface()
    session = _changed({}, permanent=True)
    expires = interface.get_expiration_time(app, session)
    assert expires is not None
    assert abs(expires - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=5)
    assert interface.get_expiration_time(app, SecureCookieSession()) is None


def test_overridden_steps_are_called() -> None:
    """Saving asks the interface's getters, expiry and should_set_cookie, as overridden."""

    class Own(SecureCookieSessionInterface):
        def get_cookie_name(self, app: Any) -> str:
            return "own"

        def get_cookie_path(self, app: Any) -> str:
            return "/own"

        def get_expiration_time(self, app: Any, session: Any) -> datetime:
            return datetime(2031, 1, 1, tzinfo=UTC)

        def should_set_cookie(self, app: Any, session: Any) -> bool:
            return True

    header = save(App(), SecureCookieSession({"a": 1}), Own()).headers["Set-Cookie"]
    assert header.startswith("own=") and "Path=/own" in header and "01 Jan 2031" in header


def test_base_interface() -> None:
    """The base interface leaves opening and saving to subclasses."""
    base = SessionInterface()
    assert base.pickle_based is False and base.null_session_class is NullSession
    with pytest.raises(NotImplementedError):
        base.open_session(App(), request_with())
    with pytest.raises(NotImplementedError):
        base.save_session(App(), SecureCookieSession(), Response())


def test_own_session_class() -> None:
    """A session of another kind, a dict with the mixin, is saved at each response."""

    class Session(dict[str, Any], SessionMixin):
        pass

    session = Session(a=1)
    assert opened(App(), cookie_of(save(App(), session))) == {"a": 1}


def test_default_serializer_is_shared() -> None:
    """The interface's serializer is session_json_serializer, so that types registered there act."""
    assert SecureCookieSessionInterface.serializer is session_json_serializer
    assert SecureCookieSessionInterface.digest_method().name == "sha1"


# Sessions that need not be opened

NAMES = ["session", "s", "a.b", "ses sion", "", "sé", 'q"']
cookie_text = st.text('session=;" \\,ab.é\t', max_size=20)
headers = st.one_of(
    cookie_text,
    st.lists(
        st.builds(
            lambda name, equals, value: f"{name}{equals}{value}",
            st.sampled_from(
                [*NAMES, "mysession", "sessions", "session_id", '"session"', "Session"]
            ),
            st.sampled_from(["=", " = ", "", "=="]),
            st.sampled_from(["", "x", '"x"', '"a;session=b"', "session=x", good_cookie(App())]),
        ),
        max_size=4,
    ).map("; ".join),
)


def effect(app: App, environ: dict[str, Any], interface: Any) -> tuple[Any, ...]:
    """What opening the session of a request and saving it unread come to."""
    session = interface.open_session(app, Request(environ))
    if session is None:
        session = interface.make_null_session(app)
    content = dict(session)
    response = Response()
    if not interface.is_null_session(session):
        interface.save_session(app, session, response)
    return content, response.headers.to_wsgi_list()


NO_EFFECT = ({}, Response().headers.to_wsgi_list())


@settings(max_examples=500, deadline=None)
@given(header=headers, name=st.sampled_from(NAMES), key=st.sampled_from(["key", None]))
def test_untouched_is_never_wrong(header: str, name: str, key: str | None) -> None:
    """Where untouched says yes, opening and saving the session has no effect, for any header."""
    app = App(SESSION_COOKIE_NAME=name)
    app.secret_key = key
    environ = EnvironBuilder().get_environ()
    environ["HTTP_COOKIE"] = header.encode().decode("latin1")
    interface = SecureCookieSessionInterface()
    if interface.untouched(app, environ):
        assert name not in Request(environ).cookies
        assert effect(app, environ, interface) == NO_EFFECT


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, True),
        ("", True),
        ("a=b", True),
        ("a=b; c=d", True),
        ("session=x", False),
        ("a=b;session=x", False),
        ("a=b; session = x", False),
        ("session", False),
    ],
)
def test_untouched(header: str | None, expected: bool) -> None:
    """untouched says yes without cookies and with other cookies, no with the session's."""
    environ = {} if header is None else {"HTTP_COOKIE": header}
    assert SecureCookieSessionInterface().untouched(App(), environ) is expected


def test_untouched_follows_the_name() -> None:
    """A SESSION_COOKIE_NAME that is changed later is the one looked for."""
    app = App()
    interface = SecureCookieSessionInterface()
    environ = {"HTTP_COOKIE": "other=x"}
    assert interface.untouched(app, environ)
    app.config["SESSION_COOKIE_NAME"] = "other"
    assert not interface.untouched(app, environ)
    app.config["SESSION_COOKIE_NAME"] = None
    assert not interface.untouched(app, environ)


STEPS = [
    "open_session",
    "save_session",
    "make_null_session",
    "is_null_session",
    "get_cookie_name",
    "get_cookie_domain",
    "get_cookie_path",
    "get_cookie_httponly",
    "get_cookie_secure",
    "get_cookie_samesite",
    "get_cookie_partitioned",
    "get_signing_serializer",
    "session_class",
    "null_session_class",
]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("environ", [{}, {"HTTP_COOKIE": "a=b"}], ids=["none", "other"])
def test_untouched_says_no_to_overridden_steps(name: str, environ: dict[str, str]) -> None:
    """With a step overridden in a subclass or on an instance, untouched says no."""
    own: Any = lambda *args: None  # noqa: E731
    subclass = type("Own", (SecureCookieSessionInterface,), {name: own})
    assert not subclass().untouched(App(), environ)
    interface = SecureCookieSessionInterface()
    assert interface.untouched(App(), environ)
    setattr(interface, name, own)
    assert not interface.untouched(App(), environ)
    delattr(interface, name)
    assert interface.untouched(App(), environ)


@pytest.mark.parametrize("name", ["open_session", "save_session", "session_class"])
def test_untouched_says_no_to_patched_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With opening, saving or the session class exchanged on the class, untouched says no."""
    interface = SecureCookieSessionInterface()
    assert interface.untouched(App(), {})
    monkeypatch.setattr(SecureCookieSessionInterface, name, lambda *args: None)
    assert not interface.untouched(App(), {})


def test_untouched_with_other_signatures() -> None:
    """A subclass or instance that only signs in another way, or expires, still says yes."""

    class Other(SecureCookieSessionInterface):
        salt = "other"
        digest_method = staticmethod(hashlib.sha256)

        def get_expiration_time(self, app: Any, session: Any) -> None:
            return None

    other = Other()
    other.key_derivation = "concat"
    assert other.untouched(App(), {}) and other.untouched(App(), {"HTTP_COOKIE": "a=b"})
    assert not other.untouched(App(), {"HTTP_COOKIE": "session=b"})


def test_untouched_after_use() -> None:
    """An interface that has signed still says yes by the short way: nothing is set on it."""
    app = App()
    interface = SecureCookieSessionInterface()
    opened(app, cookie_of(save(app, _changed({"a": 1}), interface)), interface)
    assert vars(interface) == {} and interface.untouched(app, {})
