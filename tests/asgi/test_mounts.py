"""Real applications of other frameworks under a prefix, on both edges: the same answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import demijohn
from demijohn import Demijohn, g, request

from .mounted_apps import ASK, KINDS, PARTS, Answer


@pytest.fixture(params=list(ASK))
def edge(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def parent() -> Iterator[Demijohn]:
    """An application whose every hook would show."""
    app = Demijohn("parent", static_folder=None)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.before_request
    def before() -> Any:
        g.seen = True
        return "the parent's" if "mounted" in request.path else None

    @app.after_request
    def after(response: Any) -> Any:
        response.headers["X-Parent"] = "here"
        return response

    @app.errorhandler(Exception)
    def handle(error: Exception) -> Any:
        return "the parent's", 418

    @app.get("/<path:rest>")
    def page(rest: str) -> str:
        return f"page {rest}"

    yield app
    app.close()


@pytest.fixture
def ask(parent: Demijohn, kind: str, edge: str) -> Callable[..., Answer]:
    """A request to the application, which is mounted at /mounted."""
    parent.mount("/mounted", KINDS[kind]())
    return lambda path, *args, **options: ASK[edge](parent, f"/mounted{path}", *args, **options)


def test_where_it_thinks_it_is(ask: Callable[..., Answer]) -> None:
    """It finds its prefix in SCRIPT_NAME or root_path and the rest, decoded once, after that; URLs
    that it builds begin with the prefix; nothing of the parent's is current."""
    answer = ask("/where/%C3%BC%20b/c%3Fd%2525/?q=%C3%9F")
    assert (answer.status, answer.all("x-parent")) == (200, [])
    assert answer.json == {
        "root": "/mounted",
        "rest": "ü b/c?d%25/",
        "q": "ß",
        "url": "/mounted/where/x",
        "forwarded": None,
        "contexts": False,
    }


def test_a_body_that_is_sent(ask: Callable[..., Answer]) -> None:
    """A body of more than one part arrives whole, with its type; an empty one too."""
    data = bytes(range(256)) * 1000
    for sent in (data, b"x"):
        answer = ask("/echo", "POST", data=sent, content_type="text/x-own")
        assert answer.json == {"length": len(sent), "type": "text/x-own"}


def test_a_streamed_response(ask: Callable[..., Answer]) -> None:
    """All parts arrive, and the type."""
    answer = ask("/stream")
    assert answer.body == "".join(PARTS).encode()
    assert answer.all("content-type")[0].startswith("text/plain")


def test_an_error(ask: Callable[..., Answer], parent: Demijohn, edge: str, kind: str) -> None:
    """Its errors are its own: the parent's handlers see none of them."""
    assert ask("/fail").status == 500
    missing = ask("/nowhere")
    assert (missing.status, missing.all("x-parent")) == (404, [])
    assert b"parent" not in missing.body


def test_cookies(ask: Callable[..., Answer]) -> None:
    """Cookies go both ways, several in one answer too."""
    answer = ask("/cookie", headers=[("Cookie", "a=b; given=kept")])
    assert answer.body == b"kept"
    assert [value.partition(";")[0].strip() for value in answer.all("set-cookie")] == [
        'given="by the site"',
        "second=2",
    ]


def test_the_prefix_alone(ask: Callable[..., Answer], kind: str) -> None:
    """Its root is there under the prefix with a slash. Without, the path below is empty, and what
    comes is its own affair: the root, a redirect to it, or nothing."""
    assert ask("/").body == b"index"
    answer = ask("")
    own = {"fastapi": 307, "flask": 308, "demijohn": 308, "django-asgi": 404}
    assert answer.status == own.get(kind, 200)
    if answer.status in (307, 308):
        assert answer.all("location")[0].endswith("/mounted/")


def test_what_is_not_under_the_prefix(
    ask: Callable[..., Answer], parent: Demijohn, edge: str
) -> None:
    """A path that only begins with the same letters is the parent's, and so are its hooks."""
    for path in ("/mount", "/Mounted/where", "/x/mounted"):
        answer = ASK[edge](parent, path)
        assert answer.all("x-parent") == ["here"]
    assert ask("x").body == b"the parent's"


def test_names_with_underscores(ask: Callable[..., Answer], kind: str, edge: str) -> None:
    """A header that is written with underscores is not taken for the one with hyphens. (Werkzeug's
    builder of environs, like some WSGI servers, tells them apart no more.)"""
    sent = [("X_Forwarded_User", "evil")]
    if edge == "asgi":
        assert ask("/where/x", headers=sent).json["forwarded"] is None
    assert ask("/where/x", headers=[("X-Forwarded-User", "ann")]).json["forwarded"] == "ann"


def test_a_test_that_holds_a_context(
    parent: Demijohn, kind: str, edge: str, recwarn: pytest.WarningsRecorder
) -> None:
    """What is mounted does not see a context that the calling code holds, nor loses it that."""
    parent.mount("/mounted", KINDS[kind]())
    with parent.test_request_context("/held"):
        g.mine = "kept"
        assert ASK[edge](parent, "/mounted/where/x").json["contexts"] is False
        assert ASK[edge](parent, "/mounted/stream").body == "".join(PARTS).encode()
        assert (g.mine, request.path) == ("kept", "/held")
    assert list(recwarn) == []


def test_requests_at_once(ask: Callable[..., Answer], edge: str) -> None:
    """Several threads are served at the same time, each with its own answer."""
    found: dict[int, Any] = {}

    def one(number: int) -> None:
        found[number] = ask(f"/where/{number}").json["rest"]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: str(number) for number in range(8)}


def test_the_apps_own_client(parent: Demijohn, kind: str) -> None:
    """The test client of the parent reaches what is mounted, also within `with client:`."""
    parent.mount("/mounted", KINDS[kind]())
    with parent.test_client() as client:
        assert client.get("/mounted/where/x").json["contexts"] is False  # type: ignore[index]
        assert client.get("/other").text == "page other"
        assert request.path == "/other"
    assert demijohn.has_request_context() is False
    assert not asyncio._get_running_loop()
