"""Promise 13: a deadline and being cancelled, of a context and of the work that it starts."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import weakref
from time import monotonic
from typing import Any

import pytest
from children_kit import EVERY_WAY, PATIENCE, Start, called, make_app

from demijohn import (
    Cancelled,
    ContextThread,
    DeadlineExceeded,
    Demijohn,
    copy_current_request_context,
    in_child,
)
from demijohn.context.cancel import CancelToken, error_for
from demijohn.globals import app_ctx, request_ctx

# -- tokens ----------------------------------------------------------------------------------------


def test_the_first_reason_stays() -> None:
    """A token is cancelled once: the first reason stays, and who came later is told so."""
    token = CancelToken()
    assert (token.reason, token.told) == (None, False)
    assert token.cancel("user") is True
    assert token.cancel("shutdown") is False
    assert (token.reason, token.told) == ("user", True)


def test_many_threads_cancel_once() -> None:
    """Of many threads that cancel at once one has done it."""
    token = CancelToken()
    barrier = threading.Barrier(8, timeout=PATIENCE)
    done: list[bool] = []

    def cancel(n: int) -> None:
        barrier.wait()
        done.append(token.cancel(str(n)))

    threads = [threading.Thread(target=cancel, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(done) == [False] * 7 + [True]


def test_it_reaches_what_hangs_below() -> None:
    """Cancelling reaches every token below, made before or after, and none above or beside."""
    root = CancelToken()
    child, beside = CancelToken(None, root), CancelToken(None, root)
    grandchild = CancelToken(None, child)
    child.cancel("user")
    late = CancelToken(None, grandchild)
    reasons = [each.reason for each in (root, child, beside, grandchild, late)]
    assert reasons == [None, "user", None, "user", "user"]


def test_a_link_that_is_dropped() -> None:
    """A token that nobody holds is still a link between those above and below it."""
    root = CancelToken()
    leaf = CancelToken(None, CancelToken(None, CancelToken(None, root)))
    gc.collect()
    root.cancel("user")
    assert leaf.reason == "user"


def test_nothing_is_kept() -> None:
    """Tokens below are not kept alive, and work that starts its successor leaves no chain."""
    root = CancelToken()
    gone = weakref.ref(CancelToken(None, root))
    assert gone() is None
    current = CancelToken(None, root)
    seen: list[weakref.ref[CancelToken]] = []
    for _ in range(5):
        after = CancelToken(None, current)
        seen.append(weakref.ref(current))
        current.retire()
        current = after
    assert [ref() for ref in seen] == [None] * 5
    root.cancel("user")
    assert current.reason == "user"


def test_the_earlier_deadline() -> None:
    """A token has the earlier one of its own deadline and that of the token above."""
    now = monotonic()
    early, late, none = CancelToken(now + 10), CancelToken(now + 20), CancelToken()
    assert CancelToken(now + 20, early).deadline == now + 10
    assert CancelToken(now + 10, late).deadline == now + 10
    assert CancelToken(None, late).deadline == now + 20
    assert CancelToken(now + 10, none).deadline == now + 10
    assert CancelToken(None, none).deadline is None


def test_a_deadline_that_passes() -> None:
    """A deadline that has passed is a reason, for the work itself and for what hangs below."""
    token = CancelToken(monotonic() - 1)
    below = CancelToken(None, token)
    assert (token.remaining(), below.reason, token.reason) == (0.0, "deadline", "deadline")
    with pytest.raises(DeadlineExceeded, match="deadline"):
        token.check()
    cancelled = CancelToken(monotonic() + 60)
    cancelled.cancel("user")
    with pytest.raises(Cancelled) as caught:
        cancelled.check()
    assert caught.value.reason == "user"


def test_waiting() -> None:
    """Waiting ends at a cancel, at the deadline and at the timeout, and says whether to stop."""
    token = CancelToken()
    assert token.wait(0) is False
    assert token.wait(0.01) is False
    threading.Timer(0.01, token.cancel, ("user",)).start()
    assert token.wait(PATIENCE) is True
    assert token.wait(PATIENCE) is True
    assert CancelToken(monotonic() + 0.01).wait(PATIENCE) is True
    assert CancelToken(monotonic() + 0.01).wait() is True
    assert CancelToken(monotonic() + 60).wait(0.01) is False


def test_calls_on_cancel() -> None:
    """A call is made once, at the cancel or at once when that has been, unless taken back."""
    token, seen = CancelToken(), list[str]()
    token.on_cancel(lambda: seen.append("one"))
    taken_back = lambda: seen.append("two")  # noqa: E731
    token.on_cancel(taken_back)
    token.off_cancel(taken_back)
    token.off_cancel(taken_back)
    token.cancel("user")
    token.on_cancel(lambda: seen.append("three"))
    assert seen == ["one", "three"]


def test_the_errors() -> None:
    """The errors say why, and are as they were after a pickle: they come from other processes."""
    for error in (error_for("disconnect"), error_for("deadline")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    assert isinstance(error_for("deadline"), TimeoutError)
    assert str(Cancelled("disconnect")) == "This work was cancelled: disconnect."


# -- contexts --------------------------------------------------------------------------------------


def test_a_context_answers() -> None:
    """A context has no deadline and is not cancelled, until somebody cancels it."""
    with make_app().app_context() as ctx:
        assert (ctx.deadline, ctx.remaining(), ctx.cancelled, ctx.cancel_reason) == (
            *(None, None, False, None),
        )
        ctx.check()
        assert ctx.wait_cancelled(0) is False
        assert ctx.cancel() is True
        assert (ctx.cancelled, ctx.cancel_reason, ctx.cancel("x")) == (True, "user", False)
        with pytest.raises(Cancelled, match="user"):
            app_ctx.check()


def test_a_request_and_its_app_context_are_one() -> None:
    """A request and the app context that it brought are cancelled together, seen from anywhere."""
    ctx = make_app().test_request_context("/")
    with ctx:
        below = app_ctx._get_current_object()
        below.cancel("disconnect")
        assert (request_ctx.cancel_reason, ctx.cancel_reason) == ("disconnect", "disconnect")
    assert (ctx.cancel_reason, below.cancel_reason) == ("disconnect", "disconnect")


def test_a_joined_app_context_is_not() -> None:
    """A request that joined an app context is cancelled with it; it is not with the request."""
    app = make_app()
    with app.app_context() as outer:
        with app.test_request_context("/") as ctx:
            # In the request, both names are the request's work.
            app_ctx.cancel("user")
            assert (ctx.cancelled, app_ctx.cancelled) == (True, True)
        assert not outer.cancelled
        with app.test_request_context("/") as ctx:
            assert not ctx.cancelled
        outer.cancel("shutdown")
        with app.test_request_context("/") as ctx:
            assert ctx.cancel_reason == "shutdown"


def test_an_app_context_nested_in_a_request() -> None:
    """An app context opened inside a request is part of its work: cancelled with it, and not it
    with that."""
    app = make_app()
    with app.test_request_context("/") as ctx:
        with app.app_context() as inner:
            inner.cancel()
            assert not ctx.cancelled
        with app.app_context() as inner:
            assert not inner.cancelled
            ctx.cancel("disconnect")
            assert inner.cancel_reason == "disconnect"


def test_a_successor_is_not() -> None:
    """A context that is pushed again after its end begins uncancelled."""
    ctx = make_app().test_request_context("/")
    with ctx:
        ctx.cancel()
    with ctx:
        assert not ctx.cancelled
        assert not app_ctx.cancelled


@EVERY_WAY
def test_children_are_cancelled_with_their_parent(start: Start[Any]) -> None:
    """A child is cancelled with its parent, with the reason, and its parent not with it."""
    for ctx in (make_app().app_context(), make_app().test_request_context("/")):
        with ctx:

            def alone() -> Any:
                app_ctx.cancel("own")
                return app_ctx.cancel_reason

            assert start(alone) == "own"
            assert not ctx.cancelled

            def both(ctx: Any = ctx) -> Any:
                ctx.cancel("disconnect")
                return app_ctx.cancel_reason

            assert called(both) == "disconnect"


def test_a_child_that_outlives_its_parent() -> None:
    """A child's work goes on after its parent's end, and hears of a cancel still."""
    app = make_app()
    started, reasons = threading.Event(), list[Any]()

    def work() -> None:
        started.set()
        assert app_ctx.wait_cancelled(PATIENCE)
        reasons.append(app_ctx.cancel_reason)

    with app.test_request_context("/") as ctx:
        thread = ContextThread(target=work)
        thread.start()
        assert started.wait(PATIENCE)
    assert thread.is_alive()
    ctx.cancel("shutdown")
    thread.join(PATIENCE)
    assert reasons == ["shutdown"]


def test_a_chain_of_children_leaves_nothing() -> None:
    """Work that starts itself again, each time in a child of the last, grows nothing."""
    app = make_app()
    tokens: list[weakref.ref[Any]] = []

    def work() -> Any:
        tokens.append(weakref.ref(app_ctx._cancel_token()))
        return in_child(work)

    gc.collect()
    gc.disable()
    try:
        with app.app_context():
            step: Any = in_child(work)
            for _ in range(20):
                step = step()
        # The last one is what the next step hangs from.
        assert [ref() is None for ref in tokens] == [True] * 19 + [False]
    finally:
        gc.enable()


@pytest.mark.parametrize("wrap", [in_child, copy_current_request_context])
def test_children_in_a_request(wrap: Any) -> None:
    """In a request's child the request and the app context are one work too."""
    with make_app().test_request_context("/") as ctx:

        def work() -> Any:
            request_ctx.cancel("own")
            return app_ctx.cancel_reason

        assert wrap(work)() == "own"
        assert not ctx.cancelled


def test_a_cancelled_task_ends_so() -> None:
    """A context whose asyncio task was cancelled has the outcome `cancelled`."""
    app = Demijohn("site")
    outcomes: list[str | None] = []
    app.teardown_appcontext(lambda exc: outcomes.append(app_ctx.outcome))

    async def main() -> None:
        async def work() -> None:
            with app.app_context():
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert outcomes == ["cancelled"]
