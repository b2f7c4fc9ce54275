"""Promise 9: a child's session is a snapshot to read, or the request's own, shared as in Flask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest
from children_kit import EVERY_WAY, PATIENCE, Start, called, make_app, view_app

import demijohn
from demijohn import (
    copy_current_request_context,
    flash,
    in_child,
    request,
    session,
    stream_with_context,
)
from demijohn.context import ContextEnded, SessionReadOnly
from demijohn.sessions import SecureCookieSessionInterface, SessionInterface, SessionMixin


def filled(client: Any, **values: Any) -> Any:
    """A client whose session has values."""
    with client.session_transaction() as opened:
        opened.update(values)
    return client


def session_of(client: Any) -> dict[str, Any]:
    with client.session_transaction() as opened:
        return dict(opened)


@EVERY_WAY
@pytest.mark.parametrize("opened", [True, False])
def test_it_is_read(start: Start[Any], opened: bool) -> None:
    """A child reads its parent's session, whether that had opened it or not."""

    def view() -> Any:
        if opened:
            session["b"] = 2
        return start(lambda: [dict(session), "a" in session, len(session), session.permanent])

    client = filled(view_app(view).test_client(), a=1)
    wanted = {"a": 1, "b": 2} if opened else {"a": 1}
    assert client.get("/").json == [wanted, True, len(wanted), False]


def test_it_is_as_it_was_at_the_start() -> None:
    """What the parent writes after the work was started is not seen by the child, whether it had
    opened the session before or not."""

    def view() -> Any:
        early = in_child(lambda: dict(session))
        session["b"] = {"list": [1]}
        late = in_child(lambda: dict(session))
        session["b"]["list"].append(2)
        session["c"] = 3
        return [early(), late(), dict(session)]

    client = filled(view_app(view).test_client(), a=1)
    assert client.get("/").json == [
        {"a": 1},
        {"a": 1, "b": {"list": [1]}},
        {"a": 1, "b": {"list": [1, 2]}, "c": 3},
    ]


def test_children_do_not_share_it() -> None:
    """What one child changes inside a value neither its parent nor another child sees."""

    def view() -> Any:
        session["list"] = []

        def work() -> list[int]:
            session["list"].append(1)
            return list(session["list"])

        run = in_child(work)
        return [run(), run(), session["list"]]

    assert view_app(view).test_client().get("/").json == [[1], [1], []]


@EVERY_WAY
@pytest.mark.parametrize("opened", [True, False])
def test_a_write_is_refused(start: Start[Any], opened: bool) -> None:
    """A write in a child raises `SessionReadOnly`, which names the function that shares it, and
    changes nothing."""

    def view() -> str:
        if opened:
            session["a"] = 1

        def work() -> None:
            for write in (
                lambda: session.__setitem__("b", 2),
                lambda: session.pop("a", None),
                lambda: session.update(b=2),
                lambda: session.clear(),
                lambda: session.setdefault("b", 2),
                lambda: setattr(session, "permanent", True),
                lambda: setattr(session, "modified", True),
                lambda: flash("hello"),
            ):
                with pytest.raises(SessionReadOnly, match='session="share"'):
                    write()
            assert "b" not in session

        start(work)
        return "x"

    client = filled(view_app(view).test_client(), a=1)
    assert client.get("/").text == "x"
    assert session_of(client) == {"a": 1}


def test_a_snapshot_by_flasks_function() -> None:
    """`copy_current_request_context(f, session="snapshot")` gives the session of `in_child`; any
    other word is refused."""

    def view() -> str:
        def work() -> int:
            with pytest.raises(SessionReadOnly):
                session["b"] = 1
            return int(session["a"])

        with pytest.raises(ValueError, match="'share' or 'snapshot'"):
            copy_current_request_context(work, session="own")
        return str(copy_current_request_context(work, session="snapshot")())

    assert filled(view_app(view).test_client(), a=1).get("/").text == "1"


# -- Vary: Cookie ----------------------------------------------------------------------------------

READS = {
    "getitem": lambda: session["a"],
    "get": lambda: session.get("a"),
    "get missing": lambda: session.get("b"),
    "in": lambda: "a" in session,
    "len": lambda: len(session),
    "bool": lambda: bool(session),
    "iter": lambda: list(session),
    "items": lambda: list(session.items()),
    "equals": lambda: session == {},
    "repr": lambda: repr(session),
    "permanent": lambda: session.permanent,
}


@EVERY_WAY
@pytest.mark.parametrize("opened", [True, False])
def test_reading_varies_the_response(start: Start[Any], opened: bool) -> None:
    """A session that only a child read makes the response vary by cookie."""

    def view() -> str:
        if opened:
            _ = session.accessed
        start(lambda: session.get("a"))
        return "x"

    assert view_app(view).test_client().get("/").headers["Vary"] == "Cookie"


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("has_cookie", [True, False])
def test_every_read_varies_the_response(read: str, has_cookie: bool) -> None:
    """Every way to look at the session in a child counts."""

    def view() -> str:
        with suppress(KeyError):
            called(READS[read])
        return "x"

    client = view_app(view).test_client()
    if has_cookie:
        filled(client, a=1)
    assert client.get("/").headers["Vary"] == "Cookie"


@EVERY_WAY
def test_leaving_it_alone_does_not(start: Start[Any]) -> None:
    """A child that leaves the session alone makes no `Vary` header."""

    def view() -> str:
        start(lambda: None)
        return "x"

    assert "Vary" not in view_app(view).test_client().get("/").headers


def test_reading_after_the_response() -> None:
    """A late child reads the session and marks nothing: not its request, and not a later one."""
    kept: list[Any] = []

    def view() -> str:
        if not kept:
            session["a"] = 1
            kept.append(in_child(lambda: session.get("a")))
        else:
            assert kept[0]() == 1
        return "x"

    app = view_app(view)
    client = app.test_client()
    client.get("/")
    assert kept[0]() == 1
    assert "Vary" not in app.test_client().get("/").headers


def test_a_child_and_its_parent_at_once() -> None:
    """A child that opens the session while its parent does takes nothing from the parent: what the
    parent writes is saved."""
    both = threading.Barrier(2, timeout=PATIENCE)
    written = threading.Event()
    parents: list[Any] = []

    class Own(demijohn.Request):
        """Both have found the session unopened when one of them goes on; the parent goes first."""

        @property
        def cookies(self) -> Any:  # type: ignore[override]
            if self in parents:
                both.wait()
                if threading.current_thread().name.startswith("child"):
                    assert written.wait(PATIENCE)
            return super().cookies

    def view() -> str:
        parents.append(request._get_current_object())
        with ThreadPoolExecutor(1, thread_name_prefix="child") as pool:
            job = pool.submit(in_child(lambda: session.get("a")))
            session["b"] = 2
            written.set()
            assert job.result(PATIENCE) == 1
        parents.clear()
        return "x"

    app = view_app(view)
    app.request_class = Own
    client = filled(app.test_client(), a=1)
    assert client.get("/").text == "x"
    assert session_of(client) == {"a": 1, "b": 2}


# -- sessions of other kinds -----------------------------------------------------------------------


def test_without_a_secret_key() -> None:
    """Without a secret key a child reads the empty session, and a write says what is missing."""

    def view() -> str:
        def work() -> None:
            assert not session
            with pytest.raises(RuntimeError, match="secret key"):
                session["a"] = 1

        called(work)
        return "x"

    assert view_app(view, SECRET_KEY=None).test_client().get("/").text == "x"


class DictSession(dict[str, Any], SessionMixin):
    """A session of an extension: it knows nothing of being frozen."""

    sid = "s1"
    new = True
    modified = False


class Mapping(SessionMixin):
    """One that is no dict."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values_ = values

    def __getitem__(self, key: str) -> Any:
        return self.values_[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.values_[key] = value

    def __delitem__(self, key: str) -> None:
        del self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("kind", [DictSession, Mapping])
def test_a_session_of_an_extension(kind: Any, opened: bool) -> None:
    """A session of an extension's class is a snapshot too, with its attributes, and refuses
    writes."""
    store: dict[str, Any] = {"a": [1]}

    class Store(SessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            return kind(dict(store))

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            store.update(session)

    def view() -> Any:
        if opened:
            session["b"] = 1

        def work() -> list[Any]:
            for write in (
                lambda: session.__setitem__("c", 2),
                lambda: session.update(c=2),
                lambda: session.pop("a", None),
                lambda: session.setdefault("c", 2),
                lambda: session.clear(),
                lambda: setattr(session, "permanent", True),
            ):
                with pytest.raises(SessionReadOnly):
                    write()
            asked = [session.new, session.modified]
            return [dict(session), getattr(session, "sid", None), asked]

        return called(work)

    app = view_app(view)
    app.session_interface = Store()
    wanted = {"a": [1], "b": 1} if opened else {"a": [1]}
    asked = [kind.new, kind.modified]
    assert app.test_client().get("/").json == [wanted, getattr(kind, "sid", None), asked]
    assert store == wanted


@pytest.mark.parametrize("kind", [DictSession, Mapping])
def test_an_extensions_session_is_written_too_late(kind: Any) -> None:
    """A write to a session of an extension's class raises when the response is final, in what
    shares it, and after the end, and changes nothing; reading goes on."""
    late: list[Any] = []
    opened: list[Any] = []

    class Store(SessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            opened.append(kind({"a": 1}))
            return opened[-1]

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            pass

    def write() -> Any:
        session["b"] = 1

    def view() -> str:
        copy_current_request_context(write)()
        late.append(copy_current_request_context(write))
        late.append(copy_current_request_context(lambda: dict(session)))
        late.append(copy_context())
        return "x"

    app = view_app(view)
    app.session_interface = Store()
    assert app.test_client().get("/").text == "x"
    opened[0].pop("b")
    with pytest.raises(SessionReadOnly):
        late[0]()
    assert late[1]() == {"a": 1}
    with pytest.raises(ContextEnded):
        late[2].run(write)
    assert late[2].run(lambda: dict(session)) == dict(opened[0]) == {"a": 1}


def test_an_interface_that_opens_sessions_itself() -> None:
    """A session that its interface opens at the request's begin is not opened again for a child."""
    opened: list[Any] = []

    class Own(SecureCookieSessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            opened.append(request)
            return super().open_session(app, request)

    app = view_app(lambda: str(called(lambda: session["a"])))
    client = filled(app.test_client(), a=1)
    app.session_interface = Own()
    assert client.get("/").text == "1"
    assert len(opened) == 1


def test_flasks_sharing_in_a_child() -> None:
    """`copy_current_request_context` in a child shares the child's session: its snapshot."""

    def view() -> str:
        def outer() -> Any:
            def inner() -> Any:
                with pytest.raises(SessionReadOnly):
                    session["b"] = 1
                return session["a"]

            return copy_current_request_context(inner)()

        return str(called(outer))

    assert filled(view_app(view).test_client(), a=1).get("/").text == "1"


def test_a_child_where_the_session_is_shared() -> None:
    """`in_child` in a function that shares the session takes a snapshot of that."""

    def view() -> Any:
        def outer() -> Any:
            session["b"] = 2
            run = in_child(lambda: dict(session))
            session["c"] = 3
            return run()

        return [copy_current_request_context(outer)(), dict(session)]

    client = filled(view_app(view).test_client(), a=1)
    assert client.get("/").json == [{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}]
    assert session_of(client) == {"a": 1, "b": 2, "c": 3}


def test_nobody_keeps_a_session_from_being_saved() -> None:
    """With a child that reads the session, its parent's changes are saved as without."""
    app = make_app()

    @app.get("/")
    def view() -> str:
        session["n"] = session.get("n", 0) + 1
        run = in_child(lambda: session["n"])
        session["n"] += 1
        return f"{run()} {session['n']}"

    client = app.test_client()
    assert [client.get("/").text for _ in range(3)] == ["1 2", "3 4", "5 6"]


def test_a_body_that_writes_to_the_session() -> None:
    """A child that reads the session changes nothing for its parent: what a body writes there after
    the response is final goes where it goes without a child."""

    def view() -> Any:
        session["a"] = 1
        called(lambda: session["a"])

        def body() -> Any:
            session["a"] = 2
            yield str(session["a"])

        return stream_with_context(body())

    client = view_app(view).test_client()
    assert client.get("/").text == "2"
    assert session_of(client) == {"a": 1}


def test_a_session_that_cannot_be_copied() -> None:
    """A session with a value that cannot be copied is refused where the work is started, and the
    error says what was to be copied."""

    class Store(SessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            return DictSession(lock=threading.Lock())

        def save_session(self, app: Any, session: Any, response: Any) -> None: ...

    def view() -> str:
        with pytest.raises(TypeError) as caught:
            in_child(lambda: None)
        return caught.value.__notes__[0]

    app = view_app(view)
    app.session_interface = Store()
    text = app.test_client().get("/").text
    assert text == "This session was to be copied for a child of its request."
