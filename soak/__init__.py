"""Long tests, in parts that run alone: `make soak`, `make soak-NAME`.

A part is a module of this package with a docstring whose first line describes it, `SECONDS` (how
long it runs unless told otherwise) and `run(seed, seconds)`. That returns figures as plain data, or
raises `SoakFailure` for what must not happen. Everything random comes from `seed`, so that a
failing seed can become a test.
"""

from __future__ import annotations


class SoakFailure(Exception):
    """Something that must hold did not; the message says what, and with which input."""
