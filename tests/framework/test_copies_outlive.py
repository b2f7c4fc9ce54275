"""Promise 9: copies outlive their request safely, its uploads and its session."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from context_kit import EVERYWHERE, in_thread, make_app, view_app

import demijohn
from demijohn import (
    copy_current_request_context,
    g,
    request,
    session,
)
from demijohn.context import SessionReadOnly
from demijohn.globals import app_ctx, request_ctx


class Later:
    """A thread that waits, before it calls its function, until it is told to go on."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._future: Future[Any] | None = None

    def start(self, function: Callable[[], Any]) -> None:
        def work() -> Any:
            assert self._go.wait(10)
            return function()

        self._future = self._pool.submit(work)

    def result(self) -> Any:
        """Let the thread go on; what its function returns, or raises."""
        assert self._future is not None
        self._go.set()
        try:
            return self._future.result(10)
        finally:
            self._future = None
            self._pool.shutdown()


@pytest.fixture
def later() -> Iterator[Later]:
    yield Later()


def test_after_the_response(later: Later) -> None:
    """A function that runs after its parent's end sees the request as it was."""

    def view() -> str:
        g.user = "parent"
        later.start(
            copy_current_request_context(
                lambda: [request.path, request.args["q"], request.headers["X-Own"], list(g)]
            )
        )
        return "x"

    app = view_app(view)
    app.test_client().get("/?q=1", headers={"X-Own": "h"})
    assert app.log == ["request ok", "app ok"]
    assert later.result() == ["/", "1", "h", []]
    assert app.log == ["request ok", "app ok", "app ok"]


def test_during_another_request(later: Later) -> None:
    """A function that runs while another request is served sees its own request."""

    def view() -> str:
        if request.args["q"] == "1":
            later.start(copy_current_request_context(lambda: request.args["q"]))
            return "x"
        return str(later.result())

    app = view_app(view)
    client = app.test_client()
    client.get("/?q=1")
    assert client.get("/?q=2").text == "1"


class Upload(io.BytesIO):
    """A file that a request's form parser writes to."""

    made: list[Upload] = []

    def __init__(self) -> None:
        super().__init__()
        Upload.made.append(self)


@contextmanager
def uploading(app: Any) -> Iterator[list[Upload]]:
    """Send a file to the view; the files that the request's parser opened."""

    class Own(demijohn.Request):
        def _get_file_stream(self, *args: Any, **kwargs: Any) -> Any:
            return Upload()

    app.request_class = Own
    Upload.made.clear()
    data = {"f": (io.BytesIO(b"content"), "f.txt")}
    app.test_client().post("/", data=data).close()
    yield Upload.made


def test_uploads_stay_open_for_it(later: Later) -> None:
    """An upload that the view opened can be read after the response, and is closed when the
    function is gone.
    """

    def view() -> str:
        assert "f" in request.files
        later.start(copy_current_request_context(lambda: request.files["f"].read().decode()))
        return "x"

    with uploading(view_app(view)) as files:
        assert [file.closed for file in files] == [False]
        assert later.result() == "content"
        gc.collect()
        assert [file.closed for file in files] == [True]


def test_uploads_stay_open_for_the_parent() -> None:
    """A function that ended has not closed the parent's uploads."""

    def view() -> str:
        request.files["f"]
        work = copy_current_request_context(lambda: request.files["f"].read(3).decode())
        first = in_thread(work)
        del work
        return str(first + request.files["f"].read().decode())

    app = view_app(view)
    data = {"f": (io.BytesIO(b"content"), "f.txt")}
    assert app.test_client().post("/", data=data).text == "content"


def test_uploads_are_closed_when_nobody_calls() -> None:
    """A wrapped function that is dropped without a call keeps no upload open."""

    def view() -> str:
        assert "f" in request.files
        copy_current_request_context(lambda: None)
        return "x"

    with uploading(view_app(view)) as files:
        assert [file.closed for file in files] == [True]


def test_uploads_without_a_copy() -> None:
    """Uploads are closed at the request's end where nothing else holds the request."""
    with uploading(view_app(lambda: str("f" in request.files))) as files:
        assert [file.closed for file in files] == [True]


def test_uploads_with_several_holders() -> None:
    """Of several functions the last one gone closes the uploads."""
    kept: list[Any] = []

    def view() -> str:
        assert "f" in request.files
        for _ in range(2):
            kept.append(copy_current_request_context(lambda: request.files["f"].name))
        return "x"

    with uploading(view_app(view)) as files:
        for _ in range(2):
            kept[0]()
        del kept[0]
        assert [file.closed for file in files] == [False]
        kept[0]()
        assert [file.closed for file in files] == [False]
        del kept[0]
        gc.collect()
        assert [file.closed for file in files] == [True]


def test_memory_is_released() -> None:
    """When the response is sent and the function is gone, nothing keeps the request."""
    refs: list[weakref.ref[Any]] = []

    def view() -> str:
        work = copy_current_request_context(lambda: None)
        in_thread(work)
        refs.extend(
            weakref.ref(each._get_current_object()) for each in (request, request_ctx, app_ctx)
        )
        refs.append(weakref.ref(work))
        return "x"

    app = view_app(view)
    gc.disable()
    try:
        app({**demijohn.testing.EnvironBuilder(app, "/").get_environ()}, lambda *args: None)
        assert [ref() for ref in refs] == [None] * 4
    finally:
        gc.enable()


# -- session ---------------------------------------------------------------------------------------


def session_of(client: Any) -> dict[str, Any]:
    with client.session_transaction() as opened:
        return dict(opened)


@EVERYWHERE
@pytest.mark.parametrize("opened", [True, False])
def test_the_session_is_shared_until_the_response_is_final(place: Any, opened: bool) -> None:
    """What the function writes before the response is final is in the client's cookie, and the
    other way round.
    """

    def view() -> str:
        if opened:
            session["parent"] = 1

        def work() -> None:
            assert dict(session) == ({"parent": 1} if opened else {})
            session["child"] = 2

        place(copy_current_request_context(work))
        return str(session["child"])

    client = view_app(view).test_client()
    assert client.get("/").text == "2"
    assert session_of(client) == ({"parent": 1, "child": 2} if opened else {"child": 2})


@EVERYWHERE
def test_reading_it_varies_the_response(place: Any) -> None:
    """A session that only the function read before the response was final makes `Vary: Cookie`."""

    def view() -> str:
        place(copy_current_request_context(lambda: session.get("a")))
        return "x"

    assert view_app(view).test_client().get("/").headers["Vary"] == "Cookie"


@EVERYWHERE
def test_not_reading_it_does_not(place: Any) -> None:
    """A function that leaves the session alone makes no `Vary` header."""

    def view() -> str:
        place(copy_current_request_context(lambda: request.path))
        return "x"

    assert "Vary" not in view_app(view).test_client().get("/").headers


@pytest.mark.parametrize("opened", [True, False])
def test_the_session_after_the_response(later: Later, opened: bool) -> None:
    """Once the response is final the session can be read, and a write says why it cannot be."""

    def view() -> str:
        if opened:
            session["a"] = 1

        def work() -> Any:
            found = session.get("a")
            for write in (
                lambda: session.__setitem__("b", 2),
                lambda: session.pop("a", None),
                lambda: session.update(b=2),
                lambda: setattr(session, "permanent", True),
            ):
                with pytest.raises(SessionReadOnly, match="final"):
                    write()
            return found, session.get("b")

        later.start(copy_current_request_context(work))
        return "x"

    app = view_app(view)
    client = app.test_client()
    if not opened:
        with client.session_transaction() as given:
            given["a"] = 1
    client.get("/")
    assert later.result() == (1, None)
    assert session_of(client) == {"a": 1}


def test_the_session_after_a_response_that_did_not_need_it(later: Later) -> None:
    """Also where nobody had looked at the session, a write after the response raises."""

    def view() -> str:
        def work() -> None:
            assert dict(session) == {}
            with pytest.raises(SessionReadOnly, match="final"):
                session["a"] = 1

        later.start(copy_current_request_context(work))
        return "x"

    assert view_app(view).test_client().get("/").text == "x"
    later.result()


def test_the_next_request_writes_again(later: Later) -> None:
    """The session of a later request, and the one that `with client:` keeps, can be written."""

    def view() -> str:
        if not session:
            later.start(copy_current_request_context(lambda: dict(session)))
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    app = view_app(view)
    with app.test_client() as client:
        assert client.get("/").text == "1"
        session["kept"] = True
        assert client.get("/").text == "2"
    assert later.result()["n"] == 1


def test_a_null_session_is_shared() -> None:
    """Without a secret key the function can read the empty session, and a write says what is
    missing.
    """

    def view() -> str:
        def work() -> None:
            assert not session
            with pytest.raises(RuntimeError, match="secret key"):
                session["a"] = 1

        in_thread(copy_current_request_context(work))
        return "x"

    assert view_app(view, SECRET_KEY=None).test_client().get("/").text == "x"


def test_the_way_of_the_session_is_checked() -> None:
    """An unknown way to treat the session is refused when the function is wrapped."""
    with make_app().test_request_context(), pytest.raises(ValueError, match="share"):
        copy_current_request_context(lambda: None, session="own")
