"""`stream_with_context`: at the edge, by hand, finished, closed, dropped, interleaved,
elsewhere.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from context_kit import BOTH, PLACES, in_thread, make_app
from hypothesis import given, settings
from hypothesis import strategies as st

import demijohn
from demijohn import (
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
    stream_with_context,
)
from demijohn.context import State
from demijohn.globals import app_ctx, request_ctx

# -- as an answer ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("kind", ["wrapped", "decorated", "iterator", "response"])
def test_a_streamed_answer(fw: Any, kind: str) -> None:
    """A wrapped generator, a decorated function and an iterator stream with their request at
    hand.
    """
    app = make_app(fw)

    @app.get("/<name>")
    def view(name: str) -> Any:
        fw.g.user = "streamer"

        def body(greeting: str) -> Iterator[str]:
            yield f"{greeting} {name} "
            yield f"{fw.request.args['q']} {fw.g.user} "
            yield f"{fw.session.get('a')} {fw.current_app.name}"

        if kind == "decorated":
            return fw.stream_with_context(body)("hello")
        if kind == "iterator":
            parts = body("hello")
            return fw.stream_with_context(map(str.upper, parts))
        if kind == "response":
            return fw.Response(fw.stream_with_context(body("hello")))
        return fw.stream_with_context(body("hello"))

    text = app.test_client().get("/x?q=1").text
    expected = "hello x 1 streamer None site"
    assert text == (expected.upper() if kind == "iterator" else expected)
    assert not fw.has_app_context()


@BOTH
def test_a_session_written_while_streaming_is_lost(fw: Any) -> None:
    """Headers are out when the body starts, so what that writes to the session does not reach the
    client.
    """
    app = make_app(fw)

    @app.get("/")
    def view() -> Any:
        fw.session["view"] = 1

        def body() -> Iterator[str]:
            fw.session["body"] = 1
            yield "x"

        return fw.stream_with_context(body())

    client = app.test_client()
    assert client.get("/").text == "x"
    with client.session_transaction() as opened:
        assert opened == {"view": 1}


def test_a_bare_generator_streams_with_its_context_too() -> None:
    """A generator from a view needs no wrapper: at the edge its steps see the request."""
    app = make_app()
    app.add_url_rule("/", "view", lambda: (f"{request.path}{n}" for n in range(2)))
    assert app.test_client().get("/").text == "/0/1"


@BOTH
def test_outside_of_a_request(fw: Any) -> None:
    """Outside a request a stream is refused, at the call of the decorated function at the
    latest.
    """
    with pytest.raises(RuntimeError, match="can only be used when a request context"):
        fw.stream_with_context(iter(()))

    @fw.stream_with_context
    def body() -> Iterator[str]:
        yield "x"

    with pytest.raises(RuntimeError, match="can only be used when a request context"):
        body()


def test_what_cannot_be_streamed() -> None:
    """What is neither iterable nor callable is a TypeError."""
    with make_app().test_request_context(), pytest.raises(TypeError):
        stream_with_context(1)


@BOTH
def test_a_decorated_function_keeps_its_name(fw: Any) -> None:
    """The decorated function is named as the one under it."""

    @fw.stream_with_context
    def body() -> Iterator[str]:
        """Text."""
        yield "x"

    assert (body.__name__, body.__doc__) == ("body", "Text.")


# -- by hand ---------------------------------------------------------------------------------------


def stream(app: Any, log: list[str], path: str = "/", steps: int = 2) -> Any:
    """A stream of a request that is left at once; `log` gets its steps."""

    def body() -> Iterator[str]:
        try:
            for n in range(steps):
                log.append(f"step {n}")
                yield f"{request.path}{n} {g.user} {current_app.name} {session.get('a')}"
        finally:
            log.append(f"closed {request.path}")

    with app.test_request_context(path):
        g.user = path
        session["a"] = path
        return stream_with_context(body())


def expected(path: str, n: int) -> str:
    return f"{path}{n} {path} site {path}"


def test_a_stream_outlives_the_block() -> None:
    """A request whose stream is unfinished ends when that is over, not at the end of its `with`."""
    app = make_app()
    body = stream(app, app.log)
    assert not has_request_context()
    assert not has_app_context()
    assert app.log == []
    assert next(body) == expected("/", 0)
    assert not has_request_context()
    assert list(body) == [expected("/", 1)]
    assert app.log == ["step 0", "step 1", "closed /", "request ok", "app ok"]
    assert list(body) == []
    body.close()
    assert len(app.log) == 5


def test_a_stream_closed_early() -> None:
    """close() closes the generator in its context, then the request ends, once."""
    app = make_app()
    body = stream(app, app.log)
    next(body)
    body.close()
    body.close()
    assert app.log == ["step 0", "closed /", "request ok", "app ok"]
    assert list(body) == []


@pytest.mark.parametrize("started", [True, False])
def test_a_stream_dropped(started: bool) -> None:
    """A stream that is dropped ends its request without the cyclic collector's help."""
    app = make_app()
    gc.disable()
    try:
        body = stream(app, app.log)
        if started:
            next(body)
        del body
        assert app.log == [*(["step 0", "closed /"] if started else []), "request ok", "app ok"]
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt])
def test_a_stream_that_fails(kind: type[BaseException]) -> None:
    """An exception of a step goes to who steps, and to the teardown functions, once."""
    app = make_app()
    error = kind("step")

    def body() -> Iterator[str]:
        yield "1"
        raise error

    with app.test_request_context():
        parts = stream_with_context(body())
    assert next(parts) == "1"
    with pytest.raises(kind) as caught:
        next(parts)
    assert caught.value is error
    assert app.log == [f"request {kind.__name__}", f"app {kind.__name__}"]
    assert list(parts) == []
    assert not has_app_context()


def test_an_error_at_the_end_of_a_stream() -> None:
    """What a teardown function raises after a stream's last step comes out of that step."""
    app = make_app()

    @app.teardown_request
    def fail(exc: BaseException | None) -> None:
        raise ValueError("teardown")

    with app.test_request_context():
        parts = stream_with_context(iter(["1"]))
    assert next(parts) == "1"
    with pytest.raises(ValueError, match="teardown"):
        next(parts)
    assert app.log == ["request ok", "app ok"]
    assert list(parts) == []
    assert not has_app_context()


def test_a_stream_in_its_block() -> None:
    """In its own block a stream borrows nothing; over in the block, it leaves the end to that."""
    app = make_app()
    with app.test_request_context("/path"):
        g.user = "block"
        body = stream_with_context(f"{request.path} {g.user}" for _ in range(2))
        assert list(body) == ["/path block"] * 2
        assert app.log == []
        assert g.user == "block"
    assert app.log == ["request ok", "app ok"]


def test_several_streams_of_a_request() -> None:
    """The last of several streams ends their request."""
    app = make_app()
    with app.test_request_context("/path"):
        first = stream_with_context(request.path for _ in range(1))
        second = stream_with_context(request.path for _ in range(1))
    assert list(first) == ["/path"]
    assert app.log == []
    assert list(second) == ["/path"]
    assert app.log == ["request ok", "app ok"]


def test_a_step_under_other_contexts() -> None:
    """A step under other contexts, of another application too, sees its own request and leaves
    those as they were.
    """
    app, other = make_app(), make_app()
    log: list[str] = []
    body = stream(app, log, "/own")
    for outer in (app.app_context, app.test_request_context, other.test_request_context):
        with outer():
            g.user = "outer"
            before = (app_ctx._get_current_object(), has_request_context())
            step = next(body, None)
            assert step is None or step.startswith("/own")
            assert (app_ctx._get_current_object(), has_request_context()) == before
            assert g.user == "outer"
    assert log == ["step 0", "step 1", "closed /own"]
    assert app.log.count("request ok") == 2
    assert app.log.count("app ok") == 3


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["read", "close", "drop"])
def test_a_stream_elsewhere(place: Any, how: str) -> None:
    """A stream that is stepped and finished in another Context sees its request, and ends it there
    without a warning.
    """
    app = make_app()
    held = [stream(app, app.log, "/own")]
    assert next(held[0]) == expected("/own", 0)

    def finish() -> None:
        body = held.pop()
        assert next(body) == expected("/own", 1)
        if how == "read":
            assert list(body) == []
        elif how == "close":
            body.close()
        del body
        assert not has_request_context()

    place(finish)
    assert app.log == ["step 0", "step 1", "closed /own", "request ok", "app ok"]


def test_a_stream_of_a_request_that_joined() -> None:
    """A stream of a request that joined an app context sees that one's `g` as long as it lives, on
    any thread.
    """
    app = make_app()
    with app.app_context():
        g.user = "joined"
        with app.test_request_context():
            body = stream_with_context(str(g.get("user")) for _ in range(3))
        assert next(body) == "joined"
        assert in_thread(lambda: next(body)) == "joined"
        assert next(body) == "joined"
        assert list(body) == []
        assert app.log == ["request ok"]
    assert app.log == ["request ok", "app ok"]


def test_a_stream_holds_what_its_request_joined() -> None:
    """An app context that a request joined does not end before the request's stream is over."""
    app = make_app()
    with app.app_context():
        g.user = "joined"
        with app.test_request_context():
            body = stream_with_context(str(g.get("user")) for _ in range(2))
    assert app.log == []
    assert list(body) == ["joined"] * 2
    assert app.log == ["request ok", "app ok"]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12))
@settings(max_examples=60, deadline=None)
def test_interleaved_streams(steps: list[tuple[int, bool]]) -> None:
    """Streams stepped in any order, here or on another thread, each see their own request; each
    ends once.
    """
    app = make_app()
    paths = ["/a", "/b", "/c"]
    log: list[str] = []
    bodies = [stream(app, log, path) for path in paths]
    found: list[list[str]] = [[], [], []]
    for which, elsewhere in steps:
        step = lambda which=which: next(bodies[which], None)  # noqa: E731
        part = in_thread(step) if elsewhere else step()
        assert not has_app_context()
        if part is not None:
            found[which].append(part)
    for path, body, parts in zip(paths, bodies, found, strict=True):
        parts.extend(body)
        assert parts == [expected(path, 0), expected(path, 1)]
    assert sorted(app.log) == ["app ok"] * 3 + ["request ok"] * 3


def test_the_states_of_a_held_request() -> None:
    """A left request with an unfinished stream is held, then ended; its outcome is known then."""
    app = make_app()
    ctx = app.test_request_context()
    with ctx:
        own = app_ctx._get_current_object()
        body = stream_with_context(iter("ab"))
    assert ctx.state is State.HELD
    assert own.outcome is None
    assert list(body) == ["a", "b"]
    assert ctx.state is State.ENDED
    assert own.outcome == "ok"


def test_uploads_are_open_while_streaming() -> None:
    """An upload stays open until the stream is over."""
    import io

    app = make_app()
    data = {"f": (io.BytesIO(b"content"), "f.txt")}
    with app.test_request_context("/", method="POST", data=data):
        file = request.files["f"].stream
        body = stream_with_context(request.files["f"].read(3) for _ in range(2))
    assert list(body) == [b"con", b"ten"]
    assert file.closed


def test_the_request_is_pushed_again_while_it_streams() -> None:
    """A held request can be borrowed by a `with`; its end is still the stream's."""
    app = make_app()
    ctx = app.test_request_context("/path")
    with ctx:
        g.user = "held"
        body = stream_with_context(g.user for _ in range(2))
    with ctx:
        assert (request.path, g.user) == ("/path", "held")
        assert next(body) == "held"
    assert app.log == []
    assert list(body) == ["held"]
    assert app.log == ["request ok", "app ok"]


def test_nested_streams() -> None:
    """A stream may step another stream of the same request."""
    app = make_app()

    @app.get("/")
    def view() -> Any:
        inner = stream_with_context(f"{request.path}{n}" for n in range(2))

        def outer() -> Iterator[str]:
            yield "<"
            yield from inner
            yield f">{request.path}"

        return stream_with_context(outer())

    assert app.test_client().get("/").text == "</0/1>/"
    assert app.log == ["request ok", "app ok"]


@pytest.mark.parametrize("how", ["unused", "dropped in the view"])
def test_a_stream_that_is_no_answer(how: str) -> None:
    """A stream that a view makes and does not answer with keeps the request from ending only while
    it is there.
    """
    app = make_app()
    kept: list[Any] = []

    @app.get("/")
    def view() -> str:
        body = stream_with_context(request.path for _ in range(2))
        if how == "unused":
            kept.append(body)
        return "x"

    assert app.test_client().get("/").text == "x"
    if kept:
        assert app.log == []
        assert next(kept[0]) == "/"
        assert not has_request_context()
        kept.clear()
    assert app.log == ["request ok", "app ok"]
    assert not demijohn.has_app_context()
    assert not request_ctx
