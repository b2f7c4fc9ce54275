"""Who may see the page of live contexts: everybody else gets what the application answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from inspected import PATIENCE, Inspected, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspected]:
    """A server with the reloader, for all tests of this file; its site is in `folder`."""
    with serving(tmp_path_factory.mktemp("guarded")) as server:
        yield server


REFUSED = {
    "no token": ("GET", "/_contexts", {}),
    "an empty token": ("GET", "/_contexts?token=", {}),
    "a wrong token": ("GET", "/_contexts?token=x{token}", {}),
    "a part of the token": ("GET", "/_contexts?token={part}", {}),
    "a token beyond ASCII": ("GET", "/_contexts?token=%C3%A9", {}),
    "another scheme": ("GET", "/_contexts", {"Authorization": "Basic {token}"}),
    "a foreign name that leads here": ("GET", "/_contexts?token={token}", {"Host": "evil.test"}),
    "a name that ends alike": ("GET", "/_contexts?token={token}", {"Host": "evillocalhost"}),
    "another address": ("GET", "/_contexts?token={token}", {"Host": "127.0.0.2"}),
    "no host": ("GET", "/_contexts?token={token}", {"Host": ""}),
    "a proxy": ("GET", "/_contexts?token={token}", {"X-Forwarded-For": "127.0.0.1"}),
    "POST": ("POST", "/_contexts?token={token}", {}),
    "HEAD": ("HEAD", "/_contexts?token={token}", {}),
    "a slash": ("GET", "/_contexts/?token={token}", {}),
    "a dot": ("GET", "/./_contexts?token={token}", {}),
    "two underscores": ("GET", "/__contexts?token={token}", {}),
    "no underscore": ("GET", "/contexts?token={token}", {}),
    "a capital": ("GET", "/_Contexts?token={token}", {}),
    "a path below": ("GET", "/_contexts/x?token={token}", {}),
    "a path above": ("GET", "/x/../_contexts?token={token}", {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_the_applications(server: Inspected, case: str) -> None:
    """A request that lacks one thing gets the very answer of a path that nobody knows."""
    method, path, headers = REFUSED[case]
    words = {"token": server.token, "part": server.token[:-1]}
    answer = server.ask(
        path.format(**words), {k: v.format(**words) for k, v in headers.items()}, method
    )
    unknown = server.ask("/nobody-knows", {k: v for k, v in headers.items() if k == "Host"}, method)
    assert answer.kept == unknown.kept
    assert answer.status == 404


ADMITTED = {
    "the token in the address": ("/_contexts?token={token}", {}),
    "the token in a header": ("/_contexts", {"Authorization": "bearer {token}"}),
    "localhost": ("/_contexts?token={token}", {"Host": "localhost:5000"}),
    "a name under localhost": ("/_contexts?token={token}", {"Host": "site.localhost"}),
    "an escaped underscore": ("/%5Fcontexts?token={token}", {}),
}


@pytest.mark.parametrize("case", ADMITTED)
def test_who_knows_the_token_is_admitted(server: Inspected, case: str) -> None:
    """A control: what the refused requests lack opens the page."""
    path, headers = ADMITTED[case]
    answer = server.ask(
        path.format(token=server.token),
        {k: v.format(token=server.token) for k, v in headers.items()},
    )
    assert answer.status == 200
    assert b"Live contexts" in answer.body


def test_the_token_survives_a_reload(server: Inspected) -> None:
    """After a change of code the reloaded server answers to the same token, said once."""
    before = server.snapshot().pid
    folder = Path(f"/proc/{server.program.process.pid}/cwd").resolve()
    source = folder / "site_app.py"
    source.write_text(source.read_text() + "\nversion = 2\n")
    end = time.monotonic() + PATIENCE
    while True:
        # The process that goes takes along who is connected to it.
        with suppress(ConnectionError, HTTPException):
            if server.snapshot().pid != before:
                break
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(re.findall("Contexts: http", server.program.output)) == 1


def test_debug_off(tmp_path: Path) -> None:
    """Without debug no page is there, whatever a request shows, and no server's file."""
    with serving(tmp_path, debug=False, DEMIJOHN_DEBUG_TOKEN="known") as server:
        for path in ("/_contexts", "/_contexts?token=", "/_contexts?token=known"):
            assert server.ask(path).kept == server.ask("/nobody-knows").kept
        assert list((tmp_path / "run").rglob("*.json")) == []
        assert "_contexts" not in server.program.lines[0]
    assert "Contexts:" not in server.program.output


def test_a_given_token_is_not_taken(tmp_path: Path) -> None:
    """The token is a fresh one, also where the environment has a variable of that name."""
    with serving(tmp_path, "--no-reload", DEMIJOHN_DEBUG_TOKEN="known") as server:
        assert server.token != "known"
        assert server.ask("/_contexts?token=known").status == 404
        assert server.page().status == 200
