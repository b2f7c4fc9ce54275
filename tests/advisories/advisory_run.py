"""Run checks against the installed Flask: `python advisory_run.py ID...` prints a line of JSON.

What each check did is `held`, `failed: ...` (the weakness is there) or `error: ...` (the check
could not tell). For environments with an old release; see `conformance/advisories.py`.
"""

from __future__ import annotations

import collections
import collections.abc
import importlib
import json
import signal
import sys
import warnings
from typing import Any

from advisory_kit import CHECKS

LIMIT = 10  # seconds after which a check has found work without bounds
MODULES = ("bodies", "headers", "hosts", "paths", "sessions")


def load() -> None:
    """Fill the registry."""
    for name in MODULES:
        importlib.import_module(f"checks_{name}")


def _too_long(*args: object) -> None:
    raise AssertionError(f"not done after {LIMIT} s")


def outcome(fw: Any, name: str) -> str:
    """What the check of that id says about a framework."""
    try:
        CHECKS[name](fw)
    except AssertionError as error:
        return f"failed: {error}"[:200]
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"[:200]
    return "held"


def main() -> None:
    """Print what the checks of the named advisories, or all, say about the installed Flask."""
    warnings.simplefilter("ignore")
    # Releases older than Python 3.10 look for the abstract classes where they were.
    for name in collections.abc.__all__:
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    load()
    signal.signal(signal.SIGALRM, _too_long)
    flask = importlib.import_module("flask")
    found = {}
    for name in sys.argv[1:] or CHECKS:
        signal.alarm(LIMIT)
        found[name] = outcome(flask, name)
        signal.alarm(0)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
