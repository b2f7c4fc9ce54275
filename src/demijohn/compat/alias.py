"""`import flask` resolved to this package, in this process.

The submodules are the very same objects under two names; only the top module is a second one, so
that it can say Flask's version.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from demijohn.version import FLASK_API

from .names import MODULES

_PACKAGE = __name__.partition(".")[0]


class _FlaskModule(ModuleType):
    """The module `flask`: every name is this package's, but for the version."""

    __version__ = FLASK_API
    __path__ = []

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(sys.modules[_PACKAGE], name)
        except AttributeError:
            raise AttributeError(f"module 'flask' has no attribute {name!r}") from None

    def __dir__(self) -> Iterable[str]:
        return dir(sys.modules[_PACKAGE])


class _FlaskDistribution(importlib.metadata.Distribution):
    """What `importlib.metadata` finds as "flask"."""

    def read_text(self, filename: str) -> str | None:
        if filename in ("METADATA", "PKG-INFO"):
            return f"Metadata-Version: 2.1\nName: Flask\nVersion: {FLASK_API}\n"
        return None

    def locate_file(self, path: Any) -> Any:
        return path


class _FlaskFinder(importlib.metadata.DistributionFinder):
    """Finds `flask.views` where `demijohn.views` is, and the distribution "flask"."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if package == "flask" and rest in MODULES:
            return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what is in sys.modules after this, not the module that it made.
        name = module.__name__
        sys.modules[name] = importlib.import_module(f"{_PACKAGE}{name.removeprefix('flask')}")

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        name = None if context is None else context.name
        return (_FlaskDistribution(),) if name is not None and name.lower() == "flask" else ()


def install_as_flask() -> None:
    """Make `import flask` and its submodules resolve to this package; a second call does nothing.

    Raises `RuntimeError` when the real Flask is imported already: call this first.
    """
    present = sys.modules.get("flask")
    if isinstance(present, _FlaskModule):
        return
    if present is not None:
        raise RuntimeError(
            "Flask is imported already, so its name cannot be taken over any more. Call"
            " demijohn.install_as_flask() before anything imports flask, at the top of the first"
            " module that runs."
        )
    module = _FlaskModule("flask", sys.modules[_PACKAGE].__doc__)
    module.__file__ = sys.modules[_PACKAGE].__file__
    sys.meta_path.insert(0, _FlaskFinder())
    sys.modules["flask"] = module
