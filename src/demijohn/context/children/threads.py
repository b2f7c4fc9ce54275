"""Children on threads of their own and of an executor. Branches that are joined are in `parallel`.

Each class is given where its children come from (`child.Start`), and knows no application.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context as Variables
from typing import Any, ClassVar, ParamSpec, TypeVar

from .child import Start, to_call

P = ParamSpec("P")
T = TypeVar("T")


class ContextThread(threading.Thread):
    """A thread whose `run` is in a child of what is current where `start` is called.

    `class Worker(ContextThread, start_from=databases)` binds it to a kind of context. It begins in
    an empty Context, or in a copy of `context`. `deadline` is how many seconds it may take from
    then on. `start` raises the explained `RuntimeError` outside a context.
    """

    _start_from: ClassVar[Any]

    def __init_subclass__(cls, start_from: Start | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if start_from is not None:
            cls._start_from = (start_from,)  # in a tuple, so that a function is no method

    def __init__(
        self,
        *args: Any,
        context: Variables | None = None,
        deadline: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._copied_from = context
        self._deadline = deadline

    def start(self) -> None:
        """Take what the child is made from, and start the thread."""
        if self.ident is None:
            start, variables = self._start_from[0], self._copied_from
            work = to_call(start, self.run, variables, deadline=self._deadline)

            def run() -> None:
                # The thread's own again: the two would keep each other alive.
                vars(self).pop("run", None)
                work()

            vars(self)["run"] = run
        try:
            super().start()
        except BaseException:
            if self.ident is None:
                vars(self).pop("run", None)
            raise


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """An executor each of whose jobs runs in a child of what is current where it is submitted.

    Otherwise `concurrent.futures.ThreadPoolExecutor`. A job begins in an empty Context, whatever
    ran on its thread before, or in a copy of `context`. An async function is run to its end.
    """

    _start_from: ClassVar[Any]

    def __init_subclass__(cls, start_from: Start | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if start_from is not None:
            cls._start_from = (start_from,)

    def __init__(self, *args: Any, context: Variables | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._copied_from = context

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn(*args, **kwargs)` called in a child of what is current now."""
        work = to_call(self._start_from[0], fn, self._copied_from)
        return super().submit(work, *args, **kwargs)

    def map(self, fn: Callable[..., T], *iterables: Any, **kwargs: Any) -> Any:
        """As `map` of the base class; the children are all of what is current now."""
        return super().map(
            to_call(self._start_from[0], fn, self._copied_from), *iterables, **kwargs
        )
