"""Sessions of whole applications beside Flask's: one cookie goes from either to both.

A run is a row of requests with what happens between them: time passes, keys rotate, the cookie is
damaged. Both frameworks get the same cookie each time; `Set-Cookie`, `Vary` and what the views read
must be the same, byte for byte. The clock stands still but for what a run moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch
from uuid import UUID

import flask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import TimestampSigner
from markupsafe import Markup
from werkzeug.sansio.http import parse_cookie

import demijohn

NOW = 1_700_000_000


class Clock:
    """The time for both frameworks and for ItsDangerous."""

    def __init__(self) -> None:
        self.now = NOW

    @contextmanager
    def standing(self) -> Iterator[None]:
        clock = self

        class Frozen(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.fromtimestamp(clock.now, tz)

        with (
            patch.object(TimestampSigner, "get_timestamp", lambda signer: clock.now),
            patch("flask.sessions.datetime", Frozen),
            patch("demijohn.http.sessions.datetime", Frozen),
        ):
            yield


def show(value: Any) -> str:
    """A value with its type all the way down."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{show(k)}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(show, value))})"
    return f"{type(value).__name__} {value!r}"


Step = Callable[[Any], object]


@dataclass
class Peer:
    """One framework's application, which does to its session what it is told."""

    fw: Any
    config: dict[str, Any]
    app: Any = field(init=False)
    step: Step = field(init=False, default=lambda session: None)

    def __post_init__(self) -> None:
        self.app = self.fw.Flask("peer", static_folder=None)
        self.app.config.update(self.config)
        self.app.logger.disabled = True

        @self.app.get("/")
        def view() -> str:
            before = show(dict(self.fw.session)) if self.step is not nothing else ""
            self.step(self.fw.session)
            return before

    def ask(self, step: Step, cookie: str | None) -> tuple[int, bytes, list[str], list[str]]:
        self.step = step
        headers = {} if cookie is None else {"Cookie": f"{self.app.config[NAME]}={cookie}"}
        client = self.app.test_client(use_cookies=False)
        answer = client.get("/", headers=headers)
        found = answer.headers.getlist
        return answer.status_code, answer.data, found("Set-Cookie"), found("Vary")


NAME = "SESSION_COOKIE_NAME"

# -- what may be in a session ----------------------------------------------------------------------

TAG_LIKE: list[Any] = [
    {" t": [1]}, {" d": 0}, {" b": "AA=="}, {" u": "00000000000000000000000000000007"},
    {" di__": 1}, {" m": "<b>", "x": 1}, {" t__": {" t": ()}}, {" unknown": 1}, {"": {" ": 1}},
]  # fmt: skip
leaves = (
    st.sampled_from([None, True, False, 0, -1, 2**70, 1.5, -0.0, "", "text", "<&>'\""])
    | st.text(max_size=6)
    | st.binary(max_size=6)
    | st.uuids()
    | st.just(UUID(int=7))
    | st.text(max_size=4).map(Markup)
    | st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.none() | st.just(UTC))
    | st.just(datetime(2024, 2, 29, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))))
    | st.sampled_from(TAG_LIKE)
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from([" t", " d__", " b", "_permanent"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
names = st.sampled_from(["a", "b", " t", " d", "_flashes", "\u20ac", ""])


# -- what a request does ---------------------------------------------------------------------------


def nothing(session: Any) -> None:
    """Not even a look at the session."""


def setting(name: str, value: Any) -> Step:
    return lambda session: session.__setitem__(name, value)


def marking(name: str, value: bool) -> Step:
    return lambda session: setattr(session, name, value)


def inside(value: Any) -> Step:
    def change(session: Any) -> None:
        session.setdefault("list", []).append(value)
        session.modified = True

    return change


deeds = st.one_of(
    st.just(nothing),
    st.builds(setting, names, values),
    st.builds(marking, st.sampled_from(["permanent", "permanent", "modified"]), st.booleans()),
    st.builds(inside, leaves),
    st.sampled_from(
        [
            lambda session: None,
            lambda session: session.get("a"),
            lambda session: session.clear(),
            lambda session: session.pop("a", None),
            lambda session: session.update(a=1, b=(2,)),
            lambda session: session.popitem() if session else None,
            lambda session: session["missing"],
        ]
    ),
)

# -- what happens in between -----------------------------------------------------------------------


@dataclass
class Run:
    """The cookie that the browser has, and two applications that are handed it."""

    peers: list[Peer]
    clock: Clock
    cookie: str | None = None

    def request(self, step: Step) -> None:
        mine, other = (peer.ask(step, self.cookie) for peer in self.peers)
        assert mine == other
        for header in mine[2]:
            value = next(iter(parse_cookie(header).values()))
            self.cookie = value or None

    def wait(self, seconds: float) -> None:
        self.clock.now += int(seconds)

    def keys(self, key: Any, fallbacks: Any) -> None:
        for peer in self.peers:
            peer.app.secret_key = key
            peer.app.config["SECRET_KEY_FALLBACKS"] = fallbacks

    def rotate(self, key: Any) -> None:
        config = self.peers[0].app.config
        self.keys(key, [config["SECRET_KEY"], *(config["SECRET_KEY_FALLBACKS"] or ())][:3])

    def damage(self, position: int, bit: int) -> None:
        if self.cookie:
            at = position % len(self.cookie)
            letter = chr(ord(self.cookie[at]) ^ 1 << bit)
            # What would end the cookie, or not arrive as one character, is left out.
            if letter.isprintable() and letter not in ' ",;\\':
                self.cookie = self.cookie[:at] + letter + self.cookie[at + 1 :]

    def replace(self, cookie: str | None) -> None:
        self.cookie = cookie


secrets = st.sampled_from(["key", "new", b"new", b"\xff\x00bytes", "\u20ac"])
events: st.SearchStrategy[tuple[str, tuple[Any, ...]]] = st.one_of(
    st.tuples(st.just("request"), st.tuples(deeds)),
    st.tuples(st.just("request"), st.tuples(deeds)),
    st.tuples(st.just("request"), st.tuples(deeds)),
    st.tuples(
        st.just("wait"), st.tuples(st.sampled_from([1, 59, 60, 61, 3600, 31 * 86400, 31 * 86401]))
    ),
    st.tuples(st.just("rotate"), st.tuples(secrets)),
    st.tuples(
        st.just("keys"),
        st.tuples(secrets, st.sampled_from([None, [], ["key"], ("old", "key"), ["new", b"key"]])),
    ),
    st.tuples(st.just("damage"), st.tuples(st.integers(0, 400), st.integers(0, 6))),
    st.tuples(
        st.just("replace"),
        st.tuples(
            st.sampled_from([None, "", ".", "e30.x.y", "eyJhIjoxfQ", ".eJw.AAAA.AAAA", "x" * 5000])
        ),
    ),
)
configs = st.fixed_dictionaries(
    {
        "SECRET_KEY": secrets,
        NAME: st.sampled_from(["session", "s", "__Host-s", "a.b"]),
        "MAX_COOKIE_SIZE": st.just(0),
    },
    optional={
        "SESSION_COOKIE_DOMAIN": st.sampled_from(
            [None, False, "", "example.org", ".example.org", "b\xfccher.example", "a.org:5000"]
        ),
        "SESSION_COOKIE_PATH": st.sampled_from([None, "", "/", "/app", "/a b;\xe4"]),
        "APPLICATION_ROOT": st.sampled_from(["/", "/root"]),
        "SESSION_COOKIE_HTTPONLY": st.booleans(),
        "SESSION_COOKIE_SECURE": st.booleans(),
        "SESSION_COOKIE_SAMESITE": st.sampled_from([None, "Lax", "strict", "None", "wrong"]),
        "SESSION_COOKIE_PARTITIONED": st.booleans(),
        "SESSION_REFRESH_EACH_REQUEST": st.booleans(),
        "PERMANENT_SESSION_LIFETIME": st.sampled_from(
            [timedelta(days=31), timedelta(minutes=1), 60, 0, timedelta(days=-1), 3600]
        ),
    },
)


def run(config: dict[str, Any], row: list[tuple[str, tuple[Any, ...]]], ours: Any) -> Run:
    """Both applications through one row of events; raises where they differ."""
    made = Run([Peer(ours, config), Peer(flask, config)], Clock())
    with made.clock.standing():
        for name, arguments in row:
            getattr(made, name)(*arguments)
    return made


@settings(max_examples=300, deadline=None)
@given(config=configs, row=st.lists(events, min_size=2, max_size=10))
def test_sessions_as_flasks(config: Any, row: Any) -> None:
    """After any row of requests, rotations, waits and damages, both read and send the same."""
    run(config, row, demijohn)


def write(value: Any) -> tuple[str, tuple[Any, ...]]:
    return "request", (setting("a", value),)


READ: tuple[str, tuple[Any, ...]] = ("request", (lambda session: session.get("a"),))


@pytest.mark.parametrize(
    "fault", ["oldest key signs", "no refresh", "path", "expired is read", "no vary"]
)
def test_the_comparison_sees_faults(fault: str) -> None:
    """An application whose sessions differ in one thing does not get through this row."""

    class Interface(demijohn.sessions.SecureCookieSessionInterface):
        def get_signing_serializer(self, app: Any) -> Any:
            signer = super().get_signing_serializer(app)
            if signer is not None and fault == "oldest key signs":
                signer.secret_keys.reverse()
            return signer

        def should_set_cookie(self, app: Any, session: Any) -> bool:
            set_it = super().should_set_cookie(app, session)
            return (set_it and session.modified) if fault == "no refresh" else set_it

        def get_cookie_path(self, app: Any) -> str:
            return "/other" if fault == "path" else super().get_cookie_path(app)

        def open_session(self, app: Any, request: Any) -> Any:
            lifetime = app.permanent_session_lifetime
            if fault == "expired is read":
                app.permanent_session_lifetime = timedelta(days=10_000)
            try:
                return super().open_session(app, request)
            finally:
                app.permanent_session_lifetime = lifetime

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            super().save_session(app, session, response)
            if fault == "no vary":
                response.headers.pop("Vary", None)

    class App(demijohn.Flask):
        session_interface = Interface()

    class Package:
        Flask = App
        session = demijohn.session

    row = [
        *(write((1, b"x")), ("request", (marking("permanent", True),)), READ, ("rotate", ("new",))),
        *(READ, write(2), ("keys", ("new", None)), READ, ("wait", (31 * 86401,)), READ),
    ]
    config = {"SECRET_KEY": "key", NAME: "s"}
    run(config, row, demijohn)
    with pytest.raises(AssertionError):
        run(config, row, Package)


# -- rows that have to be there --------------------------------------------------------------------

TYPED: dict[str, Any] = {
    "tuple": (1, (2, [3, ()])),
    "bytes": b"\x00\xff bytes",
    "Markup": Markup("<b>&amp;</b>"),
    "UUID": UUID(int=2**127 + 5),
    "aware datetime": datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
    "other zone": datetime(2024, 2, 29, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "naive datetime": datetime(2024, 2, 29, 1, 2, 3),
    **{f"tag-like {n}": value for n, value in enumerate(TAG_LIKE)},
    "all in one": {" t": [(b"x", {" d": Markup("x")}), UUID(int=1)], "d": {"d": {" b": b""}}},
    "long": "text " * 200,
}


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize("writer", [demijohn, flask], ids=["from us", "from flask"])
def test_typed_values_go_both_ways(writer: Any, kind: str) -> None:
    """A value of each tagged type that one framework wrote, the other reads with its type."""
    peers = {fw: Peer(fw, {"SECRET_KEY": "key", NAME: "s"}) for fw in (demijohn, flask)}
    _, _, [header], _ = peers[writer].ask(setting("value", TYPED[kind]), None)
    cookie = parse_cookie(header)["s"]
    read = {fw: peer.ask(lambda session: None, cookie)[:2] for fw, peer in peers.items()}
    assert read[demijohn] == read[flask]
    assert read[demijohn][0] == 200 and b"value" in read[demijohn][1]
    if "datetime" not in kind and "zone" not in kind:
        assert show(TYPED[kind]).encode() in read[demijohn][1]


def test_rotation_between_the_frameworks() -> None:
    """A cookie that Flask signed with a key that is now a fallback is read, signed anew by a write
    with the newest key, and read by Flask; once the old key is gone, its cookie is empty.
    """
    ours, theirs = (Peer(fw, {"SECRET_KEY": "old", NAME: "s"}) for fw in (demijohn, flask))
    _, _, [header], _ = theirs.ask(setting("user", "alice"), None)
    old = parse_cookie(header)["s"]
    for peer in (ours, theirs):
        peer.app.config.update(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "old"])
    assert b"alice" in ours.ask(lambda session: None, old)[1]
    _, _, [header], _ = ours.ask(setting("n", 1), old)
    renewed = parse_cookie(header)["s"]
    for peer in (ours, theirs):
        peer.app.config["SECRET_KEY_FALLBACKS"] = ["older"]
        assert b"alice" in peer.ask(lambda session: None, renewed)[1]
        assert peer.ask(lambda session: None, old)[:2] == (200, b"{}")


def test_expiry_to_the_second() -> None:
    """A permanent session's cookie is read up to its lifetime's last second, as by Flask."""
    config = {"SECRET_KEY": "key", NAME: "s", "PERMANENT_SESSION_LIFETIME": 60}
    made = run(config, [write(1), ("request", (marking("permanent", True),))], demijohn)
    with made.clock.standing():
        made.clock.now += 60
        alive = made.peers[0].ask(lambda session: None, made.cookie)
        made.clock.now += 1
        dead = made.peers[0].ask(lambda session: None, made.cookie)
    assert b"'a'" in alive[1] and dead[1] == b"{}"
