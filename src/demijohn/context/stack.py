"""Contexts: tokens, nesting, owners, holders, and the one end.

`Context` is subclassed for every kind of unit of work; `kinds.ContextStack` names the kind. Knows
no app and no request.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextvars import ContextVar, Token
from threading import get_ident
from time import monotonic
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Self

from .cancel import Cancellable
from .ending import raise_errors
from .ends import is_gone, pop_needed, run_end, run_end_async
from .errors import (
    ContextEnded,
    ContextWarning,
    WrongContextError,
    callers_level,
    stays_here,
    thread_name,
)
from .held import Held, listed, opened_in
from .holds import Hold
from .kinds import ContextStack
from .lifecycle import TABLE, Event, State
from .loops import raise_in_task
from .scope import Scope
from .unit import Unit

UNSET: Any = object()
"""Default of an exception argument: take the one that is being handled."""

# A push's next state and whether its caller becomes the owner, for each state. Derived from the
# table: one dict read.
_ON_PUSH: dict[State, tuple[State, bool]] = {
    state: (after, event is Event.BEGIN)
    for (state, event), after in TABLE.items()
    if event in (Event.BEGIN, Event.BORROW)
}
_NEW, _CURRENT, _HELD, _ENDING, _ENDED = State


class _Borrow:
    """A push by somebody who does not own the context: how to undo it, what it pushed first.

    `early` marks one that was made before the owner's push, in an earlier life.
    """

    __slots__ = ("early", "needed", "token")

    def __init__(self, token: Token[Any], needed: Context | None) -> None:
        self.token = token
        self.needed = needed
        self.early = False


class Context(Cancellable):
    """A unit of work. Subclass it with `stack=`, and override `on_enter` and `on_exit`.

    The code that pushes it first owns it and ends it with its pop; who pushes it again meanwhile
    borrows it. Leaving a `with` block or a pop ends it once: `on_exit` runs, and every error of the
    end is raised afterwards, several as one `ExceptionGroup`.
    """

    stack: ClassVar[ContextStack[Any]]
    _instead: ClassVar[str] = "Hand over plain data, and push a context of its own there."

    # Defaults on the class keep construction to what the subclass sets itself.
    _var: ClassVar[ContextVar[Any]]
    _state: State = _NEW
    # The owner's push: its token (None when there is none to undo), what it pushed first, and its
    # thread.
    _token: Token[Any] | None = None
    _needed: Context | None = None
    _thread: int = 0
    _borrows: list[_Borrow] | None = None
    _entered = True
    # How many holds are out. A count: a context that kept its holds would keep them from being
    # dropped.
    _holds: int | None = None
    # What its error made of it, False after a good end.
    _failed: str | bool = False
    _ended_at: float = 0.0
    _ended_by: str = "its owner's pop"
    # None until something is opened, set or registered in this context: see `unit.unit_of`.
    _unit: Unit | None = None

    def __init_subclass__(cls, stack: ContextStack[Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if stack is not None:
            cls.stack = stack
            cls._var = stack.var

    # -- what a subclass fills in ------------------------------------------------------------------

    def on_enter(self) -> None:
        """Called once a life, when the context has become current. An error undoes the push."""

    def on_exit(self, exc: BaseException | None) -> None:
        """Called once a life, while the context is still current; `exc` is the error, if any.

        Not called when `on_enter` raised: that one undoes itself.
        """

    def child_maker(self) -> Callable[[], Context]:
        """A function that makes one child of this context (see `children`), not yet pushed.

        It must not refer to this context, which a child outlives.
        """
        return type(self)

    def _push_needed(self) -> Context | None:
        """Push what this context depends on; the returned context is popped with this push."""
        return None

    def _idle(self) -> bool:
        """Whether the end has nothing to run while the context is current."""
        return False

    def _make_current(self) -> Any:
        """Make this context current for its end; returns what `_restore` undoes it by."""
        return self._var.set(self)

    def _restore(self, token: Any) -> None:
        """Make current again what was so before the end."""
        self._var.reset(token)

    def _tear_down(self, exc: BaseException | None) -> list[BaseException] | None:
        """The end up to the closing of what is held; returns the errors, raises none."""
        if self._entered:
            try:
                self.on_exit(exc)
            except BaseException as error:
                return [error]
        return None

    async def _tear_down_async(self, exc: BaseException | None) -> list[BaseException] | None:
        """The same where the end is awaited."""
        return self._tear_down(exc)

    def _let_go_last(self, errors: list[BaseException] | None) -> list[BaseException] | None:
        """The end after that closing, while the context is current; adds what it raises."""
        return errors

    def _after_end(self) -> None:
        """Called when the variable is reset after an end."""

    # -- push and pop ------------------------------------------------------------------------------

    def push(self) -> None:
        """Make this context current until the matching pop.

        The first push begins its life and makes the caller the owner; a push after the end begins a
        successor, a new life on the same object. Any other push borrows. When something fails on
        the way, nothing stays pushed.
        """
        before = self._state
        after, owner = _ON_PUSH[before]
        needed = self._push_needed()
        token = self._var.set(self)
        if not owner:
            self._borrowed().append(_Borrow(token, needed))
            return
        if before is _ENDED:
            self._leave_earlier_life()
        self._token = token
        self._needed = needed
        self._thread = get_ident()
        self._state = after
        try:
            self.on_enter()
        except BaseException as error:
            raise_errors([error, *self._undo(error)], "A push and its undoing failed")

    def _undo(self, error: BaseException) -> list[BaseException]:
        """Pop after `on_enter` raised `error`; returns what failed besides."""
        self._entered = False
        try:
            return self._pop(error) or []
        finally:
            self._entered = True

    def _leave_earlier_life(self) -> None:
        """A successor begins: the pushes that remain of earlier lives lie below its own."""
        self._ended_by = Context._ended_by
        if self._unit is not None:
            self._unit.begin_life()
        if self._token is not None:
            # A foreign pop ended the last life; its pusher has yet to restore its variable.
            # It came after the pushes of lives before it, and before the borrows of its own.
            borrows = self._borrowed()
            earlier = sum(borrow.early for borrow in borrows)
            borrows.insert(earlier, _Borrow(self._token, self._needed))
        for borrow in self._borrows or ():
            borrow.early = True

    def pop(self, exc: BaseException | None = UNSET) -> None:
        """Undo this code's last push of the context; the owner's pop ends it.

        `exc` is handed to the teardown functions; the exception being handled when it is not given.
        A pop of a context that is not on top raises `WrongContextError` and changes nothing. A pop
        in another thread, task or copied Context than the push's ends the context there, once, with
        a `ContextWarning`.
        """
        if exc is UNSET:
            exc = sys.exc_info()[1]
        try:
            errors = self._pop(exc)
            if errors:
                raise_errors(errors, f"Errors at the end of {self!r}")
        finally:
            exc = errors = None

    def __enter__(self) -> Self:
        self.push()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.pop(exc_value)

    async def __aenter__(self) -> Self:
        self.push()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """`pop`, where the closing of async resources is awaited on the running loop."""
        try:
            claims: list[Context | None] = []
            errors = self._pop(exc_value, claims)
            for needed in claims:
                errors = await self._end_async(exc_value, needed)
            if errors:
                raise_in_task(errors, f"Errors at the end of {self!r}")
        finally:
            exc_value = errors = None

    def _pop(
        self, exc: BaseException | None, claims: list[Context | None] | None = None
    ) -> list[BaseException] | None:
        """Undo the latest push of the calling Context, and run the end if that was the owner's.

        With `claims`, the end is left to the caller: it gets what the push brought.
        """
        var = self._var
        top: Context | None = var.get(None)
        # The question "is this the push's own Context?" is asked by resetting: in another Context
        # that raises and changes nothing. Invariant: the ValueError never leaves here. "Foreign" is
        # decided before "on top". The latest push of the calling Context is asked for first:
        # borrows of this life, the owner's, borrows before it.
        if self._borrows and (borrow := self._own_borrow(early=False)) is not None:
            return self._give_back(borrow, top, exc)
        token, needed = self._token, self._needed
        if token is not None:
            try:
                var.reset(token)
            except ValueError:
                pass
            else:
                if top is not self or _is_covered(needed):
                    self._token = var.set(top)
                    self._refuse(top, needed)
                self._token = self._needed = None
                if self._holds is not None and self._state is _CURRENT:
                    self._leave()
                # No call between question and claim, so that no other thread gets in (with a GIL).
                if self._state is _CURRENT:
                    self._state = _ENDING
                    if claims is None:
                        return self._end(exc, needed)
                    claims.append(needed)
                    return None
                # Ended by a foreign pop before, or left to a holder: only the variable was this
                # pop's to reset.
                return pop_needed(needed, exc)
        if self._borrows and (borrow := self._own_borrow(early=True)) is not None:
            return self._give_back(borrow, top, exc)
        return self._pop_foreign(exc)

    def _give_back(
        self, borrow: _Borrow, top: Context | None, exc: BaseException | None
    ) -> list[BaseException] | None:
        """A borrower's pop, its variable reset."""
        needed = borrow.needed
        if top is not self or _is_covered(needed):
            borrow.token = self._var.set(top)
            self._refuse(top, needed)
        self._borrowed().remove(borrow)
        return pop_needed(needed, exc)

    def _borrowed(self) -> list[_Borrow]:
        borrows = self._borrows
        if borrows is None:
            # Threads that borrow at the same time must meet in one list.
            with self.stack.lock:
                borrows = self._borrows
                if borrows is None:
                    borrows = self._borrows = []
        return borrows

    def _own_borrow(self, early: bool) -> _Borrow | None:
        """The latest borrowing push of the calling Context, its variable reset; else None.

        `early` asks for those made before the owner's push, or after it.
        """
        # A copy, because another thread's pop shortens the list.
        for borrow in (self._borrows or [])[::-1]:
            if borrow.early is not early:
                continue
            try:
                self._var.reset(borrow.token)
            except ValueError:
                continue
            return borrow
        return None

    def _end(self, exc: BaseException | None, needed: Context | None) -> list[BaseException] | None:
        """The end, which the caller has claimed by setting `ENDING`; returns all errors."""
        return run_end(self, exc, needed)

    async def _end_async(
        self, exc: BaseException | None, needed: Context | None
    ) -> list[BaseException]:
        return await run_end_async(self, exc, needed)

    def _end_here(self, exc: BaseException | None) -> list[BaseException] | None:
        """The end in a Context where this context is not pushed."""
        return self._end(exc, self._push_needed())

    def _refuse(self, top: Context | None, needed: Context | None) -> NoReturn:
        blocking = top
        if top is self and needed is not None:
            blocking = needed._var.get(None)
        raise WrongContextError(
            f"Popped wrong {self.stack.name} context. ({blocking!r} instead of {self!r})\n\n"
            f"{blocking!r} is current here and was pushed later: pop it first. Nothing was changed."
        )

    def _pop_foreign(self, exc: BaseException | None) -> list[BaseException] | None:
        """A pop where nothing was pushed: ends the context here if its push is still open."""
        if self._token is not None and self._state is _CURRENT:
            warnings.warn(
                f"{self!r} was pushed in {thread_name(self._thread)} and popped in"
                f" {thread_name(get_ident())}, in another Context. It ends here; the code that"
                " pushed it still sees it, ended. Pop a context where it was pushed.",
                ContextWarning,
                stacklevel=callers_level(),
            )
            claimed, errors = self._end_foreign(exc)
            if claimed:
                needed = self._needed
                if needed is not None and needed._token is not None:
                    # What the push brought goes with it, as it would by the owner's pop.
                    _, more = needed._end_foreign(exc)
                    errors = [*(errors or ()), *(more or ())]
                return errors
        raise WrongContextError(
            f"Popped wrong {self.stack.name} context."
            f" ({self._var.get(None)!r} instead of {self!r})\n\n"
            f"{self!r} was not pushed here, or was popped already. Nothing was changed."
        )

    def _end_foreign(self, exc: BaseException | None) -> tuple[bool, list[BaseException] | None]:
        """End or leave the context in the owner's place: whether this call did, and the errors."""
        with self.stack.lock:
            if self._state is not _CURRENT:
                return False, None
            if self._holds is not None and self._leave():
                return True, None
            self._state = _ENDING
        # The owner's token stays: a later pop in its own Context restores the variable there.
        self._ended_by = f"a pop in {thread_name(get_ident())}"
        return True, self._end_here(exc)

    def _claim_end(self) -> bool:
        """Whether the caller is to run the end, in the owner's place, from whatever Context.

        Where others hold the context, the last of them ends it.
        """
        with self.stack.lock:
            if self._state is not _CURRENT or (self._holds is not None and self._leave()):
                return False
            self._state = _ENDING
            return True

    # -- holders -----------------------------------------------------------------------------------

    def hold(self) -> Hold:
        """Keep the context's end away until the returned hold is released.

        The owner's pop then only leaves the context.
        """
        with self.stack.lock:
            self._holds = (self._holds or 0) + 1
        return Hold(self)

    def _leave(self) -> bool:
        """The owner's pop where holds were taken: leave the end to the last one, if one is left."""
        with self.stack.lock:
            # No call and no allocation in between: there the collector could drop the last hold.
            if not self._holds:
                return False
            self._state = _HELD
            return True

    def _let_go(self, exc: BaseException | None) -> None:
        with self.stack.lock:
            left = self._holds = (self._holds or 0) - 1
            if left or self._state is not _HELD:
                return
            self._state = _ENDING
        self._ended_by = "its last holder"
        raise_errors(self._end_here(exc), f"Errors at the end of {self!r}")

    # -- after the end -----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the context is in its life."""
        return self._state

    @property
    def ended(self) -> bool:
        """Whether its life is over (a push would start a successor)."""
        return self._state is _ENDED

    @property
    def succeeded(self) -> bool:
        """Whether nothing went wrong; known at the end."""
        return not self._failed

    @property
    def scope(self) -> Scope:
        """Where its resources of lifetime `"app"` live."""
        return self.stack.scope

    @property
    def callbacks_context(self) -> Context:
        """The context whose end makes the callbacks that are registered here."""
        return self

    def held(self) -> list[Held]:
        """The resources that are open in this context, first opened first."""
        return listed(opened_in(self))

    def ended_error(self, wanted: str) -> ContextEnded:
        """The error for code that outlived the context and wanted more than plain data.

        `wanted` says what, as in "write the session".
        """
        # A subclass's slots may be empty; that of the moment is, while an end on another thread has
        # closed everything and is not over.
        ended_by = getattr(self, "_ended_by", Context._ended_by)
        now = monotonic()
        return ContextEnded(
            f"Cannot {wanted}: {self!r} was ended {now - getattr(self, '_ended_at', now):.3f} s ago"
            f" by {ended_by}.\n"
            "This code outlived it. Start the work with `in_child` or `ContextThread`, or under"
            " `with app.app_context():`, so that it has a context of its own."
        )

    def __reduce__(self) -> NoReturn:
        # Asked by pickle, `copy.copy` and `copy.deepcopy`.
        raise TypeError(stays_here(repr(self), self._instead))


def _is_covered(needed: Context | None) -> bool:
    """Whether another context was pushed over what a push brought."""
    return needed is not None and not is_gone(needed) and needed._var.get(None) is not needed
