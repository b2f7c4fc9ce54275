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

from .carrier import CarrierError, plain
from .errors import (
    Cancelled,
    ContextEnded,
    ContextWarning,
    DeadlineExceeded,
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

__all__ = (
    "Cancelled",
    "CarrierError",
    "Context",
    "ContextEnded",
    "ContextField",
    "ContextStack",
    "ContextWarning",
    "DeadlineExceeded",
    "Hold",
    "Namespace",
    "Proxy",
    "SessionReadOnly",
    "State",
    "WrongContextError",
    "plain",
)
