"""Promise 4 by hand: a context ends once, with all of its functions, and may live again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from context_kit import BOTH, make_app

import demijohn
from demijohn import has_app_context, signals

MakeContext = Callable[[Any], Any]
MAKE: dict[str, MakeContext] = {
    "app": lambda app: app.app_context(),
    "request": lambda app: app.test_request_context(),
}


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
    """`pop()` without an argument gives the exception being handled to the functions; `pop(None)`
    gives none.
    """
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
    """All teardown functions run; their errors come out of the `with` as one group, one error as
    itself.
    """
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
    assert not has_app_context()


def test_errors_of_a_request_and_its_app_context() -> None:
    """Errors of teardown_request and of teardown_appcontext functions come in one group, in
    order.
    """
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
    assert not has_app_context()


@BOTH
@pytest.mark.parametrize("kind", MAKE)
def test_a_context_again_after_its_end(fw: Any, kind: str) -> None:
    """A context that is pushed after its end has the same request and session, and an end of its
    own.
    """
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
