"""Deadline and cancelling of a context: a tree of tokens, from a piece of work to its children.

Nothing here interrupts code. Work asks (`check`, `cancelled`) or waits (`wait_cancelled`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from .errors import Cancelled, DeadlineExceeded
from .unit import unit_of

if TYPE_CHECKING:
    from .unit import Unit

DEADLINE = "deadline"
"""The reason of what was cancelled because its time was over."""


class CancelToken:
    """Whether one piece of work should stop, and why; cancelling it cancels what it started.

    `deadline` is in monotonic seconds. A token below another one has the earlier deadline of the
    two. Safe to use from every thread.
    """

    # A token refers to the one above it, so that a chain holds while its last link is in use, and
    # knows those below it weakly, so that work which has ended is not kept.
    __slots__ = ("__weakref__", "_above", "_below", "_calls", "_lock", "_reason", "deadline")

    def __init__(self, deadline: float | None = None, above: CancelToken | None = None) -> None:
        self.deadline: float | None = deadline
        if above is not None:
            self.deadline = _earlier(deadline, above.deadline)
        # Reentrant: the garbage collector may run anybody's code while its thread is inside.
        self._lock = threading.RLock()
        self._reason: str | None = None
        self._below: set[weakref.ref[CancelToken]] | None = None
        self._calls: list[Callable[[], object]] | None = None
        self._above: CancelToken | None = None
        if above is not None:
            self._hang_below(above)

    def _hang_below(self, above: CancelToken) -> None:
        with above._lock:
            self._above = above
            reason = above._reason
            below = above._below
            if below is None:
                below = above._below = set()
            # Not a WeakSet, which takes five times as long to make and to fill.
            below.add(weakref.ref(self, below.discard))
        if reason is not None:
            self.cancel(reason)

    def _tokens_below(self) -> list[CancelToken]:
        # `list` takes all of them in one step, while others are dropped.
        return [token for ref in list(self._below or ()) if (token := ref()) is not None]

    @property
    def reason(self) -> str | None:
        """Why the work should stop, None while it should not. A deadline that has passed counts."""
        if self._reason is None and self.deadline is not None and monotonic() >= self.deadline:
            self.cancel(DEADLINE)
        return self._reason

    def limit(self, deadline: float) -> None:
        """Set the deadline, unless there is an earlier one. For work that is only beginning: what
        it has started already is not told."""
        self.deadline = _earlier(self.deadline, deadline)

    @property
    def told(self) -> bool:
        """Whether it was cancelled already. Looks at no clock and changes nothing."""
        return self._reason is not None

    def cancel(self, reason: str) -> bool:
        """Ask this work, and what it started, to stop; whether this call did. The first reason
        stays."""
        with self._lock:
            if self._reason is not None:
                return False
            self._reason = reason
            below = self._tokens_below()
            calls, self._calls = self._calls, None
        for token in below:
            token.cancel(reason)
        for call in calls or ():
            call()
        return True

    def on_cancel(self, call: Callable[[], object]) -> None:
        """Have `call()` made when the token is cancelled, on the thread that does it; at once when
        it is cancelled already. A deadline that passes is not noticed by itself. `call` must not
        raise."""
        with self._lock:
            if self._reason is None:
                if self._calls is None:
                    self._calls = []
                self._calls.append(call)
                return
        call()

    def off_cancel(self, call: Callable[[], object]) -> None:
        """Take back `on_cancel(call)`, if it has not been made."""
        with self._lock:
            if self._calls is not None and call in self._calls:
                self._calls.remove(call)

    def remaining(self) -> float | None:
        """Seconds until the deadline, 0.0 after it; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the work should stop, for at most `timeout` seconds; whether it should."""
        if self.reason is not None:
            return True
        event = threading.Event()
        until = _earlier(self.deadline, None if timeout is None else monotonic() + timeout)
        self.on_cancel(event.set)
        try:
            while not event.wait(seconds_until(until)) and (until is None or monotonic() < until):
                pass
        finally:
            self.off_cancel(event.set)
        return self.reason is not None

    def check(self) -> None:
        """Raise `DeadlineExceeded` or `Cancelled` if the work should stop."""
        reason = self.reason
        if reason is not None:
            raise error_for(reason)

    def retire(self) -> None:
        """The work is over: what it started hangs from what is above it.

        Otherwise work that starts its successor over and over would leave an ever longer chain.
        """
        with self._lock:
            above, self._above = self._above, None
            below = self._tokens_below()
        for token in below:
            if above is None:
                token._above = None
            else:
                token._hang_below(above)


def moment_after(seconds: float | None) -> float | None:
    """The moment (monotonic) that many seconds from now; None stays None."""
    return None if seconds is None else monotonic() + seconds


def seconds_until(moment: float | None) -> float | None:
    """How long a wait until `moment` (monotonic) may be told to last; None for ever."""
    return None if moment is None else min(max(0.0, moment - monotonic()), threading.TIMEOUT_MAX)


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def error_for(reason: str) -> Cancelled | DeadlineExceeded:
    """The error with which work stops that was cancelled for `reason`."""
    return DeadlineExceeded() if reason == DEADLINE else Cancelled(reason)


def outcome_of(error: BaseException) -> str:
    """How a context ended whose work raised `error`: "deadline", "cancelled", "error", or what the
    error itself says in an attribute `outcome`."""
    if isinstance(error, DeadlineExceeded):
        return "deadline"
    if isinstance(error, Cancelled):
        return "deadline" if error.reason == DEADLINE else "cancelled"
    told: str | None = getattr(error, "outcome", None)
    if told is not None:
        return told
    return "cancelled" if is_of_a_task(error) else "error"


def is_of_a_task(error: BaseException) -> bool:
    """Whether it is the error with which a task ends that was cancelled. Asked by name: asyncio
    need not be loaded, and `concurrent.futures` has another one of that name."""
    kind = type(error)
    return kind.__name__ == "CancelledError" and kind.__module__.startswith("asyncio")


class Cancellable:
    """What a context answers about its deadline, and about being cancelled.

    The reasons given by the framework are "user" (nobody said which), "deadline", "disconnect" (the
    client has left), "shutdown", "parent" and "sibling" (of work that is part of other work).
    """

    if TYPE_CHECKING:
        stack: ClassVar[Any]
        _unit: Unit | None

    #: Told of this context's own token when it is made.
    _on_token: Callable[[CancelToken], object] | None = None

    def _cancel_home(self) -> Any:
        """The context that keeps the token: this one, unless it is part of another."""
        return self

    def _cancel_above(self) -> CancelToken | None:
        """The token from which this context's hangs, if any."""
        return None

    def _cancel_token(self) -> CancelToken:
        token: CancelToken = self._cancel_home()._own_token()
        return token

    def _own_token(self) -> CancelToken:
        """The token kept here; made at the first call."""
        unit = unit_of(self)
        token: CancelToken | None = unit.cancel
        if token is None:
            made = CancelToken(None, self._cancel_above())
            with self.stack.lock:
                token = unit.cancel
                if token is None:
                    token = unit.cancel = made
            if token is made and self._on_token is not None:
                self._on_token(made)
        return token

    @property
    def deadline(self) -> float | None:
        """When this work must be done, in monotonic seconds; None when it has no limit."""
        return self._cancel_token().deadline

    def remaining(self) -> float | None:
        """Seconds until the deadline, 0.0 after it; None without one. Fit for a timeout."""
        return self._cancel_token().remaining()

    @property
    def cancelled(self) -> bool:
        """Whether this work should stop: somebody cancelled it, or its deadline has passed."""
        return self._cancel_token().reason is not None

    @property
    def cancel_reason(self) -> str | None:
        """Why it should stop: the first reason; None while it should not."""
        return self._cancel_token().reason

    def cancel(self, reason: str = "user") -> bool:
        """Ask this work and its children to stop, from any thread; whether this call did."""
        return self._cancel_token().cancel(reason)

    def check(self) -> None:
        """Raise `DeadlineExceeded` or `Cancelled` if this work should stop."""
        self._cancel_token().check()

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Wait until this work should stop, for at most `timeout` seconds; whether it should."""
        return self._cancel_token().wait(timeout)
