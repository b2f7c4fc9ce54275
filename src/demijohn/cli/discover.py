"""Finding the app that a command works on: by import path, by file, by factory, or by looking.

`ScriptInfo` carries the answer through a command line; `with_appcontext` makes it current for one
command. Not here: the options and groups that decide which path is looked up.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import update_wrapper
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeGuard, TypeVar, cast, overload

import click
from werkzeug.routing import Map

from demijohn.framework.app_base import AppBase
from demijohn.framework.config import get_debug_flag, get_load_dotenv
from demijohn.framework.globals import current_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

APP_NAMES = ("app", "application")
FACTORY_NAMES = ("create_app", "make_app")
DEFAULT_FILES = ("wsgi.py", "app.py")

F = TypeVar("F", bound=Callable[..., Any])


class CliApp(Protocol):
    """What the commands use of an app. Every `Demijohn` has it."""

    url_map: Map
    instance_path: str
    cli: click.Group

    @property
    def debug(self) -> bool: ...
    @debug.setter
    def debug(self, value: bool, /) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def import_name(self) -> str: ...
    def app_context(self) -> AbstractContextManager[Any]: ...
    def make_shell_context(self) -> dict[str, Any]: ...
    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse, /
    ) -> Iterable[bytes]: ...


class NoAppException(click.UsageError):
    """No app was found, or the one that was named could not be loaded; the message says why."""


def is_app(value: object) -> TypeGuard[CliApp]:
    """Whether `value` is an app that the commands can work on."""
    return isinstance(value, AppBase)


def active_app() -> CliApp | None:
    """The app whose context is current, or None outside of any."""
    if not current_app:
        return None
    app: CliApp = current_app._get_current_object()
    return app


def find_best_app(module: ModuleType) -> CliApp:
    """The app that `module` most likely means.

    In this order: a variable `app` or `application`; the only app among the module's variables;
    what `create_app()` or `make_app()` returns. Raises `NoAppException` when there are several
    apps, none, or a factory that needs arguments; what a factory raises itself comes through.
    """
    for name in APP_NAMES:
        value = getattr(module, name, None)
        if is_app(value):
            return value

    found = [value for value in vars(module).values() if is_app(value)]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoAppException(
            f"Detected multiple Flask applications in module '{module.__name__}'."
            f" Say which one with '{module.__name__}:name'."
        )

    made: dict[str, object] = {}
    for name, app in _from_factories(module):
        if is_app(app):
            return app
        made[f"{name}()"] = app

    raise NoAppException(
        f"Failed to find Flask application or factory in module '{module.__name__}'. "
        + (
            _foreign_app_hint({**vars(module), **made})
            or f"Say where it is with '{module.__name__}:name'."
        )
    )


def _from_factories(module: ModuleType) -> Iterator[tuple[str, object]]:
    """What each factory of the module makes, called without arguments, under its name."""
    for name in FACTORY_NAMES:
        factory = getattr(module, name, None)
        if not inspect.isfunction(factory):
            continue
        try:
            app = factory()
        except TypeError as error:
            if not called_with_wrong_args(factory):
                raise
            raise NoAppException(
                f"Detected factory '{name}' in module '{module.__name__}', but could not call it"
                f" without arguments. Give them with '{module.__name__}:{name}(args)'."
            ) from error
        yield name, app


def _foreign_app_hint(found: Mapping[str, object]) -> str:
    """A sentence where one of the values is an app of an installed Flask, else nothing."""
    for name, value in found.items():
        if not is_app(value) and any(
            (c.__module__, c.__qualname__) == ("flask.app", "Flask") for c in type(value).__mro__
        ):
            return (
                f"'{name}' was made by the Flask that is installed here; add the option"
                " '--as-flask', or import the class with 'from demijohn import Flask'."
            )
    return ""


def called_with_wrong_args(f: Callable[..., Any]) -> bool:
    """Whether the `TypeError` being handled comes from the call of `f`, not from inside it.

    Only to be called in the `except` block of that call: a frame of `f` in the traceback shows that
    the arguments fitted.
    """
    error = sys.exception()
    if error is None:
        return True
    code = getattr(f, "__code__", None)
    return all(frame.f_code is not code for frame, _ in traceback.walk_tb(error.__traceback__))


def find_app_by_string(module: ModuleType, app_name: str) -> CliApp:
    """The app that `app_name` names in `module`: a variable, or a factory with literal arguments.

    `app`, `create_app` and `create_app("dev", debug=True)` are such names. Raises `NoAppException`
    for anything else, also when the name is missing or holds no app.
    """
    name, args, kwargs = _parse_app_name(app_name)
    try:
        value = getattr(module, name)
    except AttributeError as error:
        raise NoAppException(
            f"Failed to find attribute {name!r} in {module.__name__!r}."
        ) from error

    if inspect.isfunction(value):
        try:
            value = value(*args, **kwargs)
        except TypeError as error:
            if not called_with_wrong_args(value):
                raise
            raise NoAppException(
                f"The factory {app_name!r} in module {module.__name__!r}"
                " could not be called with the specified arguments."
            ) from error

    if is_app(value):
        return value
    raise NoAppException(
        f"A valid Flask application was not obtained from '{module.__name__}:{app_name}'."
        + (f" {hint}" if (hint := _foreign_app_hint({app_name: value})) else "")
    )


def _parse_app_name(app_name: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Name, positional and keyword arguments of `name` or `name(literal, key=literal)`."""
    not_a_name = f"Failed to parse {app_name!r} as an attribute name or function call."
    try:
        expression = ast.parse(app_name.strip(), mode="eval").body
    except SyntaxError:
        raise NoAppException(not_a_name) from None

    if isinstance(expression, ast.Name):
        return expression.id, [], {}
    if not isinstance(expression, ast.Call):
        raise NoAppException(not_a_name)
    if not isinstance(expression.func, ast.Name):
        raise NoAppException(f"Function reference must be a simple name: {app_name!r}.")

    try:
        args = [ast.literal_eval(arg) for arg in expression.args]
        # A keyword without a name is `**mapping`, which is no literal argument.
        kwargs = {kw.arg: ast.literal_eval(kw.value) for kw in expression.keywords if kw.arg}
    except ValueError:
        raise NoAppException(
            f"Failed to parse arguments as literal values: {app_name!r}."
        ) from None
    return expression.func.id, args, kwargs


def prepare_import(path: str) -> str:
    """The dotted module name for `path`, a file, a folder or already a dotted name.

    The folder that holds the outermost package is put first on `sys.path`, so that the name can be
    imported. `project/board/views.py` becomes `board.views` when `board` is a package.
    """
    path = os.path.realpath(path)
    stem, extension = os.path.splitext(path)
    if extension == ".py":
        path = stem
    if os.path.basename(path) == "__init__":
        path = os.path.dirname(path)

    folder, name = os.path.split(path)
    parts = [name]
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, name = os.path.split(folder)
        parts.insert(0, name)

    if sys.path[0] != folder:
        sys.path.insert(0, folder)
    return ".".join(parts)


@overload
def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: Literal[True] = True
) -> CliApp: ...


@overload
def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: bool = ...
) -> CliApp | None: ...


def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: bool = True
) -> CliApp | None:
    """Import `module_name` and take the app from it: `app_name`, else the best one.

    A module that does not exist gives None if `raise_if_not_found` is false. Raises
    `NoAppException` for a missing module, for an `ImportError` inside an existing one (with its
    traceback in the message), and where finding the app does.
    """
    try:
        if module_name.startswith("."):
            raise ImportError  # Importing such a name raises a ValueError.
        __import__(module_name)
    except ImportError as error:
        # The first entry is the call above; a second one is a line of the module's own, as
        # `__import__` leaves the import system's frames out.
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise NoAppException(
                f"While importing {module_name!r}, an ImportError was raised:"
                f"\n\n{traceback.format_exc()}"
            ) from None
        if raise_if_not_found:
            raise NoAppException(f"Could not import {module_name!r}.") from None
        return None

    module = sys.modules[module_name]
    return find_best_app(module) if app_name is None else find_app_by_string(module, app_name)


class ScriptInfo:
    """What a command line knows about its app; Click hands it on as `ctx.obj`.

    Arguments:
        app_import_path: where the app is, `module:name`, `path/to/file.py:factory("x")`, ....
        create_app: a function without arguments that returns the app; it wins over the path.
        set_debug_flag: whether loading sets `app.debug` from `FLASK_DEBUG`.
        load_dotenv_defaults: whether `.env` and `.flaskenv` are wanted, unless `FLASK_SKIP_DOTENV`
            says otherwise. Kept for those who load them; `ScriptInfo` reads no file.
    """

    def __init__(
        self,
        app_import_path: str | None = None,
        create_app: Callable[..., Any] | None = None,
        set_debug_flag: bool = True,
        load_dotenv_defaults: bool = True,
    ) -> None:
        self.app_import_path = app_import_path
        self.create_app = create_app
        #: Free for commands to share values in.
        self.data: dict[Any, Any] = {}
        self.set_debug_flag = set_debug_flag
        self.load_dotenv_defaults = get_load_dotenv(load_dotenv_defaults)
        self._loaded_app: CliApp | None = None

    def load_app(self) -> CliApp:
        """The app, loaded at the first call and the same one afterwards.

        Without a factory and a path, `wsgi.py` and then `app.py` in the current directory are
        tried. Raises `NoAppException` when there is none; what the app's own code raises comes
        through.
        """
        if self._loaded_app is None:
            app = self._find_app()
            if self.set_debug_flag:
                app.debug = get_debug_flag()
            self._loaded_app = app
        return self._loaded_app

    def _find_app(self) -> CliApp:
        app: CliApp | None = None
        if self.create_app is not None:
            app = self.create_app()
        elif self.app_import_path:
            # The colon of "C:\\app.py" or "C:/app.py" does not separate a name.
            path, *name = re.split(r":(?![\\/])", self.app_import_path, maxsplit=1)
            return locate_app(prepare_import(path), name[0] if name else None)
        else:
            for file in DEFAULT_FILES:
                app = locate_app(prepare_import(file), None, raise_if_not_found=False)
                if app is not None:
                    break
        if app is None:
            raise NoAppException(
                "Could not locate a Flask application. Name it with the"
                f" '{program_name()} --app' option or the 'FLASK_APP' (or 'DEMIJOHN_APP')"
                " environment variable, or put it into a 'wsgi.py' or 'app.py' file in the current"
                " directory."
            )
        return app


pass_script_info = click.make_pass_decorator(ScriptInfo, ensure=True)


def program_name() -> str:
    """How the running command line is called: `demijohn`, `python -m demijohn`, `tool web`, ...."""
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return "demijohn"
    # Subcommands share the object of the group that takes `--app`: the last one up is the group.
    while ctx.parent is not None and isinstance(ctx.parent.obj, ScriptInfo):
        ctx = ctx.parent
    return ctx.command_path


def with_appcontext(f: F) -> F:
    """Decorate a command's callback to run in an app context, made if none is current.

    The context stays current until Click closes the command's own, so subcommands run in it too.
    Commands of `app.cli` and `blueprint.cli` need no decorator.
    """

    @click.pass_context
    def run_in_context(ctx: click.Context, /, *args: Any, **kwargs: Any) -> Any:
        if active_app() is None:
            app = ctx.ensure_object(ScriptInfo).load_app()
            ctx.with_resource(app.app_context())
        return ctx.invoke(f, *args, **kwargs)

    return cast(F, update_wrapper(run_in_context, f))
