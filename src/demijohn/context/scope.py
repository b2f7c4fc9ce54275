"""Where resources of lifetime "app" live: one scope an application and process."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .ending import raise_errors
from .held import Holdings
from .loops import drive


class Scope:
    """The resources that live as long as an application in this process.

    They are closed by `close`, else at the exit of the process that opened them. A forked process
    opens its own and leaves its parent's alone.
    """

    def __init__(
        self, app: Any, around: Callable[[Any], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        # Weak, because they would keep each other alive.
        self._app = weakref.ref(app)
        self._around = around
        self._held = Holdings()
        self._process = os.getpid()
        self._registered = False
        # What a forked process inherited: closing it, also by dropping it, would act on the
        # parent's connections.
        self._inherited: list[Holdings] = []

    @property
    def app(self) -> Any:
        """Whose resources these are."""
        return self._app()

    def around(self) -> AbstractContextManager[Any]:
        """The `with` block in which each of them is opened and closed."""
        return self._around(self.app)

    def holdings(self) -> Holdings:
        """What this process holds."""
        process = os.getpid()
        if process != self._process:
            self._inherited.append(self._held)
            self._held, self._process, self._registered = Holdings(), process, False
        if not self._registered:
            self._registered = True
            atexit.register(_close_at_exit, weakref.ref(self), process)
        return self._held

    def close(self) -> None:
        """Close them, last opened first; the next use opens anew. Raises what they raise."""
        raise_errors(drive(self.holdings().closing(None)), "Errors in closing an application")


def _close_at_exit(scope: weakref.ref[Scope], process: int) -> None:
    found = scope()
    if found is not None and os.getpid() == process:
        found.close()
