"""`parallel()`: branches on threads, joined before the work goes on."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError, as_completed
from time import monotonic
from typing import Any

import pytest
from children_kit import PATIENCE, make_app, view_app

import demijohn
from demijohn import Cancelled, DeadlineExceeded, g, in_child, parallel, request
from demijohn.globals import app_ctx


def waiting() -> None:
    """A branch that runs until it is told to stop, and then does."""
    assert app_ctx.wait_cancelled(PATIENCE)
    app_ctx.check()


@pytest.fixture
def ctx() -> Any:
    with make_app().app_context() as current:
        yield current


def test_results_in_the_order_of_submission(ctx: Any) -> None:
    """Results are in the order of submission, whichever branch is done first."""
    done = [threading.Event() for _ in range(4)]

    def work(n: int) -> int:
        if n < 3:
            assert done[n + 1].wait(PATIENCE)
        done[n].set()
        return n

    with parallel() as p:
        branches = [p.submit(work, n) for n in range(4)]
    assert p.results == [0, 1, 2, 3]
    assert [branch.result() for branch in as_completed(branches)] != []
    assert {branch.exception() for branch in branches} == {None}


def test_results_within_the_block(ctx: Any) -> None:
    """A branch's result can be waited for in the block, and used for the next branch."""
    with parallel() as p:
        first = p.submit(lambda: 1)
        second = p.submit(lambda n: n + 1, first.result())
        assert p.results == [1, 2]
    assert second.result() == 2


def test_it_joins(ctx: Any) -> None:
    """At the end of the block no branch runs, and no thread of it is left."""
    before = threading.active_count()
    running: list[int] = []

    def work(n: int) -> None:
        running.append(n)
        running.remove(n)

    with parallel(3) as p:
        for n in range(50):
            p.submit(work, n)
    assert running == []
    assert threading.active_count() == before
    assert len(p.results) == 50


def test_not_more_than_max_workers(ctx: Any) -> None:
    """No more than `max_workers` branches run at once, and that many do."""
    lock = threading.Lock()
    now, most = 0, 0
    full = threading.Barrier(3, timeout=PATIENCE)

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(now, most)
        full.wait()
        with lock:
            now -= 1

    with parallel(max_workers=3) as p:
        for _ in range(9):
            p.submit(work)
    assert most == 3
    with pytest.raises(ValueError, match="max_workers"):
        parallel(0)


def test_nested_blocks_cannot_wait_for_each_other(ctx: Any) -> None:
    """A block in a branch has threads of its own: five levels of one worker each come to an end."""

    def work(depth: int) -> int:
        if depth == 0:
            return 0
        with parallel(max_workers=1) as p:
            branch = p.submit(work, depth - 1)
        return branch.result() + 1

    assert work(5) == 5


# -- errors ----------------------------------------------------------------------------------------


def test_the_first_error_is_raised_as_itself(ctx: Any) -> None:
    """An error of one branch leaves the block as the same object."""
    error = LookupError("lost")

    def fail() -> None:
        raise error

    with pytest.raises(LookupError) as caught, parallel() as p:
        p.submit(int)
        branch = p.submit(fail)
    assert caught.value is error
    # The block has raised it: kept by the branch too, it would keep itself alive.
    with pytest.raises(RuntimeError, match=r"its block raised: LookupError\('lost'\)"):
        branch.result()


def test_an_error_cancels_the_rest(ctx: Any) -> None:
    """After the first error, branches that run are told, those that wait never start, and nothing
    can be submitted."""
    ran: list[str] = []
    reasons: list[str | None] = []
    failed = threading.Event()
    both = threading.Barrier(2, timeout=PATIENCE)

    def running() -> None:
        both.wait()
        assert app_ctx.wait_cancelled(PATIENCE)
        reasons.append(app_ctx.cancel_reason)
        failed.set()

    def fail() -> None:
        both.wait()
        raise LookupError

    with pytest.raises(LookupError), parallel(max_workers=2) as p:
        p.submit(running)
        p.submit(fail)
        assert failed.wait(PATIENCE)
        with pytest.raises(Cancelled, match="sibling"):
            p.submit(ran.append, "later")
    assert (reasons, ran) == (["sibling"], [])
    assert not ctx.cancelled


def test_what_waits_never_starts(ctx: Any) -> None:
    """After the first error, branches that wait for a thread never start; their results say so."""
    ran: list[int] = []
    go = threading.Event()

    def fail() -> None:
        assert go.wait(PATIENCE)
        raise LookupError

    with pytest.raises(LookupError), parallel(max_workers=1) as p:
        p.submit(fail)
        late = [p.submit(ran.append, n) for n in range(5)]
        go.set()
    assert ran == []
    for branch in late:
        assert branch.cancelled()
        with pytest.raises(Cancelled, match="sibling"):
            branch.result()


def test_a_branch_that_was_cancelled_alone(ctx: Any) -> None:
    """A branch that waits can be cancelled as any Future; the others go on."""
    go = threading.Event()
    with parallel(max_workers=1) as p:
        first = p.submit(go.wait, PATIENCE)
        second = p.submit(int)
        assert second.cancel()
        go.set()
    assert first.result() is True
    with pytest.raises(CancelledError):
        second.result()


def test_several_errors(ctx: Any) -> None:
    """Several errors leave the block as one ExceptionGroup; who only stopped when told is not in
    it."""
    both = threading.Barrier(2, timeout=PATIENCE)

    def fail(error: Exception) -> None:
        both.wait()
        raise error

    with pytest.raises(ExceptionGroup) as caught, parallel() as p:
        p.submit(waiting)
        p.submit(fail, LookupError(1))
        p.submit(fail, ValueError(2))
    assert {type(error) for error in caught.value.exceptions} == {LookupError, ValueError}


def test_an_error_of_the_block(ctx: Any) -> None:
    """An error of the block cancels the branches, waits for them, and is raised as itself."""
    reasons: list[str | None] = []
    started = threading.Event()

    def running() -> None:
        started.set()
        assert app_ctx.wait_cancelled(PATIENCE)
        reasons.append(app_ctx.cancel_reason)

    error = LookupError()
    with pytest.raises(LookupError) as caught, parallel(1) as p:
        p.submit(running)
        p.submit(reasons.append, "never")
        assert started.wait(PATIENCE)
        raise error
    assert caught.value is error
    assert reasons == ["parent"]


def test_an_error_of_the_block_and_one_before(ctx: Any) -> None:
    """An error of a branch that failed before the block did is not lost; one that failed because it
    was cancelled is a note."""
    failed = threading.Event()

    def fail_first() -> None:
        try:
            raise ValueError("first")
        finally:
            failed.set()

    with pytest.raises(ExceptionGroup) as caught, parallel() as p:
        branch = p.submit(fail_first)
        assert isinstance(branch.exception(PATIENCE), ValueError)
        raise LookupError("block")
    assert {type(error) for error in caught.value.exceptions} == {LookupError, ValueError}

    started = threading.Event()

    def fail_late() -> None:
        started.set()
        assert app_ctx.wait_cancelled(PATIENCE)
        raise ValueError("late")

    with pytest.raises(LookupError, match="block") as only, parallel() as p:
        p.submit(fail_late)
        assert started.wait(PATIENCE)
        raise LookupError("block")
    assert only.value.__notes__ == [
        "A parallel branch failed when it was cancelled: ValueError('late')"
    ]


def test_a_result_that_is_asked_for(ctx: Any) -> None:
    """Asking for the result of a branch that failed raises its error, which then leaves the block
    once; asking for another's raises `Cancelled`, which hides nothing."""
    with pytest.raises(KeyError), parallel() as p:
        p.submit({}.__getitem__, "x").result()
    with pytest.raises(KeyError), parallel() as p:
        other = p.submit(waiting)
        p.submit({}.__getitem__, "x")
        other.result()


def test_who_asks_for_an_exit_gets_it(ctx: Any) -> None:
    """KeyboardInterrupt in the block is raised as itself, after the branches were joined."""
    with pytest.raises(KeyboardInterrupt), parallel() as p:
        branch = p.submit(waiting)
        raise KeyboardInterrupt
    assert branch.done()


def test_an_interrupt_while_a_thread_starts(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `KeyboardInterrupt` that comes while a branch's thread starts leaves the block, and the
    branches end first."""
    start, started, ended = threading.Thread.start, list[threading.Thread](), list[str]()
    begun = threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        if len(started) == 2:
            raise KeyboardInterrupt

    def branch() -> None:
        begun.set()
        try:
            waiting()
        finally:
            ended.append("the first")

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), parallel() as p:
        p.submit(branch)
        assert begun.wait(PATIENCE)
        p.submit(int)
        pytest.fail("the interrupt was lost")
    assert ended == ["the first"]
    for thread in started:
        thread.join(PATIENCE)


@pytest.mark.parametrize("most", [0, 1])
def test_no_room_for_threads(ctx: Any, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that could be started do all the work; without any, `submit` raises."""
    start, started = threading.Thread.start, list[threading.Thread]()

    def crowded(thread: threading.Thread) -> None:
        if len(started) == most:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", crowded)
    if most:
        submitted = threading.Event()
        with parallel() as p:
            p.submit(submitted.wait, PATIENCE)
            for n in range(3):
                p.submit(int, n)
            submitted.set()
        assert p.results == [True, 0, 1, 2]
        return
    with parallel() as p, pytest.raises(RuntimeError, match="can't start new thread"):
        p.submit(int, 0)


def test_system_exit_in_a_branch(ctx: Any) -> None:
    """SystemExit in a branch leaves the block as itself."""

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught, parallel() as p:
        p.submit(leave)
    assert caught.value.code == 3


# -- deadline and cancel ---------------------------------------------------------------------------


def test_waiting_is_woken_by_a_cancel(ctx: Any) -> None:
    """A cancel of the work wakes who waits for a result, tells the branches that run, and leaves
    those that wait alone; the block raises `Cancelled`."""
    started = threading.Event()
    ran: list[int] = []

    def running() -> None:
        started.set()
        waiting()

    def stop() -> None:
        assert started.wait(PATIENCE)
        ctx.cancel("user")

    other = threading.Thread(target=stop)
    with pytest.raises(Cancelled) as caught, parallel(1) as p:
        branch = p.submit(running)
        p.submit(ran.append, 1)
        other.start()
        branch.result()
    other.join(PATIENCE)
    assert caught.value.reason == "user"
    assert ran == []


def test_joining_is_woken_by_a_cancel(ctx: Any) -> None:
    """A cancel that comes while the block waits at its end lets what has not started go at once."""
    started = threading.Event()
    ran: list[int] = []

    def running() -> None:
        started.set()
        assert app_ctx.wait_cancelled(PATIENCE)

    def stop() -> None:
        assert started.wait(PATIENCE)
        ctx.cancel("disconnect")

    other = threading.Thread(target=stop)
    other.start()
    with pytest.raises(Cancelled) as caught, parallel(1) as p:
        p.submit(running)
        p.submit(ran.append, 1)
    other.join(PATIENCE)
    assert caught.value.reason == "disconnect"
    assert ran == []


def test_a_cancel_that_came_too_late(ctx: Any) -> None:
    """A block whose branches were all done when the work was cancelled has its results."""
    with parallel() as p:
        p.submit(lambda: 1).result()
        ctx.cancel()
    assert p.results == [1]


def test_the_deadline_passes_on() -> None:
    """Branches have the deadline of their work; when it passes the block raises
    `DeadlineExceeded`."""
    app = make_app()
    seen: list[Any] = []

    def work() -> None:
        seen.append(app_ctx.deadline)
        waiting()

    with app.app_context() as ctx:
        run = in_child(lambda: fan_out(), deadline=0.05)

        def fan_out() -> None:
            deadline = app_ctx.deadline
            try:
                with parallel() as p:
                    p.submit(work)
                    p.submit(work)
            finally:
                seen.append(deadline)

        with pytest.raises(DeadlineExceeded):
            run()
        assert ctx.deadline is None
    assert seen[0] is not None
    assert len(set(seen)) == 1


def test_a_result_with_a_timeout(ctx: Any) -> None:
    """Waiting for a result with a timeout raises TimeoutError, and the branch goes on."""
    go = threading.Event()
    with parallel() as p:
        branch = p.submit(go.wait, PATIENCE)
        with pytest.raises(TimeoutError):
            branch.result(0.01)
        go.set()
    assert branch.result() is True


def test_a_branch_cancels_itself_alone(ctx: Any) -> None:
    """A branch that cancels its own context and returns leaves the others alone."""
    with parallel() as p:
        p.submit(lambda: app_ctx.cancel())
        p.submit(lambda: app_ctx.cancelled)
    assert p.results == [True, False]


def test_work_that_is_cancelled_already(ctx: Any) -> None:
    """In work that is cancelled no branch starts."""
    ctx.cancel("shutdown")
    with pytest.raises(Cancelled, match="shutdown"), parallel() as p:
        p.submit(int)


def test_the_blocks_use_is_checked(ctx: Any) -> None:
    """A block is entered once, and takes branches between its begin and its end."""
    p = parallel()
    with pytest.raises(RuntimeError, match="not entered"):
        p.submit(int)
    with p:
        pass
    with pytest.raises(RuntimeError, match="is over"):
        p.submit(int)
    with pytest.raises(RuntimeError, match="entered before"):
        p.__enter__()


def test_a_cancel_while_a_branch_is_submitted() -> None:
    """A branch that is submitted just when the block is cancelled never starts."""
    app = make_app()
    app.carry("slow")
    preparing, cancelled, ran = threading.Event(), threading.Event(), list[int]()

    class Globals(demijohn.ctx._AppCtxGlobals):
        armed = False

        @property
        def slow(self) -> int:
            """Read when the branch's child is prepared: the block is cancelled meanwhile."""
            if self.armed:
                preparing.set()
                assert cancelled.wait(PATIENCE)
            return 1

        @slow.setter
        def slow(self, value: int) -> None: ...

    app.app_ctx_globals_class = Globals

    def fail() -> None:
        assert preparing.wait(PATIENCE)
        raise LookupError

    with app.app_context(), pytest.raises(LookupError), parallel() as p:
        assert g.slow == 1
        p.submit(fail)
        p._entered().on_cancel(cancelled.set)
        g.armed = True
        p.submit(ran.append, 1)
    assert ran == []


def test_what_waits_does_not_start_after_the_deadline(ctx: Any) -> None:
    """A branch whose turn comes after the deadline never starts, whether somebody has noticed the
    deadline or not."""
    ran: list[int] = []

    def long() -> None:
        deadline = app_ctx.deadline
        while monotonic() <= deadline:
            pass

    with pytest.raises(DeadlineExceeded), parallel(1, deadline=0.01) as p:
        p.submit(long)
        late = p.submit(ran.append, 1)
        while not late.done():
            pass
    assert ran == []


# -- in requests -----------------------------------------------------------------------------------


def test_in_a_view() -> None:
    """Branches of a view see its request, each with its own `g`; an error is the view's."""

    def view() -> Any:
        def work(n: int) -> list[Any]:
            g.n = n
            return [request.args["q"], g.n]

        with parallel() as p:
            for n in range(3):
                p.submit(work, n)
        if "fail" in request.args:
            with parallel() as p:
                p.submit({}.__getitem__, "x")
        return p.results

    app = view_app(view)
    app.register_error_handler(KeyError, lambda error: ("handled", 409))
    client = app.test_client()
    assert client.get("/?q=1").json == [["1", n] for n in range(3)]
    answer = client.get("/?q=1&fail=1")
    assert (answer.status_code, answer.text) == (409, "handled")


def test_nothing_is_kept(ctx: Any) -> None:
    """With the collector off a block, its branches and what they worked on are gone when they are
    dropped."""

    class Thing:
        pass

    def use() -> weakref.ref[Thing]:
        thing = Thing()
        with parallel() as p:
            p.submit(lambda each: None, thing)
            p.submit(lambda each: each, thing)
        return weakref.ref(thing)

    gc.collect()
    gc.disable()
    try:
        assert use()() is None
    finally:
        gc.enable()
