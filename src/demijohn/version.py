"""Which release this is, and which of Flask's it stands for."""

from __future__ import annotations

from typing import Final

__version__ = "0.1.0"

FLASK_API: Final = "3.1.3"
"""The release of Flask whose public names and behaviour this package has."""
