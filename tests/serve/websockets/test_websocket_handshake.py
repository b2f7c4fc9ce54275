"""A WebSocket before it is accepted: hooks, refusals, whose pages may ask, the session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from socket_wire import Wire, make_app, talk

from demijohn import (
    Blueprint,
    Demijohn,
    abort,
    after_this_request,
    has_websocket_context,
    request,
    session,
    url_for,
    websocket,
)


def test_the_first_use_accepts() -> None:
    """Receiving or sending accepts a connection that nobody has accepted."""
    app = make_app()

    @app.websocket("/receive")
    async def receive() -> None:
        await websocket.receive()

    @app.websocket("/send")
    async def send() -> None:
        assert not websocket.accepted
        await websocket.send("hello")
        assert websocket.accepted

    for path, said in {"/receive": ["x"], "/send": []}.items():
        wire = talk(app, path, *said)
        assert wire.accepted
        assert wire.close == (1000, "")


def test_accepting_with_subprotocol_and_headers() -> None:
    """The answer has the subprotocol that was chosen, and the headers, which are checked."""
    app = make_app()
    raised: list[str] = []

    @app.websocket("/")
    async def view() -> None:
        assert websocket.requested_subprotocols == ["chat.v2", "chat"]
        for wrong in (
            {"subprotocol": "mqtt"},
            {"headers": {"X-A": "a\r\nb"}},
            {"headers": {"Sec-WebSocket-Protocol": "chat"}},
        ):
            with pytest.raises(ValueError, match=r"offer|newline|argument") as error:
                await websocket.accept(**wrong)  # type: ignore[arg-type]
            raised.append(str(error.value))
        await websocket.accept("chat", [("X-Room", "tea"), ("X-Room", "cake")])
        with pytest.raises(RuntimeError, match="accepted already"):
            await websocket.accept()

    wire = talk(app, partial(Wire, subprotocols=["chat.v2", "chat"]))
    assert wire.sent[0] == {
        "type": "websocket.accept",
        "subprotocol": "chat",
        "headers": [(b"x-room", b"tea"), (b"x-room", b"cake")],
    }
    assert "['chat.v2', 'chat']" in raised[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A\r\nX-B", "1"),
        ("X-A\x00", "1"),
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "a\x07"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("", "1"),
        ("X-\u00e9", "1"),
        ("X-A", "\u20ac"),
        ("X-A", " 1"),
        ("X-A", "1\t"),
        ("X-A", " "),
        ("Sec-WebSocket-Accept", "x"),
        ("SEC-WEBSOCKET-EXTENSIONS", "permessage-deflate"),
        ("sec-websocket-version", "13"),
        ("Connection", "close"),
        ("Upgrade", "h2c"),
        ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Keep-Alive", "1"),
        ("Trailer", "X-A"),
    ],
)
def test_headers_that_would_break_the_handshake(name: str, value: str) -> None:
    """They are refused before anything is sent, and the connection can still be accepted."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        with pytest.raises(ValueError, match=r"header|value|[Hh]eader") as error:
            await websocket.accept(headers={"X-Good": "1", name: value})
        assert type(error.value) is ValueError
        assert not websocket.accepted
        await websocket.accept(headers=[("X-Good", "caf\u00e9\t1")])

    wire = talk(app, Wire)
    accept = {"type": "websocket.accept", "subprotocol": None}
    assert wire.sent[0] == accept | {"headers": [(b"x-good", b"caf\xe9\t1")]}
    assert wire.close == (1000, "")


@pytest.mark.parametrize("pair", [(b"X-A", "1"), ("X-A", b"1"), ("X-A", 1), ("X-A", ["1"])])
def test_headers_that_are_no_strings(pair: Any) -> None:
    """A name or value of another type is named in a `TypeError` before anything is sent."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        with pytest.raises(TypeError, match=r"are strings: b?'X-A': "):
            await websocket.accept(headers=[pair])
        await websocket.accept()

    assert talk(app, Wire).close == (1000, "")


def test_what_a_websocket_tells() -> None:
    """It has what a request has, with ws in place of http; `request` is the same object."""
    app = make_app()
    bp = Blueprint("rooms", __name__, url_prefix="/rooms")
    seen: dict[str, Any] = {}

    @app.get("/page")
    def page() -> str:
        return ""

    @bp.websocket("/<int:number>", endpoint="room")
    async def room(number: int) -> None:
        seen.update(
            args=websocket.args["q"],
            cookies=websocket.cookies["a"],
            path=websocket.path,
            url=websocket.url,
            scheme=websocket.scheme,
            host=websocket.host,
            secure=websocket.is_secure,
            headers=websocket.headers["X-A"],
            endpoint=websocket.endpoint,
            blueprint=websocket.blueprint,
            view_args=websocket.view_args,
            number=number,
            here=url_for(".room", number=2),
            page=url_for("page"),
            whole=url_for("page", _external=True),
            same=request._get_current_object() is websocket._get_current_object(),
            within=has_websocket_context(),
        )
        await websocket.accept()

    app.register_blueprint(bp)
    headers = {"x-a": "1", "cookie": "a=b", "host": "example.com"}
    wire = talk(app, partial(Wire, "/rooms/7?q=1", scheme="wss", headers=headers))
    assert wire.close == (1000, "")
    assert seen == {
        "args": "1",
        "cookies": "b",
        "path": "/rooms/7",
        "scheme": "wss",
        "secure": True,
        "url": "wss://example.com/rooms/7?q=1",
        "host": "example.com",
        "headers": "1",
        "endpoint": "rooms.room",
        "blueprint": "rooms",
        "view_args": {"number": 7},
        "number": 7,
        "here": "wss://example.com/rooms/2",
        "page": "/page",
        "whole": "https://example.com/page",
        "same": True,
        "within": True,
    }


# -- hooks ----------------------------------------------------------------------------------------


def hooked(log: list[str]) -> Demijohn:
    """An application with hooks of every kind, on itself and on nested blueprints."""
    app = make_app()
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    inner = Blueprint("inner", __name__, url_prefix="/inner")

    def note(word: str, result: object = None) -> Any:
        def hook(*args: Any) -> Any:
            log.append(f"{word}{args}" if "after" in word or "values" in word else word)
            return args[0] if "after" in word else result

        return hook

    async def before_async() -> None:
        log.append("before async")

    for name, part in {"app": app, "outer": outer, "inner": inner}.items():
        part.before_websocket(note(f"before {name}"))
        part.after_websocket(note(f"after {name}"))
        part.teardown_websocket(note(f"teardown {name}"))
        part.before_request(note("WRONG before_request"))
        part.after_request(note("WRONG after_request"))
        part.teardown_request(note("WRONG teardown_request"))
    app.before_websocket(before_async)
    app.url_value_preprocessor(note("values"))
    inner.before_app_websocket(note("before of all"))
    inner.after_app_websocket(note("after of all"))
    inner.teardown_app_websocket(note("teardown of all"))
    app.teardown_appcontext(note("teardown context"))

    async def view(n: int) -> None:
        log.append("view")
        await websocket.accept()

    inner.add_websocket("/<int:n>", "view", view)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    return app


def test_hooks_in_order() -> None:
    """URL value preprocessors, then the before hooks inwards, the view, the after hooks and the
    teardown functions outwards, once each; none of those of requests."""
    log: list[str] = []
    wire = talk(hooked(log), "/outer/inner/1")
    assert wire.close == (1000, "")
    assert log == [
        *("values('outer.inner.view', {'n': 1})", "before app", "before async", "before of all"),
        *("before outer", "before inner", "view"),
        *("after inner(None,)", "after outer(None,)", "after of all(None,)", "after app(None,)"),
        *("teardown inner", "teardown outer", "teardown of all", "teardown app"),
        "teardown context",
    ]


def test_a_before_hook_refuses() -> None:
    """What a before hook returns is the answer; the after hooks may change it."""
    app = make_app()

    @app.before_websocket
    def refuse() -> tuple[dict[str, str], int]:
        session["seen"] = True
        return {"error": "not you"}, 401

    @app.after_websocket
    def after(response: Any) -> Any:
        response.headers["X-After"] = "1"
        return response

    @app.websocket("/")
    async def view() -> None:
        raise AssertionError

    wire = talk(app, "/")
    assert wire.denial == (401, b'{"error":"not you"}\n')
    assert wire.headers()["x-after"] == "1"
    assert wire.headers()["content-length"] == "20"
    assert wire.headers()["set-cookie"].startswith("session=")


async def _parts() -> AsyncIterator[str]:
    yield "in "
    yield "parts"


def test_error_handlers_answer_before_the_accept() -> None:
    """An abort, an error with a handler and an error without one are answered as in other views."""
    app = make_app()
    log: list[str] = []

    class Full(Exception):
        """A room has no place left."""

    @app.errorhandler(403)
    def forbidden(error: Any) -> tuple[str, int]:
        return "handled", 403

    @app.errorhandler(Full)
    async def full(error: Full) -> tuple[str, int]:
        return "full", 503

    @app.teardown_websocket
    def teardown(error: BaseException | None) -> None:
        log.append(type(error).__name__)

    @app.websocket("/<kind>")
    async def view(kind: str) -> Any:
        if kind == "abort":
            abort(403)
        if kind == "full":
            raise Full
        if kind == "answer":
            return "no", 409
        if kind == "parts":
            return (part async for part in _parts()), 409
        if kind == "fail":
            raise LookupError("a fault")
        return None

    assert talk(app, "/abort").denial == (403, b"handled")
    assert talk(app, "/full").denial == (503, b"full")
    assert talk(app, "/answer").denial == (409, b"no")
    assert talk(app, "/parts").denial == (409, b"in parts")
    assert log == ["NoneType"] * 4
    for kind in ("fail", "nothing"):
        wire = talk(app, f"/{kind}")
        assert wire.denial is not None
        assert wire.denial[0] == 500
    assert log[4:] == ["LookupError", "TypeError"]


def test_an_unhandled_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody handles is logged once, before the accept and after it."""
    app = make_app()

    @app.websocket("/<int:accept>")
    async def view(accept: int) -> None:
        if accept:
            await websocket.accept()
        raise LookupError("a fault")

    assert talk(app, "/0").denial is not None
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]
    caplog.clear()
    assert talk(app, "/1").close == (1011, "")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]


def test_a_view_that_does_nothing_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    """A view that neither accepts nor refuses is a mistake: 500, and the log says what it is."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        pass

    wire = talk(app, "/")
    assert wire.denial is not None
    assert wire.denial[0] == 500
    assert "neither accepted the WebSocket nor refused" in caplog.text


def test_closing_before_the_accept_refuses() -> None:
    """`close` before `accept` refuses the connection; nothing else is answered."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        await websocket.close(4001, "no")

    assert [message["type"] for message in talk(app, "/").sent] == ["websocket.close"]


def test_a_server_without_answers_closes() -> None:
    """Where a server cannot send an answer, a refusal is a close, which it makes 403."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None:
        abort(401)

    wire = talk(app, partial(Wire, denial=False))
    assert wire.sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


def test_what_no_websocket_answers_is_answered_as_a_request() -> None:
    """A path without a rule is 404 with the hooks of requests; a missing slash is a redirect."""
    app = make_app()
    log: list[str] = []

    @app.before_request
    def before() -> None:
        log.append("before")

    @app.after_request
    def after(response: Any) -> Any:
        log.append("after")
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        log.append("teardown")

    @app.before_websocket
    def wrong() -> None:
        raise AssertionError

    @app.get("/page")
    def page() -> str:
        raise AssertionError

    @app.websocket("/slash/", endpoint="slash")
    async def slash() -> None:
        raise AssertionError

    assert talk(app, "/missing").denial[0] == 404  # type: ignore[index]
    assert log == ["before", "after", "teardown"]
    assert talk(app, "/page").denial[0] == 400  # type: ignore[index]
    wire = talk(app, "/slash")
    assert wire.denial[0] == 308  # type: ignore[index]
    assert wire.headers()["location"] == "ws://localhost/slash/"


def test_after_this_request_sees_a_refusal() -> None:
    """`after_this_request` in a WebSocket's hook gets the answer that refuses it."""
    app = make_app()

    @app.before_websocket
    def before() -> str:
        @after_this_request
        def change(response: Any) -> Any:
            response.status_code = 418
            return response

        return "no"

    @app.websocket("/")
    async def view() -> None: ...

    assert talk(app, "/").denial == (418, b"no")


# -- requests that are none -----------------------------------------------------------------------


def test_requests_for_a_websocket(caplog: pytest.LogCaptureFixture) -> None:
    """A plain request for a WebSocket's path is 400 on both edges; under WSGI a request for a
    WebSocket is too, and the log names the way out, once."""
    app = make_app()

    @app.websocket("/")
    async def view() -> None: ...

    client = app.test_client()
    assert client.get("/").status_code == 400
    assert client.post("/").status_code == 405
    assert "demijohn serve" not in caplog.text
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    for _ in range(2):
        assert client.get("/", headers=upgrade).status_code == 400
    assert caplog.text.count("demijohn serve") == 1


def test_rules_of_extensions_are_left_alone() -> None:
    """A rule that `route(websocket=True)` made is answered by its view under WSGI, as in Flask."""
    app = make_app()
    app.add_url_rule("/sock", "sock", lambda: "an extension's", websocket=True)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert app.test_client().get("/sock", headers=upgrade).text == "an extension's"


def test_other_routes_do_not_change() -> None:
    """With WebSockets registered, requests are matched, hooked and answered as before."""
    app = make_app()
    log: list[str] = []
    app.before_websocket(lambda: log.append("WRONG"))
    app.teardown_websocket(lambda error: log.append("WRONG"))

    @app.websocket("/both")
    async def talks() -> None:
        await websocket.accept()

    @app.post("/both")
    def posts() -> str:
        return "posted"

    @app.get("/user/<int:n>")
    def user(n: int) -> str:
        return str(n)

    client = app.test_client()
    assert client.post("/both").text == "posted"
    assert client.get("/both").status_code == 405
    assert client.get("/user/3").text == "3"
    assert client.get("/user/x").status_code == 404
    assert talk(app, "/both").close == (1000, "")
    assert log == ["WRONG"] * 2  # those of the one WebSocket


@pytest.mark.parametrize("first", ["websocket", "get"])
def test_an_endpoint_is_of_one_kind(first: str) -> None:
    """A function may be the view of a WebSocket and of requests under two endpoints only: under one
    the hooks of WebSockets would stand in for those that guard requests."""
    app = make_app()

    @app.before_request
    def guard() -> None:
        abort(401)

    async def view() -> str:
        if has_websocket_context():
            await websocket.accept()
        return "secret"

    second = {"websocket": "get", "get": "websocket"}[first]
    getattr(app, first)(f"/{first}")(view)
    with pytest.raises(ValueError, match="by `endpoint="):
        getattr(app, second)(f"/{second}")(view)
    getattr(app, second)(f"/{second}", endpoint="second")(view)
    app.add_websocket("/more", "view" if first == "websocket" else "second", view)
    assert app.test_client().get("/get").status_code == 401
    assert talk(app, "/websocket").close == talk(app, "/more").close == (1000, "")
