"""`AppContext`: the unit of work that `current_app` and `g` belong to. Knows no request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from ..context.cancel import CancelToken
from ..context.errors import ContextEnded, thread_name
from ..context.lifecycle import State
from ..context.namespace import Namespace
from ..context.proxy import UNMADE
from ..context.scope import Scope
from ..context.stack import Context
from ..http.watch import Watched
from . import ends
from .carrying import INSTEAD, carrier_of
from .globals import (
    app_stack,
    current_app_ctx,
    current_request_ctx,
    reset_app_ctx,
    set_app_ctx,
)
from .plan import holds, is_async
from .signals import appcontext_popped, appcontext_pushed, appcontext_tearing_down, send_signal
from .sites import Site

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

_NEW, _CURRENT, _ENDING, _ENDED = State.NEW, State.CURRENT, State.ENDING, State.ENDED
EDGE = "its server edge"


class _AppCtxGlobals(Namespace):
    """`g`: a namespace for one application context, by attribute and by key."""

    def __repr__(self) -> str:
        ctx = current_app_ctx(None)
        if ctx is not None:
            return f"<flask.g of '{ctx.app.name}'>"
        return object.__repr__(self)


# `AppContext.g`, once the class is complete.
_stock_g: Any = None


class AppContext(Context, stack=app_stack, metaclass=Watched):
    """A unit of work of one application: `current_app` and `g` belong to it.

    Made by `app.app_context()`, or by a request that finds none of its application.
    """

    # Slots, because CPython 3.11 reaches an attribute that has a default on the class ten times
    # slower than a slot, and an instance's `__dict__` costs 130 ns to make. Others may be added.
    __slots__ = (
        "_adapter",
        "_borrows",
        "_ended_at",
        "_ended_by",
        "_failed",
        "_g",
        "_holds",
        "_made_at",
        "_made_at_edge",
        "_outcome",
        "_state",
        "_thread",
        "_token",
        "_unit",
        "app",
    )

    if TYPE_CHECKING:
        _made_at: Site
        """The line that called `app.app_context()`, if it had arguments or was nested."""
        _made_at_edge: bool
        _outcome: str | None
        """What the request that brought this context tells of the end of both."""

        def _make_g(self) -> Any:
            """`g`, not made yet: the proxy goes round the property unless it is overridden."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.push is not AppContext.push or cls.pop is not AppContext.pop:
            # What overrides these is to be asked: no short cut of `with` for this class.
            for name in ("__enter__", "__exit__"):
                if getattr(cls, name) is getattr(AppContext, name):
                    setattr(cls, name, getattr(Context, name))
        cls._note_overrides()

    @classmethod
    def _note_overrides(cls) -> None:
        """Called for a new class, and when an attribute of it or of one above it is set."""
        if _stock_g is not None:
            make = _made_g if cls.g is _stock_g else _asked_g
            type.__setattr__(cls, "_make_g", make)  # without being told of it

    _instead = INSTEAD

    def __init__(self, app: Any) -> None:
        self.app = app
        self._g = UNMADE
        self._state = _NEW
        self._token = self._borrows = self._holds = self._unit = None
        self._adapter: Any = UNMADE

    @property
    def g(self) -> Any:
        """This unit's namespace, an `app_ctx_globals_class`; made at first use."""
        g = self._g
        return _made_g(self) if g is UNMADE else g

    @g.setter
    def g(self, value: Any) -> None:
        self._g = value

    @property
    def url_adapter(self) -> MapAdapter | None:
        """Builds URLs outside a request; None without `SERVER_NAME`."""
        adapter = self._adapter
        if adapter is UNMADE:
            adapter = self._adapter = self.app.create_url_adapter(None)
        found: MapAdapter | None = adapter
        return found

    @url_adapter.setter
    def url_adapter(self, adapter: MapAdapter | None) -> None:
        self._adapter = adapter

    def carrier(self) -> dict[str, Any]:
        """The values declared to carry, and the deadline, for another process: plain JSON data.

        `app.app_context(carrier=...)` opens a context with them there. JSON gives the dict back
        unchanged. Raises `TypeError`, with the name in it, for a value that is not plain data.
        """
        return carrier_of(self)

    def child_maker(self) -> Callable[[], Context]:
        app = self.app
        # Not by its `app_context()`, unless overridden: that asks what nesting is to do.
        if app._plans.overrides.app_context:
            return cast("Callable[[], Context]", app.app_context)
        return partial(AppContext, app)

    def _cancel_home(self) -> Any:
        request_ctx = current_request_ctx(None)
        if request_ctx is not None and request_ctx.app_ctx is self:
            return request_ctx._cancel_home()
        return self

    def _cancel_above(self) -> CancelToken | None:
        # One that is opened inside a request is part of its work, while that goes on.
        request_ctx = current_request_ctx(None)
        if (
            request_ctx is None
            or request_ctx.ended
            or request_ctx.app is not self.app
            or request_ctx.app_ctx is self
        ):
            return None
        token: CancelToken = request_ctx._cancel_token()
        return token

    @property
    def outcome(self) -> str | None:
        """How the context ended: "ok", "handled" (a handler answered an error), "disconnected" (the
        client left before the end of the body), "cancelled", "deadline" or "error".

        None before the end, which begins with that of the request that brought this context.
        """
        told: str | None = getattr(self, "_outcome", None)
        if told is not None or self._state not in (_ENDING, _ENDED):
            return told
        failed: str | bool = getattr(self, "_failed", False)
        return str(failed or "ok")

    # The plain `with app.app_context():`, with nobody looking, holding or borrowing, does what
    # `push` and `pop` do without asking: 0.5 µs where they take 0.9. Anything else goes to them.

    def __enter__(self) -> Self:
        if self._state is _NEW and not appcontext_pushed.receivers:
            self._token = set_app_ctx(self)
            self._thread = get_ident()
            self._state = _CURRENT
        else:
            self.push()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        app = self.app
        token = self._token
        if (
            token is not None
            and exc_value is None
            and current_app_ctx(None) is self
            and self._state is _CURRENT
            and self._borrows is None
            and self._holds is None
            and self._unit is None
            and not app.teardown_appcontext_funcs
            and not appcontext_tearing_down.receivers
            and not appcontext_popped.receivers
            and type(app).do_teardown_appcontext is app._plans.own_teardown
        ):
            try:
                reset_app_ctx(token)
            except ValueError:
                pass
            else:
                self._token = None
                self._state = _ENDED
                self._ended_at = monotonic()
                return
        self.pop(exc_value)

    def on_enter(self) -> None:
        self._failed, self._outcome = False, None
        if appcontext_pushed.receivers:
            send_signal(self.app, appcontext_pushed)

    def _idle(self) -> bool:
        app = self.app
        return not (
            self._unit is not None
            or app.teardown_appcontext_funcs
            or appcontext_tearing_down.receivers
            or self._overridden()
        )

    def _overridden(self) -> bool:
        """Whether the application's own `do_teardown_appcontext` is to be called."""
        app = self.app
        return type(app).do_teardown_appcontext is not app._plans.own_teardown

    def _tear_down(self, exc: BaseException | None) -> list[BaseException] | None:
        return self._teardown(exc)

    async def _tear_down_async(self, exc: BaseException | None) -> list[BaseException] | None:
        app = self.app
        if self._overridden() or not any(map(is_async, app.teardown_appcontext_funcs)):
            return self._tear_down(exc)
        errors: list[BaseException] = await app._await_teardown(exc)
        return errors

    @property
    def succeeded(self) -> bool:
        return self.outcome == "ok"

    @property
    def scope(self) -> Scope:
        scope: Scope = self.app._scope
        return scope

    def _teardown(self, exc: BaseException | None) -> list[BaseException]:
        app = self.app
        if not self._overridden():
            return ends.teardown_appcontext(app, exc)
        return ends.run_step(app.do_teardown_appcontext, exc)

    def ended_error(self, wanted: str) -> ContextEnded:
        name_edge(self)
        return super().ended_error(wanted)

    def _after_end(self) -> None:
        if appcontext_popped.receivers:
            send_signal(self.app, appcontext_popped)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.app.name}>"


def _made_g(ctx: AppContext) -> Any:
    g = ctx._g = ctx.app.app_ctx_globals_class()
    return g


def _asked_g(ctx: AppContext) -> Any:
    return ctx.g


_stock_g = AppContext.g
AppContext._note_overrides()
holds(AppContext, "__init__")


def nest(app: Any, policy: str) -> AppContext:
    """The context for `with app.app_context()` under a policy: see `AppBase.app_context`."""
    if policy not in ("new", "join", "error"):
        raise ValueError(f"nested={policy!r}: one of 'new', 'join' and 'error'.")
    outer: AppContext | None = current_app_ctx(None)
    if policy != "new" and outer is not None and outer.app is app and not outer.ended:
        if policy == "join":
            return outer
        raise RuntimeError(
            f"An application context of {app.name!r} is current already: {_origin(outer)}.\n"
            'Use that one, or say what nesting is to do: `app.app_context(nested="join")` for the'
            ' same context, `nested="new"` for one with its own `g`, resources and end.'
        )
    ctx = AppContext(app)
    ctx._made_at = Site.caller()
    return ctx


def _origin(ctx: AppContext) -> str:
    """Where a current context comes from, as far as that was noted."""
    request = current_request_ctx(None)
    if request is not None and request.app_ctx is ctx:
        return f"that of {request!r}"
    made_at = getattr(ctx, "_made_at", None)
    where = f"made at {made_at}, " if made_at else ""
    return f"{where}pushed in {thread_name(getattr(ctx, '_thread', 0))}"


def name_edge(ctx: Context) -> None:
    """Note that an edge ended a context that nobody pushed: 10 ns if it were done at each end."""
    if not hasattr(ctx, "_thread") and not hasattr(ctx, "_ended_by"):
        ctx._ended_by = EDGE
