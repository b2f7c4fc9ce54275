"""The time that applications see; calls set it. Imported before anything that binds `time`."""

from __future__ import annotations

import datetime
import importlib
import time
from types import ModuleType

NOW = 1_800_000_000


class Clock:
    now = NOW


class _LikeDatetime(type):
    """What is a `datetime` is one of the class that stands in for it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime.datetime)


class FrozenDatetime(datetime.datetime, metaclass=_LikeDatetime):
    """`datetime` with `now` by the clock."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> FrozenDatetime:
        return cls.fromtimestamp(Clock.now, tz)


def freeze() -> None:
    """Let `time.time` be the clock's, for modules that are imported afterwards."""
    time.time = lambda: float(Clock.now)


def freeze_cookies(framework: ModuleType) -> None:
    """Let sessions and other cookies expire by the clock."""
    home = "flask.sessions" if framework.__name__ == "flask" else "demijohn.http.sessions"
    for name in (home, "werkzeug.http"):
        setattr(importlib.import_module(name), "datetime", FrozenDatetime)
