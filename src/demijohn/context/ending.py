"""Running every step of an end whatever fails, and reporting all that failed.

Knows nothing of what the steps are; `stack.Context` and the framework's contexts bring them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeAlias

Steps: TypeAlias = Generator[tuple[Any, Callable[[], Any]], tuple[bool, Any], list[BaseException]]
"""Calls that are handed out, so that the driver makes them where it must: see `loops`.

Yields `(loop, call)`: `loop` is None for a plain call, else the event loop on which the awaitable
that `call()` returns is to be awaited. The driver sends back `(True, value)` or `(False, error)`.
Returns what failed.
"""

END_TIMEOUT = 5.0
"""Seconds that an end waits for an event loop: one that is busy, or for a close after a cancel."""


def run_all(
    calls: Iterable[Callable[[], object]], errors: list[BaseException] | None = None
) -> list[BaseException]:
    """Make every call, in order, and return what they raised.

    Invariant: no error, `KeyboardInterrupt` and `SystemExit` included, keeps a later call from
    being made; the caller raises them afterwards with `raise_errors`.
    """
    found = [] if errors is None else errors
    try:
        for call in calls:
            try:
                call()
            except BaseException as error:
                found.append(error)
        return found
    finally:
        # The errors' tracebacks lead to this frame: what it held on to, they would keep alive.
        del found, errors


def raise_errors(errors: list[BaseException] | None, what: str) -> None:
    """Raise one error as itself, several as one group titled `what`; return when there is none.

    The group is an `ExceptionGroup`, or a `BaseExceptionGroup` when one of them is no `Exception`.
    """
    if not errors:
        return
    try:
        if len(errors) == 1:
            raise errors[0]
        raise BaseExceptionGroup(what, errors)
    finally:
        # The traceback holds this frame; without this, frame and error would keep each other alive.
        del errors
