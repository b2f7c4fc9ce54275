"""The context core: units of work on the standard library alone.

A custom context in eight lines:

    databases = ContextStack("database")

    class DatabaseContext(Context, stack=databases):
        def on_enter(self) -> None:
            self.connection = sqlite3.connect("app.db")

        def on_exit(self, exc: BaseException | None) -> None:
            self.connection.close()

    current_db = databases.proxy("connection")

`with DatabaseContext(): current_db.execute(...)` then works in any program, with or without HTTP.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .carrier import CarrierError, plain
from .errors import (
    Cancelled,
    ContextEnded,
    ContextWarning,
    DeadlineExceeded,
    DirtyResource,
    SessionReadOnly,
    WrongContextError,
)
from .fields import ContextField
from .holds import Hold
from .kinds import ContextStack
from .lifecycle import State
from .namespace import Namespace
from .proxy import Proxy
from .stack import Context

if TYPE_CHECKING:
    from .children.child import in_child as in_child
    from .children.parallel import Parallel as Parallel
    from .children.tasks import TaskGroup as TaskGroup
    from .children.threads import ContextThread as ContextThread
    from .children.threads import ContextThreadPoolExecutor as ContextThreadPoolExecutor

# Looked up at their first use: they load asyncio, or concurrent.futures.
_LATE = {
    "ContextThread": "threads",
    "ContextThreadPoolExecutor": "threads",
    "Parallel": "parallel",
    "TaskGroup": "tasks",
    "in_child": "child",
}

__all__ = (
    "Cancelled",
    "CarrierError",
    "Context",
    "ContextEnded",
    "ContextField",
    "ContextStack",
    "ContextThread",
    "ContextThreadPoolExecutor",
    "ContextWarning",
    "DeadlineExceeded",
    "DirtyResource",
    "Hold",
    "Namespace",
    "Parallel",
    "Proxy",
    "SessionReadOnly",
    "State",
    "TaskGroup",
    "WrongContextError",
    "in_child",
    "plain",
)


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.children.{module}"), name)
    globals()[name] = value
    return value
