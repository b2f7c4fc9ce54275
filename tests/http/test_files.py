"""Sending files, compared with Flask's responses; which paths under a folder are refused."""

from __future__ import annotations

import io
import ntpath
import os
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest
import werkzeug.security
import werkzeug.utils
import werkzeug.wrappers.response
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.exceptions import NotFound
from werkzeug.http import http_date
from werkzeug.wrappers import Response

from demijohn.http.files import (
    FileSettings,
    regular_file,
    send_file,
    send_file_arguments,
    send_from_directory,
)

GET = {"REQUEST_METHOD": "GET"}


def age_by_name(name: str | None) -> int:
    return 7 if name and name.endswith("a.txt") else 8


def label(value: object) -> str:
    """Return the value's text without addresses: test ids are the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "secret.txt").write_text("secret")
    (root / "static-other").mkdir()
    (root / "static-other" / "a.txt").write_text("other")
    static = root / "static"
    (static / "sub").mkdir(parents=True)
    (static / "a.txt").write_text("text of a")
    (static / "sub" / "b.tar.gz").write_bytes(b"\x1f\x8b")
    (static / "é ü.html").write_text("<p>")
    (static / "empty").write_text("")
    return root


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is always the same moment: for `Expires`, and for the `Date` of conditional responses."""
    now = 1_700_000_000
    monkeypatch.setattr(werkzeug.utils, "time", lambda: float(now))
    monkeypatch.setattr(werkzeug.wrappers.response, "http_date", lambda: http_date(now))


@pytest.fixture
def app(root: Path) -> flask.Flask:
    return flask.Flask("the_app", root_path=str(root))


def settings(app: flask.Flask) -> FileSettings:
    return FileSettings(
        flask.request.environ,
        app.config["USE_X_SENDFILE"],
        app.response_class,
        app.root_path,
        app.get_send_file_max_age,
    )


def wire(response: Response) -> tuple[str, list[tuple[str, str]], bytes]:
    """What a client gets: status, headers in order, body."""
    response.direct_passthrough = False
    with response:
        return response.status, list(response.headers), response.get_data()


def same(ours: Any, theirs: Any) -> Any:
    """Assert that both calls give the same wire image or the same error; return it."""
    results: list[Any] = []
    for call in (ours, theirs):
        try:
            results.append(wire(call()))
        except Exception as error:
            results.append((type(error), str(error)))
    assert results[0] == results[1]
    return results[0]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"as_attachment": True},
    {"download_name": "naïve name.csv"},
    {"mimetype": "text/x-own"},
    {"etag": False},
    {"etag": "own"},
    {"conditional": False},
    {"last_modified": datetime(2020, 1, 2, tzinfo=UTC)},
    {"max_age": 0},
    {"max_age": 60},
    {"max_age": age_by_name},
    {"download_name": "line\nbreak"},
]
HEADERS = [
    {},
    {"Range": "bytes=2-4"},
    {"Range": "bytes=100-"},
    {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
]
NAMES = ["a.txt", "sub/b.tar.gz", "é ü.html", "empty"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("headers", HEADERS, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=label)
def test_responses_like_flask(
    app: flask.Flask, name: str, options: dict[str, Any], headers: Any
) -> None:
    """A file by path or from a folder is sent as Flask sends it, byte for byte."""
    with app.test_request_context(headers=headers):
        same(
            lambda: send_file(f"static/{name}", settings(app), **options),
            lambda: flask.send_file(f"static/{name}", **options),
        )
        same(
            lambda: send_from_directory("static", name, settings(app), **options),
            lambda: flask.send_from_directory("static", name, **options),
        )


@pytest.mark.parametrize("options", OPTIONS, ids=label)
def test_open_files_like_flask(app: flask.Flask, options: dict[str, Any]) -> None:
    """An open file is sent, or refused for want of a name, as Flask does it."""
    with app.test_request_context(headers={"Range": "bytes=1-"}):
        same(
            lambda: send_file(io.BytesIO(b"abc"), settings(app), **options),
            lambda: flask.send_file(io.BytesIO(b"abc"), **options),
        )


@pytest.mark.parametrize("directory", ["static", "static/../static", "absolute"])
@pytest.mark.parametrize("age", [None, 60, 0])
@pytest.mark.parametrize("x_sendfile", [False, True])
def test_configured_like_flask(
    app: flask.Flask, x_sendfile: bool, age: int | None, directory: str
) -> None:
    """`USE_X_SENDFILE` and the application's maximal age act as in Flask."""
    app.config.update(USE_X_SENDFILE=x_sendfile, SEND_FILE_MAX_AGE_DEFAULT=age)
    folder = f"{app.root_path}/static/" if directory == "absolute" else directory
    with app.test_request_context():
        _status, headers, _body = same(
            lambda: send_from_directory(folder, "a.txt", settings(app)),
            lambda: flask.send_from_directory(folder, "a.txt"),
        )
    assert ("X-Sendfile" in dict(headers)) is x_sendfile


def test_settings_win(app: flask.Flask) -> None:
    """What the settings decide cannot be passed as an option; the rest is kept."""
    with app.test_request_context():
        values = settings(app)
    options = {"environ": 1, "_root_path": 2, "use_x_sendfile": 3, "response_class": 4, "etag": "e"}
    arguments = send_file_arguments(values, options)
    assert arguments == {
        "environ": values.environ,
        "use_x_sendfile": False,
        "response_class": flask.Response,
        "_root_path": app.root_path,
        "max_age": app.get_send_file_max_age,
        "etag": "e",
    }
    assert options["environ"] == 1
    assert send_file_arguments(values, {"max_age": 0})["max_age"] == 0
    assert send_file_arguments(values, {"max_age": None})["max_age"] == values.get_max_age


def test_relative_root_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a relative root path a file of a folder is found once, below the working directory."""
    monkeypatch.chdir(root.parent)
    values = FileSettings(GET, False, Response, root.name, lambda name: None)
    status, _headers, body = wire(send_from_directory("static", "a.txt", values))
    assert (status, body) == ("200 OK", b"text of a")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that is not a regular file."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "regular").write_text("fine")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "to_fifo").symlink_to("fifo")
    (folder / "to_zero").symlink_to("/dev/zero")
    (folder / "to_regular").symlink_to("regular")
    (folder / "to_nothing").symlink_to("nothing")
    (folder / "to_itself").symlink_to("to_itself")
    with socket.socket(socket.AF_UNIX) as server:
        before = os.getcwd()
        os.chdir(folder)  # a socket's path may have only about 100 bytes
        server.bind("socket")
        os.chdir(before)
        yield folder


def naive_file(directory: Path, path: str) -> str:
    """The fault that the next test must find: it is enough that something is there."""
    joined = werkzeug.security.safe_join(str(directory), path)
    if joined is None or not os.path.exists(joined):
        raise NotFound
    return joined


ENDLESS = ["fifo", "to_fifo", "to_zero", "socket", "folder"]
NOT_THERE = ["to_nothing", "to_itself", "missing", "regular/under", "x" * 5000, "", ".", "folder/"]


@pytest.mark.parametrize("name", [*ENDLESS, *NOT_THERE], ids=lambda name: name[:20])
def test_only_regular_files(odd: Path, name: str) -> None:
    """A folder, a FIFO, a socket, a device and what is not there are all not found."""
    with pytest.raises(NotFound):
        regular_file(odd, name, "/")
    values = FileSettings(GET, False, Response, "/", lambda name: None)
    with pytest.raises(NotFound):
        send_from_directory(odd, name, values)


def test_the_fault_would_be_found(odd: Path) -> None:
    """The names above are real: a check for mere existence lets each one through."""
    for name in ENDLESS:
        assert naive_file(odd, name)


def test_device_folder() -> None:
    """No device node is served, also when the folder is the one with the devices."""
    for name in ("zero", "null", "tty"):
        with pytest.raises(NotFound):
            regular_file("/dev", name, "/")


def test_links_are_followed(odd: Path) -> None:
    """A link to a regular file is that file, as the folder's contents are trusted."""
    assert regular_file(odd, "to_regular", "/") == str(odd / "to_regular")


PARTS = [
    "",
    ".",
    "..",
    "a.txt",
    "sub",
    "b.tar.gz",
    "secret.txt",
    "static-other",
    "\0",
    "\udc80",
    "~",
]


@given(path=st.lists(st.sampled_from(PARTS), max_size=6).map("/".join))
@example(path="../secret.txt")
@example(path="sub/../../secret.txt")
@example(path="../static-other/a.txt")
@example(path="..\\secret.txt")
@example(path="%2e%2e/secret.txt")
@example(path="//a.txt")
@example(path="sub/../a.txt")
def test_paths_like_flask(root: Path, path: str) -> None:
    """Any path gives the file, or the refusal, that Werkzeug gives; never one from outside."""
    arguments = {"environ": GET, "_root_path": str(root)}
    try:
        theirs = werkzeug.utils.send_from_directory("static", path, **arguments)
    except NotFound:
        theirs = None
    else:
        theirs.direct_passthrough = False
        theirs_data = theirs.get_data()
        theirs.close()
    try:
        filename = regular_file("static", path, root)
    except NotFound:
        assert theirs is None
    else:
        assert theirs is not None
        assert Path(filename).read_bytes() == theirs_data
        assert Path(filename).resolve().is_relative_to((root / "static").resolve())


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.txt", "..", "a/../../secret.txt"])
def test_out_of_the_folder(root: Path, path: str) -> None:
    """No path leads out of the folder."""
    with pytest.raises(NotFound):
        regular_file(root / "static", path, root)


WINDOWS = [
    *("CON", "con.txt", "a/NUL.txt ", "a/nul", "COM1", "LPT¹", "AUX.tar.gz", "CONIN$", "prn "),
    *("..\\a", "C:\\a", "C:/a", "\\\\host\\share", "//host/share", "/a", "a\\..\\b", "a/..\\..\\b"),
]


@pytest.mark.parametrize("path", WINDOWS)
def test_windows_paths(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """With Windows' rules for names, devices, drives, shares and back slashes are not found."""
    real = SimpleNamespace(path=ntpath, name="nt", fspath=os.fspath)
    monkeypatch.setattr(werkzeug.security, "os", real)
    monkeypatch.setattr(werkzeug.security, "_os_alt_seps", ["\\"])
    monkeypatch.setattr(os, "stat", lambda name: SimpleNamespace(st_mode=0o100644))
    assert regular_file("static", "plain/name.txt", "/root")
    with pytest.raises(NotFound):
        regular_file("static", path, "/root")
