"""What pushes, pops and holds of contexts must do, on plain lists: promises 1, 2 and 4.

The model knows nothing of `contextvars` and of no framework. It says of each move which hooks run,
in which order and with which error, what the move raises, and what is current afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .lives import Life, Spot
from .places import Place
from .watch import LAST, Slot

REQUEST_END = ["teardown_request 2", "teardown_request 1"]
APP_END = ["teardown_appcontext 2", "teardown_appcontext 1"]

Outcome = Literal["done", "wrong", "foreign"]


@dataclass(eq=False)
class Ctx:
    """A context made by hand: of an application, of a request, or a request's copy."""

    name: str
    kind: Literal["app", "request", "copy"]
    app: Any
    hooks: bool
    """Whether its application has hooks: all but "bare"."""
    real: Any = None
    request: object | None = None
    blueprint: bool = False
    matched: bool = False
    """Whether its begin got as far as matching: before, no blueprint is known."""
    opens_session: bool = False
    """Whether its begin opens a session where the machine sees it."""
    state: Literal["new", "current", "held", "ended"] = "new"
    slot: Slot = field(default_factory=Slot)
    pushes: list[Push] = field(default_factory=list)
    owner: Push | None = None
    holds: int = 0
    parent: Ctx | None = None
    own: Ctx | None = None
    app_ctx: Ctx | None = None
    life: Life = field(default_factory=Life)
    """What it holds in its present life."""
    told: bool | None = None
    """Whether all went well, as the request that brought it told."""

    def __repr__(self) -> str:
        return self.name


@dataclass(eq=False)
class Push:
    """One push: where, and what it had to push first."""

    ctx: Ctx
    at: Stacks
    needed: Ctx | None = None
    inner: bool = False
    """Made by a request's push, as what that needed: not anybody's to pop."""


@dataclass(eq=False)
class Stacks:
    """What is pushed in one place."""

    place: Place
    apps: list[Push] = field(default_factory=list)
    requests: list[Push] = field(default_factory=list)

    @property
    def app(self) -> Ctx | None:
        """The app context that is current here."""
        return self.apps[-1].ctx if self.apps else None

    @property
    def request(self) -> Ctx | None:
        """The request context that is current here."""
        return self.requests[-1].ctx if self.requests else None

    def spot(self) -> Spot:
        """What holds what is opened here."""
        app, request = self.app, self.request
        belongs = request is not None and request.app_ctx is app and app is not None
        spot = Spot(app and app.life, request.life if belongs and request else None)
        if request is not None and app is not None and request.app is app.app:
            spot.around, spot.path = request.life, "/bp/plain" if request.blueprint else "/plain"
        return spot

    def of(self, ctx: Ctx) -> list[Push]:
        """The stack that a context belongs on."""
        return self.apps if ctx.kind == "app" else self.requests


class Model:
    """Says what a move must do. `begin` before each; `expected` and the returned errors after."""

    def __init__(self, signals: bool) -> None:
        self.signals = signals
        self.expected: list[tuple[str, BaseException | None]] = []
        self.fails: dict[str, BaseException] = {}
        self.failed: Ctx | None = None
        """The app context whose begin failed in this move."""
        self.late = False
        """Whether the last function of an app context's end opens a resource."""

    def begin(self, fails: dict[str, BaseException], late: bool = False) -> None:
        """A move starts, in which the hooks named in `fails` raise, once each."""
        self.expected = []
        self.fails = dict(fails)
        self.failed = None
        self.late = late

    def reach(self, point: str, exc: BaseException | None = None) -> list[BaseException]:
        """A hook runs: noted, and what it raises."""
        self.expected.append((point, exc))
        error = self.fails.pop(point, None)
        return [] if error is None else [error]

    # -- push ---------------------------------------------------------------------------------

    def push(self, ctx: Ctx, at: Stacks) -> list[BaseException]:
        """What a push raises; nothing stays pushed when it raises."""
        return self._push_app(ctx, at) if ctx.kind == "app" else self._push_request(ctx, at)

    def _push_app(self, ctx: Ctx, at: Stacks) -> list[BaseException]:
        begins = ctx.state in ("new", "ended")
        self._put(Push(ctx, at), begins)
        if begins and self.signals and (errors := self.reach("appcontext_pushed")):
            return errors + self.pop(ctx, at, errors[0])[1]
        return []

    def _push_request(self, ctx: Ctx, at: Stacks) -> list[BaseException]:
        begins = ctx.state in ("new", "ended")
        top, needed = at.app, None
        alive = ctx.app_ctx is not None and ctx.app_ctx.state != "ended"
        if begins and ctx.kind == "request" and _joins(ctx, top):
            ctx.app_ctx = top
        elif begins or top is None or top is not ctx.app_ctx:
            needed = ctx.app_ctx if alive and not begins else self._own(ctx)
            if errors := self._push_app(needed, at):
                self.failed = needed
                return errors
            at.apps[-1].inner = True
            ctx.app_ctx = needed
        self._put(Push(ctx, at, needed), begins)
        if begins and ctx.opens_session:
            if errors := self.reach("open_session"):
                return errors + self.pop(ctx, at, errors[0])[1]
            ctx.opens_session = False
        ctx.matched = ctx.matched or begins
        return []

    def _own(self, ctx: Ctx) -> Ctx:
        if ctx.own is None:
            ctx.own = Ctx(f"{ctx.name}'s app context", "app", ctx.app, ctx.hooks)
        return ctx.own

    def _put(self, push: Push, begins: bool) -> None:
        push.at.of(push.ctx).append(push)
        push.ctx.pushes.append(push)
        if begins:
            push.ctx.state = "current"
            push.ctx.owner = push
            push.ctx.life, push.ctx.told = Life(), None

    # -- pop ----------------------------------------------------------------------------------

    def judge(self, ctx: Ctx, at: Stacks) -> Outcome:
        """Whether a pop is right, wrong or foreign here."""
        here = [push for push in ctx.pushes if push.at is at]
        if not here:
            return "foreign" if ctx.owner is not None and ctx.state == "current" else "wrong"
        needed = here[-1].needed
        right = at.of(ctx)[-1].ctx is ctx and needed in (None, at.app)
        return "done" if right else "wrong"

    def pop(
        self, ctx: Ctx, at: Stacks, exc: BaseException | None
    ) -> tuple[Outcome, list[BaseException]]:
        """What a pop is and what it raises; a wrong one changes nothing."""
        outcome = self.judge(ctx, at)
        if outcome == "foreign":
            begun_with = ctx.owner.needed if ctx.owner is not None else None
            errors = self._give_up(ctx, exc)
            if begun_with is not None and begun_with.state == "current":
                errors += self._give_up(begun_with, exc)
            return outcome, errors
        if outcome == "wrong":
            return outcome, []
        push = at.of(ctx).pop()
        ctx.pushes.remove(push)
        errors = []
        if push is ctx.owner:
            ctx.owner = None
            if ctx.state == "current":
                errors = self._give_up(ctx, exc)
        if push.needed is not None:
            errors += self.pop(push.needed, at, exc)[1]
        return outcome, errors

    def _give_up(self, ctx: Ctx, exc: BaseException | None) -> list[BaseException]:
        if ctx.holds:
            ctx.state = "held"
            return []
        return self.end(ctx, exc)

    # -- holders and the end ------------------------------------------------------------------

    def hold(self, ctx: Ctx) -> tuple[Ctx, Ctx]:
        """An unfinished stream needs a request's context and the app context below it."""
        assert ctx.app_ctx is not None
        ctx.holds += 1
        ctx.app_ctx.holds += 1
        return ctx, ctx.app_ctx

    def release(self, held: tuple[Ctx, Ctx], exc: BaseException | None) -> list[BaseException]:
        """The stream is over: what that raises."""
        errors: list[BaseException] = []
        for ctx in held:
            ctx.holds -= 1
            if ctx.state == "held" and not ctx.holds:
                errors += self.end(ctx, exc)
        return errors

    def end(self, ctx: Ctx, exc: BaseException | None) -> list[BaseException]:
        """The functions of an end, all of them, and what they raise."""
        ctx.state = "ended"
        good = exc is None if ctx.told is None else ctx.told
        below = ctx if ctx.kind == "app" else ctx.app_ctx
        assert below is not None
        if ctx.kind != "app" and below is ctx.own:
            below.told = exc is None
        blueprint = ctx.blueprint and ctx.matched
        return self.end_of(ctx.kind, ctx.hooks, blueprint, ctx.life, below.life, exc, good)

    def end_of(
        self,
        kind: str,
        hooks: bool,
        blueprint: bool,
        life: Life,
        callbacks: Life,
        exc: BaseException | None,
        good: bool,
    ) -> list[BaseException]:
        """The end of one life: hooks, closings, callbacks; `callbacks` is the app context's."""
        errors: list[BaseException] = []
        for point in end_points(kind, hooks, blueprint, self.signals):
            raised = self.reach(point, exc)
            if point == LAST and self.late and not raised:
                raised = life.open_late(self.reach)
            errors += raised
        errors += life.closing(exc, good, self.reach, callbacks)
        if kind == "app" and self.signals:
            errors += self.reach("appcontext_popped")
        return errors


def _joins(ctx: Ctx, top: Ctx | None) -> bool:
    return top is not None and top.app is ctx.app and top.state != "ended"


def end_points(kind: str, hooks: bool, blueprint: bool, signals: bool) -> list[str]:
    """The hooks that run at an end, in their order: last registered first, a blueprint's before."""
    if kind == "app":
        return APP_END * hooks + ["appcontext_tearing_down"] * signals
    if kind == "copy":
        return []
    points = ["teardown_request bp"] * (blueprint and hooks) + REQUEST_END * hooks
    return points + ["request_tearing_down"] * signals
