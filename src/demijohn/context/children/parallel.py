"""Branches of one piece of work on threads, joined before it goes on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextvars import Context as Variables
from time import monotonic
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

from ..cancel import CancelToken, error_for, moment_after, seconds_until
from ..ending import raise_errors
from ..errors import Cancelled, DeadlineExceeded
from .child import Start, take, to_call

P = ParamSpec("P")
T = TypeVar("T")

MOST_WORKERS = 32
_STOPPED = (Cancelled, DeadlineExceeded, CancelledError)
"""What work raises that was asked to stop: it tells nothing that is not known."""


class Branch(Future[T], Generic[T]):
    """What one branch will return. Waiting for it ends when the block is cancelled.

    When its block has raised what it raised, a branch has a `RuntimeError` in its place.
    """

    # None when it is over: block and branches would keep each other alive.
    _block: Parallel | None
    _token: CancelToken

    def result(self, timeout: float | None = None) -> T:
        """What the branch returned; raises what it raised.

        Raises `Cancelled` or `DeadlineExceeded` when the block is cancelled meanwhile, and
        `TimeoutError` after `timeout` seconds.
        """
        try:
            self._await(timeout)
            return super().result(0)
        finally:
            # An error's traceback holds this frame.
            del self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the branch raised, or None; else as `result`."""
        self._await(timeout)
        return super().exception(0)

    def _release(self) -> None:
        """The block is over, and has raised what this branch raised.

        That error leads to the frames of the block, and so to the branch: it is not kept here.
        """
        self._block = None
        if self.done() and not self.cancelled() and super().exception(0) is not None:
            told = RuntimeError(f"This branch failed, and its block raised: {self._exception!r}")
            self._exception = told

    def _await(self, timeout: float | None) -> None:
        block = self._block
        if block is not None:
            block._await(self, timeout)
        if self.cancelled():
            # Unless somebody has cancelled this branch alone.
            self._token.check()


class Parallel:
    """A block whose branches run on threads of its own, each in a child, and end with it.

    Leaving it waits for all of them. The first error of a branch cancels the rest: those that have
    not started never do, the others are told (`ctx.check()`). It is then raised as itself, several
    errors as one `ExceptionGroup`. An error of the block itself cancels and is raised too.
    """

    def __init__(
        self,
        start: Start,
        max_workers: int | None = None,
        context: Variables | None = None,
        deadline: float | None = None,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}: at least one thread is needed.")
        self._start = start
        self._most = max_workers or MOST_WORKERS
        self._variables = context
        self._deadline = deadline
        # Guards what follows, and is notified when a branch is done and when all are cancelled.
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        # Notified when there is work for a thread that waits for some, and at the end.
        self._wanted = threading.Condition(lock)
        self._branches: list[Branch[Any]] = []
        self._waiting: deque[tuple[Branch[Any], Callable[[], Any]]] = deque()
        self._threads: list[threading.Thread] = []
        self._workers = self._idle = 0
        self._undone = 0
        self._errors: list[BaseException] = []
        self._token: CancelToken | None = None
        self._left = False

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError("This block was entered before: make another one with parallel().")
        self._token = CancelToken(moment_after(self._deadline), take(self._start).token)
        self._token.on_cancel(self._drop_waiting)
        return self

    def submit(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Branch[T]:
        """Have `f(*args, **kwargs)` called on a thread, in a child of what is current now.

        Raises `Cancelled` or `DeadlineExceeded` when the block has been cancelled, by the error of
        another branch for instance.
        """
        token = self._entered()
        token.check()
        work = to_call(self._start, f, self._variables, token)
        branch: Branch[T] = Branch()
        branch._block, branch._token = self, token
        with self._changed:
            if self._left:
                raise RuntimeError("This block is over: submit inside `with parallel() as p:`.")
            self._waiting.append((branch, lambda: work(*args, **kwargs)))
            self._undone += 1
            if self._idle >= len(self._waiting):
                self._wanted.notify()
            elif self._workers < self._most:
                self._start_worker()
            self._branches.append(branch)
        return branch

    @property
    def results(self) -> list[Any]:
        """What the branches returned, in the order in which they were submitted."""
        return [branch.result() for branch in self._branches]

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token = self._entered()
        with self._changed:
            self._left = True
            self._wanted.notify_all()
            before = list(self._errors)
        if error is not None:
            token.cancel("parent")
        try:
            self._join(token)
            errors = self._to_raise(error, before)
            if not (len(errors) == 1 and errors[0] is error):
                raise_errors(errors, "Errors in parallel branches")
        finally:
            token.off_cancel(self._drop_waiting)
            token.retire()
            # The errors' tracebacks hold this frame.
            self._errors.clear()
            for branch in self._branches:
                branch._release()
            del self, error, traceback
            before = errors = []

    # -- threads -----------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        thread = threading.Thread(target=self._work, name=f"parallel-{len(self._branches)}")
        self._workers += 1
        try:
            thread.start()
        except RuntimeError:  # there is no room for one more
            self._workers -= 1
            if not self._workers:
                self._waiting.pop()
                self._undone -= 1
                raise
            # Those that there are will do it.
            return
        # Anything else, a KeyboardInterrupt say, came while this waited for the thread to run.
        self._threads.append(thread)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._left:
                        return
                    self._idle += 1
                    self._wanted.wait()
                    self._idle -= 1
                branch, work = self._waiting.popleft()
            self._run(branch, work)
            del branch, work

    def _run(self, branch: Branch[Any], work: Callable[[], Any]) -> None:
        try:
            # Of what was submitted at the moment of a cancel, and where nobody has noticed yet that
            # the deadline has passed.
            if self._entered().reason is not None:
                branch.cancel()
            if branch.set_running_or_notify_cancel():
                try:
                    branch.set_result(work())
                except BaseException as error:
                    self._failed(error)
                    branch.set_exception(error)
        finally:
            with self._changed:
                self._undone -= 1
                self._changed.notify_all()
            # The error's traceback holds this frame.
            del branch, work

    def _failed(self, error: BaseException) -> None:
        with self._changed:
            self._errors.append(error)
        token = self._entered()
        if not (isinstance(error, _STOPPED) and token.reason):
            token.cancel("sibling")

    def _drop_waiting(self) -> None:
        """The block is cancelled: what has not started never does, and who waits goes on."""
        with self._changed:
            dropped = [branch for branch, _ in self._waiting]
            self._waiting.clear()
            self._undone -= len(dropped)
            self._changed.notify_all()
        for branch in dropped:
            branch.cancel()
            branch.set_running_or_notify_cancel()

    # -- waiting -----------------------------------------------------------------------------------

    def _entered(self) -> CancelToken:
        if self._token is None:
            raise RuntimeError("This block is not entered: use it with `with parallel() as p:`.")
        return self._token

    def _await(self, branch: Branch[Any], timeout: float | None) -> None:
        """Until the branch is done. Raises when the block is cancelled before, or time is up."""
        token = self._entered()
        until = None if timeout is None else monotonic() + timeout
        while not branch.done():
            token.check()
            if until is not None and monotonic() >= until:
                raise TimeoutError
            with self._changed:
                if not branch.done() and not token.told:
                    moments = [moment for moment in (token.deadline, until) if moment is not None]
                    self._changed.wait(seconds_until(min(moments, default=None)))

    def _join(self, token: CancelToken) -> None:
        """Until every branch is done; cancelling makes that come sooner, and no wait shorter."""
        try:
            self._wait_for_all(token)
        except BaseException:
            # A signal handler raised, KeyboardInterrupt for instance.
            token.cancel("parent")
            self._wait_for_all(token)
            raise
        for thread in self._threads:
            thread.join()

    def _wait_for_all(self, token: CancelToken) -> None:
        while self._undone:
            # Looking at the reason is what notices a deadline that has passed.
            until = None if token.reason is not None else token.deadline
            with self._changed:
                if self._undone and (until is None or not token.told):
                    self._changed.wait(seconds_until(until))

    def _to_raise(
        self, error: BaseException | None, before: list[BaseException]
    ) -> list[BaseException]:
        """What leaves the block: its own `error`, and those of branches, which failed `before` it
        or because it cancelled them."""
        failed = [each for each in self._errors if not isinstance(each, _STOPPED)]
        if error is None or isinstance(error, _STOPPED):
            if failed:
                return failed
            if error is not None or self._errors:
                return [error or self._errors[0]]
            reason = self._entered().reason
            if reason is None or not any(each.cancelled() for each in self._branches):
                return []
            return [error_for(reason)]
        if not isinstance(error, Exception):
            # Who asks for an exit gets that.
            return [error]
        known = [each for each in failed if each in before and each is not error]
        for each in failed:
            if each not in before:
                error.add_note(f"A parallel branch failed when it was cancelled: {each!r}")
        return [error, *known]
