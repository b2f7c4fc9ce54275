"""What Flask has in public, read from the installed Flask itself: modules, their names, classes.

A name of a module is Flask's when Flask defines it there, or imports it there from a module of its
own. What a module imports from elsewhere for its own use (`os`, `click`, `Headers`) is not, unless
Flask gives it a name of its own (`RequestBase`). Not here: the comparison (compare.py).
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import flask

#: Names with an underscore that documents, extensions and test suites use.
RELIED_ON = {
    "flask.app": ("_cv_app", "_cv_request"),
    "flask.cli": ("_app_option", "_debug_option", "_env_file_option"),
    "flask.ctx": ("_AppCtxGlobals", "_cv_app", "_cv_request"),
    "flask.globals": ("_cv_app", "_cv_request", "_no_app_msg", "_no_req_msg"),
    "flask.helpers": ("_cv_app", "_cv_request", "_split_blueprint_path"),
    "flask.json.provider": ("_default",),
    "flask.sansio.scaffold": ("_endpoint_from_view_func",),
    "flask.templating": ("_default_template_ctx_processor",),
}
RELIED_ON_OF_CLASSES = {
    "flask.sansio.app.App": ("_check_setup_finished", "_find_error_handler"),
    "flask.sansio.blueprints.Blueprint": ("_check_setup_finished", "_got_registered_once"),
    "flask.wrappers.Request": ("_load_form_data",),
}
RELIED_ON_OF_OBJECTS = ("_got_first_request", "_loaded_app")


def module_names() -> list[str]:
    """Every module of Flask, found by its files; but `__main__`, which is a program."""
    root = Path(inspect.getfile(flask)).parent
    names = []
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        names.append(".".join(("flask", *(p for p in parts if p != "__init__"))))
    names.remove("flask.__main__")
    # A folder without an __init__.py, so no file of its own stands for it.
    return sorted({*names, "flask.sansio"})


def counterpart_name(name: str) -> str:
    """Where this package has what Flask has at `name`."""
    package, _, rest = name.partition(".")
    assert package == "flask"
    return f"demijohn.{rest}" if rest else "demijohn"


def import_both(name: str) -> tuple[ModuleType, ModuleType]:
    return importlib.import_module(name), importlib.import_module(counterpart_name(name))


def public_names(module: ModuleType) -> list[str]:
    """The names of a module of Flask that are Flask's, sorted; with those that are relied on."""
    if module.__file__ is None:
        return []
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    found = {name for node in tree.body for name in _names_of(node)}
    present = {n for n in found if not n.startswith("_") and n in vars(module)}
    # A module under a short name (`ft`) is how a module writes its annotations.
    present -= {n for n in present if _is_abbreviation(n, vars(module)[n])}
    return sorted(present.union(RELIED_ON.get(module.__name__, ())))


def exported_names(module: ModuleType) -> set[str]:
    """What a module of ours binds, or imports in a form that says so (`X as X`, `__all__`)."""
    assert module.__file__ is not None
    names = set()
    for node in ast.parse(Path(module.__file__).read_text("utf-8")).body:
        match node:
            case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
                names.update(a.name for a in aliases if a.asname == a.name)
            case ast.Assign(targets=[ast.Tuple(elts=elements)]):
                names.update(e.id for e in elements if isinstance(e, ast.Name))
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names.update(e.value for e in ast.walk(value) if isinstance(e, ast.Constant))
                names.add("__all__")
            case ast.If(body=body):
                # In `if TYPE_CHECKING:` stand the exports of what is looked up at run time.
                names.update(n for child in body for n in _names_of(child))
            case _:
                names.update(_names_of(node))
    return {name for name in names if isinstance(name, str)}


def _names_of(node: ast.stmt) -> Iterator[str]:
    """The names that one statement of a module binds, as far as they are Flask's."""
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (t.id for t in targets if isinstance(t, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.ImportFrom(level=level, names=names):
            yield from (a.asname or a.name for a in names if level or _is_renamed(a))
        case ast.If(body=body, orelse=orelse):
            # What is bound for type checkers only is not in the module, and is left out there.
            yield from (name for child in (*body, *orelse) for name in _names_of(child))


def _is_abbreviation(name: str, value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__.rpartition(".")[2] != name


def _is_renamed(alias: ast.alias) -> bool:
    return alias.asname is not None and alias.asname != alias.name


def public_attributes(cls: type) -> list[str]:
    """The attributes of a class that are public; of the special methods those that Flask wrote."""
    names = {n for n in dir(cls) if not n.startswith("_")}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == "flask":
            names.update(n for n, v in vars(base).items() if _is_special(n) and callable(v))
            names.update(RELIED_ON_OF_CLASSES.get(f"{base.__module__}.{base.__qualname__}", ()))
    return sorted(names)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _MACHINERY


#: What Python itself puts into classes.
_MACHINERY = frozenset({"__annotate__", "__annotate_func__", "__class__", "__orig_bases__"})


def own_value(cls: type, name: str) -> Any:
    """The attribute as the class keeps it, descriptors as they are."""
    return inspect.getattr_static(cls, name)
