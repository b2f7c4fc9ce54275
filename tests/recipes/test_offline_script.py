"""Scripts without requests, with Flask-SQLAlchemy: with an app context they work, without one the
error says what is missing, where the code runs and what to write.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from local_servers import PATIENCE
from moving import copy, environment

SETUP = """\
import demijohn

demijohn.install_as_flask()

from studio import create_app
from studio.models import User, db

app = create_app()
with app.app_context():
    db.create_all()
    db.session.add(User(name="ada"))
    db.session.commit()
"""
WITHOUT = {
    "in the main thread": """\
def main():
    print(User.query.get(1).name)

main()
""",
    "in the thread 'nightly', started with target main": """\
import threading

failed = []
threading.excepthook = failed.append

def main():
    print(User.query.get(1).name)

with app.app_context():
    thread = threading.Thread(target=main, name="nightly")
    thread.start()
    thread.join()
raise failed[0].exc_value
""",
    "in the asyncio task 'nightly'": """\
import asyncio

async def main():
    print(User.query.get(1).name)

async def start():
    await asyncio.create_task(main(), name="nightly")

asyncio.run(start())
""",
    "while a module is imported": """\
from pathlib import Path

Path("report.py").write_text("from studio.models import User; print(User.query.get(1).name)")
import report
""",
}


@pytest.fixture
def way() -> str:
    """Return the way in which the application is moved, unless a test asks for others."""
    return "alias"


@pytest.fixture
def folder(way: str, tmp_path: Path) -> Path:
    """Return a folder with the moved application."""
    return copy(tmp_path / "studio", way)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder, with an empty database of its own."""
    # `Query.get` warns that there is a newer way.
    options = ["-W", "error", "-W", "ignore:The Query.get"]
    variables = environment(STUDIO_DATABASE=f"sqlite:///{folder / 'offline.sqlite3'}")
    return subprocess.run(
        [sys.executable, *options, *command],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize(
    ("way", "place"), [*(("alias", place) for place in WITHOUT), ("names", "in the main thread")]
)
def test_query_without_a_context_explains_itself(folder: Path, place: str) -> None:
    """`User.query.get()` outside of a context names what is missing, the place and the remedy."""
    (folder / "script.py").write_text(SETUP + WITHOUT[place])
    done = run(folder, "script.py")
    assert (done.returncode, done.stdout) == (1, "")
    _, _, message = done.stderr.rpartition("RuntimeError: ")
    lines = message.splitlines()
    assert lines[0] == "Working outside of application context."
    assert lines[2].startswith("This code needs the current application.")
    assert f"This code runs {place}" in lines[2]
    assert "with app.app_context():" in lines[3]
    assert "User.query.get(1)" in done.stderr  # the line to change is in the traceback


@pytest.mark.parametrize("way", ["alias", "names"])
def test_query_with_a_context_works(folder: Path) -> None:
    """The same line under `with app.app_context():` finds the user."""
    body = "with app.app_context():\n    print(User.query.get(1).name)\n"
    (folder / "script.py").write_text(SETUP + body)
    done = run(folder, "script.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ada\n", "")


def test_offline_script_of_the_recipes(folder: Path) -> None:
    """The example's own script adds users and lists them."""
    assert run(folder, "offline.py", "ada").stdout == "1 ada\n"
    done = run(folder, "offline.py", "ben")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 ada\n2 ben\n", "")
