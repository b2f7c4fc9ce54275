"""Children in other processes: a function that pickles with what its child is made of there.

Nothing of this process goes along: no context, no request, no token. What the data is, and what is
made of it, is up to whoever gives `open_fork`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context as Variables
from typing import Any

from .child import Fork, InChild


class InProcess:
    """`f`, called in a child of the fork that `open_fork(*data)` makes where it is called.

    The fork is made by the call and not when this is unpickled: a pool takes an error in that for
    the death of its process.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        deadline: float | None,
        open_fork: Callable[..., Fork],
        *data: object,
    ) -> None:
        self._f = f
        self._deadline = deadline
        self._open_fork = open_fork
        self._data = data

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A process that was forked has the Context of the code that forked it.
        fork = Variables().run(self._open_fork, *self._data)
        return InChild(fork.as_sync(self._f), fork, deadline=self._deadline)(*args, **kwargs)
