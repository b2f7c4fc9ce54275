"""The guard before debug pages, request by request, and the files by which servers are found."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import create_environ
from werkzeug.wrappers import Response

from demijohn import Demijohn
from demijohn.serve import debug_pages, debug_servers, dev
from demijohn.serve.debug_pages import DebugPages, is_loopback
from demijohn.serve.debug_servers import DebugServer

TOKEN = "the token"
GOOD = {"REMOTE_ADDR": "127.0.0.1", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}
Sent = tuple[str, list[tuple[str, str]], bytes]


def page(query: Mapping[str, str]) -> Response:
    return Response(json.dumps(dict(query)))


def send(app: Callable[..., Iterable[bytes]], path: str = "/_page", **environ: str) -> Sent:
    """Call a WSGI application as the development server does."""
    told: list[Any] = []
    made = create_environ(path, "http://localhost")
    made.update(environ)
    body = app(made, lambda status, headers, *error: told.extend((status, list(headers))))
    sent = told[0], told[1], b"".join(body)
    body.close() if hasattr(body, "close") else None
    return sent


@pytest.fixture
def site() -> Demijohn:
    """An application that answers every path."""
    app = Demijohn("site")
    app.add_url_rule("/<path:path>", view_func=lambda path: f"the site's {path}", methods=["GET"])
    return app


@pytest.fixture
def pages(site: Demijohn) -> DebugPages:
    return DebugPages(site, {"/_page": page}, TOKEN)


def test_the_good_request(pages: DebugPages) -> None:
    """A request with everything gets the page, which sees the query without the token."""
    status, headers, body = send(pages, "/_page?a=1&token=other&a=2", **GOOD)
    assert (status, json.loads(body)) == ("200 OK", {"a": "2"})
    assert set(debug_pages.HEADERS.items()) <= set(headers)
    assert send(pages, f"/_page?token={TOKEN}", REMOTE_ADDR="127.0.0.1")[0] == "200 OK"


@pytest.mark.parametrize(
    "changed",
    [
        {"REMOTE_ADDR": "192.0.2.1"},
        {"REMOTE_ADDR": "10.0.0.1"},
        {"REMOTE_ADDR": "::ffff:192.0.2.1"},
        {"REMOTE_ADDR": "<local>"},
        {"REMOTE_ADDR": ""},
        {"HTTP_HOST": "attacker.example"},
        {"HTTP_HOST": "127.0.0.1.attacker.example"},
        {"HTTP_HOST": "localhost.attacker.example:5000"},
        {"HTTP_HOST": "localhost,attacker.example"},
        {"HTTP_HOST": "192.168.1.1"},
        {"HTTP_HOST": "0.0.0.0"},
        {"HTTP_HOST": ""},
        {"HTTP_AUTHORIZATION": "Bearer the toke"},
        {"HTTP_AUTHORIZATION": "Bearer the token."},
        {"HTTP_AUTHORIZATION": "Bearer \udcff"},
        {"HTTP_AUTHORIZATION": "Bearer "},
        {"HTTP_AUTHORIZATION": "Basic the token"},
        {"REQUEST_METHOD": "POST"},
        {"REQUEST_METHOD": "HEAD"},
        {"REQUEST_METHOD": "OPTIONS"},
        {"SCRIPT_NAME": "/mounted"},
        {"PATH_INFO": "/_page/"},
        {"PATH_INFO": "/_page\n"},
        {"PATH_INFO": "_page"},
        *({name: "127.0.0.1"} for name in debug_pages.PROXY_HEADERS),
    ],
    ids=lambda changed: " ".join(map(repr, next(iter(changed.items())))),
)
def test_one_thing_amiss(pages: DebugPages, site: Demijohn, changed: dict[str, str]) -> None:
    """A request that lacks one thing is answered by the application, byte for byte."""
    environ = GOOD | changed
    assert send(pages, **environ) == send(site.wsgi_app, **environ)


def test_a_token_that_is_not_there_matches_nothing(site: Demijohn) -> None:
    """Without a token nobody is admitted by showing none."""
    answer = send(DebugPages(site, {"/_page": page}, TOKEN), REMOTE_ADDR="127.0.0.1")
    assert answer[2] == b"the site's _page"


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("169.254.0.1", False),
        ("fe80::1", False),
        ("localhost", False),
        ("127.1", False),
    ],
)
def test_loopback_addresses(address: str, is_here: bool) -> None:
    """This machine's own loopback, in each way of writing it, and nothing near it."""
    assert is_loopback(address) is is_here


def test_what_is_served_is_the_application_to_others(pages: DebugPages, site: Demijohn) -> None:
    """Who asks the wrapped application for an attribute gets the application's."""
    assert pages.import_name == site.import_name


class Entry:
    """An entry point whose page cannot be loaded."""

    name = value = "broken"

    def load(self) -> Any:
        raise ImportError("library is missing")


def test_a_page_that_does_not_load(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], site: Demijohn
) -> None:
    """It is reported by name, and the application is served without it."""
    monkeypatch.setattr(debug_pages, "entry_points", lambda group: [Entry()])
    with debug_pages.around(site, https=False, reloads=False) as served:
        assert served is site
    errors = capfd.readouterr().err
    assert "'broken' (broken) failed to load" in errors
    assert "library is missing" in errors


def test_debug_off_loads_nothing() -> None:
    """With debug off the development server loads no page and nothing that pages need."""
    code = (
        "import sys\n"
        "import werkzeug.serving\n"
        "werkzeug.serving.run_simple = lambda *args, **options: print(args[2] is app)\n"
        "from demijohn import Demijohn, appcontext_pushed, request_started\n"
        "app = Demijohn('site')\n"
        "app.run(port=0, load_dotenv=False)\n"
        "print(len(appcontext_pushed.receivers), len(request_started.receivers))\n"
        "print([name for name in sys.modules if 'inspector' in name or 'debug_' in name\n"
        "       and name.startswith('demijohn.serve')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(dev.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-3:] == ["True", "0 0", "[]"]


# ---- the files of servers

SERVER = DebugServer(os.getpid(), "site", "http", "127.0.0.1", 5000, TOKEN)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where servers' files are: under the runtime folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "demijohn"


def ended_process() -> int:
    """The number of a process that has just ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_files_are_private(folder: Path) -> None:
    """A server's file is its user's alone, whatever the umask, and is gone when forgotten."""
    before = os.umask(0)
    try:
        path = debug_servers.write(SERVER)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [*debug_servers.servers()] == [SERVER]
    assert debug_servers.known(SERVER.pid, TOKEN)
    assert not debug_servers.known(SERVER.pid, "another")
    debug_servers.write(replace(SERVER, port=5001))
    assert [server.port for server in debug_servers.servers()] == [5001]
    debug_servers.forget(SERVER.pid)
    assert [*folder.iterdir()] == []


def test_a_dead_servers_file_is_removed(folder: Path) -> None:
    """Who looks for servers, or starts one, removes the files of those that are gone."""
    for meet in (lambda: [*debug_servers.servers()], lambda: debug_servers.write(SERVER)):
        path = debug_servers.write(replace(SERVER, pid=ended_process()))
        meet()
        assert not path.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '"x"', '{"pid": 1}', "\xff", '{"pid": "1", "extra": 2}']
)
def test_damaged_files(folder: Path, text: str) -> None:
    """A file that says nothing useful is no server."""
    path = debug_servers.write(SERVER)
    path.write_bytes(text.encode("latin-1"))
    assert [*debug_servers.servers()] == []


def test_others_files_are_not_read(folder: Path) -> None:
    """A file or folder that others may change, or a link, is not trusted."""
    path = debug_servers.write(SERVER)
    path.chmod(0o644)
    assert [*debug_servers.servers()] == []
    path.chmod(0o600)
    folder.chmod(0o755)
    assert [*debug_servers.servers()] == []
    folder.chmod(0o700)
    moved = path.rename(folder / "elsewhere")
    path.symlink_to(moved)
    assert [*debug_servers.servers()] == []


def test_no_private_folder(folder: Path) -> None:
    """Without a folder of the user's own nothing is written: it falls back, then refuses."""
    folder.mkdir()
    folder.chmod(0o755)
    assert debug_servers.write(SERVER).parent.parent.name == "temporary"
    assert [*debug_servers.servers()] == [SERVER]
    debug_servers.forget(SERVER.pid)
    (folder.parent / "temporary" / f"demijohn-{os.getuid()}").chmod(0o755)
    with pytest.raises(OSError, match="no folder of this user's alone"):
        debug_servers.write(SERVER)


def test_nothing_of_others_is_removed(folder: Path) -> None:
    """What stands at a folder's place and is not this user's alone is left as it is: a link to
    another folder, or a file."""
    other = folder.parent / "other"
    other.mkdir()
    file = other / f"server-{SERVER.pid}.json"
    file.write_text("mine")
    folder.symlink_to(other)
    debug_servers.forget(SERVER.pid)
    assert file.read_text() == "mine"
    folder.unlink()
    folder.write_text("a file")
    debug_servers.forget(SERVER.pid)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::1", "http://localhost:5000"),
        ("::", "http://localhost:5000"),
        ("192.0.2.1", None),
        ("127.0.0.2", None),
    ],
)
def test_addresses_of_pages(address: str, origin: str | None) -> None:
    """A URL has a name that is trusted, and there is none where no such name leads there."""
    server = replace(SERVER, address=address)
    assert (server.origin if server.host else None) == origin
