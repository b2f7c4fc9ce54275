"""The factory, the database's life, the command `init-db`, error pages and headers."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from demijohn import Demijohn, g
from demijohn.testing import FlaskClient, FlaskCliRunner
from visitor import Visitor

from board import create_app, kept_secret
from board.database import drop_all, get_db, make_ready


def count(app: Demijohn, table: str) -> int:
    """Return how many rows `table` has."""
    with app.app_context():
        number: int = get_db().execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return number


def test_first_start_shows_samples(settings: dict[str, Any]) -> None:
    """A board without a database makes one with two posts, readable by a guest."""
    app = create_app({**settings, "SAMPLES": True})
    client = app.test_client()
    page = client.get("/").text
    assert page.count("<article") == 2
    assert "Welcome to the board" in page
    assert client.get("/posts/1").status_code == client.get("/posts/2").status_code == 200


def test_later_starts_change_nothing(settings: dict[str, Any]) -> None:
    """Samples that were deleted stay deleted when the board starts again."""
    settings["SAMPLES"] = True
    with create_app(settings).app_context(), get_db() as db:
        db.execute("DELETE FROM post")
    assert count(create_app(settings), "post") == 0


def test_workers_that_start_together(settings: dict[str, Any], app: Demijohn) -> None:
    """Of several workers that find a new database exactly one makes it, and none fails."""
    app.config.update(SAMPLES=True)
    Path(app.config["DATABASE"]).unlink()
    start = threading.Barrier(4)
    made: list[bool] = []

    def worker() -> None:
        with app.app_context():
            start.wait(10)
            made.append(make_ready())

    workers = [threading.Thread(target=worker) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(30)
    assert sorted(made) == [False, False, False, True]
    assert count(app, "post") == 2


def test_one_connection_a_context_closed_at_its_end(app: Demijohn) -> None:
    """A context has one connection, another context has another, and its end closes it."""
    with app.app_context():
        db = get_db()
        assert get_db() is db
        with app.app_context():
            assert get_db() is not db
        db.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_connection_is_closed_after_an_error(app: Demijohn) -> None:
    """A view that fails leaves no open connection behind."""
    seen: list[sqlite3.Connection] = []

    def fail() -> str:
        seen.append(get_db())
        raise ZeroDivisionError("on purpose")

    app.add_url_rule("/fail", view_func=fail)
    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/fail")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        seen[0].execute("SELECT 1")


def test_a_request_without_database_opens_none(app: Demijohn) -> None:
    """A static file needs no connection and no session."""
    with app.test_client() as client:
        response = client.get("/static/board.css")
        assert response.status_code == 200
        assert "Vary" not in response.headers
        assert "db" not in g
        response.close()


def test_init_db_keeps_what_is_there(
    runner: FlaskCliRunner, app: Demijohn, member: Visitor
) -> None:
    """The command may be repeated: it reports the database and deletes nothing."""
    member.write()
    for _ in range(2):
        result = runner.invoke(args=["init-db"])
        assert result.exit_code == 0, result.output
        assert result.output == f"Database {app.config['DATABASE']} is ready; posts: 1.\n"
    assert count(app, "member") == 1


def test_init_db_makes_a_missing_database(runner: FlaskCliRunner, app: Demijohn) -> None:
    """The command makes a database that was deleted under a running board."""
    Path(app.config["DATABASE"]).unlink()
    assert runner.invoke(args=["init-db"]).exit_code == 0
    assert count(app, "post") == 0


def test_init_db_reset_asks(runner: FlaskCliRunner, app: Demijohn, member: Visitor) -> None:
    """Starting anew needs a yes, by answer or by option."""
    member.write()
    assert runner.invoke(args=["init-db", "--reset"], input="n\n").exit_code == 1
    assert count(app, "post") == 1
    assert runner.invoke(args=["init-db", "--reset"], input="y\n").exit_code == 0
    assert count(app, "post") == 0
    assert runner.invoke(args=["init-db", "--reset", "--yes"]).exit_code == 0
    assert "Log out" not in member.open("/")


def test_settings_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`BOARD_` variables override the defaults, and test settings ignore them."""
    monkeypatch.setenv("BOARD_DATABASE", str(tmp_path / "env.sqlite3"))
    monkeypatch.setenv("BOARD_SECRET_KEY", "from the environment")
    monkeypatch.setenv("BOARD_TITLE", "Harbour office")
    monkeypatch.setenv("BOARD_PAGE_SIZE", "1")
    app = create_app()
    page = app.test_client().get("/").text
    assert "Harbour office" in page
    assert "Page 1 of 2" in page
    assert app.secret_key == "from the environment"
    other = create_app({"DATABASE": str(tmp_path / "other.sqlite3"), "SECRET_KEY": "test"})
    assert other.config["TITLE"] == "Corkboard"


def test_secret_is_made_once(tmp_path: Path) -> None:
    """The signing key is random, kept for the next start, and readable by its owner only."""
    first, again = kept_secret(tmp_path / "a"), kept_secret(tmp_path / "a")
    assert first == again
    assert len(first) == 64
    assert kept_secret(tmp_path / "b") != first
    assert stat.S_IMODE((tmp_path / "a" / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["secret_key"]


def test_not_found_page(auth: Visitor) -> None:
    """An unknown address gets the board's own page."""
    page = auth.open("/nowhere", 404)
    assert "Nothing is pinned here" in page
    assert "Back to the board" in page


def test_wrong_method_page(client: FlaskClient) -> None:
    """A wrong method is answered with a page and with the methods that are allowed."""
    response = client.get("/account/log-out")
    assert response.status_code == 405
    assert "Method Not Allowed" in response.text
    assert set(response.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_too_large_page(member: Visitor) -> None:
    """A form larger than `MAX_CONTENT_LENGTH` gets a page that says so."""
    response = member.client.post("/posts/new", data={"body": "x" * 200_000})
    assert response.status_code == 413
    assert "That is too much at once" in response.text


def broken_board(settings: dict[str, Any], fail: Callable[[], str]) -> Demijohn:
    """Return a board, run as in production, with `fail` as the page /fail."""
    app = create_app({**settings, "TESTING": False, "PROPAGATE_EXCEPTIONS": False})
    app.add_url_rule("/fail", view_func=fail)
    return app


def test_server_error_page(settings: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """An unhandled exception gets the board's page, tells the visitor nothing, and is logged."""

    def fail() -> str:
        raise ValueError("private")

    response = broken_board(settings, fail).test_client().get("/fail")
    assert response.status_code == 500
    assert "Something broke on our side" in response.text
    assert "private" not in response.text
    assert "ValueError: private" in caplog.text


def test_server_error_page_without_tables(settings: dict[str, Any]) -> None:
    """The error page comes even when the database is what failed, also for a member."""

    def fail() -> str:
        drop_all()
        return str(get_db().execute("SELECT count(*) FROM mail").fetchone())

    app = broken_board(settings, fail)
    member = Visitor(app.test_client(), app.extensions["courier"])
    member.sign_up()
    member.courier.wait()
    assert "Something broke on our side" in member.open("/fail", 500)


def test_headers(client: FlaskClient) -> None:
    """Every page forbids foreign content and framing; the session cookie is not for scripts."""
    response = client.get("/account/log-in")
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
