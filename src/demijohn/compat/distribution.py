"""What `importlib.metadata` finds as "flask" while this package stands in for it."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from demijohn.version import FLASK_API


class FlaskDistribution(Distribution):
    """Flask by name, version, requirements and program; without files of its own."""

    def read_text(self, filename: str) -> str | None:
        if filename in ("METADATA", "PKG-INFO"):
            head = f"Metadata-Version: 2.1\nName: Flask\nVersion: {FLASK_API}\n"
            return head + "".join(f"Requires-Dist: {line}\n" for line in _requirements())
        if filename == "entry_points.txt":
            return "[console_scripts]\nflask = flask.cli:main\n"
        return "flask\n" if filename == "top_level.txt" else None

    def locate_file(self, path: Any) -> Any:
        return Path(__file__).parent / path


def _requirements() -> list[str]:
    """This package's own; none where it runs without being installed."""
    try:
        return requires("demijohn") or []
    except PackageNotFoundError:
        return []
