"""Each advisory's weakness is not here, and the check that says so finds it where it is.

`advisories.toml` has the table. Old releases are installed and checked by `conformance.advisories`.
"""

from __future__ import annotations

import gzip
import os
import pickle
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import advisory_run
import flask
import pytest
from advisory_kit import CHECKS
from checks_sessions import unsafe_imports
from itsdangerous import URLSafeTimedSerializer
from jinja2 import FileSystemBytecodeCache

import demijohn
from conformance.advisories import controls, outcomes

ROOT = Path(__file__).resolve().parents[2]
TABLE = tomllib.loads(Path(__file__).with_name("advisories.toml").read_text(encoding="utf-8"))
ROWS: list[dict[str, Any]] = TABLE["advisory"]
IDS = [name for row in ROWS for name in row["ids"]]

advisory_run.load()


@cache
def failure(check: Callable[[Any], None]) -> AssertionError | None:
    """What a check says about this package; asked once for all the advisories that it is for."""
    try:
        check(demijohn)
    except AssertionError as error:
        return error
    return None


@pytest.mark.parametrize("name", IDS)
def test_holds(name: str) -> None:
    """The weakness that the advisory describes is not in this package."""
    found = failure(CHECKS[name])
    if found is not None:
        raise found


@pytest.mark.parametrize("name", [r["ids"][0] for r in ROWS if "flask-3.1.3" in r["controls"]])
def test_fails_on_flask(name: str) -> None:
    """Known-bad control: the check fails on the Flask that the tests compare with."""
    assert version("flask") == "3.1.3"
    with pytest.raises(AssertionError):
        CHECKS[name](flask)


# -- faults for what no release at hand gets wrong -------------------------------------------------


class Faulty:
    """This package with some names replaced."""

    def __init__(self, app: Any = demijohn.Flask, **names: Any) -> None:
        self.Flask = app
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(demijohn, name)


class ReplacesVary(demijohn.Flask):
    def process_response(self, response: Any) -> Any:
        response = super().process_response(response)
        if "Vary" in response.headers:
            response.headers["Vary"] = "Cookie"
        return response


class TakesAnySession(demijohn.sessions.SecureCookieSessionInterface):
    """A store that makes a session of whatever name a client brings."""

    store: dict[str, Any] = {}

    def open_session(self, app: Any, request: Any) -> Any:
        name = request.cookies.get("session") or "new"
        return self.store.setdefault(name, self.session_class({"name": name}))

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        response.set_cookie("session", session.get("name", "new"))


class Pickles(demijohn.sessions.SecureCookieSessionInterface):
    def get_signing_serializer(self, app: Any) -> Any:
        signer = super().get_signing_serializer(app)
        assert signer is not None
        return URLSafeTimedSerializer(
            signer.secret_keys,
            salt=self.salt,
            serializer=pickle,
            signer_kwargs=signer.signer_kwargs,
        )


class TakesAny(demijohn.Flask):
    session_interface = TakesAnySession()


class Unpickles(demijohn.Flask):
    session_interface = Pickles()


class Unpacking(demijohn.Request):
    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        data = super().get_data(*args, **kwargs)
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data


class Unpacks(demijohn.Flask):
    request_class = Unpacking


class Echoes(demijohn.Flask):
    def handle_http_exception(self, e: Any) -> Any:
        return f"{e.code} for {demijohn.request.full_path}", e.code


class CachesTemplates(demijohn.Flask):
    jinja_options = {"bytecode_cache": FileSystemBytecodeCache()}


def join_and_send(directory: Any, name: str) -> Any:
    path = os.path.join(directory, name.lstrip("/"))
    return demijohn.send_file(path) if os.path.isfile(path) else demijohn.abort(404)


PLANTED: dict[str, Faulty] = {
    "CVE-2026-6907": Faulty(ReplacesVary),
    "CVE-2018-1000519": Faulty(TakesAny),
    "CVE-2021-23727": Faulty(Unpickles),
    "CVE-2025-69223": Faulty(Unpacks),
    "CVE-2023-29159": Faulty(send_from_directory=join_and_send),
    "CVE-2019-3498": Faulty(Echoes),
    "CVE-2014-1402": Faulty(CachesTemplates),
}


@pytest.mark.parametrize("name", PLANTED)
def test_fails_on_a_planted_fault(name: str) -> None:
    """Known-bad control: the check fails on an application that has the weakness."""
    with pytest.raises(AssertionError):
        CHECKS[name](PLANTED[name])


def test_the_search_for_loaders_finds_them(tmp_path: Path) -> None:
    """Every way of importing an unsafe loader is found, a harmless one is not."""
    (tmp_path / "bad.py").write_text(
        "import os, pickle\nfrom yaml import load\ndef f():\n    import marshal as m\n"
    )
    (tmp_path / "good.py").write_text("import json\nfrom .pickle import x\nfrom . import yaml\n")
    found = unsafe_imports(tmp_path)
    assert [line.partition(": ")[2] for line in found if "bad" in line] == [
        "pickle",
        "yaml",
        "marshal",
    ]


# -- the table -------------------------------------------------------------------------------------


def node_exists(node: str) -> bool:
    """Whether a file has a test function of that name."""
    file, _, name = node.partition("::")
    path = ROOT / file
    return path.exists() and (not name or f"def {name}(" in path.read_text(encoding="utf-8"))


def test_the_table_is_whole() -> None:
    """Every check has its row and every row its check; each row has a control that can run and
    names tests that exist.
    """
    assert sorted(IDS) == sorted(CHECKS)
    planted: set[str] = set()
    for row in ROWS:
        first, *others = (CHECKS[name] for name in row["ids"])
        assert all(check is first for check in others), row["ids"]
        assert row["controls"] and row["title"], row["ids"]
        for control in row["controls"]:
            assert control in ("planted", "flask-3.1.3", *TABLE["releases"]), control
            if control == "planted":
                planted.add(row["ids"][0])
        assert all(node_exists(node) for node in row.get("tests", ())), row
    assert planted == set(PLANTED)
    assert not node_exists("tests/advisories/test_advisories.py::test_that_is_not_there")


def test_a_check_that_cannot_tell_is_no_failed_check() -> None:
    """An error inside a check is told from the weakness, so that a control fails for its reason."""
    outcome: Callable[[Any, str], str] = advisory_run.outcome
    assert outcome(demijohn, "CVE-2014-1402") == "held"
    assert outcome(PLANTED["CVE-2014-1402"], "CVE-2014-1402").startswith("failed")
    assert outcome(object(), "CVE-2014-1402").startswith("error: AttributeError")


def test_old_releases_are_asked_in_their_own_process() -> None:
    """The run against a release tells a check that held from one that found its weakness."""
    ids = ["CVE-2026-27205", "json-depth-and-long-integers", "no-such-advisory"]
    found = outcomes(Path(sys.executable), ids, 60)
    assert found[ids[0]] == "held" and found[ids[1]].startswith("failed")
    assert found[ids[2]].startswith("error: KeyError")
    table = {"releases": {"old": []}, "advisory": [{"ids": ["a", "b"], "controls": ["old", "x"]}]}
    assert controls(table) == {"old": ["a"]}
