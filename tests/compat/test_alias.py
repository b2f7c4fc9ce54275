"""`install_as_flask()`: what `import flask` finds afterwards, with Flask installed and without."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path

import flask
import pytest
from aliased import HIDE, run, run_aliased

from demijohn.compat.names import HOMES, MODULES, PACKAGES

Aliased = Callable[[str], str]


@pytest.fixture(params=["installed", "hidden"])
def aliased(request: pytest.FixtureRequest) -> Aliased:
    """A function that runs code under the alias, where Flask is installed and where it is not."""
    return partial(run_aliased, hidden=request.param == "hidden")


def flasks_modules() -> dict[str, Path]:
    """Flask's submodules by name, with their files."""
    root = Path(flask.__file__).parent
    found = {}
    for file in root.rglob("*.py"):
        parts = file.relative_to(root).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name not in ("", "__main__"):
            found[name] = file
    return found


def test_no_module_of_flask_is_missing() -> None:
    """Every module of Flask's is known, and no other; folders are known as packages."""
    files = flasks_modules()
    packages = {name.rpartition(".")[0] for name in files} - {""}
    assert set(MODULES) == set(files) | packages
    assert packages == PACKAGES


def test_flasks_classes_and_functions_are_known_by_their_homes() -> None:
    """The table has each public class and function that a module of Flask defines, under it."""
    for name in flasks_modules():
        module = importlib.import_module(f"flask.{name}")
        defined = {
            key
            for key, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == module.__name__
            and value.__qualname__ == key
        }
        assert {key for key in defined if key[0] != "_"} <= set(HOMES.get(name, ())) <= defined


def test_each_module_is_the_same_object(aliased: Aliased) -> None:
    """`flask.X` is `demijohn.X` for every module, however it is imported; there is no copy."""
    aliased(
        """
import importlib, sys
import flask.sansio.app
from flask.json import tag
from flask import views
assert flask.sansio.app is demijohn.sansio.app
assert tag is demijohn.json.tag and views is demijohn.views
from demijohn.compat.names import MODULES
for name in MODULES:
    assert importlib.import_module("flask." + name) is sys.modules["demijohn." + name], name
files = [m.__file__ for n, m in sys.modules.items() if n.startswith("demijohn") if m.__file__]
assert len(files) == len(set(files))
assert not [m for m in sys.modules.values() if "/flask/" in (getattr(m, "__file__", 0) or "")]
"""
    )


def test_each_name_is_the_same_object(aliased: Aliased) -> None:
    """What comes from `flask` is what comes from `demijohn`, so `isinstance` knows both."""
    aliased(
        """
import flask
from flask import *
from flask import Flask, current_app
assert Flask is flask.Flask is demijohn.Flask is demijohn.Demijohn is flask.app.Flask
app = Flask("x")
assert isinstance(app, demijohn.Demijohn) and isinstance(demijohn.Demijohn("y"), flask.Flask)
with app.app_context():
    assert isinstance(current_app, Flask) and demijohn.current_app.name == "x"
assert repr(app) == "<Flask 'x'>"
assert set(demijohn.__all__) <= set(dir(flask)) and url_for is demijohn.url_for
try:
    flask.no_such_name
except AttributeError as error:
    assert "module 'flask' has no attribute 'no_such_name'" in str(error)
try:
    import flask.ext
except ModuleNotFoundError as error:
    assert error.name == "flask.ext"
"""
    )


def test_the_distribution_is_flask(aliased: Aliased) -> None:
    """`importlib.metadata` and `importlib.util` find Flask 3.1.3, under either spelling."""
    aliased(
        """
import importlib.util, pkgutil, inspect
from importlib import metadata
assert metadata.version("flask") == metadata.version("Flask") == "3.1.3" == demijohn.FLASK_API
assert metadata.metadata("flask")["Name"] == "Flask"
assert [str(f) for f in metadata.files("flask") or ()] == []
[script] = metadata.entry_points(group="console_scripts", name="flask")
assert script.value == "flask.cli:main" and script.load() is demijohn.cli.main
assert "Flask" in metadata.packages_distributions()["flask"]
assert {d.version for d in metadata.distributions() if d.metadata["Name"] == "Flask"} == {"3.1.3"}
assert metadata.version("werkzeug")
assert importlib.util.find_spec("flask").origin == demijohn.__file__
assert importlib.util.find_spec("flask.views").origin == demijohn.views.__file__
assert importlib.util.find_spec("flask.nothing") is None
import flask
assert list(pkgutil.iter_modules(flask.__path__)) == []
assert inspect.getmodule(flask.Flask).__file__ == demijohn.app.__file__
"""
    )


def test_the_version_attribute_warns_as_flasks(aliased: Aliased) -> None:
    """`flask.__version__` is Flask's and deprecated there, so it says so here; ours is not."""
    aliased(
        """
import flask, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert flask.__version__ == "3.1.3" != demijohn.__version__
assert [c.category for c in caught] == [DeprecationWarning]
assert caught[0].filename == "<string>"
"""
    )
    with pytest.warns(DeprecationWarning):
        assert flask.__version__ == "3.1.3"


def test_installing_again_and_reloading_change_nothing(aliased: Aliased) -> None:
    """A second install, a reload and an import of the forgotten module give the same names."""
    aliased(
        """
import importlib, sys
import flask
before = flask.Flask, list(sys.meta_path)
demijohn.install_as_flask()
importlib.reload(flask)
assert (flask.Flask, list(sys.meta_path)) == before
for name in [n for n in sys.modules if n.partition(".")[0] == "flask"]:
    del sys.modules[name]
demijohn.install_as_flask()
import flask.views
assert flask.Flask is before[0] and flask.views is demijohn.views and sys.meta_path == before[1]
"""
    )


def test_patches_by_name_reach_the_module(aliased: Aliased) -> None:
    """`mock.patch("flask....")` sets the name for who reads it there, and puts it back."""
    aliased(
        """
from unittest import mock
import flask
with mock.patch("flask.url_for", lambda *args: "patched"), mock.patch("flask.views.View", int):
    assert flask.url_for("x") == "patched" and flask.views.View is int
assert flask.url_for is demijohn.url_for and flask.views.View is demijohn.views.View is not int
"""
    )


def test_private_names_that_tools_wrap_are_there(aliased: Aliased) -> None:
    """Tracing tools give up on Flask where one of these private functions is missing."""
    aliased(
        """
import flask.templating, flask.globals, inspect
for function in (flask.templating._render, flask.templating._stream):
    assert [*inspect.signature(function).parameters] == ["app", "template", "context"]
assert flask.globals._cv_app and flask.globals._cv_request
"""
    )


def test_tools_that_wait_for_an_import(aliased: Aliased) -> None:
    """Who wraps the loaders of modules (as tracing tools do) is called for each of Flask's modules,
    and what it changes in a class has its effect."""
    aliased(
        """
import importlib.util, sys
for name in [n for n in sys.modules if n.partition(".")[0] == "flask"]:
    del sys.modules[name]
seen = []
class Loader:
    def __init__(self, loader):
        self.loader = loader
        self.create_module = loader.create_module
    def exec_module(self, module):
        self.loader.exec_module(module)
        seen.append(module.__name__)
        if module.__name__ == "flask.app":
            plain = module.Flask.wsgi_app
            def traced(self, environ, start_response):
                seen.append(environ["PATH_INFO"])
                return plain(self, environ, start_response)
            module.Flask.wsgi_app = traced
class Waiting:
    busy = set()
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "flask" or name in self.busy:
            return None
        self.busy.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy.discard(name)
        if spec is not None:
            spec.loader = Loader(spec.loader)
        return spec
sys.meta_path.insert(0, Waiting())
import flask
assert {"flask", "flask.app", "flask.sansio.scaffold", "flask.templating"} <= set(seen)
assert seen.count("flask.app") == 1 and sys.modules["flask.app"] is demijohn.app
flask.Flask("x").test_client().get("/traced")
assert seen[-1] == "/traced"
import flask.testing
assert seen[-1] == "flask.testing"
"""
    )


def test_names_carry_flasks_module(aliased: Aliased) -> None:
    """Classes and functions of Flask's say Flask's module and name, ours say ours."""
    aliased(
        """
import flask
from demijohn.compat.names import HOMES, MODULES
import importlib
for module, names in HOMES.items():
    for name in names:
        value = getattr(importlib.import_module("flask." + module), name, None)
        if value is not None:
            assert (value.__module__, value.__qualname__) == ("flask." + module, name)
assert demijohn.install_as_flask.__module__ == "demijohn.compat.alias"
"""
    )


def test_names_of_other_libraries_are_there_too() -> None:
    """What Flask's modules hold of Werkzeug, Jinja, Click, ... is found in them here."""
    libraries = {"werkzeug", "jinja2", "click", "itsdangerous", "markupsafe", "blinker"}
    wanted = []
    for name in flasks_modules():
        module = importlib.import_module(f"flask.{name}")
        for key, value in vars(module).items():
            home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
            defined = inspect.ismodule(value) or inspect.isclass(value) or inspect.isfunction(value)
            if defined and home.partition(".")[0] in libraries and key == value.__name__:
                wanted.append((name, key, home))
    assert len(wanted) > 50
    run_aliased(
        f"""
import importlib, inspect
for module, key, home in {wanted!r}:
    value = getattr(importlib.import_module("flask." + module), key)
    found = value.__name__ if inspect.ismodule(value) else value.__module__
    assert found == home, (module, key, found)
from flask.signals import Namespace
"""
    )


@pytest.mark.parametrize("name", ["flask", "flask.views"])
def test_too_late_is_an_error(name: str) -> None:
    """With the real Flask imported, the install says so, names its file and changes nothing."""
    result = run(
        "-c",
        f"""
import {name}, sys, demijohn
before = list(sys.meta_path)
try:
    demijohn.install_as_flask()
except RuntimeError as error:
    assert "before anything imports flask" in str(error) and flask.__file__ in str(error)
else:
    raise SystemExit("installed over Flask")
assert sys.meta_path == before and flask.Flask.__module__ == "flask.app"
assert flask.Flask is not demijohn.Flask
import flask.testing
assert flask.testing.FlaskClient is not demijohn.testing.FlaskClient
""",
    )
    assert result.returncode == 0, result.stderr


def test_without_the_alias_there_is_no_flask() -> None:
    """Control: in these processes, Flask is real where it is installed and missing where hidden."""
    assert (
        run("-c", "import flask, demijohn; assert flask.Flask is not demijohn.Flask").stderr == ""
    )
    assert "Flask is hidden" in run("-c", f"{HIDE}\nimport flask").stderr
    hidden = run("-c", f"{HIDE}\nimportlib.metadata.version('flask')")
    assert "PackageNotFoundError" in hidden.stderr
