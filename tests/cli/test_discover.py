"""Finding the app: same finds and same refusals as Flask's command, and its errors."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import flask
import flask.cli
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from demijohn import Demijohn, current_app
from demijohn.cli.discover import (
    NoAppException,
    ScriptInfo,
    find_app_by_string,
    find_best_app,
    locate_app,
    prepare_import,
    program_name,
    with_appcontext,
)
from demijohn.cli.groups import AppGroup, FlaskGroup

Write = Callable[[str, str], Path]

MODULES = {
    "app": "app = App('one')",
    "application": "application = App('one')",
    "app before application": "application = App('two'); app = App('one')",
    "other name": "site = App('one')",
    "app is no app": "app = 1; site = App('one')",
    "two apps": "a = App('one'); b = App('two')",
    "same app twice": "a = b = App('one')",
    "app wins over others": "a = App('two'); app = App('one')",
    "create_app": "def create_app(): return App('one')",
    "make_app": "def make_app(): return App('one')",
    "create_app before make_app": (
        "def make_app(): return App('two')\ndef create_app(): return App('one')"
    ),
    "create_app gives nothing": (
        "def make_app(): return App('two')\ndef create_app(): return None"
    ),
    "defaults": "def create_app(x='one', *, y=1): return App(x)",
    "arguments missing": "def create_app(x): return App(x)",
    "arguments missing, but make_app": (
        "def create_app(x): return App(x)\ndef make_app(): return App('one')"
    ),
    "keyword missing": "def create_app(*, x): return App(x)",
    "TypeError inside": "def create_app(): return len(1)",
    "wrong call inside": "def f(x): pass\ndef create_app(): return f()",
    "class as factory": "class create_app(App):\n def __init__(self): super().__init__('one')",
    "app wins over factory": "site = App('one')\ndef create_app(): return App('two')",
    "nothing": "x = 1",
}


def outcome(find: Callable[..., Any], no_app: type[Exception], app_class: Any, *args: Any) -> Any:
    """What a search comes to: the app's name, "refused", or the error that came through."""
    module = types.ModuleType("site_module")
    module.__dict__["App"] = app_class
    source, *rest = args
    exec(source, module.__dict__)
    # The class itself is no app; taken away so that both modules hold the same.
    try:
        return find(module, *rest).name
    except no_app:
        return "refused"
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("source", MODULES.values(), ids=MODULES.keys())
def test_best_app_is_flasks_choice(source: str) -> None:
    """Of a module's variables and factories, the app that Flask would take is taken."""
    ours = outcome(find_best_app, NoAppException, Demijohn, source)
    flasks = outcome(flask.cli.find_best_app, flask.cli.NoAppException, flask.Flask, source)
    assert ours == flasks


NAMES = [
    "app", " app ", "other", "missing", "number", "create", "create()", "create( )", "one_arg",
    "one_arg('x')", "one_arg(name='x')", "one_arg('x', 'y')", "one_arg(nope='x')", "one_arg(x)",
    "one_arg(str('x'))", "one_arg(f'x')", "one_arg(1 + 1)", "one_arg(*['x'])",
    "one_arg(**{'name': 'x'})", "many('a', b=[1, {'c': None}])", "many(-1, b=1+2j)", "type_error()",
    "os.path", "app.cli", "app[0]", "create()()", "lambda: 1", "", " ", "1", "'app'", "app app",
    "app = 1", "(", "create(", "create() or app", "[app]", "not app", "Callable()", "no_app()",
]  # fmt: skip

NAMED = """
app, other, number = App("first"), App("other"), 1
def create(): return App("made")
def one_arg(name): return App(name)
def many(*args, **kwargs): return App(repr((args, kwargs)))
def type_error(): return len(1)
def no_app(): return object()
class Callable:
    pass
"""


@pytest.mark.parametrize("name", NAMES)
def test_named_app_is_flasks_choice(name: str) -> None:
    """A name or call after the colon finds, refuses or raises what it does in Flask."""
    ours = outcome(find_app_by_string, NoAppException, Demijohn, NAMED, name)
    flasks = outcome(
        flask.cli.find_app_by_string, flask.cli.NoAppException, flask.Flask, NAMED, name
    )
    assert ours == flasks


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False,
    allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
keywords = st.dictionaries(st.sampled_from(["a", "b", "class_", "ä"]), literals, max_size=3)


@given(st.lists(literals, max_size=3), keywords)
def test_factory_gets_the_literals_that_were_written(
    args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Whatever literals stand in the call, the factory is called with exactly these."""
    got: list[Any] = []

    def create_app(*args: Any, **kwargs: Any) -> Demijohn:
        got.extend((list(args), kwargs))
        return Demijohn("made")

    module = types.ModuleType("site_module")
    module.__dict__["create_app"] = create_app
    written = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
    assert find_app_by_string(module, f"create_app({written})").name == "made"
    assert got == [args, kwargs]


PATHS = [
    "site", "site.py", "site/__init__.py", "site/inner", "site/inner/views.py", "plain/tool.py",
    "plain/tool", "missing.py", "site.inner", "a.b.c", ".", "site/missing.py", "site/../plain",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_import_name_is_flasks(path: str, write: Write) -> None:
    """A file, folder or dotted name becomes the module name and search path that it is in Flask."""
    for name in ("site/__init__.py", "site/inner/__init__.py", "site/inner/views.py"):
        write(name, "")
    write("plain/tool.py", "")
    before = list(sys.path)
    ours = prepare_import(path), list(sys.path)
    sys.path[:] = before
    assert ours == (flask.cli.prepare_import(path), list(sys.path))


def test_search_path_does_not_grow(write: Write, tmp_path: Path) -> None:
    """Preparing two modules of one folder puts that folder on the search path once."""
    prepare_import("one.py")
    prepare_import("two.py")
    assert sys.path.count(os.path.realpath(tmp_path)) == 1


def test_missing_module() -> None:
    """A module that does not exist is an error that names it, or None when that is asked for."""
    with pytest.raises(NoAppException, match="Could not import 'no_such_module'"):
        locate_app("no_such_module", None)
    assert locate_app("no_such_module", None, raise_if_not_found=False) is None


@pytest.mark.parametrize("required", [True, False])
def test_import_error_inside(write: Write, required: bool) -> None:
    """An ImportError of the module's own code is shown with its traceback, never as "not found"."""
    write("broken_inside.py", "import no_such_library\n")
    name = prepare_import("broken_inside.py")
    with pytest.raises(NoAppException) as caught:
        locate_app(name, None, raise_if_not_found=required)
    message = caught.value.format_message()
    assert "While importing 'broken_inside', an ImportError was raised" in message
    assert "No module named 'no_such_library'" in message
    assert 'broken_inside.py", line 1' in message


def test_other_errors_come_through(write: Write) -> None:
    """An error that is no ImportError leaves the import as itself."""
    write("broken_else.py", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        locate_app(prepare_import("broken_else.py"), None)


@pytest.mark.parametrize("name", [None, "app"])
def test_app_of_real_flask_is_explained(name: str | None, write: Write) -> None:
    """An app that the installed Flask made is refused with the import that would be right."""
    write("old_site.py", "from flask import Flask\napp = Flask(__name__)\n")
    with pytest.raises(NoAppException, match="'from demijohn import Flask'"):
        locate_app(prepare_import("old_site.py"), name)


# ---- ScriptInfo

SITE = "from demijohn import Demijohn\napp = Demijohn('{}')\nother = Demijohn('other')\n"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pkg.site", "in_pkg"),
        ("pkg.site:other", "other"),
        ("pkg/site.py", "in_pkg"),
        ("{tmp}/pkg/site.py:other", "other"),
        ("pkg.made:create_app('a:b')", "a:b"),
    ],
)
def test_app_by_import_path(path: str, name: str, write: Write, tmp_path: Path) -> None:
    """An import path may be a dotted name or a file, with a name or call after a colon."""
    write("pkg/__init__.py", "")
    write("pkg/site.py", SITE.format("in_pkg"))
    write("pkg/made.py", "from demijohn import Demijohn\ndef create_app(n): return Demijohn(n)\n")
    assert ScriptInfo(path.format(tmp=tmp_path)).load_app().name == name


def test_default_files(write: Write) -> None:
    """Without a path, wsgi.py is taken before app.py, and app.py when there is no wsgi.py."""
    write("app.py", SITE.format("from app.py"))
    assert ScriptInfo().load_app().name == "from app.py"
    write("wsgi.py", SITE.format("from wsgi.py"))
    assert ScriptInfo().load_app().name == "from wsgi.py"


def test_no_app_anywhere() -> None:
    """With nothing to load, the error names the option, the variable and the default files."""
    with pytest.raises(NoAppException) as caught:
        ScriptInfo().load_app()
    for hint in ("'demijohn --app'", "'FLASK_APP'", "'wsgi.py'", "'app.py'"):
        assert hint in caught.value.format_message()


def test_factory_wins_and_is_called_once() -> None:
    """create_app wins over a path, is called at the first load only, and may not return None."""
    calls: list[Demijohn] = []

    def create_app() -> Demijohn:
        calls.append(Demijohn("made"))
        return calls[-1]

    info = ScriptInfo("no.such.path", create_app=create_app)
    assert info.load_app() is info.load_app() is calls[0]
    assert len(calls) == 1
    with pytest.raises(NoAppException, match="Could not locate"):
        ScriptInfo(create_app=lambda: None).load_app()


@pytest.mark.parametrize(("value", "debug"), [("1", True), ("no", False), (None, False)])
def test_debug_flag_is_set_at_load(
    value: str | None, debug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLASK_DEBUG decides app.debug at load, unless set_debug_flag is false."""
    if value is not None:
        monkeypatch.setenv("FLASK_DEBUG", value)
    app = Demijohn("site")
    app.debug = not debug
    assert ScriptInfo(create_app=lambda: app, set_debug_flag=False).load_app().debug is not debug
    assert ScriptInfo(create_app=lambda: app).load_app().debug is debug


@pytest.mark.parametrize(
    ("default", "skip", "loads"),
    [(True, None, True), (False, None, False), (True, "1", False), (False, "0", True)],
)
def test_skip_dotenv_variable(
    default: bool, skip: str | None, loads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLASK_SKIP_DOTENV decides over the argument whether default files are wanted."""
    if skip is not None:
        monkeypatch.setenv("FLASK_SKIP_DOTENV", skip)
    assert ScriptInfo(load_dotenv_defaults=default).load_dotenv_defaults is loads


# ---- with_appcontext


def test_with_appcontext_ends_once_and_last(runner: CliRunner) -> None:
    """One context serves a group, its subcommand and the callback, and ends once, after them."""
    app = Demijohn("site")
    log: list[str] = []
    app.teardown_appcontext(lambda error: log.append(f"end {error!r}"))

    @click.group()
    @with_appcontext
    def tool() -> None:
        log.append(f"group {current_app.name}")

    @tool.command()
    @with_appcontext
    def work() -> None:
        log.append(f"work {current_app.name}")

    result = runner.invoke(tool, ["work"], obj=ScriptInfo(create_app=lambda: app))
    assert result.exit_code == 0
    assert log == ["group site", "work site", "end None"]
    assert not current_app


def test_with_appcontext_keeps_the_current_one(runner: CliRunner) -> None:
    """Inside an app context nothing is loaded, and the caller's context stays current after it."""
    app = Demijohn("site")

    @click.command()
    @with_appcontext
    def name() -> None:
        click.echo(current_app.name)

    with app.app_context():
        result = runner.invoke(name, obj=ScriptInfo("no.such.path"))
        assert (result.exit_code, result.output) == (0, "site\n")
        assert current_app.name == "site"


def test_with_appcontext_keeps_name_and_doc() -> None:
    """The decorated function keeps the name and docstring that Click makes a command of."""

    @with_appcontext
    def work() -> None:
        """Do it."""

    assert (work.__name__, work.__doc__) == ("work", "Do it.")


# ---- the program's name


def test_program_name_is_the_path_to_the_group(runner: CliRunner) -> None:
    """Messages name the command line up to the group that takes --app, wherever it is mounted."""
    names: list[str] = []

    @click.group()
    def tool() -> None:
        names.append(program_name())

    site = FlaskGroup(name="site")
    tool.add_command(site)
    inner = AppGroup("inner")
    site.add_command(inner)

    @inner.command(with_appcontext=False)
    def work() -> None:
        names.append(program_name())

    result = runner.invoke(tool, ["site", "inner", "work"])
    assert result.exit_code == 0, result.output
    assert names == ["tool", "tool site"]
    assert program_name() == "demijohn"
