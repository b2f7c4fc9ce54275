"""The suites that `make conformance` runs: where their tests come from, and how they are run.

Each has a folder here with `passing.txt`, the tests that pass on Flask, and, where tests are known
to fail on this package, `expected.toml`, which names them by cause. The source archives are pinned
by hash in `NAME.txt` beside this file, in pip's format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conformance.results import Expected, read_expected, read_reference

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Suite:
    """A test suite inside the source archive of a released package.

    Attributes:
        name: how it is called here; its folder's name.
        title: what the report calls it.
        archive: the file in this folder that pins the archive.
        group: the requirements that it runs with, and its environment.
        root: the folder inside the archive in which pytest runs.
        parts: what is unpacked of that folder. Never the package under test: it is installed.
        tests: what pytest is asked to run.
        options: further options for pytest.
        edges: by what its tests may call applications.
    """

    name: str
    title: str
    archive: str
    group: str = "extensions"
    root: str = ""
    parts: tuple[str, ...] = ("tests/", "pyproject.toml", "setup.cfg")
    tests: str = "tests"
    options: tuple[str, ...] = ()
    edges: tuple[str, ...] = ("wsgi", "asgi")

    @property
    def folder(self) -> Path:
        """Where its lists are."""
        return HERE / self.name

    @property
    def pins(self) -> Path:
        """The pinned archive, as a requirements file."""
        return HERE / f"{self.archive}.txt"

    def reference(self) -> list[str]:
        """Return the ids of the tests that pass on Flask."""
        return read_reference(self.folder / "passing.txt")

    def expected(self) -> Expected:
        """Return what must hold here; where nothing else is recorded, that all of them pass."""
        file = self.folder / "expected.toml"
        if file.exists():
            return read_expected(file.read_text())
        return Expected(len(self.reference()))


# pytest-flask is there for its own test, and must not touch the fixtures of these suites.
_PLAIN = ("-p", "no:flask")

SUITES = (
    Suite("flask", "Flask 3.1.3", "flask", group="conformance"),
    Suite(
        "tutorial",
        "Flask's example: tutorial",
        "flask",
        root="examples/tutorial/",
        parts=("flaskr/", "tests/", "pyproject.toml"),
        options=_PLAIN,
    ),
    Suite(
        "javascript",
        "Flask's example: javascript",
        "flask",
        root="examples/javascript/",
        parts=("js_example/", "tests/", "pyproject.toml"),
        options=_PLAIN,
    ),
    Suite("flask-login", "Flask-Login 0.6.3", "flask-login", options=_PLAIN),
    Suite("flask-wtf", "Flask-WTF 1.3.0", "flask-wtf", options=_PLAIN),
    Suite("flask-sqlalchemy", "Flask-SQLAlchemy 3.1.1", "flask-sqlalchemy", options=_PLAIN),
    Suite(
        "sentry",
        "Sentry's Flask integration (sentry-sdk 2.75.0)",
        "sentry-sdk",
        tests="tests/integrations/flask",
        # Its own options measure coverage.
        options=(*_PLAIN, "-o", "addopts="),
        # It takes the place of Flask.__call__, with WSGI's two arguments.
        edges=("wsgi",),
    ),
)
