"""Who began which context: kept while a test session runs, by `plugin`.

Contexts do not remember where they were pushed; that would cost every request. `Watch.start` puts a
note-taking `push` in the core's place until `stop`. Not here: what a test may leave (`leaks`).
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import count
from time import monotonic
from types import FrameType
from typing import Any

from ..context.children.child import Fork
from ..context.lifecycle import State
from ..context.scope import Scope
from ..context.stack import Context
from ..framework.app_contexts import AppContext
from ..framework.contexts import RequestContext

_INSTALLED = ("<frozen", *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""How the names of files begin that are not the user's: the libraries', and this package's."""

_STARTED = "_started_for_tests"
"""The attribute of a fork, and of its children, that says where the work was started."""
_NOTES = count(1)
_POLL = 0.005


@dataclass(frozen=True, slots=True)
class Site:
    """A line of the user's code; `str()` gives `file:line function`."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}"


@dataclass(frozen=True, slots=True)
class Start:
    """Where a `Fork` was taken, of which children are made."""

    number: int
    site: Site | None


class Note:
    """One life of a context: where it began, and by whom."""

    __slots__ = (
        "_task",
        "_thread",
        "kind",
        "number",
        "ref",
        "site",
        "start",
        "task",
        "thread",
        "to_end",
    )

    def __init__(
        self,
        context: Context,
        ref: weakref.ref[Context],
        site: Site | None,
        start: Start | None,
    ) -> None:
        self.number = next(_NOTES)
        self.kind = type(context).__qualname__
        self.ref = ref
        self.site = site
        #: Of a child: where its work was started.
        self.start = start
        #: Whether nobody but its pusher ends it.
        self.to_end = True
        thread, task = threading.current_thread(), _current_task()
        self.thread = thread.name
        self.task: str | None = None if task is None else task.get_name()
        self._thread = weakref.ref(thread)
        self._task = None if task is None else weakref.ref(task)

    @property
    def at_work(self) -> bool:
        """Whether the thread, and the task if it was one, that began the context still runs."""
        thread = self._thread()
        if thread is None or not thread.is_alive():
            return False
        if self._task is None:
            return thread is not threading.current_thread()
        task = self._task()
        return task is not None and not task.done()

    def began_on(self, threads: frozenset[threading.Thread]) -> bool:
        """Whether one of these threads began the context."""
        return self._thread() in threads

    def __str__(self) -> str:
        who = f"thread {self.thread!r}" if self.task is None else f"task {self.task!r}"
        if self.start is not None:
            return f"a child, started at {self.start.site}, in {who}"
        return f"pushed at {self.site}, in {who}" if self.site else f"begun in {who}"


class Watch:
    """Notes of the contexts that are alive, and of those that were dropped without an end."""

    def __init__(self) -> None:
        self._users = 0
        self._undo: list[tuple[type, str, Any]] = []
        self._notes: dict[int, Note] = {}
        self._dropped: list[Note] = []
        self._scopes: list[tuple[int, weakref.ref[Scope]]] = []
        #: Notes up to this number are not the running test's.
        self.since = 0

    # -- switching on and off ----------------------------------------------------------------------

    def start(self) -> None:
        """Take notes from now on. Each call is undone by one of `stop`."""
        self._users += 1
        if self._users > 1:
            return
        self._replace(Context, "push", _noting_push(self, Context.push))
        self._replace(Context, "_end", _noting_end(self, Context._end))
        self._replace(Context, "_end_async", _noting_end(self, Context._end_async))
        self._replace(Context, "_claim_end", _noting_end(self, Context._claim_end))
        self._replace(AppContext, "__enter__", Context.__enter__)
        self._replace(AppContext, "__exit__", Context.__exit__)
        begin = RequestContext._begin_at_edge
        self._replace(RequestContext, "_begin_at_edge", _noting_edge(self, begin))
        self._replace(Fork, "__init__", _noting_fork(Fork.__init__))
        self._replace(Fork, "child", _noting_child(Fork.child))
        self._replace(Scope, "__init__", _noting_scope(self, Scope.__init__))

    def stop(self) -> None:
        """Undo one `start`; the last one forgets everything."""
        self._users -= 1
        if self._users:
            return
        while self._undo:
            setattr(*self._undo.pop())
        self._notes.clear()
        self.begin()

    def _replace(self, cls: type, name: str, function: Any) -> None:
        self._undo.append((cls, name, cls.__dict__[name]))
        setattr(cls, name, function)

    # -- notes -------------------------------------------------------------------------------------

    def note(self, context: Context) -> None:
        """A life of `context` has begun, in the calling code."""
        key = id(context)

        def forget(_: object, notes: dict[int, Note] = self._notes) -> None:
            note = notes.pop(key, None)
            if note is not None and note.to_end:
                self._dropped.append(note)

        # A child of a request is a request context on a child.
        child = getattr(context, "app_ctx", context)
        start: Start | None = getattr(child, _STARTED, None)
        site = _site(sys._getframe(2))
        self._notes[key] = Note(context, weakref.ref(context, forget), site, start)

    def may_go(self, context: Context) -> None:
        """`context` has ended, or ends by being dropped."""
        note = self._notes.get(id(context))
        if note is not None:
            note.to_end = False

    def note_of(self, context: Context) -> Note | None:
        """Where the context's life began, if it was noted."""
        return self._notes.get(id(context))

    def note_scope(self, scope: Scope) -> None:
        """An application, and with it the place of its resources, has been made."""
        self._scopes.append((next(_NOTES), weakref.ref(scope)))

    def begin(self) -> None:
        """A test begins: forget what was dropped and made before."""
        self._dropped.clear()
        self._scopes.clear()
        self.since = self.mark()

    def mark(self) -> int:
        """The number of the latest note."""
        return next(_NOTES)

    def alive(self, since: int) -> Iterator[tuple[Note, Context]]:
        """The contexts that began after note `since` and have not ended, oldest first."""
        # A copy: other threads push and drop contexts meanwhile.
        for note in list(self._notes.values()):
            if note.number > since:
                context = note.ref()
                if context is not None and context.state is not State.ENDED:
                    yield note, context

    def dropped(self) -> list[Note]:
        """Contexts that went to the collector without an end since the test began."""
        return list(self._dropped)

    def scopes(self) -> Iterator[tuple[int, Scope]]:
        """Those that were made since the test began and are there, with their number."""
        for number, ref in list(self._scopes):
            scope = ref()
            if scope is not None:
                yield number, scope


watch = Watch()
"""The process's one watch: it takes the place of methods of the core's classes."""


def wait_for_children(timeout: float = 5.0) -> None:
    """Wait until no thread and no task works in a context that began in this test.

    `timeout` is in seconds; `TimeoutError` names who is still at work. For work in threads: it
    blocks, so a test that shares its event loop with the work awaits its tasks instead.
    """
    deadline = monotonic() + timeout
    pause = threading.Event()
    while found := [(n, c) for n, c in watch.alive(watch.since) if n.at_work]:
        if monotonic() > deadline:
            raise TimeoutError(
                f"At work after {timeout:g} s: " + "; ".join(f"{c!r}, {n}" for n, c in found)
            )
        # Not a sleep: an end is not announced, so it is asked for until the deadline.
        pause.wait(_POLL)
        del found


# -- in the core's place ---------------------------------------------------------------------------


def _noting_push(watch: Watch, original: Any) -> Any:
    @wraps(original)
    def push(self: Context) -> None:
        begins = self._state in (State.NEW, State.ENDED)
        original(self)
        if begins:
            watch.note(self)

    return push


def _noting_end(watch: Watch, original: Any) -> Any:
    @wraps(original)
    def _end(self: Context, *args: Any) -> Any:
        try:
            return original(self, *args)
        finally:
            watch.may_go(self)
            del args

    return _end


def _noting_edge(watch: Watch, original: Any) -> Any:
    @wraps(original)
    def _begin_at_edge(self: RequestContext, joined: AppContext | None) -> None:
        try:
            original(self, joined)
        finally:
            watch.note(self)
            # The edge ends it, where no note is taken, also when the body is dropped.
            watch.may_go(self)

    return _begin_at_edge


def _noting_fork(original: Any) -> Any:
    @wraps(original)
    def __init__(self: Fork, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        setattr(self, _STARTED, Start(next(_NOTES), _site(sys._getframe(1))))

    return __init__


def _noting_child(original: Any) -> Any:
    @wraps(original)
    def child(self: Fork, *args: Any) -> Any:
        made = original(self, *args)
        setattr(made, _STARTED, getattr(self, _STARTED, None))
        return made

    return child


def _noting_scope(watch: Watch, original: Any) -> Any:
    @wraps(original)
    def __init__(self: Scope, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        watch.note_scope(self)

    return __init__


def _site(frame: FrameType | None) -> Site | None:
    """The nearest line of the user's own, else the nearest that is not this package's.

    None where there is none: what a pool's thread begins was wanted elsewhere.
    """
    other: Site | None = None
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        if not file.startswith(_PACKAGE):
            if not file.startswith(_INSTALLED):
                return Site(file, frame.f_lineno, code.co_qualname)
            if other is None and "site-packages" in file:
                other = Site(file, frame.f_lineno, code.co_qualname)
        frame = frame.f_back
    return other


def _current_task() -> Any:
    # asyncio is not imported for this: where nobody imported it, no task can run.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
