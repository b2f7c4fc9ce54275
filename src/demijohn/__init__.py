"""Demijohn: Flask's API on a context core that owns its units of work."""

__version__ = "0.1.0"
