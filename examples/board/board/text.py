"""How values look in the templates."""

from __future__ import annotations

from datetime import datetime

from demijohn import Demijohn


def readable(moment: str) -> str:
    """Return a stored UTC time for people: `2025-03-09T17:05:00Z` becomes `9 March 2025, 17:05`."""
    when = datetime.fromisoformat(moment)
    return f"{when.day} {when:%B %Y, %H:%M}"


def init_app(app: Demijohn) -> None:
    """Register the filters."""
    app.add_template_filter(readable)
