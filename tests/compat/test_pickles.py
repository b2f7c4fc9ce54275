"""Pickles written by Flask load under the alias, and those written here load in Flask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aliased import SOURCE, output, run

from demijohn.compat.launch import STARTUP
from demijohn.compat.names import HOMES

PROGRAM = str(Path(__file__).parent / "pickled.py")
ALIASED = {"PYTHONPATH": f"{STARTUP}:{SOURCE}", "DEMIJOHN_AS_FLASK": "1"}
#: Nothing of this package on the path: it must not be needed to read a pickle in Flask.
FLASK = {"PYTHONPATH": ""}
SIDES = {"flask": FLASK, "demijohn": ALIASED}

Exchange = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    """A function that tells what one side reads of what the other wrote; each is run once."""
    folder = tmp_path_factory.mktemp("pickles")
    read: dict[tuple[str, str], dict[str, Any]] = {}

    def exchange(writer: str, reader: str) -> dict[str, Any]:
        file = folder / f"{writer}.pickle"
        if not file.exists():
            homes = json.dumps({module: list(names) for module, names in HOMES.items()})
            output(PROGRAM, "write", str(file), homes, **SIDES[writer])
        if (writer, reader) not in read:
            read[writer, reader] = json.loads(output(PROGRAM, "read", str(file), **SIDES[reader]))
        return read[writer, reader]

    return exchange


def test_the_two_sides_are_what_they_are_called(exchange: Exchange) -> None:
    """Control: one process runs Flask, the other Demijohn."""
    assert exchange("flask", "flask")["ours"] is False
    assert exchange("demijohn", "demijohn")["ours"] is True


def test_no_pickle_names_this_package(exchange: Exchange) -> None:
    """What is written under the alias has Flask's names only."""
    assert exchange("demijohn", "demijohn")["foreign"] == []


@pytest.mark.parametrize("reader", SIDES)
@pytest.mark.parametrize("writer", SIDES)
def test_same_objects(exchange: Exchange, writer: str, reader: str) -> None:
    """Whoever writes and whoever reads, the same objects come out as when Flask does both."""
    wanted = exchange("flask", "flask")["found"]
    found = exchange(writer, reader)["found"]
    there = [name for name in found if found[name] is not None]
    assert len(there) > 95
    assert {name: found[name] for name in there if found[name] != wanted[name]} == {}


def test_sessions_load_in_flask(tmp_path: Path) -> None:
    """A session, which Flask cannot pickle itself, loads there when it was pickled here."""
    file = tmp_path / "session.pickle"
    write = """
import flask, pickle, sys
session = flask.sessions.SecureCookieSession({"user": 7})
session["more"] = 1
open(sys.argv[1], "wb").write(pickle.dumps(session))
"""
    read = """
import flask, pickle, sys
session = pickle.loads(open(sys.argv[1], "rb").read())
assert type(session) is flask.sessions.SecureCookieSession and session.modified
assert session == {"user": 7, "more": 1}
"""
    output("-c", write, str(file), **ALIASED)
    output("-c", read, str(file), **ALIASED)
    output("-c", read, str(file), **FLASK)


def test_without_the_alias_the_names_are_ours(tmp_path: Path) -> None:
    """Control: a pickle that was written without the alias does not load where we are not."""
    file = tmp_path / "config.pickle"
    output(
        "-c",
        f"import demijohn, pickle; pickle.dump(demijohn.Config('/'), open({str(file)!r}, 'wb'))",
    )
    hide = "import sys; sys.modules['demijohn'] = None"
    result = run(
        "-c", f"{hide}\nimport flask, pickle; pickle.load(open({str(file)!r}, 'rb'))", **FLASK
    )
    assert "demijohn" in result.stderr and result.returncode != 0
