"""`import flask` resolved to this package, in this process.

The submodules are the very same objects under two names; only the top module is a second one, so
that it can say Flask's version. Not here: what `importlib.metadata` is told (distribution.py) and
other processes (launch.py).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from demijohn.version import FLASK_API

from .names import BORROWED, HOMES, MODULES, PACKAGES

if TYPE_CHECKING:
    from importlib.metadata import Distribution, DistributionFinder

_PACKAGE = __name__.partition(".")[0]
_LATE = frozenset({"debughelpers", "testing"})
"""Modules that `import flask` does not load."""


class _FlaskModule(ModuleType):
    """The module `flask`: every name is this package's, but for the version."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            import warnings

            warnings.warn(
                "flask.__version__ will be gone in Flask 3.2; importlib.metadata.version('flask')"
                " says the same.",
                DeprecationWarning,
                stacklevel=2,
            )
            return FLASK_API
        # What the import system keeps on a module (`__path__`, `__spec__`) is this module's own.
        missing = object()
        own = name.startswith("__") and name != "__all__"
        value = missing if own else getattr(sys.modules[_PACKAGE], name, missing)
        if value is missing:
            raise AttributeError(f"module 'flask' has no attribute {name!r}")
        return value

    def __dir__(self) -> Iterable[str]:
        return dir(sys.modules[_PACKAGE])


class _FlaskFinder:
    """Finds `flask.views` where `demijohn.views` is, and the distribution "flask"."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if package != "flask" or not (rest in MODULES or rest in ("", "__main__")):
            return None
        ours = importlib.util.find_spec(_ours(fullname))
        origin = None if ours is None else ours.origin
        is_package = not rest or rest in PACKAGES
        # A package here has no search path: nothing may find a second copy of a module by it.
        spec = ModuleSpec(fullname, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return _FlaskModule(spec.name) if spec.name == "flask" else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if name == "flask":
            module.__doc__ = sys.modules[_PACKAGE].__doc__
            for module_name in MODULES:
                if module_name not in _LATE:
                    importlib.import_module(f"flask.{module_name}")
            return
        ours = _take_over(name.removeprefix("flask."))
        # Tools that wait for an import are handed this module: they find the same classes in it.
        for key, value in vars(ours).items():
            vars(module).setdefault(key, value)
        # The import system takes what is in sys.modules after this, not what it made itself.
        sys.modules[name] = ours

    def get_code(self, fullname: str) -> CodeType | None:
        """For `python -m flask`."""
        name = _ours(fullname)
        spec = importlib.util.find_spec(name)
        loader: Any = None if spec is None else spec.loader
        code: CodeType | None = None if loader is None else loader.get_code(name)
        return code

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterable[Distribution]:
        name = None if context is None else context.name
        if name is not None and name.lower() != "flask":
            return ()
        from .distribution import FlaskDistribution

        return (FlaskDistribution(),)

    def invalidate_caches(self) -> None:
        """There are none."""


def _ours(name: str) -> str:
    return _PACKAGE + name.removeprefix("flask")


def _take_over(module_name: str) -> ModuleType:
    """Make one module Flask's of that name, what Flask defines there say so, and fill it up.

    Module and name are what a pickle keeps of a class or function.
    """
    module = importlib.import_module(f"{_PACKAGE}.{module_name}")
    for name in HOMES.get(module_name, ()):
        value = getattr(module, name, None)
        if value is not None and value.__module__.partition(".")[0] == _PACKAGE:
            value.__module__ = f"flask.{module_name}"
            value.__name__ = value.__qualname__ = name
    for home, borrowed in BORROWED.get(module_name, {}).items():
        library = importlib.import_module(home)
        for name in borrowed:
            if not hasattr(module, name or home):
                setattr(module, name or home, getattr(library, name) if name else library)
    return module


def stand_in() -> None:
    """Make `import flask` resolve to this package from now on; loads nothing before that import.

    Raises `RuntimeError` when the real Flask is imported already.
    """
    present = sys.modules.get("flask")
    if isinstance(present, _FlaskModule):
        return
    if present is not None:
        raise RuntimeError(
            f"Flask is imported already (from {getattr(present, '__file__', None)}), so its name"
            " cannot be taken over any more. Call demijohn.install_as_flask() before anything"
            " imports flask, at the top of the first module that runs."
        )
    if not any(isinstance(finder, _FlaskFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FlaskFinder())


def install_as_flask() -> None:
    """Make `import flask` and its submodules resolve to this package; a second call does nothing.

    From then on the classes and functions that Flask has too carry Flask's module and name, so that
    pickles written here can be read by Flask. Raises `RuntimeError` when the real Flask is
    imported already: call this first.
    """
    stand_in()
    importlib.import_module("flask")
