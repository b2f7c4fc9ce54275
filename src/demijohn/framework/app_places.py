"""Where an application is found by name, so that another process finds the same one."""

from __future__ import annotations

import ast
import importlib
import sys
from functools import cache
from typing import Any

CONFIG = "PROCESS_APP"
"""The key of the place when it is not a module's global: "board:create_app()", for instance."""


def place_of(app: Any) -> str:
    """Where another process finds `app`: "module:name", or what `PROCESS_APP` says.

    The name is a global of the module that the application is named after. Raises the explained
    `RuntimeError` when there is neither.
    """
    module = sys.modules.get(app.import_name)
    for name, value in list(vars(module).items()) if module is not None else ():
        if value is app:
            return f"{app.import_name}:{name}"
    place = app.config.get(CONFIG)
    if isinstance(place, str) and place:
        return place
    raise RuntimeError(
        f"Another process cannot find the application {app.name!r}: it is no global of the module"
        f" {app.import_name!r}. Say how to get it there:"
        f' app.config["{CONFIG}"] = "{app.import_name}:create_app()".'
    )


@cache
def app_at(place: str) -> Any:
    """The application at a place, in this process; what a factory makes is made once.

    Raises `ImportError` when the module cannot be imported, and `RuntimeError`, which says what is
    missing, when it has no such application.
    """
    module_name, _, text = place.partition(":")
    module = importlib.import_module(module_name)
    name, arguments = _parse(text, place)
    found = getattr(module, name, None)
    if found is None:
        raise RuntimeError(
            f"The module {module_name!r} has no {name!r} in this process, where {place!r} is to be"
            " found. What a module makes only when it is run as a program is missing here: make the"
            f' application on import, or by a function named in app.config["{CONFIG}"].'
        )
    app = found if arguments is None else found(*arguments)
    if not hasattr(app, "app_context"):
        raise RuntimeError(f"{place!r} is no application but {app!r}.")
    return app


def _parse(text: str, place: str) -> tuple[str, list[Any] | None]:
    """A name, and the arguments if it is called."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return node.func.id, [ast.literal_eval(argument) for argument in node.args]
    except (SyntaxError, ValueError):
        pass
    raise RuntimeError(f"{place!r} is no place: write 'module:app' or 'module:create_app()'.")
