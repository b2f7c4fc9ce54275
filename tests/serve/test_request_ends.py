"""When a request at the WSGI edge ends: once, after its last byte, or at once where the body is
plain.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_calls import BOTH, Exchange, call, environ_for, make_app
from elsewhere import in_thread
from werkzeug.exceptions import ImATeapot
from werkzeug.wrappers import Response as WerkzeugResponse

import demijohn
from demijohn import g, request, stream_with_context


def logging_app(fw: Any = demijohn, **config: Any) -> tuple[Any, list[str]]:
    """An application whose teardown functions write to the returned log."""
    app = make_app(fw, **config)
    log: list[str] = []
    app.teardown_request(lambda exc: log.append(f"teardown_request({exc!r})"))
    app.teardown_appcontext(lambda exc: log.append(f"teardown_appcontext({exc!r})"))
    return app, log


def ended(exc: str = "None") -> list[str]:
    """The log of one end."""
    return [f"teardown_request({exc})", f"teardown_appcontext({exc})"]


def streaming(log: list[str], kind: str) -> Any:
    """A view of one way to stream; its generator writes its steps to `log`."""

    def body() -> Iterator[str]:
        try:
            log.append("step 1")
            yield f"{request.path}1"
            log.append("step 2")
            yield f"{g.get('name', 'x')}2"
            log.append("done")
        finally:
            log.append("closed")

    class Closeable:
        """An iterable that is no generator; each iteration starts anew."""

        def __iter__(self) -> Iterator[str]:
            return body()

        def close(self) -> None:
            log.append("iterable closed")

    views: dict[str, Callable[[], Any]] = {
        "generator": body,
        "with context": lambda: stream_with_context(body()),
        "decorated": lambda: stream_with_context(body)(),
        "response": lambda: demijohn.Response(body()),
        "werkzeug response": lambda: WerkzeugResponse(body()),
        "tuple": lambda: (body(), 201, {"X-A": "b"}),
        "iterable": lambda: demijohn.Response(Closeable()),
        "response with context": lambda: demijohn.Response(stream_with_context(body())),
    }
    return views[kind]


STREAMS = [
    "generator",
    "with context",
    "decorated",
    "response",
    "werkzeug response",
    "tuple",
    "response with context",
]


@pytest.fixture(params=STREAMS)
def streamed(request: pytest.FixtureRequest) -> tuple[Any, list[str]]:
    """An application that streams in one of the ways, and its log."""
    app, log = logging_app()
    app.add_url_rule("/", "view", streaming(log, request.param))
    return app, log


def test_end_after_the_last_byte(streamed: tuple[Any, list[str]]) -> None:
    """A streamed request ends when its body is over, before close() and once, even where nobody
    calls that.
    """
    app, log = streamed
    body = iter(call(app).body)
    assert log == []
    assert next(body) == b"/1"
    assert log == ["step 1"]
    assert list(body) == [b"x2"]
    assert log == ["step 1", "step 2", "done", "closed", *ended()]
    body.close()  # type: ignore[attr-defined]
    assert list(body) == []
    assert log[5:] == ended()[1:]


def test_end_at_close(streamed: tuple[Any, list[str]]) -> None:
    """A body that is closed early ends its request then, after the generator was closed, and has no
    step left.
    """
    app, log = streamed
    body: Any = iter(call(app).body)
    next(body)
    body.close()
    body.close()
    assert log == ["step 1", "closed", *ended()]
    assert list(body) == []
    del body
    gc.collect()
    assert log == ["step 1", "closed", *ended()]


def test_end_when_dropped(streamed: tuple[Any, list[str]]) -> None:
    """A body that is dropped half-way ends its request without the cyclic collector's help."""
    app, log = streamed
    gc.disable()
    try:
        body = iter(call(app).body)
        next(body)
        del body
        assert log == ["step 1", "closed", *ended()]
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["close", "drop"])
def test_end_when_never_started(streamed: tuple[Any, list[str]], how: str) -> None:
    """A body that is never stepped ends its request too, and its generator never starts."""
    app, log = streamed
    exchange = call(app)
    if how == "close":
        exchange.close()
    del exchange
    assert log == ended()


@pytest.mark.parametrize("how", ["read", "close", "drop"])
def test_end_on_another_thread(streamed: tuple[Any, list[str]], how: str) -> None:
    """A body that is finished on another thread than its request's ends there, once, without a
    warning.
    """
    app, log = streamed
    held = [call(app)]

    def finish() -> None:
        exchange = held.pop()
        if how == "read":
            exchange.read()
        elif how == "close":
            exchange.close()

    in_thread(finish)
    assert log[-2:] == ended()
    assert sum(line.startswith("teardown") for line in log) == 2


def test_an_iterable_that_is_no_generator() -> None:
    """An iterable with a close() of its own is closed before the end, after the iteration."""
    app, log = logging_app()
    app.add_url_rule("/", "view", streaming(log, "iterable"))
    assert call(app).read() == b"/1x2"
    assert log == ["step 1", "step 2", "done", "closed", "iterable closed", *ended()]


@pytest.mark.parametrize(
    "kind", [LookupError, KeyboardInterrupt, SystemExit, GeneratorExit, RecursionError]
)
@pytest.mark.parametrize("at", [1, 2])
def test_an_exception_in_the_body(kind: type[BaseException], at: int) -> None:
    """An exception in a step reaches the server as it is, and the teardown functions, once."""
    app, log = logging_app()
    seen: list[BaseException | None] = []
    app.teardown_appcontext(seen.append)
    error = kind("step")

    @app.get("/")
    def view() -> Iterator[str]:
        if at == 1:
            raise error
        yield "1"
        raise error

    exchange = call(app)
    body: Any = iter(exchange.body)
    if at == 2:
        assert next(body) == b"1"
    with pytest.raises(kind) as caught:
        next(body)
    assert caught.value is error
    assert seen == [error]
    body.close()
    assert seen == [error]
    assert list(body) == []
    assert log == ended(repr(error))


def test_stopiteration_in_the_body() -> None:
    """A StopIteration of the user's inside a generator is Python's RuntimeError, for the server and
    the end.
    """
    app, log = logging_app()

    @app.get("/")
    def view() -> Iterator[str]:
        yield "1"
        next(iter(()))

    with pytest.raises(RuntimeError, match="generator raised StopIteration"):
        call(app).read()
    assert log == ended("RuntimeError('generator raised StopIteration')")


@pytest.mark.parametrize("started", [False, True])
def test_an_exception_in_close(started: bool) -> None:
    """An exception of a body's close() reaches the server and the teardown functions; the end is
    not repeated.
    """
    app, log = logging_app()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"1", b"2"])

        def close(self) -> None:
            raise OSError("close")

    app.add_url_rule("/", "view", lambda: demijohn.Response(Body()))
    exchange = call(app)
    body: Any = iter(exchange.body)
    if started:
        next(body)
    with pytest.raises(OSError, match="close"):
        body.close()
    body.close()
    assert log == ended("OSError('close')")


def test_close_callbacks_run_before_the_end() -> None:
    """Functions given to `call_on_close` run once, after the last byte, with the request still
    there.
    """
    app, log = logging_app()

    @app.get("/")
    def view() -> Any:
        response = demijohn.Response(str(n) for n in range(2))
        response.call_on_close(lambda: log.append(f"on_close {request.path}"))
        return response

    assert call(app).read() == b"01"
    assert log == ["on_close /", *ended()]


# -- plain bodies ----------------------------------------------------------------------------------


def plain_views() -> dict[str, Callable[[Any], Any]]:
    """Views whose body is data."""
    return {
        "text": lambda fw: "text",
        "bytes": lambda fw: b"bytes",
        "dict": lambda fw: {"a": 1},
        "list": lambda fw: [1],
        "tuple": lambda fw: ("text", 201, {"X-A": "b"}),
        "response": lambda fw: fw.make_response("text"),
        "list of parts": lambda fw: fw.Response([b"a", b"b"]),
        "tuple of parts": lambda fw: fw.Response((b"a", "b")),
        "empty": lambda fw: "",
        "no content": lambda fw: ("", 204),
        "abort": lambda fw: fw.abort(404),
        "exception": lambda fw: ImATeapot(),
        "redirect": lambda fw: fw.redirect("/other"),
        "werkzeug response": lambda fw: WerkzeugResponse("text"),
    }


@BOTH
@pytest.mark.parametrize("name", plain_views())
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_plain_body_ends_before_it_is_sent(fw: Any, name: str, method: str) -> None:
    """A request whose body is data ends after start_response and before the server gets the
    body.
    """
    app, log = logging_app(fw)
    view = plain_views()[name]
    app.add_url_rule("/", "view", lambda: view(fw))
    exchange = call(app, log=log.append, method=method)
    assert log == ["start_response", *ended()]
    exchange.read()
    assert log == ["start_response", *ended()]


@BOTH
@pytest.mark.parametrize("path", ["/missing", "/slash", "/post", "/fail"])
def test_what_routing_and_errors_answer_ends_before_it_is_sent(fw: Any, path: str) -> None:
    """404, 405, slash redirects and 500 are plain bodies."""
    app, log = logging_app(fw)
    app.add_url_rule("/slash/", "slash", lambda: "x")
    app.add_url_rule("/post", "post", lambda: "x", methods=["POST"])
    app.add_url_rule("/fail", "fail", lambda: 1 / 0)
    exchange = call(app, path, log=log.append)
    failed = "ZeroDivisionError('division by zero')" if path == "/fail" else "None"
    assert log == ["start_response", *ended(failed)]
    exchange.read()
    assert len(log) == 3


@BOTH
def test_plain_answers_are_the_same(fw: Any) -> None:
    """Status, headers and body of plain answers are Flask's."""
    for name, view in plain_views().items():
        for method in ("GET", "HEAD"):
            answers = []
            for package in (fw, demijohn):
                app = make_app(package)
                app.add_url_rule("/", "view", lambda view=view, fw=package: view(fw))
                exchange = call(app, method=method)
                answers.append((exchange.status, sorted(exchange.headers), exchange.read()))
            assert answers[0] == answers[1], (name, method)


@BOTH
def test_close_callbacks_of_a_plain_body(fw: Any) -> None:
    """With functions to call on close, a plain body still ends first; they run at the server's
    close().
    """
    app, log = logging_app(fw)

    @app.get("/")
    def view() -> Any:
        response = fw.make_response("text")
        response.call_on_close(lambda: log.append("on_close"))
        return response

    exchange = call(app, log=log.append)
    assert log == ["start_response", *ended()]
    assert exchange.read() == b"text"
    assert log == ["start_response", *ended(), "on_close"]


@pytest.mark.parametrize("kind", [*STREAMS, "iterable"])
def test_head_of_a_stream(kind: str) -> None:
    """HEAD gets the headers of a stream, no body, the generator is never started, and the request
    ends once.
    """
    app, log = logging_app()
    app.add_url_rule("/", "view", streaming(log, kind))
    exchange = call(app, method="HEAD")
    assert exchange.read() == b""
    assert exchange.status == ("201 CREATED" if kind == "tuple" else "200 OK")
    assert exchange.header("Content-Type") == (
        "text/plain; charset=utf-8" if kind == "werkzeug response" else "text/html; charset=utf-8"
    )
    assert [line for line in log if line != "iterable closed"] == ended()


# -- files -----------------------------------------------------------------------------------------


class FileWrapper:
    """A server's `wsgi.file_wrapper`."""

    made: list[FileWrapper] = []

    def __init__(self, file: io.IOBase, block_size: int = 8192) -> None:
        self.file = file
        self.made.append(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)

    def close(self) -> None:
        self.file.close()


@BOTH
def test_a_servers_file_wrapper_is_what_the_server_gets(fw: Any, tmp_path: Path) -> None:
    """A file goes to the server in the server's own wrapper, unread and open, after the request's
    end.
    """
    (tmp_path / "file.txt").write_bytes(b"content")
    app, log = logging_app(fw)
    app.add_url_rule("/", "view", lambda: fw.send_file(tmp_path / "file.txt"))
    FileWrapper.made.clear()
    exchange = call(app, log=log.append, environ={"wsgi.file_wrapper": FileWrapper})
    (wrapper,) = FileWrapper.made
    assert log == ["start_response", *ended()]
    assert not wrapper.file.closed
    assert exchange.read() == b"content"
    assert wrapper.file.closed


@BOTH
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_wrapper_itself(fw: Any, method: str) -> None:
    """A passed-through body is the server's wrapper itself, so that the server can use sendfile."""
    app = make_app(fw)

    @app.get("/")
    def view() -> Any:
        wrapped = fw.request.environ["wsgi.file_wrapper"](io.BytesIO(b"content"))
        return fw.Response(wrapped, direct_passthrough=True)

    FileWrapper.made.clear()
    exchange = call(app, method=method, environ={"wsgi.file_wrapper": FileWrapper})
    if method == "GET":
        assert exchange.body is FileWrapper.made[0]
        assert exchange.read() == b"content"
        assert FileWrapper.made[0].file.closed
    else:
        assert exchange.read() == b""


@BOTH
@pytest.mark.parametrize("range_", ["bytes=2-4", "bytes=5-", None])
def test_a_part_of_a_file(fw: Any, tmp_path: Path, range_: str | None) -> None:
    """A range of a file is a plain body too, and its file is closed once it is sent."""
    (tmp_path / "file.txt").write_bytes(b"0123456789")
    app, log = logging_app(fw)
    app.add_url_rule("/", "view", lambda: fw.send_file(tmp_path / "file.txt"))
    exchange = call(app, log=log.append, headers={"Range": range_} if range_ else {})
    assert log == ["start_response", *ended()]
    whole = b"0123456789"
    assert exchange.read() == {"bytes=2-4": whole[2:5], "bytes=5-": whole[5:], None: whole}[range_]


# -- start_response --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("path", ["/plain", "/stream", "/held", "/missing"])
def test_start_response_raises(kind: type[BaseException], path: str) -> None:
    """When start_response raises, the request ends once and at once, with that error, the generator
    is closed, and the server gets its error.
    """
    app, log = logging_app()
    app.add_url_rule("/held", "held", lambda: stream_with_context(str(n) for n in range(3)))
    app.add_url_rule("/plain", "plain", lambda: "x")
    app.add_url_rule("/stream", "stream", lambda: (str(n) for n in range(3)))
    error = kind("server")

    def start_response(*args: Any) -> Any:
        raise error

    with pytest.raises(kind) as caught:
        app(environ_for(path), start_response)
    assert caught.value is error
    assert log == ended(repr(error))


def test_a_body_that_is_not_sent_is_closed() -> None:
    """When start_response raises nobody has the body; its `close` is called before the end."""
    app, log = logging_app()
    app.add_url_rule("/", "view", streaming(log, "iterable"))

    def start_response(*args: Any) -> Any:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        app(environ_for(), start_response)
    assert log == ["iterable closed", *ended("OSError('gone')")]


def test_a_servers_start_response_comes_once() -> None:
    """start_response is called exactly once, before the body is stepped, with plain strings and a
    list of its own.
    """
    app, log = logging_app()
    app.add_url_rule("/", "view", streaming(log, "generator"))
    exchange = call(app, log=log.append)
    assert log == ["start_response"]
    exchange.read()
    assert log.count("start_response") == 1
    assert type(exchange.headers) is list
    assert all(type(k) is str and type(v) is str for k, v in exchange.headers)


def test_headers_of_one_answer_are_not_the_next_ones() -> None:
    """A server may change the list of headers that it was given."""
    app = make_app()
    response = demijohn.Response("shared")
    app.add_url_rule("/", "view", lambda: response)
    first = call(app)
    first.headers.append(("X-Server", "1"))
    second = call(app)
    assert second.header("X-Server") is None


# -- other callables -------------------------------------------------------------------------------


def test_a_wsgi_application_as_the_answer() -> None:
    """A response class of its own that is called by the edge streams in the request's context, and
    ends once.
    """
    app, log = logging_app()

    class Own(demijohn.Response):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            log.append("called")
            return super().__call__(environ, start_response)

    app.response_class = Own

    def body() -> Iterator[str]:
        log.append(f"step {request.path}")
        yield "1"

    app.add_url_rule("/", "view", body)
    app.add_url_rule("/plain", "plain", lambda: "plain")
    exchange: Exchange = call(app)
    assert log == ["called"]
    assert exchange.read() == b"1"
    assert log == ["called", "step /", *ended()]
    log.clear()
    assert call(app, "/plain").read() == b"plain"
    assert log == ["called", *ended()]
