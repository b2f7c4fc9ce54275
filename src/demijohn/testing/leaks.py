"""What a stretch of a test left behind: contexts, context variables, work elsewhere.

`Leaks` finds, cleans up and words it; when to look, and whether it may be, is `plugin`'s.
"""

from __future__ import annotations

import contextvars
import gc
import threading
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from ..context.held import Held, listed
from ..context.lifecycle import State
from ..context.stack import Context
from .watch import Note, Watch

UNSET: Any = type("Unset", (), {"__repr__": lambda self: "unset"})()
"""In the place of a value that a variable does not have."""

_POLL = 0.005
Changes = dict[ContextVar[Any], tuple[Any, Any]]
"""Variable -> what it was, what it is."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing that was left: its kind, as the marker `leaves_behind` names it, and the words."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """How things stood when a stretch began."""

    variables: contextvars.Context
    note: int
    threads: frozenset[threading.Thread]
    skipped: tuple[tuple[int, int], ...] = ()
    """Ranges of notes that are not this stretch's."""

    @classmethod
    def now(cls, watch: Watch) -> Beginning:
        """Remember how things stand in the calling Context."""
        threads = frozenset(threading.enumerate())
        return cls(contextvars.copy_context(), watch.mark(), threads)

    def without(self, before: Beginning, after: Beginning) -> Beginning:
        """The same stretch, but what came between `before` and `after` belongs to somebody else."""
        threads = self.threads | (after.threads - before.threads)
        skipped = (*self.skipped, (before.note, after.note))
        return replace(self, threads=threads, skipped=skipped)

    def covers(self, note: Note) -> bool:
        """Whether the context of this note began in the stretch and is its own."""
        if not self.covers_number(note.number):
            return False
        if note.start is not None and self.covers_number(note.start.number):
            return True
        return not note.began_on(self.threads - {threading.current_thread()})

    def covers_number(self, number: int) -> bool:
        """Whether the note of this number was taken in the stretch."""
        if number <= self.note:
            return False
        return not any(first < number < last for first, last in self.skipped)


def changes(before: contextvars.Context, after: contextvars.Context) -> Changes:
    """The variables that differ. Equal values count as the same, as do None and unset of a stack's.

    A value that was changed in place, a list that grew, is the same value.
    """
    if _equal(before, after):
        return {}
    pairs = {var: (before.get(var, UNSET), after.get(var, UNSET)) for var in {*before, *after}}
    return {var: pair for var, pair in pairs.items() if not _same(*pair)}


def _same(old: Any, new: Any) -> bool:
    # A cleared variable of a stack holds None. Whether it is a stack's cannot be told from None,
    # and a variable that was set to None harms no later test.
    return old is new or (_is_nothing(old) and _is_nothing(new)) or _equal(old, new)


def _is_nothing(value: Any) -> bool:
    return value is None or value is UNSET


def _equal(old: Any, new: Any) -> bool:
    try:
        return bool(old == new)
    except Exception:  # an array, say, which does not say so in one word
        return False


class Leaks:
    """Looks for what was left since `start`, and puts things back as far as Python allows.

    `expected` are variables that something longer-lived than this stretch set, with their values.
    `allowed` are names of variables that may change. `set_by` says for a variable and its value
    who set it, where that is known. `grace` is how many seconds work elsewhere may take to end.
    """

    def __init__(
        self,
        watch: Watch,
        start: Beginning,
        expected: Mapping[ContextVar[Any], Any],
        allowed: frozenset[str],
        set_by: Mapping[ContextVar[Any], tuple[Any, str]],
        grace: float,
    ) -> None:
        self.watch = watch
        self.start = start
        self.expected = expected
        self.allowed = allowed
        self.set_by = set_by
        self.grace = grace
        self.found: list[Leak] = []
        #: What could not be put back.
        self.kept: dict[ContextVar[Any], Any] = {}

    def variables(self) -> Changes:
        """What is not as it should be in the calling Context now."""
        now = contextvars.copy_context()
        found = changes(self.start.variables, now)
        for var, value in self.expected.items():
            old, new = value, now.get(var, UNSET)
            found.pop(var, None)
            if not _same(old, new):
                found[var] = (old, new)
        return {var: pair for var, pair in found.items() if var.name not in self.allowed}

    def look(self, elsewhere: bool = True) -> list[Leak]:
        """Find everything, clean it up, and return it; `elsewhere`: also what other code holds."""
        if changed := self.variables():
            self._pop_contexts(changed)
            self._put_back()
        if elsewhere:
            self._look_elsewhere()
            self._look_at_applications()
        return self.found

    # -- in this Context ---------------------------------------------------------------------------

    def _pop_contexts(self, changed: Changes) -> None:
        """Report and pop the contexts left current, latest first."""
        for _ in range(1000):
            tops = [
                (self._number(new), var, old, new)
                for var, (old, new) in changed.items()
                if isinstance(new, Context) and self._was_pushed(new, old)
            ]
            if not tops:
                return
            _, var, old, top = max(tops, key=lambda found: found[0])
            text = self._told(top, "is current: it was pushed and not popped (use `with`)")
            self._report("context", text, _pop(top))
            if var.get(None) is top:
                var.set(_below(top, None if old is UNSET else old))
            changed = self.variables()

    def _put_back(self) -> None:
        """Report the variables that are still not as they were, and set them back."""
        for var, (old, new) in self.variables().items():
            if isinstance(old, Context):
                text = f"{_described(old)} is not current any more: it was popped"
                if old.ended:
                    var.set(None)
                else:
                    text += " from its variable only, and is current again now"
                    var.set(old)
                self.found.append(Leak("context", text))
                continue
            who = self.set_by.get(var, (UNSET, ""))
            by = f" by {who[1]}" if who[0] is new else ""
            value = _default(var) if old is UNSET else old
            text = (
                f"the variable {var.name!r} was {_described(value)}, and is {_described(new)}{by}"
            )
            if value is UNSET:
                text += "; it stays so, as it has no default to be set to"
            else:
                var.set(value)
            if old is UNSET:
                self.kept[var] = var.get()
            self.found.append(Leak("variable", text))

    def _number(self, context: Context) -> int:
        note = self.watch.note_of(context)
        return 0 if note is None else note.number

    def _was_pushed(self, context: Context, old: Any) -> bool:
        """Whether this stretch pushed it, or only made it current by popping `old` from over it."""
        if not isinstance(old, Context) or self._number(context) > self._number(old):
            return True
        return bool(context._borrows) and not old.ended

    # -- elsewhere ---------------------------------------------------------------------------------

    def _look_elsewhere(self) -> None:
        if not self._others() and not self._dropped():
            return
        # What only a cycle keeps is no leak: a body that is collected ends its request.
        gc.collect()
        self._wait()
        for note, context in self._others():
            self._report_other(note, context)
        for note in self._dropped():
            text = f"<{note.kind}> was pushed, not popped, and dropped: nothing of its end has run"
            self.found.append(Leak("context", f"{text}\n    {note}"))

    def _others(self) -> list[tuple[Note, Context]]:
        """The contexts that began in this stretch and go on, but not in this Context."""
        covers = self.start.covers
        found = [pair for pair in self.watch.alive(self.start.note) if covers(pair[0])]
        if not found:
            return found
        # A request stands for the app context that it runs with.
        here = {id(getattr(context, "app_ctx", None)) for _, context in found}
        for top in [*contextvars.copy_context().values(), *self.expected.values()]:
            while isinstance(top, Context) and id(top) not in here:
                here |= {id(top), id(getattr(top, "app_ctx", None))}
                top = _below(top, None)
        return [(note, context) for note, context in found if id(context) not in here]

    def _dropped(self) -> list[Note]:
        return [note for note in self.watch.dropped() if self.start.covers(note)]

    def _wait(self) -> None:
        """Let work that is just ending end."""
        deadline = monotonic() + self.grace
        pause = threading.Event()
        while monotonic() < deadline and any(note.at_work for note, _ in self._others()):
            pause.wait(_POLL)

    def _report_other(self, note: Note, context: Context) -> None:
        if context.state is State.HELD or (not note.at_work and not note.to_end):
            words = "is open: read the response to its end, or close it"
            self._report("resource", self._told(context, words))
        elif note.at_work:
            self._report("child", self._told(context, "is still at work"))
            cancel = getattr(context, "cancel", None)
            if cancel is not None:
                cancel("the test that started it is over")
        else:
            text = self._told(context, "was pushed and not popped (use `with`)")
            self._report("context", text, _pop(context))

    def _look_at_applications(self) -> None:
        for number, scope in self.watch.scopes():
            if not self.start.covers_number(number):
                continue
            held = listed(scope.held.all())
            if held:
                text = f"an application of this test, {_described(scope.app)}, has open resources"
                text += "".join(map(_held_line, held))
                text += "\n    close them with `app.close()`, after the `yield` of its fixture, say"
                self._report("resource", text, _trouble(scope.close))

    # -- words -------------------------------------------------------------------------------------

    def _told(self, context: Context, words: str) -> str:
        text = f"{_described(context)} {words}"
        note = self.watch.note_of(context)
        if note is not None:
            text += f"\n    {note}"
        return text + "".join(map(_held_line, context.held()))

    def _report(self, kind: str, text: str, trouble: str = "") -> None:
        if trouble:
            text += f"\n    its end failed: {trouble}"
        self.found.append(Leak(kind, text))


def _held_line(held: Held) -> str:
    opened = f"opened at {held.opener}, in thread {held.thread!r}"
    return f"\n    holds the resource {held.name!r}, {opened}, {held.age:.3f} s ago"


def _default(var: ContextVar[Any]) -> Any:
    try:
        return contextvars.Context().run(var.get)
    except LookupError:
        return UNSET


def _below(context: Context, default: Any) -> Any:
    """What was current when `context` was pushed."""
    token = context._token
    if token is None:
        return default
    value = token.old_value
    return default if value is contextvars.Token.MISSING else value


def _pop(context: Context) -> str:
    """Pop a leftover, wherever it was pushed; what that raised, in words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _trouble(lambda: context.pop(None))


def _trouble(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _described(value: Any) -> str:
    """The value's `repr`, which is the user's code."""
    try:
        text = repr(value)
    except Exception as error:
        return f"<{type(value).__qualname__}, whose repr fails: {type(error).__name__}>"
    if isinstance(value, Context):
        return f"{text} (ended)" if value.ended else text
    return text if len(text) <= 100 else f"{text[:97]}..."
