"""The errors and the warning of the context core, and the description of where code runs.

Holds messages and exception classes only: nothing here reads or changes a context.
"""

from __future__ import annotations

import os
import sys
import threading
import typing
from dataclasses import dataclass
from types import CodeType, FrameType

# Frames that only pass a call on: this package's, and `typing`'s, as of `ContextField[str](...)`.
_PASSING_ON = (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep,
    typing.__file__,
)


class ContextWarning(RuntimeWarning):
    """Something went on correctly, but the code around a context is likely wrong.

    It was popped in another thread than its push, say, or a server edge found one left over.
    """


class WrongContextError(RuntimeError, AssertionError):
    """A pop was refused and nothing was changed.

    It is a `RuntimeError`, and an `AssertionError` because that is what Flask raises.
    """


class ContextEnded(RuntimeError):
    """Code that outlived a context tried to use it for more than reading plain data."""


class DirtyResource(RuntimeError):
    """A resource could not be released: it holds work that is neither kept nor undone yet."""


class SessionReadOnly(RuntimeError):
    """A session was written to where the write could no longer reach the client."""


class Cancelled(Exception):
    """Work stopped because it was asked to; `reason` says why, "disconnect" for instance."""

    def __init__(self, reason: str = "user") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"This work was cancelled: {self.reason}."


class DeadlineExceeded(TimeoutError):
    """Work stopped because its deadline had passed."""

    def __str__(self) -> str:
        return super().__str__() or "The deadline of this work has passed."


@dataclass(frozen=True, slots=True)
class Place:
    """Where code runs: what it is, and the one line that gives it a context there."""

    where: str
    remedy: str


def describe_place(frame: FrameType | None = None) -> Place:
    """Say where the calling code runs: at import time, in which thread, task or process.

    Only for building messages: it walks the stack and costs microseconds.
    """
    if _is_importing(frame or sys._getframe(1)):
        return Place(
            "while a module is imported",
            "Move this code into a function that runs later, or put it under"
            " `with app.app_context():`.",
        )
    task = _current_task_name()
    if task is not None:
        return Place(
            f"in the asyncio task {task!r}, which was started outside a context",
            "Start the task inside `with app.app_context():`, by `task_group()` or as"
            " `create_task(in_child(f)())`, or open a context in the task itself.",
        )
    if _in_greenlet():
        return Place(
            "in a greenlet, which does not see the contexts of the code that started it",
            "Where the code that starts it has a context, spawn `in_child(f)`; else use `with"
            " app.app_context():` in it.",
        )
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        return _describe_thread(thread)
    process = _describe_process()
    if process is not None:
        return Place(
            process,
            "A new process starts without a context: where the code that gives it the work has"
            " one, hand over `in_child(f)`; else create the app there and use `with"
            " app.app_context():`.",
        )
    return Place("in the main thread", "Put this code under `with app.app_context():`.")


def outside_message(first_line: str, need: str, remedy: str | None = None) -> str:
    """The text of a "Working outside of ... context" error.

    `first_line` is Flask's own, `need` says what the code asked for, `remedy` replaces the place's
    when given.
    """
    place = describe_place(sys._getframe(1))
    return f"{first_line}\n\n{need} This code runs {place.where}.\n{remedy or place.remedy}"


def stays_here(context: str, instead: str) -> str:
    """The text of the error for a context that is to be pickled or copied."""
    return (
        f"{context} cannot be pickled or copied: what it holds belongs to this process and to one"
        f" piece of work.\n{instead}"
    )


def _is_importing(frame: FrameType | None) -> bool:
    """Whether the import system is below this frame, before any thread's or task's start."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _current_task_name() -> str | None:
    # asyncio is not imported for this: where nobody imported it, no task can run.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else str(task.get_name())


def _in_greenlet() -> bool:
    # Not imported for this either. The greenlet that a thread starts in has no parent.
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def _describe_thread(thread: threading.Thread) -> Place:
    # `Thread._target` is there while `Thread.run` runs; one that overrides `run` has none of use.
    target = getattr(thread, "_target", None)
    if getattr(target, "__module__", None) == "concurrent.futures.thread":
        return Place(
            f"in the thread pool's thread {thread.name!r}",
            "A pool's threads have no context: submit `in_child(f)`, or use a"
            " `ContextThreadPoolExecutor`, where the code that submits has one; else use `with"
            " app.app_context():` in the function.",
        )
    where = f"in the thread {thread.name!r} ({type(thread).__qualname__})"
    if target is not None:
        name = getattr(target, "__qualname__", None) or repr(target)
        where = f"in the thread {thread.name!r}, started with target {name}"
    return Place(
        where,
        "A new thread starts without a context: make it a `ContextThread`, or wrap its function in"
        " `in_child`, where the code that starts it has one; else use `with app.app_context():` in"
        " the thread.",
    )


def _describe_process() -> str | None:
    """What kind of worker process this is, None for one that was started by itself."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return None
    process = multiprocessing.current_process()
    # `Process._target` is the pools' own function in a pool's worker.
    target = getattr(process, "_target", None)
    if getattr(target, "__module__", None) in (
        "concurrent.futures.process",
        "multiprocessing.pool",
    ):
        return f"in the process pool's worker {process.name!r}"
    name = getattr(target, "__qualname__", None)
    started = "" if name is None else f", started with target {name}"
    return f"in the process {process.name!r}{started}"


def thread_name(ident: int) -> str:
    """The name of a thread by its `threading.get_ident` number, for messages."""
    for thread in threading.enumerate():
        if thread.ident == ident:
            return f"thread {thread.name!r}"
    return f"a thread that has ended ({ident})"


def outside_caller() -> tuple[CodeType, int]:
    """The nearest code outside this package that led here, and its line."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSING_ON):
        frame = frame.f_back
    return frame.f_code, frame.f_lineno


def callers_level() -> int:
    """The `stacklevel` of the code that called into the caller's module, for a warning there."""
    level = 1
    frame = sys._getframe(1)
    file = frame.f_code.co_filename
    while frame.f_back is not None and frame.f_code.co_filename == file:
        frame = frame.f_back
        level += 1
    return level
