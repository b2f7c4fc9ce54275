"""Promise 9: the request of a child tells what its parent's told, and has no hold on the server."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest
from children_kit import EVERY_WAY, PATIENCE, Start, called, make_app, view_app
from werkzeug.datastructures import Headers, MultiDict

import demijohn
from demijohn import copy_current_request_context, in_child, request
from demijohn.framework.copies import Sharing
from demijohn.globals import request_ctx
from demijohn.testing import EnvironBuilder

TAKEN = pytest.mark.parametrize("wrap", [in_child, copy_current_request_context])
"""Both ways to take a function along with its request."""


@TAKEN
def test_it_is_another_object(wrap: Any) -> None:
    """A child's request, its environ and its view arguments are its own: what it changes its parent
    does not see."""

    def view(name: str) -> Any:
        parent = request._get_current_object()

        def work() -> list[bool]:
            own = request._get_current_object()
            own.view_args.clear()
            own.environ["HTTP_X"] = "child"
            own.method = "PUT"
            return [
                type(own) is type(parent),
                own is parent,
                own.environ is parent.environ,
                own.view_args is parent.view_args,
            ]

        found = wrap(work)()
        return [found, request.view_args, request.headers.get("X"), request.method]

    app = view_app(view, "/<lang>/<name>")
    app.url_value_preprocessor(lambda endpoint, values: values.pop("lang"))
    answer = app.test_client().get("/de/x").json
    assert answer == [[True, False, False, False], {"name": "x"}, None, "GET"]


@TAKEN
def test_no_handle_of_the_server_goes_along(wrap: Any) -> None:
    """The environ of a child has none of the server's objects."""
    app = make_app()

    class Socket:
        pass

    handle = Socket()
    environ = EnvironBuilder(app, "/").get_environ()
    environ.update({"gunicorn.socket": handle, "werkzeug.socket": handle, "wsgi.input": handle})
    environ.update({"wsgi.file_wrapper": handle, "wsgi.errors": handle, "SERVER_NAME": "own"})
    with app.request_context(environ):
        own = wrap(lambda: dict(request.environ))()
    assert handle not in own.values()
    assert own["SERVER_NAME"] == "own"


def test_objects_in_the_environ_stay() -> None:
    """Of the environ a child has plain data alone; a function that shares the session, as in Flask,
    has what middleware put there too."""
    app = make_app()
    user = object()
    environ = EnvironBuilder(app, "/").get_environ()
    environ["site.user"] = user
    with app.request_context(environ):
        assert in_child(lambda: "site.user" in request.environ)() is False
        assert copy_current_request_context(lambda: request.environ["site.user"])() is user


def test_attributes_of_ones_own() -> None:
    """What an application puts on a request stays; a function that shares the session, as in Flask,
    has it too."""
    with make_app().test_request_context("/"):
        request.user = "ann"
        assert in_child(lambda: hasattr(request, "user"))() is False
        assert copy_current_request_context(lambda: request.user)() == "ann"


@TAKEN
def test_what_was_assigned(wrap: Any) -> None:
    """Attributes that were assigned on the parent's request are so in the child's."""
    with make_app().test_request_context("/?a=1", method="POST"):
        request.method = "PATCH"
        request.max_content_length = 7
        request.parameter_storage_class = MultiDict
        request.headers = Headers({"X-Own": "assigned"})

        def work() -> list[Any]:
            args = request.args
            return [
                *(request.method, request.max_content_length, type(args) is MultiDict),
                *(args["a"], request.headers["X-Own"]),
            ]

        assert wrap(work)() == ["PATCH", 7, True, "1", "assigned"]


def test_a_class_of_ones_own() -> None:
    """A child's request is of the application's class, made by its constructor."""

    class Own(demijohn.Request):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.label = f"label of {self.path}"

    app = make_app()
    app.request_class = Own
    with app.test_request_context("/p"):
        assert called(lambda: (type(request._get_current_object()), request.label)) == (
            Own,
            "label of /p",
        )


def test_a_request_without_a_route() -> None:
    """In a 404 handler a child sees what routing raised."""

    def answer(error: Any) -> Any:
        return called(lambda: f"{request.path} {request.url_rule} {request.view_args}"), 404

    app = make_app()
    app.register_error_handler(404, answer)
    assert app.test_client().get("/missing").text == "/missing None None"


def test_request_contexts_of_ones_own() -> None:
    """A subclass's `copy` makes the contexts of children too, and may look at the request."""

    class Own(demijohn.ctx.RequestContext):
        label = "original"

        def copy(self) -> Own:
            copied: Any = super().copy()
            copied.label = f"copied {copied.request.path}"
            return copied  # type: ignore[no-any-return]

    class App(demijohn.Demijohn):
        def request_context(self, environ: Any) -> Any:
            return Own(self, environ)

    app = App("own", static_folder=None)
    app.add_url_rule("/", "view", lambda: called(lambda: str(request_ctx.label)))
    assert app.test_client().get("/").text == "copied /"


# -- the body --------------------------------------------------------------------------------------


@EVERY_WAY
@pytest.mark.parametrize("read", ["get_data", "get_json", "form"])
def test_a_body_that_was_read(start: Start[Any], read: str) -> None:
    """A body that the parent has read is there in the child, as data, JSON and form."""

    def look() -> Any:
        if read == "form":
            return request.form["a"]
        return request.get_json()["a"]

    def view() -> Any:
        if read == "form":
            _ = request.form
        else:
            getattr(request, read)()
        mine = look()
        found = start(look)
        assert look() == mine
        return str(found)

    options = {"data": {"a": "b"}} if read == "form" else {"json": {"a": "b"}}
    assert view_app(view).test_client().post("/", **options).text == "b"


def test_the_parsed_body_is_its_own() -> None:
    """What a child changes in the JSON that was parsed its parent does not see."""

    def view() -> Any:
        request.get_json()
        called(lambda: request.get_json().append("child"))
        return request.get_json()

    assert view_app(view).test_client().post("/", json=["parent"]).json == ["parent"]


@EVERY_WAY
@pytest.mark.parametrize("how", ["get_data", "get_json", "form", "stream"])
def test_a_body_that_was_not_read(start: Start[Any], how: str) -> None:
    """A child that reads a body which its parent has not read is told to read it before, and the
    parent can still read it."""

    def read() -> Any:
        if how == "form":
            return request.form
        return request.stream.read() if how == "stream" else getattr(request, how)()

    def view() -> Any:
        with pytest.raises(RuntimeError, match=r"Read it before: call `request\.get_data\(\)`"):
            start(read)
        return request.form["a"] if how == "form" else request.get_json()

    options = {"data": {"a": "b"}} if how == "form" else {"json": "b"}
    answer = view_app(view).test_client().post("/", **options)
    assert answer.text.strip().strip('"') == "b"


@EVERY_WAY
@pytest.mark.parametrize("environ", [{}, {"wsgi.input_terminated": True}, {"CONTENT_LENGTH": ""}])
def test_no_body(start: Start[Any], environ: dict[str, Any]) -> None:
    """A request without a body has an empty one in the child, whatever its server says of that."""

    def view() -> Any:
        return start(
            lambda: [request.get_data().decode(), request.get_json(silent=True), len(request.form)]
        )

    client = view_app(view).test_client()
    assert client.get("/", environ_overrides=environ).json == ["", None, 0]


def test_a_shared_requests_body() -> None:
    """A function that shares the session, as in Flask, reads the body as long as its request runs;
    afterwards it is told to read it before."""
    kept: list[Any] = []

    def view() -> Any:
        work = copy_current_request_context(lambda: request.get_json()["a"])
        kept.append(copy_current_request_context(lambda: request.get_data()))
        with ThreadPoolExecutor(4) as pool:
            found = [job.result(PATIENCE) for job in [pool.submit(work) for _ in range(4)]]
        return [found, request.get_json()["a"]]

    client = view_app(view).test_client()
    assert client.post("/", json={"a": "b"}).json == [["b"] * 4, "b"]
    with pytest.raises(RuntimeError, match="Read it before"):
        kept[0]()


def test_children_read_one_after_another() -> None:
    """Functions that share the session and read the body at once do not read from the connection at
    once."""
    app = make_app()
    reading, overlapped = list[int](), threading.Event()

    class Connection(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            reading.append(1)
            if len(reading) > 1:
                overlapped.set()
            overlapped.wait(0.1)
            try:
                return super().read(*args)
            finally:
                reading.pop()

    environ = EnvironBuilder(app, "/", method="POST").get_environ()
    environ.update({"wsgi.input": Connection(b"body"), "CONTENT_LENGTH": "4"})
    with app.request_context(environ), ThreadPoolExecutor(2) as pool:
        barrier = threading.Barrier(2, timeout=PATIENCE)

        def work() -> bytes:
            barrier.wait()
            return request.get_data()

        wrapped = copy_current_request_context(work)
        jobs = [pool.submit(wrapped) for _ in range(2)]
        assert [job.result(PATIENCE) for job in jobs] == [b"body"] * 2
    assert not overlapped.is_set()


def test_the_next_requests_body_is_not_touched() -> None:
    """A late child does not read from the connection, where the next request's body is."""
    kept: list[Any] = []

    def view() -> Any:
        kept.append(in_child(lambda: request.get_data()))
        kept.append(copy_current_request_context(lambda: request.get_data()))
        return "x"

    app = view_app(view)
    connection = io.BytesIO(b"firstsecond")
    environ = EnvironBuilder(app, "/", method="POST").get_environ()
    environ.update({"wsgi.input": connection, "CONTENT_LENGTH": "5"})
    list(app(environ, lambda *args: None))
    for work in kept:
        with pytest.raises(RuntimeError, match="Read it before"):
            work()
    assert connection.tell() == 0


# -- uploads ---------------------------------------------------------------------------------------


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


def content() -> str:
    return str(request.files["f"].read().decode())


@TAKEN
def test_uploads_outlive_the_response(wrap: Any) -> None:
    """An upload that the view opened can be read after the response, and is closed with the last
    child."""
    kept: list[Callable[[], str]] = []

    def view() -> str:
        assert "f" in request.files
        kept.append(wrap(content))
        return "x"

    with uploading(view_app(view)) as files:
        assert [file.closed for file in files] == [False]
        assert kept.pop()() == "content"
        gc.collect()
        assert [file.closed for file in files] == [True]


@EVERY_WAY
def test_a_child_leaves_uploads_to_its_parent(start: Start[Any]) -> None:
    """A child that has ended has not closed its parent's uploads."""

    def view() -> str:
        _ = request.files["f"]
        first = start(lambda: request.files["f"].read(3).decode())
        return str(first + content())

    app = view_app(view)
    data = {"f": (io.BytesIO(b"content"), "f.txt")}
    assert app.test_client().post("/", data=data).text == "content"


@TAKEN
def test_uploads_without_a_call(wrap: Any) -> None:
    """A function that is dropped without a call keeps no upload open."""

    def view() -> str:
        assert "f" in request.files
        wrap(content)
        return "x"

    with uploading(view_app(view)) as files:
        assert [file.closed for file in files] == [True]


def test_uploads_that_a_child_has_parsed() -> None:
    """Uploads of a body that a child has read itself, sharing the session as in Flask, are closed
    at its end, and its parent's at its own."""
    seen: list[list[bool]] = []

    def view() -> str:
        first = copy_current_request_context(content)()
        seen.append([file.closed for file in Upload.made])
        return first + content()

    with uploading(view_app(view)) as files:
        assert [file.closed for file in files] == [True, True]
    assert seen == [[True]]


def test_uploads_in_a_running_child() -> None:
    """A child that still runs when the response is out keeps the uploads open until its own end."""
    go = threading.Event()
    jobs: list[Any] = []
    with ThreadPoolExecutor(1) as pool:

        def view() -> str:
            assert "f" in request.files

            def work() -> str:
                assert go.wait(PATIENCE)
                return content()

            jobs.append(pool.submit(in_child(work)))
            return "x"

        with uploading(view_app(view)) as files:
            assert [file.closed for file in files] == [False]
            go.set()
            assert jobs.pop().result(PATIENCE) == "content"
            pool.submit(int).result(PATIENCE)
            gc.collect()
            assert [file.closed for file in files] == [True]


def test_a_close_of_ones_own() -> None:
    """A request's own `close` is called once, for the parent's request and never for a child's."""
    closed: list[str] = []

    class Own(demijohn.Request):
        def close(self) -> None:
            closed.append(self.path if self is parent() else "child")
            super().close()

    parent: weakref.ref[Any]

    def view() -> str:
        nonlocal parent
        parent = weakref.ref(request._get_current_object())
        called(lambda: None)
        copy_current_request_context(lambda: None)()
        assert closed == []
        return "x"

    app = view_app(view)
    app.request_class = Own
    app.test_client().get("/")
    gc.collect()
    assert closed == ["/"]


def test_many_holders_let_go_at_once() -> None:
    """Of many holders that let go at the same moment one closes the uploads, once."""

    class Request:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    barrier = threading.Barrier(2, timeout=PATIENCE)

    class Holders(list[None]):
        """Lets every holder look when all have gone."""

        def pop(self, *args: Any) -> None:
            super().pop(*args)
            barrier.wait()

    request = Request()
    sharing = Sharing(request)
    shares = [sharing.take() for _ in range(2)]
    sharing._holders = Holders(sharing._holders)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda share: (share.let_go(), share.let_go()), shares))
    assert request.closed == 1


def test_many_threads_start_children_at_once() -> None:
    """Threads that have inherited a request's Context can start children of it at once: the uploads
    stay open."""

    def view() -> str:
        _ = request.files["f"]
        barrier = threading.Barrier(4, timeout=PATIENCE)

        def start() -> Any:
            barrier.wait()
            return in_child(lambda: request.files["f"].tell())()

        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(copy_context().run, start) for _ in range(4)]
            found = {job.result(PATIENCE) for job in jobs}
        gc.collect()
        assert found == {0}
        return content()

    for _ in range(10):
        data = {"f": (io.BytesIO(b"content"), "f.txt")}
        assert view_app(view).test_client().post("/", data=data).text == "content"
