"""Noticing contexts as they begin, without keeping them alive, and listing those that live.

`Watch` receives the signals of contexts and requests while its block runs; before and after, and
where nobody makes one, a push does nothing for it. It takes no lock: what it keeps is one dict,
changed and read by single operations.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from time import monotonic
from types import CodeType, FrameType
from typing import Any, Self

from ..context.held import Held
from ..context.lifecycle import State
from ..context.stack import Context
from ..context.unit import Unit
from ..framework.contexts import RequestContext
from ..framework.globals import _cv_app, _cv_request
from ..framework.signals import appcontext_pushed, request_started
from .records import ContextRecord, HeldRecord, Snapshot

_OURS = ("demijohn.", "blinker.")
_LIBRARY = sys.stdlib_module_names - {"__main__"}
_EDGE = "demijohn.serve."
_CONTEXTS_FILE = RequestContext.copy.__code__.co_filename


class _Joined:
    """A request that runs in an app context which it did not bring."""

    __slots__ = ("number", "ref", "since")

    def __init__(self, number: int, ctx: RequestContext) -> None:
        self.number = number
        self.ref = weakref.ref(ctx)
        self.since = monotonic()


class _Begun:
    """A life of an app context: what was seen when it began."""

    __slots__ = (
        "is_child",
        "joined",
        "number",
        "parent",
        "place",
        "ref",
        "request",
        "since",
        "thread",
        "work",
    )

    def __init__(self, number: int, ref: weakref.ref[Any]) -> None:
        self.number = number
        self.ref = ref
        self.since = monotonic()
        self.thread = threading.get_ident()
        self.work = _current_work()
        self.parent: int | None = None
        self.is_child = False
        #: The request that brought this context.
        self.request: weakref.ref[RequestContext] | None = None
        self.joined: tuple[_Joined, ...] = ()
        #: The code that began it; None at an edge.
        self.place: tuple[CodeType, int] | None = None


class Watch:
    """Knows the live app contexts of this process that began within its block.

    `with Watch() as watch:` ... `watch.snapshot()`.
    """

    def __init__(self) -> None:
        # By the context's id, which is another's only after the weak reference's callback.
        self._begun: dict[int, _Begun] = {}
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        ctx = _cv_app.get(None)
        if ctx is not None:
            self._note(ctx)
        appcontext_pushed.connect(self._on_pushed)
        request_started.connect(self._on_started)
        return self

    def __exit__(self, *error: object) -> None:
        appcontext_pushed.disconnect(self._on_pushed)
        request_started.disconnect(self._on_started)
        self._begun.clear()

    # -- as contexts begin --------------------------------------------------------------------

    def _on_pushed(self, sender: Any, **more: Any) -> None:
        """A life of an app context begins; it is current already."""
        ctx = _cv_app.get(None)
        if ctx is not None:
            self._look_around(self._note(ctx), ctx)

    def _note(self, ctx: Any) -> _Begun:
        key = id(ctx)
        number = next(self._numbers)
        begun = self._begun

        def forget(ref: weakref.ref[Any]) -> None:
            if (there := begun.get(key)) is not None and there.ref is ref:
                del begun[key]

        noted = begun[key] = _Begun(number, weakref.ref(ctx, forget))
        return noted

    def _look_around(self, noted: _Begun, ctx: Any) -> None:
        """Find the parent, the request and the place of a context that begins, at its push."""
        request, noted.place = _who_pushes(sys._getframe(2))
        # What it began in; for a child and a copy what these were made of, which may be elsewhere.
        parent = getattr(ctx._token, "old_value", None)
        if request is not None:
            noted.request = weakref.ref(request)
            parent = getattr(request._parent, "app_ctx", parent)
        unit: Unit | None = ctx._unit
        if unit is not None and unit.parent is not None:
            noted.is_child = True
            parent = unit.parent()
        noted.parent = self._number_of(parent)

    def _number_of(self, ctx: Any) -> int | None:
        noted = self._begun.get(id(ctx))
        return None if noted is None else noted.number

    def _on_started(self, sender: Any, **more: Any) -> None:
        """A request is dispatched: the one that brought its app context is known from its push."""
        request = _cv_request.get(None)
        if request is None:
            return
        noted = self._begun.get(id(request.app_ctx))
        if noted is None:
            return
        if request._own_app_ctx is request.app_ctx:
            noted.request = weakref.ref(request)
        else:
            alive = tuple(joined for joined in noted.joined if joined.ref() is not None)
            noted.joined = (*alive, _Joined(next(self._numbers), request))

    # -- as they are listed -------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The contexts that live now. One that begins or ends meanwhile may be in it or not."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        records: dict[int, ContextRecord] = {}
        below: dict[int | None, list[int]] = {}
        for noted in sorted(self._begun.copy().values(), key=lambda noted: noted.number):
            record = _record(noted, names)
            if record is not None:
                records[noted.number] = record
                parent = noted.parent if noted.parent in records else None
                below.setdefault(parent, []).append(noted.number)

        def with_children(number: int) -> ContextRecord:
            record = records[number]
            children = tuple(with_children(child) for child in below.get(number, ()))
            return replace(record, children=(*record.children, *children))

        return Snapshot(
            taken=datetime.now().astimezone().isoformat(timespec="seconds"),
            pid=os.getpid(),
            contexts=tuple(with_children(number) for number in below.get(None, ())),
        )


def _record(noted: _Begun, names: dict[int | None, str]) -> ContextRecord | None:
    """The record of a context; None when its life is over, or begun anew since."""
    ctx = noted.ref()
    if ctx is None or ctx.ended:
        return None
    request = None if noted.request is None else noted.request()
    kind = "child" if noted.is_child else "app context"
    if request is not None and not noted.is_child:
        kind = "request" if request._parent is None else "copied request"
    method, path, endpoint = _asked(request)
    return ContextRecord(
        number=noted.number,
        app=str(ctx.app.name),
        kind=kind,
        method=method,
        path=path,
        endpoint=endpoint,
        age=_since(noted.since),
        work=_work_text(noted, names),
        state=_state(ctx, request),
        outcome=ctx.outcome or (request._outcome if request is not None else "ok"),
        begun_at="" if noted.place is None else _place_text(*noted.place),
        **_stopping(ctx),
        # A request's list has those of its app context too.
        held=_held_records(ctx.held() if request is None else request.held()),
        children=tuple(_joined_requests(noted, names)),
    )


def _joined_requests(noted: _Begun, names: dict[int | None, str]) -> Iterable[ContextRecord]:
    for joined in noted.joined:
        request = joined.ref()
        if request is None or request.ended:
            continue
        method, path, endpoint = _asked(request)
        yield ContextRecord(
            number=joined.number,
            app=str(request.app.name),
            kind="joined request",
            method=method,
            path=path,
            endpoint=endpoint,
            age=_since(joined.since),
            work=_work_text(noted, names),
            state=_state(request, request),
            outcome=request._outcome,
            begun_at="",
            **_stopping(request),
            held=_held_records(Context.held(request)),
        )


def _asked(request: Any) -> tuple[str | None, str | None, str | None]:
    """Method, path and endpoint of a request context, read without computing anything on it."""
    if request is None:
        return None, None, None
    environ = request.request.environ
    raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    path = raw.encode("latin-1", "replace").decode("utf-8", "replace")
    rule = request.request.url_rule
    return str(environ["REQUEST_METHOD"]), path, None if rule is None else str(rule.endpoint)


def _state(ctx: Any, request: Any) -> str:
    state: State = ctx.state
    if state is State.CURRENT and request is not None and request._final:
        return "streaming"
    return state.name.lower()


def _stopping(ctx: Any) -> dict[str, Any]:
    """Why a context should stop, and the seconds it has, by its own token; none is made for it."""
    token = None if ctx._unit is None else ctx._unit.cancel
    if token is None:
        return {}
    # Not its `reason`, whose look may run what is to be called when a deadline has passed.
    left = None if token.deadline is None else round(token.deadline - monotonic(), 3)
    return {"cancelled": token._reason, "remaining": left}


def _held_records(held: Iterable[Held]) -> tuple[HeldRecord, ...]:
    return tuple(
        HeldRecord(
            name=one.name,
            lifetime=one.lifetime,
            age=round(one.age, 3),
            opener=_short(one.opener),
            thread=one.thread,
        )
        for one in held
    )


def _since(moment: float) -> float:
    return round(monotonic() - moment, 3)


# -- where code runs ------------------------------------------------------------------------------


def _current_work() -> weakref.ref[Any] | None:
    """The asyncio task or the greenlet that the calling code runs in; None in neither."""
    # Neither is imported for this: where nobody imported it, none can run.
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        if task is not None:
            return weakref.ref(task)
    greenlet = sys.modules.get("greenlet")
    current = None if greenlet is None else greenlet.getcurrent()
    # The greenlet that a thread starts in has no parent.
    return None if current is None or current.parent is None else weakref.ref(current)


def _work_text(noted: _Begun, names: dict[int | None, str]) -> str:
    name = names.get(noted.thread)
    thread = f"thread {name}" if name is not None else "a thread that has ended"
    if noted.work is None:
        return thread
    work = noted.work()
    if work is None:
        return f"a task that has ended, {thread}"
    get_name = getattr(work, "get_name", None)
    if get_name is not None:
        return f"task {get_name()}, {thread}"
    return f"greenlet {getattr(work, 'name', None) or hex(id(work))}, {thread}"


def _who_pushes(
    frame: FrameType | None,
) -> tuple[RequestContext | None, tuple[CodeType, int] | None]:
    """The request context that brings what is being pushed, and the code that pushes.

    Both by the stack: the frames of this package and the standard library first, then the user's.
    There is none at an edge, nor where a thread begins with a context.
    """
    request: RequestContext | None = None
    at_edge = False
    while frame is not None:
        code = frame.f_code
        module = frame.f_globals.get("__name__") or ""
        if not module.startswith(_OURS) and module.partition(".")[0] not in _LIBRARY:
            break
        if (
            request is None
            and code.co_filename == _CONTEXTS_FILE
            and code.co_varnames[:1] == ("self",)
            and isinstance(found := frame.f_locals["self"], RequestContext)
        ):
            request = found
        at_edge = at_edge or module.startswith(_EDGE)
        frame = frame.f_back
    place = None if at_edge or frame is None else (frame.f_code, frame.f_lineno)
    return request, place


def _place_text(code: CodeType, line: int) -> str:
    """File, line and function; the file from the current folder on, where it is below it."""
    return _short(f"{code.co_filename}:{line} {code.co_name}")


def _short(place: str) -> str:
    return place.removeprefix(os.getcwd() + os.sep)
