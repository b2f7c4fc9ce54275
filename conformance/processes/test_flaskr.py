"""The unmodified `flaskr` of Flask's source archive on real servers, used through HTTP."""

from __future__ import annotations

import shutil
import sys
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest

from conformance.processes import FLASKR
from conformance.processes.programs import DEMIJOHN, answers, free_port, output, run, started

HOOK = """
def post_worker_init(worker):
    import flask
    print("the name flask is", flask.__file__, flush=True)
"""


def commands(port: int) -> dict[str, tuple[str, ...]]:
    """How flaskr is served on a port, by name; `serve` only where this version has it."""
    app = (*DEMIJOHN, "--app", "flaskr")
    address = ("--host", "127.0.0.1", "--port", str(port))
    found = {
        "run": (*app, "run", "--as-flask", *address),
        "flask run": (*DEMIJOHN, "as-flask", "flask", "--app", "flaskr", "run", *address),
    }
    for worker in ("sync", "gthread"):
        found[f"gunicorn {worker}"] = (
            *(*DEMIJOHN, "as-flask", "gunicorn", "--config", "hook.py", "--worker-class", worker),
            *("--workers", "2", "--bind", f"127.0.0.1:{port}", "flaskr:create_app()"),
        )
    if any(line.split()[:1] == ["serve"] for line in HELP.splitlines()):
        found["serve"] = (*app, "serve", "--as-flask", *address)
    return found


HELP = output(*DEMIJOHN, "--help", cwd=Path(__file__).parent)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with flaskr, its database made by its own command."""
    shutil.copytree(FLASKR, tmp_path, dirs_exist_ok=True)
    (tmp_path / "hook.py").write_text(HOOK)
    made = output(*DEMIJOHN, "--as-flask", "--app", "flaskr", "init-db", cwd=tmp_path)
    assert "Initialized the database." in made
    assert (tmp_path / "instance" / "flaskr.sqlite").exists()
    return tmp_path


class Browser:
    """Someone with cookies who follows redirects."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self.opener = urllib.request.build_opener(cookies)
        self.at = "/"

    def go(self, path: str, **form: str) -> str:
        """Open a page, or send a form to it; the page that this ends on."""
        data = urlencode(form).encode() if form else None
        with self.opener.open(self.base + path, data, timeout=60) as response:
            self.at = response.url.removeprefix(self.base)
            body: bytes = response.read()
            return body.decode()


@pytest.mark.parametrize("how", commands(0))
def test_a_blog_is_kept(site: Path, how: str) -> None:
    """Register, log in, post, edit, delete and log out work as a user meets them."""
    port = free_port()
    with started(*commands(port)[how], cwd=site, ready=answers(port, "/hello")) as log:
        ada, eve = Browser(port), Browser(port)
        account = {"username": "ada", "password": "lovelace"}
        ada.go("/auth/register", **account)
        assert ada.at == "/auth/login"
        assert "is already registered" in eve.go("/auth/register", **account)
        assert "Incorrect password." in ada.go("/auth/login", username="ada", password="x")
        assert "Log Out" in ada.go("/auth/login", **account)
        assert ada.at == "/"

        assert "Title is required." in ada.go("/create", title="", body="none")
        page = ada.go("/create", title="Notes <G>", body="Of the engine ✓")
        assert "Notes &lt;G&gt;" in page and "Of the engine ✓" in page and "/1/update" in page
        page = eve.go("/")
        assert "Of the engine ✓" in page and "/1/update" not in page
        eve.go("/1/delete", any="thing")
        assert eve.at == "/auth/login"

        assert "Of the engine ✓" in ada.go("/1/update")
        page = ada.go("/1/update", title="Notes", body="Bernoulli numbers")
        assert "Bernoulli numbers" in page and "Of the engine" not in page
        assert "Bernoulli" not in ada.go("/1/delete", any="thing")
        assert "Log Out" not in ada.go("/auth/logout")
        ada.go("/create")
        assert ada.at == "/auth/login"
    text = log.read_text()
    assert "Traceback" not in text
    if how.startswith("gunicorn"):
        assert text.count("the name flask is") == 2
        assert "flask/__init__.py" not in text.replace("demijohn/__init__.py", "")


def test_without_the_option_the_application_is_not_ours(site: Path) -> None:
    """Control: without `--as-flask` the same command refuses flaskr, and says why."""
    result = run(*DEMIJOHN, "--app", "flaskr", "routes", cwd=site)
    assert result.returncode != 0
    there = run(sys.executable, "-c", "import flask", cwd=site).returncode == 0
    assert ("--as-flask" if there else "No module named 'flask'") in result.stdout
