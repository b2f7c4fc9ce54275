"""Configuration, compared with Flask's on the same files, objects and environments."""

from __future__ import annotations

import errno
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import flask.config
import flask.helpers
import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st

from demijohn.framework.config import (
    DEFAULTS,
    Config,
    ConfigAttribute,
    get_debug_flag,
    get_load_dotenv,
)

AnyConfig = Config | flask.config.Config


def outcome(make: Callable[[], AnyConfig], load: Callable[[AnyConfig], Any]) -> object:
    """What a loader did: its answer and the items left, or its error's type, number and text."""
    config = make()
    try:
        answer = load(config)
    except Exception as error:
        number = getattr(error, "errno", None)
        text = getattr(error, "strerror", None)
        return type(error), number, text, list(config.items())
    return answer, list(config.items())


def same(load: Callable[[AnyConfig], Any], root: str | Path = "/", **defaults: Any) -> Any:
    """Assert that Flask's configuration and ours take `load` alike; return what came of it."""
    ours = outcome(lambda: Config(root, dict(defaults)), load)
    assert ours == outcome(lambda: flask.config.Config(root, dict(defaults)), load)
    return ours


def test_defaults_are_flasks() -> None:
    """An application starts with the keys, the values and the order that Flask's have."""
    assert list(DEFAULTS.items()) == list(Flask.default_config.items())
    assert type(DEFAULTS) is type(Flask.default_config)


def test_defaults_cannot_change() -> None:
    """No application can change the defaults of the others."""
    with pytest.raises(TypeError, match="immutable"):
        DEFAULTS["DEBUG"] = True  # type: ignore[index]


FILES = {
    "good.py": "import os\nKEY = 'value'\nlower = 1\nMixed = 2\nNAME = __name__\nAT = __file__\n",
    "empty.py": "",
    "syntax.py": "KEY = ",
    "raises.py": "KEY = 1\nraise ZeroDivisionError",
    "opens.py": "KEY = 1\nopen('/no/such/file')",
    "latin.py": "# -*- coding: latin-1 -*-\nKEY = 'é'",
    "good.json": '{"KEY": [1, 2], "lower": 1, "Mixed": 2}',
    "bad.json": "{",
    "good.toml": 'KEY = "value"\nlower = 1\n',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("name", [*FILES, "folder", "missing.py", "good.py/under", "a\0b"])
def test_from_pyfile_like_flask(folder: Path, name: str, silent: bool) -> None:
    """A Python file, there or not, loads or fails as it does in Flask."""
    same(lambda config: config.from_pyfile(name, silent=silent), folder, KEY=0, OTHER=1)
    same(lambda config: config.from_pyfile(folder / name, silent), "/elsewhere")


def test_from_pyfile_takes_capitals(folder: Path) -> None:
    """Only the names in capitals of a Python file become keys."""
    config = Config(folder)
    assert config.from_pyfile("good.py") is True
    at = str(folder / "good.py")
    assert config == {"KEY": "value", "NAME": "config", "AT": at}


def test_from_pyfile_says_what_failed(folder: Path) -> None:
    """A missing configuration file is named as such, with the system's reason."""
    with pytest.raises(FileNotFoundError) as caught:
        Config(folder).from_pyfile("missing.py")
    assert str(caught.value) == (
        "[Errno 2] Unable to load configuration file (No such file or directory): "
        f"'{folder / 'missing.py'}'"
    )


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("name", ["good.json", "bad.json", "folder", "missing", "good.json/under"])
def test_from_file_like_flask(folder: Path, name: str, silent: bool) -> None:
    """A data file, there or not, loads or fails as it does in Flask."""
    same(lambda config: config.from_file(name, load=json.load, silent=silent), folder, KEY=0)


@pytest.mark.parametrize("text", [False, True])
def test_from_file_opens_as_asked(folder: Path, text: bool) -> None:
    """`text` decides whether the loader gets text or bytes: TOML's takes only bytes."""
    result = same(lambda config: config.from_file("good.toml", tomllib.load, text=text), folder)
    assert result[0] is (TypeError if text else True)


def test_from_file_forgives_less_than_from_pyfile(folder: Path) -> None:
    """A path that leads through a file is silent for Python files only, as in Flask."""
    config = Config(folder)
    assert config.from_pyfile("good.py/under", silent=True) is False
    with pytest.raises(OSError) as caught:
        config.from_file("good.json/under", load=json.load, silent=True)
    assert caught.value.errno == errno.ENOTDIR


class Base:
    KEY = "base"
    INHERITED = 1
    lower = 2


class Derived(Base):
    KEY = "derived"
    _UNDER = 3

    @property
    def COMPUTED(self) -> str:
        return "computed"


@pytest.mark.parametrize(
    "source",
    [
        Base,
        Derived,
        Derived(),
        SimpleNamespace(A=1, b=2, É=3, A1_B=4),
        {"A": 1},
        None,
        "json.decoder",
        "json:JSONDecoder",
        "no_such_module",
        "json.nothing",
        "",
    ],
    ids=lambda source: repr(source).partition(" at 0x")[0],
)
def test_from_object_like_flask(source: object) -> None:
    """An object, or one named by a string, gives the keys that it gives in Flask."""
    same(lambda config: config.from_object(source), KEY=0)


@pytest.mark.parametrize(
    "args",
    [
        (),
        (None,),
        ({"A": 1, "b": 2},),
        ([("A", 1), ("A", 2)],),
        ({"A": 1}, {"B": 2}),
        (1,),
        ({1: 2},),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kwargs", [{}, {"A": 9, "b": 9, "C": 9}], ids=repr)
def test_from_mapping_like_flask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Mappings and keyword arguments give the keys that they give in Flask."""
    same(lambda config: config.from_mapping(*args, **kwargs), A=0)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("value", [None, "", "good.py", "missing.py"])
def test_from_envvar_like_flask(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, silent: bool
) -> None:
    """The file that a variable names loads, or is missed, as in Flask."""
    monkeypatch.delenv("SETTINGS_FILE", raising=False)
    if value is not None:
        monkeypatch.setenv("SETTINGS_FILE", value)
    same(lambda config: config.from_envvar("SETTINGS_FILE", silent=silent), folder)


def test_from_envvar_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable is named in the error."""
    monkeypatch.delenv("SETTINGS_FILE", raising=False)
    with pytest.raises(RuntimeError, match="'SETTINGS_FILE' is not set"):
        Config("/").from_envvar("SETTINGS_FILE")


ENV_NAMES = st.text("ABa_", min_size=1, max_size=8).map("P_".__add__) | st.text(
    "PQ_", min_size=1, max_size=3
)
ENV_VALUES = st.sampled_from(["1", "true", "null", "text", "{}", '{"A": {"B": 2}}', "[1]", "", "'"])


@given(env=st.dictionaries(ENV_NAMES, ENV_VALUES, max_size=6))
@example(env={"P_A": "text", "P_A__B": "1"})
@example(env={"P_A": '{"B": {"C": 1}}', "P_A__B__C": "2", "P_A__D__E": "3"})
@example(env={"P_A": "[1]", "P_A__B": "1"})
@example(env={"P_A": "0", "P_A__B": "1"})
@example(env={"P_": "1", "P___": "2", "P_a": "3"})
def test_from_prefixed_env_like_flask(env: dict[str, str]) -> None:
    """Any set of prefixed variables gives the items, or the error, that it gives in Flask."""
    with patch.dict(os.environ, env, clear=True):
        same(lambda config: config.from_prefixed_env("P"), A={"X": 1})


def test_from_prefixed_env_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default prefix is FLASK and values are JSON where they can be."""
    monkeypatch.setenv("FLASK_N", "1")
    monkeypatch.setenv("FLASK_S", "one")
    monkeypatch.setenv("FLASK_D__IN__NER", "[true]")
    config = Config("/")
    assert config.from_prefixed_env() is True
    assert (config["N"], config["S"], config["D"]) == (1, "one", {"IN": {"NER": [True]}})


def test_from_prefixed_env_takes_a_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller's loader cannot read stays text, whatever it raises."""
    monkeypatch.setenv("P_A", "1")
    monkeypatch.setenv("P_B", "x")

    def loads(text: str) -> int:
        if text == "x":
            raise RecursionError
        return int(text) + 1

    config = Config("/")
    config.from_prefixed_env("P", loads=loads)
    assert config == {"A": 2, "B": "x"}


@given(
    items=st.dictionaries(st.text("ABab_", max_size=5), st.integers(), max_size=8),
    namespace=st.text("ABa_", max_size=3),
    lowercase=st.booleans(),
    trim=st.booleans(),
)
@example(items={"A_B": 1, "A_b": 2}, namespace="A_", lowercase=True, trim=True)
def test_get_namespace_like_flask(
    items: dict[str, int], namespace: str, lowercase: bool, trim: bool
) -> None:
    """Any prefix picks the items, in the order and under the keys, that it picks in Flask."""
    ours = Config("/", items).get_namespace(namespace, lowercase, trim)
    theirs = flask.config.Config("/", items).get_namespace(namespace, lowercase, trim)
    assert list(ours.items()) == list(theirs.items())
    assert type(ours) is dict


def test_loaders_set_items_one_by_one(folder: Path) -> None:
    """A subclass that watches `__setitem__` sees what every loader sets."""
    seen: list[str] = []

    class Watched(Config):
        def __setitem__(self, key: str, value: Any) -> None:
            seen.append(key)
            super().__setitem__(key, value)

    config = Watched(folder)
    config.from_mapping(A=1)
    config.from_object(Base)
    config.from_file("good.json", json.load)
    assert seen == ["A", "INHERITED", "KEY", "KEY"]


def test_repr_and_root() -> None:
    """A configuration shows its class and items, and keeps its root path and a copy of defaults."""
    defaults = {"A": 1}
    config = Config("/root", defaults)
    config["A"] = 2
    assert repr(config) == "<Config {'A': 2}>"
    assert config.root_path == "/root"
    assert defaults == {"A": 1}
    assert isinstance(config, dict)


class Owner:
    plain = ConfigAttribute[int]("PLAIN")
    doubled = ConfigAttribute("PLAIN", get_converter=lambda value: value * 2)

    def __init__(self) -> None:
        self.config = Config("/", {"PLAIN": 1})


def test_config_attribute_reads_and_writes_the_config() -> None:
    """The attribute and the key are one value; the converter works on reads only."""
    owner = Owner()
    assert (owner.plain, owner.doubled) == (1, 2)
    owner.doubled = 5
    assert owner.config == {"PLAIN": 5}
    assert (owner.plain, owner.doubled) == (5, 10)
    owner.config["PLAIN"] = 7
    assert owner.plain == 7
    del owner.config["PLAIN"]
    with pytest.raises(KeyError, match="PLAIN"):
        _ = owner.plain


def test_config_attribute_on_the_class() -> None:
    """Read from the class, the descriptor is the answer, and it knows its key."""
    assert isinstance(Owner.plain, ConfigAttribute)
    assert Owner.plain.__name__ == "PLAIN"
    assert Owner.plain.get_converter is None
    assert Owner.doubled.get_converter is not None


FLAGS = [None, "", "0", "1", "no", "No", "yes", "FALSE", "true", "off", " 0", "f"]


@pytest.mark.parametrize("value", FLAGS)
def test_flags_like_flask(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """`FLASK_DEBUG` and `FLASK_SKIP_DOTENV` mean what they mean to Flask."""
    for name in ("FLASK_DEBUG", "FLASK_SKIP_DOTENV"):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert get_debug_flag() is flask.helpers.get_debug_flag()
    assert get_load_dotenv() is flask.helpers.get_load_dotenv()
    assert get_load_dotenv(False) is flask.helpers.get_load_dotenv(False)
