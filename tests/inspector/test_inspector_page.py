"""The page of live contexts on a real development server: what it lists and never shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from inspected import SITE, Inspected, serving

from demijohn.inspector.records import ContextRecord, Snapshot


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspected]:
    """A server without reloader, for all tests of this file."""
    with serving(tmp_path_factory.mktemp("inspected"), "--no-reload") as server:
        yield server


def is_empty(snapshot: Snapshot) -> bool:
    return not snapshot.contexts


def outline(context: ContextRecord) -> tuple[object, ...]:
    """A context and its children, without what differs from run to run."""
    work = re.sub(r"Thread-\d+ \(process_request_thread\)", "request thread", context.work)
    return (context.kind, context.path, work, context.state, *map(outline, context.children))


def test_a_context_within_a_view(server: Inspected) -> None:
    """A context that a view opens stands under its request, with the line that opened it."""
    server.begin("/nested/one")
    server.context("app context", None)
    request = server.context("request", "/nested/one")
    assert outline(request) == (
        *("request", "/nested/one", "thread request thread", "current"),
        ("app context", None, "thread request thread", "current"),
    )
    assert (request.method, request.endpoint, request.app) == ("GET", "nested", "site_app")
    assert request.begun_at == ""
    assert re.fullmatch(r"site_app.py:\d+ nested", request.children[0].begun_at)
    assert 0 <= request.children[0].age <= request.age < 600
    server.open("one")
    server.until(is_empty)


def test_a_streamed_body(server: Inspected) -> None:
    """A request whose body is on the way is streaming."""
    server.begin("/stream/two")
    server.until(lambda found: [one.state for one in found.contexts] == ["streaming"])
    server.open("two")
    server.until(is_empty)


def test_a_thread(server: Inspected) -> None:
    """A context on a thread outlives the request that started it, and is named by its thread."""
    assert server.ask("/thread/three").body == b"started"
    (context,) = server.until(lambda found: len(found.contexts) == 1).contexts
    assert outline(context) == ("app context", None, "thread reporter", "current")
    assert re.fullmatch(r"site_app.py:\d+ work", context.begun_at)
    server.open("three")
    server.until(is_empty)


def test_a_copied_request(server: Inspected) -> None:
    """A copied request on another thread stands under the request that it was copied from."""
    server.begin("/copy/four")
    server.context("child", "/copy/four")
    assert outline(server.context("request", "/copy/four")) == (
        *("request", "/copy/four", "thread request thread", "current"),
        ("child", "/copy/four", "thread mailer", "current"),
    )
    server.open("four")
    server.until(is_empty)


def test_an_asyncio_task(server: Inspected) -> None:
    """A context in an asyncio task is named by the task."""
    server.begin("/async/five")
    server.context("app context", None)
    assert outline(server.context("request", "/async/five"))[-1] == (
        *("app context", None, "task branch, thread request thread", "current"),
    )
    server.open("five")
    server.until(is_empty)


def test_held_resources(server: Inspected) -> None:
    """What a request has opened is listed with its lifetime, age, thread and the line of its use,
    its value is not."""
    server.begin("/holds/seven")
    (request,) = server.until(
        lambda found: [len(one.held) for one in found.contexts] == [2]
    ).contexts
    lines = SITE.splitlines()
    for held, lifetime in zip(request.held, ("view", "context"), strict=True):
        assert held.lifetime == lifetime
        assert 0 <= held.age <= request.age
        assert f"thread {held.thread}" == request.work
        line = re.fullmatch(r"site_app\.py:(\d+) holds", held.opener)
        assert line is not None, held
        assert lines[int(line[1]) - 1] == f"    str({held.name})"
    page = server.page().body.decode()
    assert "connection" in page
    assert "value of" not in page
    server.open("seven")
    server.until(is_empty)


def test_the_outcome_so_far(server: Inspected) -> None:
    """A request whose error a handler answered is handled so far."""
    server.begin("/fails")
    server.until(lambda found: [one.outcome for one in found.contexts] == ["handled"])
    server.open("handled")
    server.until(is_empty)


def test_no_values_are_shown(server: Inspected) -> None:
    """Neither form shows a query, a header, or a value of `g`, the session or the settings."""
    server.begin(
        "/nested/six?query=secret-q",
        {"Cookie": "c=secret-c", "Authorization": "Bearer secret-a", "X-Own": "secret-x"},
    )
    server.context("app context", None)
    for answer in (server.page(), server.page("&format=json&with=html")):
        assert b"/nested/six" in answer.body
        for value in (b"secret", b"value of", b"key of the site", server.token.encode()):
            assert value not in answer.body
    server.open("six")
    server.until(is_empty)


def test_paths_are_escaped(server: Inspected) -> None:
    """A path with markup is shown as text, in the page and in the HTML of its JSON form."""
    server.begin("/nested/%3Cscript%3Ealert(1)%3C")
    server.context("app context", None)
    page = server.page().body.decode()
    html = json.loads(server.page("&format=json&with=html").body)["html"]
    for text in (page, html):
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)&lt;" in text
    server.open("%3Cscript%3Ealert(1)%3C")
    server.until(is_empty)


def test_the_page_needs_nothing_from_elsewhere(server: Inspected) -> None:
    """The page names no other file, may load none, and is kept by nobody."""
    answer = server.page()
    headers = dict(answer.headers)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    policy = headers["Content-Security-Policy"]
    for directive in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert f"{directive} 'none'" in policy
    assert re.findall(rb"(?:src|href|url)\s*[=(]\s*['\"]?([^'\" )>]*)", answer.body) == [b"data:,"]


def test_its_own_requests_are_no_contexts_and_not_logged(server: Inspected) -> None:
    """Looking lists nothing, and fills no log: a line there would hold the token."""
    assert server.page().status == 200
    assert is_empty(server.snapshot())
    assert server.ask("/_contexts").status == 404
    assert server.ask("/open/log").status == 200
    assert "/_contexts?" not in server.program.output.replace(
        f"/_contexts?token={server.token}", ""
    )
    assert server.program.output.count(server.token) == 1


def test_the_log_has_what_is_not_the_pages(tmp_path: Path) -> None:
    """One thread that answers the page and then the application logs the application's request."""
    with serving(tmp_path, "--no-reload", "--without-threads") as server:
        assert server.page().status == 200
        assert server.ask("/open/gate").status == 200
        assert server.page().status == 200
    assert '"GET /open/gate HTTP/1.1" 200' in server.program.output
    assert server.program.output.count("_contexts") == 1
