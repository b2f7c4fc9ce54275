"""What one example's hooks and resources report, compared with whose work it is."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .invariants import broken
from .lives import Spot

if TYPE_CHECKING:
    from .system import System

LAST = "teardown_appcontext 1"
"""The last teardown function of an end: in some, it opens a resource."""
END = ("teardown", "request_tearing_down", "appcontext_tearing_down", "close", "call")
"""How the names of points begin that run in an end, while its context is current."""
UNLOOKED = ("appcontext_popped", "open ", "close ", "release ", "wire ")
"""Points that run where nobody is current, or that a resource looks around at itself."""


class Broken(Exception):
    """What a hook raises when the machine makes it fail."""


class Fatal(BaseException):
    """The same, as no `Exception`."""


class Handled(Exception):
    """An error that every application has a handler for."""


class Slot:
    """An app context's `g`: unknown until somebody looks, and then always the same object."""

    def __init__(self) -> None:
        self.g: object | None = None
        #: What was put into it last, that is declared to carry.
        self.mark: int | None = None


@dataclass(eq=False)
class Running:
    """The work that runs now: what its hooks must see, and what they logged."""

    app: Any
    slot: Slot | None = None
    request: object | None = None
    outer: object | None = None
    """The request that hooks of the app context see: none at an edge, the one below by hand."""
    session: object | None = None
    edge: bool = False
    view: Callable[[], Any] | None = None
    spot: Spot = field(default_factory=Spot)
    late: bool = False
    """Whether the last teardown function of the app context opens a resource."""
    shared: bool = False
    """Whether it is what an application's resource is opened or closed in: contexts of its own."""
    log: list[tuple[str, BaseException | None]] = field(default_factory=list)

    def clear(self) -> None:
        """It is over and judged: it keeps nothing alive."""
        self.slot = self.request = self.outer = self.session = self.view = None
        self.log.clear()


@dataclass(frozen=True)
class Seen:
    """What the proxies stand for in some place."""

    app: object | None
    g: object | None
    request: object | None


class Watch:
    """What one example's hooks report: who runs, what fails next, what was wrong."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.active: list[Running] = []
        self.fails: dict[str, BaseException] = {}
        self.wrong: list[str] = []
        self.logged: list[BaseException | None] = []
        # What is alive of each kind that two requests must not share.
        self._known: dict[str, list[weakref.ref[Any]]] = {"g": [], "request": [], "session": []}
        # What must be gone by the next move, and whether an error was raised in this one: its
        # traceback leads to every frame below it.
        self._over: list[weakref.ref[Any]] = []
        self.failed = False

    def say(self, number: int, what: str) -> None:
        """An invariant is broken."""
        self.wrong.append(broken(number, what))

    @contextmanager
    def running(
        self, work: Running, fails: dict[str, BaseException] | None = None
    ) -> Iterator[None]:
        """Attribute to `work` what the hooks report; `fails` are the errors they raise, once
        each."""
        outer, self.fails = self.fails, dict(fails or {})
        self.active.append(work)
        try:
            yield
        finally:
            self.active.pop()
            self.fails = outer

    # -- what hooks report --------------------------------------------------------------------

    def reach(self, point: str, exc: BaseException | None = None) -> None:
        """A hook was called. Looks at what it sees, and raises what is to fail here."""
        if not self.active:
            self.say(8, f"{point} ran while nothing did")
            return
        work = self.active[-1]
        work.log.append((point, exc))
        # No local variable for it: the error's traceback leads here.
        del exc
        if not point.startswith(UNLOOKED):
            self.look(work, point)
        if point in self.fails:
            self.failed = True
            raise self.fails.pop(point)

    def look(self, work: Running, point: str) -> None:
        """Compare what the proxies show inside `work` with what belongs to it."""
        number = 11 if point.startswith(END) else 17 if point == "child" else 3
        seen = self.system.see(self)
        if seen.app is not work.app:
            self.say(number, f"{point}: current_app is {seen.app!r}, not {work.app!r}")
        if not work.shared:
            self.bind_g(work, seen.g, point)
        if point.startswith("call"):
            return
        if point.startswith(("appcontext", "teardown_appcontext")):
            if seen.request is not work.outer:
                self.say(number, f"{point}: request is {seen.request!r}, not {work.outer!r}")
        elif work.request is None and seen.request is not None:
            self.know("request", seen.request, point)
            work.request = seen.request
        elif seen.request is not work.request:
            self.say(number, f"{point}: request is {seen.request!r}, not {work.request!r}")

    # -- what must be nobody else's -----------------------------------------------------------

    def know(self, kind: str, thing: object, point: str) -> None:
        """A new context has this: nobody else may."""
        known = self._known[kind]
        if any(thing is other() for other in known):
            self.say(4, f"{point}: a new context has the {kind} of another")
        known.append(weakref.ref(thing))

    def bind_g(self, work: Running, g: object, point: str) -> None:
        """`g` must be the one that `work` had before; a new one must be nobody else's."""
        if work.slot is None:
            work.slot = Slot()
        self.bind(work.slot, g, point)

    def bind(self, slot: Slot, g: object, point: str) -> None:
        """The same for a slot."""
        if g is None:
            self.say(3, f"{point}: no g")
        elif slot.g is None:
            self.know("g", g, point)
            slot.g = g
        elif slot.g is not g:
            self.say(3, f"{point}: not the g that this context had before")

    def bind_session(self, work: Running, point: str) -> None:
        """The same for the session."""
        session = self.system.module.session._get_current_object()
        if work.session is None:
            self.know("session", session, point)
            work.session = session
        elif work.session is not session:
            self.say(3, f"{point}: not the session that this request had before")

    # -- what must be gone --------------------------------------------------------------------

    def is_over(self, work: Running) -> None:
        """A request's response is out, and its end has run."""
        slot = work.slot
        things = [work.request, work.session, slot and slot.g]
        self._over += [weakref.ref(thing) for thing in things if thing is not None]
        work.clear()

    def look_for_remains(self) -> None:
        """Nothing keeps what is over, once nobody keeps its errors."""
        over, self._over = self._over, []
        number, self.failed = 39 if self.failed else 38, False
        self.logged.clear()
        for reference in over:
            thing = reference()
            if thing is not None:
                self.say(number, f"{type(thing).__name__} outlives its response")
            del thing
        for known in self._known.values():
            known[:] = [one for one in known if one() is not None]
