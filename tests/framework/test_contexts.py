"""App and request contexts by hand: what is current, in which order, and what a failure leaves.

Promises 1, 2 and 4 as users of `app.app_context()` and `app.test_request_context()` see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from context_kit import BOTH, PLACES, in_copy, in_empty, in_greenlet, in_task, in_thread, make_app

import demijohn
from demijohn import current_app, g, has_app_context, has_request_context, request, session, signals
from demijohn.context import ContextWarning, State
from demijohn.ctx import AppContext, RequestContext
from demijohn.globals import app_ctx, request_ctx

# -- dependency -----------------------------------------------------------------------------------


@BOTH
def test_a_request_brings_an_app_context(fw: Any) -> None:
    """A request context makes an app context current where there is none, and ends that one."""
    app = make_app(fw)
    with app.test_request_context("/path"):
        assert fw.current_app._get_current_object() is app
        assert fw.request.path == "/path"
        assert "user" not in fw.g
        assert app.log == []
    assert app.log == ["request ok", "app ok"]
    assert not fw.has_app_context()
    assert not fw.has_request_context()


@BOTH
def test_a_request_joins_its_applications_context(fw: Any) -> None:
    """Under an app context of the same application a request has that `g`, and does not end it."""
    app = make_app(fw)
    with app.app_context():
        fw.g.user = "outer"
        with app.test_request_context():
            assert fw.g.user == "outer"
            fw.g.user = "inner"
        assert app.log == ["request ok"]
        assert fw.g.user == "inner"
    assert app.log == ["request ok", "app ok"]


@BOTH
def test_a_request_does_not_join_another_applications_context(fw: Any) -> None:
    """Under an app context of another application a request brings its own, for as long as it lasts."""
    app, other = make_app(fw), make_app(fw)
    with other.app_context():
        fw.g.user = "other"
        with app.test_request_context():
            assert fw.current_app._get_current_object() is app
            assert "user" not in fw.g
        assert fw.current_app._get_current_object() is other
        assert fw.g.user == "other"
        assert (app.log, other.log) == (["request ok", "app ok"], [])


@BOTH
def test_two_applications_by_turns(fw: Any) -> None:
    """Contexts of two applications nest in any mixture, each level as it was when it is reached again."""
    one, two = make_app(fw), make_app(fw)
    with one.test_request_context("/1"):
        fw.g.level = 1
        with two.test_request_context("/2"):
            fw.g.level = 2
            with one.app_context():
                fw.g.level = 3
                with one.test_request_context("/4"):
                    assert (fw.request.path, fw.g.level) == ("/4", 3)
                assert (fw.request.path, fw.g.level) == ("/2", 3)
                assert fw.current_app._get_current_object() is one
            assert (fw.request.path, fw.g.level) == ("/2", 2)
            assert fw.current_app._get_current_object() is two
        assert (fw.request.path, fw.g.level) == ("/1", 1)
    assert one.log == ["request ok", "app ok", "request ok", "app ok"]
    assert two.log == ["request ok", "app ok"]


@BOTH
def test_requests_of_one_application_nest(fw: Any) -> None:
    """A request context inside another of the same application shares `g`, and has its own request and session."""
    app = make_app(fw)
    with app.test_request_context("/outer"):
        fw.g.user = "outer"
        fw.session["a"] = 1
        with app.test_request_context("/inner"):
            assert (fw.request.path, fw.g.user) == ("/inner", "outer")
            assert "a" not in fw.session
        assert app.log == ["request ok"]
        assert (fw.request.path, fw.session["a"]) == ("/outer", 1)


@BOTH
def test_nested_app_contexts(fw: Any) -> None:
    """Each `app.app_context()` has a `g` of its own and its own end, inside another too."""
    app = make_app(fw)
    with app.app_context():
        fw.g.user = "outer"
        with app.app_context():
            assert "user" not in fw.g
        assert app.log == ["app ok"]
        assert fw.g.user == "outer"
    assert app.log == ["app ok", "app ok"]


@BOTH
@pytest.mark.parametrize("kind", ["app", "request"])
def test_the_same_context_nested(fw: Any, kind: str) -> None:
    """A nested `with` of the same context borrows it: only the outermost ends it."""
    app = make_app(fw)
    ctx = app.app_context() if kind == "app" else app.test_request_context()
    ends = ["app ok"] if kind == "app" else ["request ok", "app ok"]
    with ctx:
        fw.g.user = "same"
        with ctx:
            with ctx:
                assert fw.g.user == "same"
            assert app.log == []
        assert fw.g.user == "same"
        assert app.log == []
    assert app.log == ends


def test_a_request_in_between() -> None:
    """A request context borrowed over another application's context is whole there."""
    app, other = make_app(), make_app()
    ctx = app.test_request_context("/own")
    with ctx:
        g.user = "own"
        with other.app_context(), ctx:
            assert current_app._get_current_object() is app
            assert (request.path, g.user) == ("/own", "own")
        assert app.log == []
        assert other.log == ["app ok"]
        assert (request.path, g.user) == ("/own", "own")
    assert app.log == ["request ok", "app ok"]


@BOTH
def test_an_app_context_over_a_request(fw: Any) -> None:
    """An app context pushed over a request has its own `g`; the request stays readable."""
    app = make_app(fw)
    with app.test_request_context("/path"):
        fw.g.user = "request's"
        with app.app_context():
            assert "user" not in fw.g
            assert fw.request.path == "/path"
        assert fw.g.user == "request's"


# -- order ----------------------------------------------------------------------------------------


def refused(ctx: Any, kind: str) -> None:
    """Assert that a pop of `ctx` is refused and changes nothing."""
    before = (current_state(), ctx.state)
    with pytest.raises(RuntimeError, match=f"Popped wrong {kind} context") as caught:
        ctx.pop()
    assert isinstance(caught.value, AssertionError)
    assert (current_state(), ctx.state) == before


def current_state() -> tuple[Any, Any]:
    """The current contexts themselves, or None."""
    return (
        app_ctx._get_current_object() if has_app_context() else None,
        request_ctx._get_current_object() if has_request_context() else None,
    )


MakeContext = Callable[[Any], Any]
FOREIGN = "a foreign pop of a request leaves its app context: context.stack.Context._pop_foreign"
JOINED = "a joined app context is not borrowed elsewhere: RequestContext._push_needed"
FOREIGN_KINDS = pytest.mark.parametrize(
    "kind", ["app", pytest.param("request", marks=pytest.mark.xfail(reason=FOREIGN))]
)
MAKE: dict[str, MakeContext] = {
    "app": lambda app: app.app_context(),
    "request": lambda app: app.test_request_context(),
}


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("kind", MAKE)
def test_the_lower_one_of_a_kind_cannot_be_popped(kind: str, same: bool) -> None:
    """Of two contexts of a kind the lower one's pop is refused; then both can be popped in order."""
    app = make_app()
    first, second = MAKE[kind](app), MAKE[kind](app if same else make_app())
    first.push()
    second.push()
    refused(first, kind)
    assert app.log == []
    second.pop()
    first.pop()
    assert current_state() == (None, None)


def test_a_request_under_an_app_context() -> None:
    """A request whose app context another one covers cannot be popped before that one."""
    app, other = make_app(), make_app()
    ctx, cover = app.test_request_context(), other.app_context()
    ctx.push()
    cover.push()
    refused(ctx, "request")
    assert (app.log, other.log) == ([], [])
    cover.pop()
    ctx.pop()
    assert (app.log, other.log) == (["request ok", "app ok"], ["app ok"])
    assert current_state() == (None, None)


@pytest.mark.xfail(reason="the request cannot be popped any more: context.stack.Context._pop")
def test_an_app_context_under_its_request() -> None:
    """The app context that a request brought cannot be popped by somebody else's hand."""
    app = make_app()
    with app.test_request_context():
        own = app_ctx._get_current_object()
        with pytest.raises(RuntimeError, match="Popped wrong"):
            own.pop()
        assert has_app_context()
    assert app.log == ["request ok", "app ok"]


def test_an_app_context_that_a_request_joined() -> None:
    """An app context popped under a request that joined it leaves the request to its own pop, and nothing after."""
    app = make_app()
    outer, ctx = app.app_context(), app.test_request_context()
    outer.push()
    ctx.push()
    try:
        outer.pop()
    except RuntimeError:
        ctx.pop()
        outer.pop()
    else:
        ctx.pop()
    assert sorted(app.log) == ["app ok", "request ok"]
    assert current_state() == (None, None)


@pytest.mark.parametrize("kind", MAKE)
def test_a_pop_without_a_push(kind: str) -> None:
    """A context that was never pushed, or was popped already, cannot be popped, and nothing runs."""
    app = make_app()
    ctx = MAKE[kind](app)
    refused(ctx, kind)
    with ctx:
        pass
    log = list(app.log)
    refused(ctx, kind)
    with MAKE[kind](app):
        refused(ctx, kind)
        del app.log[:]
    assert len(log) == (1 if kind == "app" else 2)


@pytest.mark.parametrize("kind", MAKE)
def test_a_refused_pop_names_both(kind: str) -> None:
    """The error of a refused pop names the context that is on top and the one that was popped."""
    lower, upper = MAKE[kind](make_app()), MAKE[kind](make_app())
    upper.app.name = "upper"
    with lower:
        with upper, pytest.raises(RuntimeError) as caught:
            lower.pop()
        assert repr(lower) in str(caught.value)
        assert repr(upper) in str(caught.value)


# -- other Contexts -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@FOREIGN_KINDS
def test_a_pop_elsewhere_ends_the_context_there(kind: str, place: Any) -> None:
    """A pop in another Context than the push's ends the context there, once, and a warning says where."""
    app = make_app()
    ends = ["app ok"] if kind == "app" else ["request ok", "app ok"]
    ctx = MAKE[kind](app)
    ctx.push()
    seen: list[tuple[Any, Any]] = []

    def pop() -> None:
        with pytest.warns(ContextWarning, match="was pushed in .* and popped in"):
            ctx.pop()
        seen.append(current_state())

    place(pop)
    assert app.log == ends
    assert ctx.state is State.ENDED
    # Here the variable still holds it; its own pop puts that right and ends nothing again.
    assert (app_ctx if kind == "app" else request_ctx)._get_current_object() is ctx
    ctx.pop()
    assert app.log == ends
    assert current_state() == (None, None)


@pytest.mark.parametrize("place", PLACES)
@FOREIGN_KINDS
def test_a_second_pop_elsewhere_is_refused(kind: str, place: Any) -> None:
    """Once a context was ended elsewhere, another pop elsewhere is refused."""
    app = make_app()
    ctx = MAKE[kind](app)

    def pop() -> None:
        with pytest.warns(ContextWarning):
            ctx.pop()
        with pytest.raises(RuntimeError, match="Popped wrong"):
            ctx.pop()

    with ctx:
        place(pop)
        log = list(app.log)
        with pytest.raises(RuntimeError, match="Popped wrong"):
            place(ctx.pop)
    assert app.log == log


@pytest.mark.xfail(reason=FOREIGN)
@pytest.mark.parametrize("place", PLACES)
def test_teardown_functions_elsewhere_see_their_context(place: Any) -> None:
    """Where a foreign pop ends a request, teardown functions see its request, `g` and app."""
    app = make_app()
    seen: list[Any] = []

    @app.teardown_request
    def teardown(exc: BaseException | None) -> None:
        seen.append((request.path, g.user, current_app._get_current_object() is app))

    @app.teardown_appcontext
    def teardown_app(exc: BaseException | None) -> None:
        seen.append((has_request_context(), g.user))

    ctx = app.test_request_context("/path")
    ctx.push()
    g.user = "pushed"

    def pop() -> None:
        with pytest.warns(ContextWarning):
            ctx.pop()

    place(pop)
    assert seen[0] == ("/path", "pushed", True)
    # A task or a copied Context has inherited the request's variable, which is not the core's to reset.
    assert seen[1][1] == "pushed"
    ctx.pop()
    assert current_state() == (None, None)


@pytest.mark.xfail(reason=JOINED)
def test_a_request_over_a_joined_context_popped_elsewhere() -> None:
    """A foreign pop of a request that joined an app context ends the request alone."""
    app = make_app()
    with app.app_context():
        g.user = "outer"
        ctx = app.test_request_context()
        ctx.push()

        def pop() -> None:
            with pytest.warns(ContextWarning):
                ctx.pop()

        in_thread(pop)
        assert app.log == ["request ok"]
        ctx.pop()
        assert g.user == "outer"
        assert not has_request_context()
        assert app.log == ["request ok"]
    assert app.log == ["request ok", "app ok"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", MAKE)
def test_a_borrowing_push_elsewhere(kind: str, place: Any) -> None:
    """A context that is pushed and popped elsewhere while it lives is borrowed: nothing ends, nothing stays there."""
    app = make_app()
    ctx = MAKE[kind](app)

    def borrow() -> tuple[str, tuple[Any, Any]]:
        before = current_state()
        with ctx:
            user = g.user
        assert current_state() == before
        return user, before

    with ctx:
        g.user = "owner's"
        assert place(borrow)[0] == "owner's"
        assert app.log == []
    assert len(app.log) == (1 if kind == "app" else 2)


@pytest.mark.parametrize(
    "place",
    [
        *(pytest.param(p, marks=pytest.mark.xfail(reason=JOINED)) for p in (in_thread, in_greenlet, in_empty)),
        in_task,
        in_copy,
    ],
)
def test_a_borrowing_push_of_a_request_that_joined(place: Any) -> None:
    """A request that joined an app context has that one's `g` also where it is borrowed."""
    app = make_app()
    with app.app_context():
        g.user = "joined"
        ctx = app.test_request_context()

        def borrow() -> str:
            with ctx:
                return str(g.get("user"))

        with ctx:
            assert place(borrow) == "joined"
            assert app.log == []
            assert g.user == "joined"
        assert app.log == ["request ok"]


# -- failed pushes --------------------------------------------------------------------------------


@contextmanager
def failing_receiver(app: Any, error: BaseException) -> Iterator[None]:
    def receiver(sender: Any, **kwargs: Any) -> None:
        raise error

    with signals.appcontext_pushed.connected_to(receiver, sender=app):
        yield


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("error", [ValueError("receiver"), KeyboardInterrupt()])
def test_a_receiver_that_fails_the_push(kind: str, error: BaseException) -> None:
    """A receiver of appcontext_pushed that raises leaves nothing pushed, and the push can be made again."""
    app = make_app()
    ctx = MAKE[kind](app)
    with failing_receiver(app, error), pytest.raises(type(error)) as caught:
        ctx.push()
    assert caught.value is error
    assert current_state() == (None, None)
    assert app.log.count(f"app {type(error).__name__}") <= 1
    del app.log[:]
    with ctx:
        assert current_app._get_current_object() is app
    assert app.log == (["app ok"] if kind == "app" else ["request ok", "app ok"])


@pytest.mark.parametrize("under", [False, True])
def test_a_session_that_cannot_be_opened(under: bool) -> None:
    """An interface whose open_session raises leaves nothing pushed by `test_request_context`."""
    app = make_app()
    down = [True]

    class Interface(demijohn.sessions.SecureCookieSessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            if down:
                raise OSError("store")
            return super().open_session(app, request)

    app.session_interface = Interface()
    ctx = app.test_request_context()
    outer = app.app_context()
    if under:
        outer.push()
    with pytest.raises(OSError, match="store"), ctx:
        raise AssertionError
    assert not has_request_context()
    assert has_app_context() is under
    down.clear()
    with ctx:
        session["a"] = 1
    if under:
        outer.pop()
    assert current_state() == (None, None)


def test_a_converter_that_fails() -> None:
    """A converter that raises anything but ValidationError leaves nothing pushed."""
    from werkzeug.routing import BaseConverter

    app = make_app()

    class Broken(BaseConverter):
        def to_python(self, value: str) -> Any:
            raise LookupError(value)

    app.url_map.converters["broken"] = Broken
    app.add_url_rule("/<broken:x>", "view", lambda x: x)
    with pytest.raises(LookupError), app.test_request_context("/value"):
        raise AssertionError
    assert current_state() == (None, None)


@BOTH
def test_an_url_that_matches_nothing_can_be_pushed(fw: Any) -> None:
    """A request context for a path without a rule can be pushed; its request knows the exception."""
    with make_app(fw).test_request_context("/missing"):
        assert fw.request.url_rule is None
        assert fw.request.endpoint is None
        assert type(fw.request.routing_exception).__name__ == "NotFound"


# -- ends -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, StopIteration])
def test_an_exception_in_the_block(fw: Any, kind: str, error: type[BaseException]) -> None:
    """The exception that leaves a `with` is given to the teardown functions, and goes on."""
    app = make_app(fw)
    with pytest.raises(error), MAKE[kind](app):
        raise error
    name = error.__name__
    assert app.log == ([f"app {name}"] if kind == "app" else [f"request {name}", f"app {name}"])


@BOTH
@pytest.mark.parametrize("kind", MAKE)
def test_pop_takes_the_handled_exception(fw: Any, kind: str) -> None:
    """`pop()` without an argument gives the exception being handled to the functions; `pop(None)` gives none."""
    app = make_app(fw)
    for given, name in [((), "ValueError"), ((None,), "ok"), ((KeyError(),), "KeyError")]:
        ctx = MAKE[kind](app)
        ctx.push()
        try:
            raise ValueError
        except ValueError:
            ctx.pop(*given)
        assert {line.split()[1] for line in app.log} == {name}
        app.log.clear()


@pytest.mark.parametrize("kind", MAKE)
def test_errors_of_an_end_are_raised_together(kind: str) -> None:
    """All teardown functions run; their errors come out of the `with` as one group, one error as itself."""
    app = make_app()

    @app.teardown_appcontext
    def first(exc: BaseException | None) -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"), MAKE[kind](app):
        pass
    assert app.log == (["app ok"] if kind == "app" else ["request ok", "app ok"])

    @app.teardown_appcontext
    def second(exc: BaseException | None) -> None:
        raise KeyError("second")

    with pytest.raises(ExceptionGroup) as caught, MAKE[kind](app):
        pass
    assert [type(error) for error in caught.value.exceptions] == [KeyError, ValueError]
    assert current_state() == (None, None)


def test_errors_of_a_request_and_its_app_context() -> None:
    """Errors of teardown_request and of teardown_appcontext functions come in one group, in order."""
    app = make_app()

    def fail(error: BaseException) -> Callable[[Any], None]:
        def teardown(exc: Any) -> None:
            raise error

        return teardown

    app.teardown_request(fail(ValueError("request")))
    app.teardown_appcontext(fail(KeyError("app")))
    with pytest.raises(ExceptionGroup) as caught, app.test_request_context():
        pass
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]
    app.teardown_appcontext(fail(KeyboardInterrupt()))
    with pytest.raises(BaseExceptionGroup) as fatal, app.test_request_context():
        pass
    assert len(fatal.value.exceptions) == 3
    assert current_state() == (None, None)


@BOTH
@pytest.mark.parametrize("kind", MAKE)
def test_a_context_again_after_its_end(fw: Any, kind: str) -> None:
    """A context that is pushed after its end has the same request and session, and an end of its own."""
    app = make_app(fw)
    ctx = MAKE[kind](app)
    ends = ["app ok"] if kind == "app" else ["request ok", "app ok"]
    with ctx:
        fw.g.user = "first"
        if kind == "request":
            fw.session["a"] = 1
            first = fw.request._get_current_object()
    with ctx:
        # Flask makes a new app context, and so a new `g`, for a request that is pushed again.
        assert fw.g.get("user") == "first" or (kind == "request" and fw is not demijohn)
        if kind == "request":
            assert fw.session["a"] == 1
            assert fw.request._get_current_object() is first
    assert app.log == ends * 2


def test_signals_of_a_context() -> None:
    """appcontext_pushed and appcontext_popped are sent once a life, also for a borrowed context."""
    app = make_app()
    log: list[str] = []
    pushed = lambda sender, **kw: log.append("pushed")  # noqa: E731
    popped = lambda sender, **kw: log.append(f"popped {has_app_context()}")  # noqa: E731
    with (
        signals.appcontext_pushed.connected_to(pushed, sender=app),
        signals.appcontext_popped.connected_to(popped, sender=app),
    ):
        ctx = app.app_context()
        with ctx, ctx:
            pass
        assert log == ["pushed", "popped False"]
        with ctx:
            pass
        assert log == ["pushed", "popped False"] * 2


# -- what they are --------------------------------------------------------------------------------


@BOTH
def test_what_a_request_context_has(fw: Any) -> None:
    """A request context has the request, the session, the app and the URL adapter."""
    app = make_app(fw)
    app.add_url_rule("/user/<name>", "user", lambda name: name)
    ctx = app.test_request_context("/user/x?a=b")
    assert ctx.app is app
    assert ctx.request.path == "/user/x"
    with ctx:
        assert ctx.request is fw.request._get_current_object()
        assert ctx.session is fw.session._get_current_object()
        assert fw.request.view_args == {"name": "x"}
        assert ctx.url_adapter.build("user", {"name": "y"}) == "/user/y"
        assert fw.url_for("user", name="z") == "/user/z"


@BOTH
def test_after_this_request_by_hand(fw: Any) -> None:
    """Functions registered with `after_this_request` run in `process_response` called by hand."""
    app = make_app(fw)

    @app.after_request
    def after(response: Any) -> Any:
        response.headers["X-Log"] = response.headers.get("X-Log", "") + "after "
        return response

    with app.test_request_context():

        @fw.after_this_request
        def this(response: Any) -> Any:
            response.headers["X-Log"] = response.headers.get("X-Log", "") + "this "
            return response

        response = app.process_response(app.make_response("x"))
        assert response.headers["X-Log"] == "this after "


@BOTH
def test_outside_of_a_context(fw: Any) -> None:
    """Helpers that need a request say so outside of one, and questions are answered with no."""
    assert not fw.has_request_context()
    assert not fw.has_app_context()
    with make_app(fw).app_context():
        assert fw.has_app_context()
        assert not fw.has_request_context()
        for helper in (fw.after_this_request, fw.copy_current_request_context):
            with pytest.raises(RuntimeError, match="can only be used when a request context"):
                helper(lambda: None)
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        fw.current_app.name  # noqa: B018
    with pytest.raises(RuntimeError, match="Working outside of request context"):
        fw.request.path  # noqa: B018


def test_subclasses_of_contexts() -> None:
    """An application may make contexts of subclasses, also with an own `__init__`."""

    class Own(AppContext):
        extra = "own"

    class OwnRequest(RequestContext):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.extra = "own request"

    class App(demijohn.Demijohn):
        def app_context(self) -> AppContext:
            return Own(self)

        def request_context(self, environ: Any) -> RequestContext:
            return OwnRequest(self, environ)

    app = App("own", static_folder=None)
    app.add_url_rule("/", "view", lambda: f"{app_ctx.extra} {request_ctx.extra}")
    assert app.test_client().get("/").text == "own own request"
    with app.test_request_context():
        assert (app_ctx.extra, request_ctx.extra) == ("own", "own request")
