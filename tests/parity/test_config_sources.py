"""An application's configuration from every source, and where relative files are looked for."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from .kit import Framework, same

FILES = {
    "config.py": "KEY = 'py'\nlower = 1\nNESTED = {'a': 1}\n",
    "broken.py": "KEY = (",
    "raises.py": "1 / 0",
    "config.json": '{"KEY": "json", "lower": 1, "N": [1, null]}',
    "broken.json": "{",
    "config.toml": 'KEY = "toml"\n[SUB]\nx = 1\n',
    "settings_mod.py": "KEY = 'mod'\nlower = 1\nclass Settings:\n    KEY = 'class'\n"
    "    lower = 1\nclass Child(Settings):\n    OTHER = property(lambda self: 'p')\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with an instance folder; each file is in one of them, or in both."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / "instance").mkdir(exist_ok=True)
        (tmp_path / "instance" / f"i_{name}").write_text(text.replace("KEY", "INSTANCE"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


LOADS: dict[str, Callable[[Any], Any]] = {
    **{
        f"{kind} {name} {silent}": lambda config, kind=kind, name=name, silent=silent: (
            config.from_pyfile(name, silent=silent)
            if kind == "pyfile"
            else config.from_file(name, load=json.load, silent=silent)
        )
        for kind, names in (
            ("pyfile", ("config.py", "i_config.py", "gone.py", "broken.py", "raises.py", ".")),
            ("json", ("config.json", "i_config.json", "gone.json", "broken.json", ".")),
        )
        for name in names
        for silent in (False, True)
    },
    "toml": lambda config: config.from_file("config.toml", load=tomllib.load, text=False),
    "toml as text": lambda config: config.from_file("config.toml", load=tomllib.load),
    "toml loads": lambda config: config.from_file(
        "config.toml", load=lambda f: tomllib.loads(f.read())
    ),
    "object by name": lambda config: config.from_object("settings_mod"),
    "class by name": lambda config: config.from_object("settings_mod.Settings"),
    "child by name": lambda config: config.from_object("settings_mod.Child"),
    "object that is gone": lambda config: config.from_object("settings_mod.Gone"),
    "module that is gone": lambda config: config.from_object("no_settings_mod"),
    "instance": lambda config: config.from_object(type("S", (), {"KEY": 1, "lower": 2})()),
    "mapping": lambda config: config.from_mapping({"KEY": 1, "lower": 2}, OTHER=3, low=4),
    "two mappings": lambda config: config.from_mapping({"KEY": 1}, {"OTHER": 2}),
    "pairs": lambda config: config.from_mapping([("KEY", 1), ("lower", 2)]),
    "variable": lambda config: config.from_envvar("SITE_CONFIG"),
    "empty variable": lambda config: config.from_envvar("SITE_EMPTY"),
    "unset variable": lambda config: config.from_envvar("SITE_UNSET"),
    "unset variable, silent": lambda config: config.from_envvar("SITE_UNSET", silent=True),
    "variable of a gone file": lambda config: config.from_envvar("SITE_GONE"),
    "variable of a gone file, silent": lambda config: config.from_envvar("SITE_GONE", silent=True),
    "prefixed": lambda config: config.from_prefixed_env(),
    "prefixed otherwise": lambda config: config.from_prefixed_env("SITE", loads=str.upper),
    "namespace": lambda config: sorted(config.get_namespace("SESSION_COOKIE_").items()),
    "update": lambda config: config.update(KEY=1, lower=2),
}
VARIABLES = {
    "SITE_CONFIG": "config.py",
    "SITE_EMPTY": "",
    "SITE_GONE": "gone.py",
    "FLASK_KEY": "text",
    "FLASK_NUMBER": "5",
    "FLASK_LIST": "[1, 2]",
    "FLASK_BAD": "{",
    "FLASK_NESTED__a__b": "true",
    "FLASK_NESTED__a__c": "null",
    "FLASK_SESSION_COOKIE_NAME": '"own"',
    "FLASK_lower": "1",
}


@pytest.mark.parametrize("relative", [False, True], ids=["root", "instance"])
@pytest.mark.parametrize("source", LOADS)
def test_source(source: str, relative: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source gives an application the keys, the answer or the error that it gives Flask's."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    def ask(framework: Framework) -> Any:
        app = framework.Flask("site_of_parity", root_path=str(folder), instance_path=str(
            folder / "instance"), instance_relative_config=relative)  # fmt: skip
        before = dict(app.config)
        try:
            answer = LOADS[source](app.config)
        except Exception as error:
            shown = str(error) if isinstance(error, OSError) else ""
            answer = type(error).__name__, shown, getattr(error, "filename", None)
        changed = {k: repr(v) for k, v in app.config.items() if before.get(k, before) != v}
        return answer, changed, app.config.root_path

    assert same(ask)[2] == str(folder / "instance" if relative else folder)


@pytest.mark.parametrize(
    ("attribute", "key", "value"),
    [
        ("secret_key", "SECRET_KEY", b"k"),
        ("testing", "TESTING", True),
        ("debug", "DEBUG", True),
        ("permanent_session_lifetime", "PERMANENT_SESSION_LIFETIME", timedelta(1)),
        ("permanent_session_lifetime", "PERMANENT_SESSION_LIFETIME", 60),
    ],
)
def test_attributes(attribute: str, key: str, value: Any) -> None:
    """What is an attribute of an application and a key of its configuration is one value."""

    def ask(framework: Framework) -> Any:
        app = framework.Flask("site_of_parity", root_path="/nowhere")
        start = getattr(app, attribute), app.config[key]
        setattr(app, attribute, value)
        by_attribute = getattr(app, attribute), app.config[key]
        app.config[key] = value
        return start, by_attribute, (getattr(app, attribute), app.config[key])

    same(ask)
