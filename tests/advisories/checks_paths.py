"""Advisories about paths of files and about what an error page shows."""

from __future__ import annotations

import ntpath
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import werkzeug.security
from advisory_kit import Answer, advisory, call, new_app

DEVICES = [
    *(
        "CON",
        "con",
        "con.txt",
        "NUL.txt ",
        "nul",
        "COM1",
        "AUX.tar.gz",
        "prn ",
        "CONIN$",
        "LPT\xb9",
    ),
    *("a/NUL", "a/con.txt", "CON/x.txt"),
]


def file_app(fw: Any, folder: Path) -> Any:
    """An application that sends the files of a folder."""
    app = new_app(fw)

    @app.route("/files/<path:name>")
    def files(name: str) -> Any:
        return fw.send_from_directory(folder, name)

    return app


def ask(app: Any, name: str) -> Answer:
    return call(app, "/files/" + name.encode().decode("latin1"))


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def windows_rules() -> Iterator[None]:
    """Names of files are judged as on Windows; the files themselves stay where they are."""
    module: Any = werkzeug.security
    saved = module.os, module._os_alt_seps
    module.os = SimpleNamespace(path=ntpath, name="nt", fspath=os.fspath)
    module._os_alt_seps = ["\\"]
    try:
        yield
    finally:
        module.os, module._os_alt_seps = saved


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@advisory("CVE-2025-66221", "CVE-2026-21860", "CVE-2026-27199")
def devices_of_windows_are_not_opened(fw: Any) -> None:
    """On Windows no device's name is opened as a file, with endings, blanks and folders too."""
    with folder() as root:
        for name in (*DEVICES, "plain/name.txt"):
            try:
                write(root / name, "content")
            except FileExistsError:
                (root / "CON").unlink()
                write(root / name, "content")
        app = file_app(fw, root)
        with windows_rules():
            assert ask(app, "plain/name.txt").body == b"content"
            for name in DEVICES:
                assert ask(app, name).status == 404, name


@advisory("GHSA-f9vj-2wh5-fj8j")
def shares_of_windows_are_outside(fw: Any) -> None:
    """On Windows neither a share, nor a drive, nor a back slash leads out of the folder."""
    with folder() as root:
        write(root / "plain.txt", "content")
        # Joined as Windows joins, a share would stand for itself: these are its names here.
        for name in ("\\\\host\\share", "..\\a", "C:\\a", "a\\..\\b", "\\a"):
            write(root / name, "content")
        app = file_app(fw, root)
        with windows_rules():
            assert ask(app, "plain.txt").body == b"content"
            for name in ("\\\\host\\share", "//host/share", "..\\a", "C:\\a", "a\\..\\b", "\\a"):
                # 308: routing merges slashes first, and leads to a name without them.
                assert ask(app, name).status in (404, 308), name
            for name in ("//host/share", "//host/share/x", "/a", "C:/a"):
                assert werkzeug.security.safe_join("static", name) is None, name


@advisory("CVE-2023-29159", "CVE-2024-23334", "CVE-2017-16762", "starlette-1.1-absolute-path")
def folders_are_not_left(fw: Any) -> None:
    """A folder beside with the same beginning, dots, absolute paths: all not found; nor is what is
    no regular file.
    """
    with folder() as root:
        write(root / "static" / "in.txt", "in")
        write(root / "static-other" / "secret.txt", "secret")
        write(root / "secret.txt", "secret")
        os.mkfifo(root / "static" / "fifo")
        app = file_app(fw, root / "static")
        assert ask(app, "in.txt").body == b"in"
        outside = ["../secret.txt", "../static-other/secret.txt", "a/../../secret.txt", ".."]
        outside += [str(root / "secret.txt"), "/" + str(root / "secret.txt"), "..%2fsecret.txt"]
        outside += [
            "%2e%2e/secret.txt",
            "in.txt/../../secret.txt",
            "in.txt\x00",
            "\x00",
            "fifo",
            ".",
        ]
        for name in outside:
            answer = ask(app, name)
            assert answer.status in (404, 308) and answer.body != b"secret", name


@advisory("CVE-2019-3498")
def missing_pages_do_not_echo(fw: Any) -> None:
    """The pages for 404, 405 and 400 have nothing of the path or the query in them."""
    app = file_app(fw, Path("/nowhere"))

    @app.route("/key")
    def key() -> Any:
        return fw.request.args["visit-evil.com"]

    for answer in (
        call(app, "/visit-evil.com?visit-evil.com=1"),
        call(app, "/files/visit-evil.com"),
        call(app, "/files/visit-evil.com", "POST"),
        call(app, "/key"),
    ):
        assert answer.status in (400, 404, 405)
        assert b"evil" not in answer.body


@advisory("CVE-2014-1402")
def templates_are_not_cached_on_disk(fw: Any) -> None:
    """No template is compiled to a folder where another user could put one first."""
    app = new_app(fw)
    assert app.jinja_env.bytecode_cache is None
    with app.app_context():
        assert fw.render_template_string("{{ 1 }}") == "1"
