"""Files, ranges and conditions through a whole application: every byte is Flask's."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import werkzeug.utils
import werkzeug.wrappers.response
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from werkzeug.http import http_date

from .kit import Framework, Served, make, same, serve

TEXT = b"0123456789" * 20
CHANGED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
NOW = 1_750_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name in ("a.txt", "b.css", "empty"):
        path = folder / "static" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"" if name == "empty" else TEXT)
        os.utime(path, (CHANGED.timestamp(), CHANGED.timestamp()))
    return folder


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is always the same moment: for `Expires`, and for the `Date` of conditional answers."""
    monkeypatch.setattr(werkzeug.utils, "time", lambda: float(NOW))
    monkeypatch.setattr(werkzeug.wrappers.response, "http_date", lambda: http_date(NOW))


def site(framework: Framework, folder: Path, **config: Any) -> Any:
    """Each way to send a file or a conditional answer, under its own path."""
    app = make(framework, **config)
    app.root_path = str(folder)
    blueprint = framework.Blueprint("b", "site_of_parity", root_path=str(folder),
                                    static_folder="static", url_prefix="/b")  # fmt: skip
    app.register_blueprint(blueprint)

    def file(name: str = "a.txt", **options: Any) -> Any:
        return framework.send_file(folder / "static" / name, **options)

    def by_age(name: str | None) -> int:
        return len(name or "")

    if config.get("OWN_AGES"):
        app.get_send_file_max_age = lambda name: None if name is None else 30 + len(name)

    def conditional(body: Any, **options: Any) -> Any:
        response = framework.Response(body, mimetype="text/plain")
        response.set_etag("tag", weak=options.pop("weak", False))
        response.last_modified = CHANGED
        return response.make_conditional(framework.request, **options)

    def parts() -> Iterator[bytes]:
        for start in range(0, len(TEXT), 30):
            yield TEXT[start : start + 30]

    def hashed() -> Any:
        response = framework.make_response(TEXT)
        response.add_etag()
        return response.make_conditional(framework.request)

    views: dict[str, Any] = {
        "path": file,
        "empty": lambda: file("empty"),
        "attachment": lambda: file(as_attachment=True, download_name="ü n.txt"),
        "etag": lambda: file(etag="own"),
        "no-etag": lambda: file(etag=False),
        "not-conditional": lambda: file(conditional=False),
        "age": lambda: file(max_age=60),
        "age-of": lambda: file(max_age=by_age),
        "modified": lambda: file(last_modified=CHANGED + timedelta(days=1)),
        "bytes": lambda: framework.send_file(io.BytesIO(TEXT), "text/x", etag="b"),
        "opened": lambda: framework.send_file((folder / "static/a.txt").open("rb"), "text/plain"),
        "folder": lambda: framework.send_from_directory(folder / "static", "b.css"),
        "gone": lambda: framework.send_from_directory(folder / "static", "gone"),
        "text": lambda: conditional(TEXT),
        "ranges": lambda: conditional(TEXT, accept_ranges=True, complete_length=len(TEXT)),
        "generated": lambda: conditional(parts(), accept_ranges=True, complete_length=len(TEXT)),
        "weak": lambda: conditional(TEXT, weak=True),
        "hashed": hashed,
    }
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, view)
    return app


PATHS = [
    *("path", "empty", "attachment", "etag", "no-etag", "not-conditional", "age", "age-of"),
    *("modified", "bytes", "opened", "folder", "gone", "text", "ranges", "generated", "weak"),
    *("hashed", "static/a.txt", "static/gone", "b/static/b.css"),
]
RANGES = [
    *("bytes=0-4", "bytes=5-", "bytes=-5", "bytes=0-", "bytes=199-", "bytes=200-", "bytes=500-600"),
    *("bytes=0-999", "bytes=5-2", "bytes=0-1,5-6", "bytes=0-1,300-", "lines=0-1", "bytes=x-", "x"),
    *("bytes=", "bytes=-0", "bytes=-999", "bytes= 1 - 2"),
]
DATES = [http_date(CHANGED + timedelta(seconds=s)) for s in (-1, 0, 1, 86400)] + ["yesterday", ""]
TAGS = ['"tag"', 'W/"tag"', '"own"', '"b"', '"gone"', "*", "tag", '"x", "tag"', ""]
CONDITIONS: dict[str, list[str]] = {
    "Range": RANGES,
    "If-Range": [*TAGS, *DATES],
    "If-None-Match": TAGS,
    "If-Match": TAGS,
    "If-Modified-Since": DATES,
    "If-Unmodified-Since": DATES,
}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"SEND_FILE_MAX_AGE_DEFAULT": 60},
    {"SEND_FILE_MAX_AGE_DEFAULT": timedelta(minutes=2)},
    {"USE_X_SENDFILE": True},
    {"OWN_AGES": True},
]


def answers(folder: Path, path: str, **options: Any) -> Served:
    config = options.pop("config", {})
    served: Served = same(lambda f: _whole(serve(site(f, folder, **config), f"/{path}", **options)))
    return served


def _whole(served: Served) -> Served:
    # How a body is cut into pieces is the server's and the file wrapper's business.
    served.pieces = [served.body]
    return served


@pytest.mark.parametrize("config", SETTINGS, ids=str)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
def test_file(folder: Path, path: str, method: str, config: dict[str, Any]) -> None:
    """A file is sent with the status, headers and body of Flask's answer."""
    served = answers(folder, path, method=method, config=config)
    assert served.status[:3] == ("404" if "gone" in path else "200")
    if method == "HEAD":
        assert served.body == b""


@given(
    path=st.sampled_from(PATHS),
    method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
    headers=st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in CONDITIONS.items()}
    ),
    config=st.sampled_from(SETTINGS),
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_conditions(
    folder: Path, path: str, method: str, headers: dict[str, str], config: dict[str, Any]
) -> None:
    """Ranges and conditions, alone and together, are answered as by Flask."""
    served = answers(folder, path, method=method, headers=headers, config=config)
    event(served.status or served.error)


@pytest.mark.parametrize(
    ("path", "headers", "status", "size"),
    [
        ("path", {"Range": "bytes=2-4"}, 206, 3),
        ("path", {"Range": "bytes=-5"}, 206, 5),
        ("path", {"Range": "bytes=500-"}, 416, None),
        ("ranges", {"Range": "bytes=2-4", "If-Range": '"tag"'}, 206, 3),
        ("ranges", {"Range": "bytes=2-4", "If-Range": '"other"'}, 200, 200),
        ("path", {"Range": "bytes=2-4", "If-Range": DATES[1]}, 206, 3),
        ("path", {"Range": "bytes=2-4", "If-Range": DATES[0]}, 200, 200),
        ("etag", {"If-None-Match": '"own"'}, 304, 0),
        ("path", {"If-Modified-Since": DATES[1]}, 304, 0),
        ("path", {"If-Modified-Since": DATES[0]}, 200, 200),
        ("etag", {"If-Match": '"other"'}, 412, None),
        ("static/a.txt", {"If-Modified-Since": DATES[2]}, 304, 0),
        ("generated", {"Range": "bytes=25-64"}, 206, 40),
    ],
)
def test_what_the_conditions_mean(
    folder: Path, path: str, headers: dict[str, str], status: int, size: int | None
) -> None:
    """The answers compared above are partial, unchanged or refused where they should be."""
    served = answers(folder, path, headers=headers)
    assert int(served.status[:3]) == status
    if size is not None:
        assert len(served.body) == size
    if status == 206:
        assert (served.header("Content-Range") or "").endswith("/200")
