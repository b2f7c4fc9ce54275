"""The machine's resources, of every lifetime, and what code does with them by public names.

`Acts` does one thing where some code runs and compares what came of it with the model: `lives`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import demijohn
from demijohn.context.errors import ContextEnded, DirtyResource

from .drawn import Bits, brief
from .invariants import Log, judge_log
from .lives import LIFETIMES, RESOURCES, Life, Open, Reach, Spot
from .model import end_points
from .places import attempt
from .watch import Broken, Fatal, Running, Seen, Slot

if TYPE_CHECKING:
    from .system import System


class Value:
    """What users of a resource get."""

    def __init__(self, name: str, seen: Seen) -> None:
        self.name = name
        self.seen = seen
        self.dirty = False
        self.taken = False
        self.events: Any = None

    @property
    def this(self) -> Value:
        """The value behind a proxy. (No attribute: it would keep itself alive.)"""
        return self


class NoResources:
    """For a framework that has none: acts do nothing."""

    def use(self, name: str) -> None:
        """Nothing."""


class Resources:
    """One resource of each kind, declared once; they report to the watch of their system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.by_name: dict[str, Any] = {}
        for name in RESOURCES:
            options: dict[str, Any] = {"lifetime": LIFETIMES.get(name, "context")}
            if name == "pooled":
                options["dirty"] = lambda value: value.dirty
            elif name == "txn":
                options["transaction"] = self._wire
            function = (self._manager if name == "manager" else self._generator)(name)
            function.__name__ = name
            self.by_name[name] = demijohn.resource(**options)(function)

        async def awaited() -> AsyncIterator[Value]:
            value = self._open("awaited")
            try:
                yield value
            except BaseException as error:
                self._close(value, error)
                raise
            self._close(value, None)

        self.by_name["awaited"] = demijohn.resource(awaited)

    def use(self, name: str) -> Any:
        """The value, as any use of the name gives it."""
        return self.by_name[name].this

    def _generator(self, name: str) -> Any:
        def generate() -> Iterator[Value]:
            value = self._open(name)
            try:
                yield value
            except BaseException as error:
                self._close(value, error)
                raise
            self._close(value, None)

        return generate

    def _manager(self, name: str) -> Any:
        @contextmanager
        def manage() -> Iterator[Value]:
            value = self._open(name)
            try:
                yield value
            except BaseException as error:
                self._close(value, error)
                raise
            self._close(value, None)

        return lambda: manage()

    def _open(self, name: str) -> Value:
        if name == "nested":
            self.use("pooled")
        watch = self.system.watch
        watch.reach(f"open {name}")
        return Value(name, self.system.see(watch))

    def _close(self, value: Value, error: BaseException | None) -> None:
        watch = self.system.watch
        seen = self.system.see(watch)
        if value.name != "shared" and seen != value.seen:
            watch.say(11, f"close {value.name}: sees {seen}, not {value.seen}")
        if isinstance(error, GeneratorExit):
            watch.reach(f"release {value.name}")
        else:
            watch.reach(f"close {value.name}", error)

    def _wire(self, value: Value, events: Any) -> None:
        self.system.watch.reach("wire txn")
        value.events = events


@dataclass(frozen=True, repr=False)
class Act:
    """One thing that code does with resources and callbacks; `fails` names which of its points."""

    kind: str = "use"
    name: str = "plain"
    fails: int = -1
    error: type[BaseException] = LookupError

    __repr__ = brief


ACTS = [("use", name) for name in RESOURCES] * 2 + [
    ("release", ""),
    ("release", "pooled"),
    ("held", ""),
    ("on_end", ""),
    ("on_end", " opens"),
    ("on_commit", ""),
    ("on_commit", " opens"),
    ("begin", ""),
    ("begin", ""),
    ("commit", ""),
    ("commit", ""),
    ("rollback", ""),
    ("mark", ""),
    ("fork", ""),
    ("fork", ""),
    ("dirty", ""),
    ("clean", ""),
]
"""What an `Act` may be."""


def draw_act(bits: Bits) -> Act:
    """An act; one in four fails."""
    kind, name = bits.one(ACTS)
    if not bits.rarely():
        return Act(kind, name)
    return Act(kind, name, bits.below(5), bits.one([Broken, Fatal]))


class Acts:
    """Does acts where code runs, and judges each at once."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.shared: dict[Any, Life] = {}
        """What each application holds."""
        self.signals = False
        self.callbacks = 0
        self.marks = 0
        self.slot: Slot | None = None
        self.forks: Any = None
        self.done = 0

    def do(self, act: Act, work: Running, app: Any) -> None:
        """Do it where this code runs; what it did to the log is judged and taken out of it."""
        watch, start = self.system.watch, len(work.log)
        wanted: Log = []
        fails: dict[str, BaseException] = {}

        def reach(point: str, exc: BaseException | None) -> list[BaseException]:
            wanted.append((point, exc))
            if len(wanted) - 1 != act.fails:
                return []
            fails[point] = error = act.error(point)
            return [error]

        if self.system.name != "demijohn":
            return
        self.done += 1
        if act.name == "shared":
            # Opened in a context of its own, made for just that.
            work, start = Running(app, spot=work.spot, shared=True), 0
        if work.slot is None:
            work.slot = Slot()
        self.slot = work.slot
        due, value, real = getattr(self, f"_{act.kind}")(act, work.spot, app, reach)
        self.slot = None
        with watch.running(work, fails):
            got, raised = attempt(real)
        ran = work.log[start:]
        del work.log[start:]
        if problem := judge_log(ran, wanted, repr(act), bool(fails)):
            watch.wrong.append(problem)
        if isinstance(due, type):
            if type(raised) is not due:
                watch.say(3, f"{act}: raised {raised!r}, not {due.__name__}")
        elif flat(raised) != due:
            watch.say(10, f"{act}: raised {raised!r}, not {due}")
        elif not due and value is not None:
            value(got)
        # The traceback of an error that was raised leads to this frame.
        for found in (fails, wanted, ran):
            found.clear()
        del due, raised, real, value

    # Each says what must come of an act (the type of an error, or those that hooks raise), judges
    # the value, and returns what does it.

    def _use(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        name = act.name

        def real() -> Any:
            return self.system.resources.use(name)

        if spot.app is None:
            return RuntimeError, None, real
        life = self._holder(spot, name, app)
        opened = life.find(name)
        if opened is None:
            if life.over or (spot.app.over and name == "shared"):
                return ContextEnded, None, real
            opened = Open(name)
            due = self._opening(opened, spot, app, reach)
            if due:
                return due, None, real
            # What opening it opened was open before it.
            opened.number = Open(name).number
            life.held.append(opened)

        def judge(got: Any) -> None:
            if opened.value is None:
                opened.value = got
                if got.taken:
                    self.system.watch.say(3, f"{name} is another context's, and new here")
                got.taken = True
            if got is not opened.value:
                self.system.watch.say(3, f"{name} is another context's")

        return [], judge, real

    def _holder(self, spot: Spot, name: str, app: Any) -> Life:
        if name == "shared":
            return self.shared.setdefault(app, Life())
        assert spot.app is not None
        if name in LIFETIMES and spot.request is not None:
            return spot.request
        return spot.app

    def _opening(self, opened: Open, spot: Spot, app: Any, reach: Reach) -> Any:
        if opened.name == "nested":
            life = self._holder(spot, "pooled", app)
            if life.over:
                return ContextEnded
            if life.find("pooled") is None:
                pooled = Open("pooled")
                if due := self._opening(pooled, spot, app, reach):
                    return due
                life.held.append(pooled)
        if opened.name == "shared":
            return self.around_shared(reach, app, "open shared")
        due = reach(f"open {opened.name}", None)
        if opened.name == "txn" and not due:
            due = reach("wire txn", None)
            if due:
                reach("release txn", None)
        return due

    def around_shared(self, reach: Reach, app: Any, point: str) -> list[BaseException]:
        """What is done in an application context of its own, made for just that."""
        opens = point.startswith("open")
        if self.signals and (errors := reach("appcontext_pushed", None)):
            errors += self._end_around(reach, app, errors[0], opens)
            return errors if opens else errors + reach(point, None)
        errors = reach(point, None)
        after = self._end_around(reach, app, errors[0] if errors else None, opens)
        if opens and after and not errors:
            after += self.around_shared(reach, app, "release shared")
        return errors + after

    def _end_around(
        self, reach: Reach, app: Any, exc: BaseException | None, opens: bool
    ) -> list[BaseException]:
        errors: list[BaseException] = []
        # Where one is closed, no teardown functions run, which might open it anew.
        hooks = app is not self.system.apps[2]
        for end in end_points("app", hooks, False, self.signals) if opens else []:
            errors += reach(end, exc)
        return errors + (reach("appcontext_popped", None) if self.signals else [])

    def _release(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        def real() -> Any:
            named = [self.system.resources.by_name[act.name]] if act.name else []
            with demijohn.released(*named):
                pass

        if spot.app is None:
            return RuntimeError, None, real
        going = [one for one in spot.releasable() if act.name in ("", one.name)]
        if any(one.dirty for one in going):
            return DirtyResource, None, real
        return spot.release(going, reach), None, real

    def _held(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        def real() -> Any:
            return [one.name for one in demijohn.held_resources()]

        if spot.app is None:
            return RuntimeError, None, real
        found = [one for life in spot.lives() for one in life.held]
        names = [one.name for one in sorted(found, key=lambda one: one.number)]

        def judge(got: Any) -> None:
            if got != names:
                self.system.watch.say(8, f"open are {got}, not {names}")

        return [], judge, real

    def _on_end(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        return self._register(act, spot, demijohn.on_end)

    def _on_commit(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        return self._register(act, spot, demijohn.on_commit)

    def _register(self, act: Act, spot: Spot, register: Any) -> Any:
        self.callbacks += 1
        point = f"call {self.callbacks}{act.name}"
        resources = self.system.resources

        def callback() -> None:
            self.system.watch.reach(point)
            if point.endswith("opens"):
                resources.use("plain")

        if spot.app is None:
            return RuntimeError, None, lambda: register(callback)
        if spot.app.over:
            return ContextEnded, None, lambda: register(callback)
        if act.kind == "on_end":
            spot.app.pending.append((True, point))
        else:
            spot.app.on_commit(point)
        return [], None, lambda: register(callback)

    def _transaction(self, spot: Spot) -> Open | None:
        found = [
            one for life in spot.lives() for one in life.held if one.name == "txn" and one.value
        ]
        return found[0] if found else None

    def _begin(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        txn = self._transaction(spot)
        if txn is None or spot.app is None:
            return [], None, lambda: None
        spot.app.begin(txn)
        return [], None, txn.value.events.begun

    def _commit(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        txn = self._transaction(spot)
        if txn is None or spot.app is None:
            return [], None, lambda: None
        errors: list[BaseException] = []
        for point in spot.app.commit(txn):
            raised = reach(point, None)
            if not raised and point.endswith("opens"):
                raised = self._late(spot, reach)
            errors += raised
        return errors, None, txn.value.events.committed

    def _late(self, spot: Spot, reach: Reach) -> list[BaseException]:
        assert spot.app is not None
        return spot.app.open_late(reach)

    def _rollback(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        txn = self._transaction(spot)
        if txn is None or spot.app is None:
            return [], None, lambda: None
        spot.app.leave(txn)
        return [], None, txn.value.events.rolled_back

    def _mark(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        self.marks += 1
        mark = self.marks
        if spot.app is None:
            return RuntimeError, None, lambda: setattr(demijohn.g, "mark", mark)
        assert self.slot is not None
        self.slot.mark = mark
        return [], None, lambda: setattr(demijohn.g, "mark", mark)

    def _fork(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        # A request that is over is no part of work under a later app context.
        gone = spot.around is not None and spot.around.over
        forked = self.forks.start(app, self.slot, None if gone else spot.path)

        def real() -> None:
            forked.call = demijohn.in_child(lambda: forked.inside())

        if spot.app is None:
            return RuntimeError, None, real
        if spot.app.over or (gone and spot.request is spot.around):
            return ContextEnded, None, real
        self.forks.all = [*self.forks.all[-5:], forked]
        return [], None, real

    def _dirty(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        return self._soil(spot, True)

    def _clean(self, act: Act, spot: Spot, app: Any, reach: Reach) -> Any:
        return self._soil(spot, False)

    def _soil(self, spot: Spot, dirty: bool) -> Any:
        for life in spot.lives():
            pooled = life.find("pooled")
            if pooled is not None and pooled.value is not None:
                pooled.dirty = pooled.value.dirty = dirty
        return [], None, lambda: None


def flat(raised: BaseException | None) -> list[BaseException]:
    """The errors of a group, in order, whatever groups it is made of."""
    if isinstance(raised, BaseExceptionGroup):
        return [error for inner in raised.exceptions for error in flat(inner)]
    return [] if raised is None else [raised]
