"""Where resources of lifetime "app" live: one scope an application and process."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .ending import raise_errors
from .forks import in_forked
from .held import Holdings
from .loops import drive


class Scope:
    """The resources that live as long as an application in this process.

    They are closed by `close`, else at the exit of the process that opened them. A forked process
    opens its own and leaves its parent's alone.
    """

    def __init__(
        self, app: Any, around: Callable[[Any, bool], AbstractContextManager[Any]] | None = None
    ) -> None:
        # Weak, because they would keep each other alive.
        self._app = weakref.ref(app)
        self._around = around
        #: What this process holds.
        self.held = Holdings("application")
        self._watched = False

    @property
    def app(self) -> Any:
        """Whose resources these are."""
        return self._app()

    def around(self, closing: bool) -> AbstractContextManager[Any]:
        """The `with` block in which each of them is opened, or closed; none for a collected app."""
        app = self.app
        return nullcontext() if app is None or self._around is None else self._around(app, closing)

    def watch(self) -> None:
        """Have them closed at the exit of the process, and left alone by a forked one."""
        if not self._watched:
            self._watched = True
            scope: weakref.ref[Scope] = weakref.ref(self)
            atexit.register(_close_at_exit, scope)
            in_forked(self, Scope._begin_in_child)

    def close(self) -> None:
        """Close them, last opened first; the next use opens anew. Raises what they raise."""
        raise_errors(drive(self.held.closing(None, True)), "Errors in closing an application")

    def _begin_in_child(self) -> None:
        """Leave what is open to the parent, and begin with nothing.

        Dropping it would close it, by the `finally` of a suspended generator, which tells the
        parent's server that the parent's connection is over. Python drops everything at the end of
        the process; a reference that nothing counts down keeps it out of that.
        """
        inherited, self.held = self.held, Holdings("application")
        if inherited.opened:
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def _close_at_exit(ref: weakref.ref[Scope]) -> None:
    scope = ref()
    if scope is not None:
        scope.close()
