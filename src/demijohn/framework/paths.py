"""Where an application lives on disk, found from its import name: root, install prefix, instance.

Nothing here imports the module in question, but for `get_root_path` where its loader cannot tell
the file. Answers are Flask 3.1.3's.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import PurePath
from typing import cast


def get_root_path(import_name: str) -> str:
    """Return the absolute path of the folder that holds a module, or of a package.

    A module without a file that nothing can load (`__main__` of an interactive session, an
    unknown name) gives the working directory. Raises `RuntimeError` for one that does load and
    has no file: an imported namespace package, or one from an import hook that names none.
    """
    module = sys.modules.get(import_name)
    filename = getattr(module, "__file__", None)
    if filename is None:
        spec = _spec_of(import_name)
        if spec is None or spec.loader is None:
            return os.getcwd()
        get_filename = getattr(spec.loader, "get_filename", None)
        if get_filename is not None:
            filename = get_filename(import_name)
        else:
            __import__(import_name)
            filename = getattr(sys.modules[import_name], "__file__", None)
    if filename is None:
        raise RuntimeError(
            f"No root path can be found for the provided module {import_name!r}: it is a namespace"
            " package, or came from an import hook that names no file. Pass root_path to say"
            " which folder it is."
        )
    return os.path.dirname(os.path.abspath(cast("str", filename)))


def find_package(import_name: str) -> tuple[str | None, str]:
    """Return the install prefix of a package, and the folder that it is imported from.

    The prefix is the folder above `lib`: `sys.prefix`, or the one around a `site-packages`
    elsewhere. It is None for what is not installed.
    """
    package_path = _find_package_path(import_name)
    system_prefix = os.path.abspath(sys.prefix)
    if PurePath(package_path).is_relative_to(system_prefix):
        return system_prefix, package_path
    return _site_prefix(package_path), package_path


def auto_instance_path(import_name: str, name: str) -> str:
    """Return where the instance folder of an application belongs if it did not say.

    `instance` beside a package that is not installed, `var/<name>-instance` under the prefix of
    one that is.
    """
    prefix, package_path = find_package(import_name)
    if prefix is None:
        return os.path.join(package_path, "instance")
    return os.path.join(prefix, "var", f"{name}-instance")


def _spec_of(import_name: str) -> ModuleSpec | None:
    """Return how a module would be imported, or None where the import system has no answer.

    `find_spec` raises `ValueError` for a module without a spec, as `__main__` may be.
    """
    try:
        return find_spec(import_name)
    except (ImportError, ValueError):
        return None


def _find_package_path(import_name: str) -> str:
    """Return the folder (or archive) that holds the top package or module of `import_name`."""
    spec = _spec_of(import_name.partition(".")[0])
    if spec is None:
        return os.getcwd()
    locations = spec.submodule_search_locations
    origin = spec.origin
    if not locations:
        # `origin` is a file name, or a word as "built-in" that has no folder.
        return os.path.dirname(cast("str", origin))
    if origin is None or origin == "namespace":
        return os.path.dirname(_portion_of(import_name, list(locations)))
    return os.path.dirname(os.path.dirname(origin))


def _portion_of(import_name: str, portions: list[str]) -> str:
    """Return the portion of a namespace package that the named package lies in, else the first.

    Unlike Flask 3.1.3, which lets a `StopIteration` out, it answers also for the namespace
    package itself when it has several portions.
    """
    spec = find_spec(import_name)
    if spec is not None and spec.submodule_search_locations:
        package = PurePath(os.path.commonpath(list(spec.submodule_search_locations)))
        for portion in portions:
            if package.is_relative_to(portion):
                return portion
    return portions[0]


def _site_prefix(package_path: str) -> str | None:
    """Return the prefix that a `site-packages` folder belongs to; None for any other folder."""
    parent, folder = os.path.split(package_path)
    if folder.lower() != "site-packages":
        return None
    above, lib = os.path.split(parent)
    if lib.lower() == "lib":
        return above  # Windows: prefix\Lib\site-packages
    if os.path.basename(above).lower() == "lib":
        return os.path.dirname(above)  # elsewhere: prefix/lib/pythonX.Y/site-packages
    return parent
