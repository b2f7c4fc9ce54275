"""Which of this package's modules stand for which of Flask's."""

from __future__ import annotations

from typing import Final

MODULES: Final = frozenset(
    {
        "app",
        "blueprints",
        "cli",
        "config",
        "ctx",
        "debughelpers",
        "globals",
        "helpers",
        "json",
        "json.provider",
        "json.tag",
        "logging",
        "sansio",
        "sansio.app",
        "sansio.blueprints",
        "sansio.scaffold",
        "sessions",
        "signals",
        "templating",
        "testing",
        "typing",
        "views",
        "wrappers",
    }
)
"""Flask's submodules; each is here under the same name."""
