"""`FakeClock`: time moves by hand, for the framework too, and wakes who waits for it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from waiting import PATIENCE, until

import demijohn.http.sessions
from demijohn import Demijohn, app_ctx, parallel, session, task_group
from demijohn.context import Context, ContextStack, stack
from demijohn.context.cancel import CancelToken
from demijohn.context.errors import DeadlineExceeded
from demijohn.context.unit import unit_of
from demijohn.testing import FakeClock

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """An active clock that shows noon."""
    with FakeClock(NOON, limit=PATIENCE) as clock:
        yield clock


def counting_app() -> Demijohn:
    """An application that counts a visitor's visits in a session of one hour."""
    app = Demijohn("site")
    app.config.update(SECRET_KEY="key", PERMANENT_SESSION_LIFETIME=timedelta(hours=1))

    @app.get("/")
    def index() -> str:
        session.permanent = True
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    return app


def test_time_moves_by_hand() -> None:
    """A clock stands still, goes forward by what it is told, and never back."""
    clock = FakeClock(NOON)
    started = clock.monotonic()
    assert (clock.time(), clock.monotonic()) == (NOON, started)
    clock.advance(90.5)
    assert (clock.time(), clock.monotonic()) == (NOON + 90.5, started + 90.5)
    with pytest.raises(ValueError, match="Time does not go back"):
        clock.advance(-1)
    assert abs(FakeClock().time() - time.time()) < PATIENCE


def test_sessions_grow_old(clock: FakeClock) -> None:
    """A session is too old when the clock says so, and its cookie expires by the clock."""
    client = counting_app().test_client()
    response = client.get("/")
    cookie = response.headers["Set-Cookie"]
    expires = parsedate_to_datetime(cookie.partition("Expires=")[2].partition(";")[0])
    assert expires == datetime.fromtimestamp(NOON + 3600, UTC)
    clock.advance(3599)
    assert client.get("/").text == "2"
    clock.advance(3601)
    assert client.get("/").text == "1"


def test_the_framework_goes_by_the_clock(clock: FakeClock) -> None:
    """How long ago a context ended is told by the clock."""

    class Job(Context, stack=ContextStack("job")):
        pass

    job = Job()
    with job:
        pass
    clock.advance(25)
    assert "was ended 25.000 s ago" in str(job.ended_error("go on"))
    app = Demijohn("site")
    with app.app_context() as ctx:
        pass
    clock.advance(25)
    assert "was ended 25.000 s ago" in str(ctx.ended_error("go on"))


def with_deadline(app: Demijohn, seconds: float) -> Any:
    """An app context that has this time, by the clock that the framework goes by."""
    ctx = app.app_context()
    unit_of(ctx).cancel = CancelToken(stack.monotonic() + seconds)
    return ctx


def test_deadlines_pass_by_the_clock(clock: FakeClock) -> None:
    """What is left until a deadline, and whether it has passed, the clock says."""
    with with_deadline(Demijohn("site"), 60) as ctx:
        assert (ctx.remaining(), ctx.cancelled) == (60, False)
        clock.advance(59.5)
        assert (ctx.remaining(), ctx.cancelled) == (0.5, False)
        clock.advance(0.5)
        assert (ctx.remaining(), ctx.cancel_reason) == (0, "deadline")
        with pytest.raises(DeadlineExceeded):
            ctx.check()


def test_waits_of_the_framework_wake(clock: FakeClock) -> None:
    """A thread that waits in the framework, for an hour say, goes on when the clock is advanced."""
    app = Demijohn("site")
    waits, results = threading.Event(), list[bool]()

    def wait() -> None:
        with with_deadline(app, 3600) as ctx:
            waits.set()
            results.append(ctx.wait_cancelled())

    thread = threading.Thread(target=wait)
    thread.start()
    waits.wait()
    clock.advance(3600)
    thread.join(PATIENCE)
    assert results == [True]


def test_branches_end_by_the_clock(clock: FakeClock) -> None:
    """A deadline ends the wait for branches, in threads and in tasks."""
    app = Demijohn("site")
    stopped: list[str] = []

    def branch() -> None:
        clock.advance(61)
        assert app_ctx.wait_cancelled(PATIENCE)
        stopped.append("thread")
        app_ctx.check()

    with app.app_context(), pytest.raises(DeadlineExceeded), parallel(deadline=60) as p:
        p.submit(branch).result()

    async def task() -> None:
        clock.advance(61)
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            stopped.append("task")

    async def main() -> None:
        async with task_group(deadline=60) as tg:
            tg.create_task(task())

    with app.app_context(), pytest.raises(DeadlineExceeded):
        asyncio.run(main())
    assert stopped == ["thread", "task"]


def real_names() -> dict[tuple[str, str], Any]:
    """Every name of the package, and of ItsDangerous, that is a real clock."""
    clocks = (time.time, time.monotonic, time)
    return {
        (name, key): value
        for name, module in list(sys.modules.items())
        if name.startswith(("demijohn.", "itsdangerous."))
        for key, value in list(vars(module).items())
        if any(value is clock for clock in clocks)
    }


def test_nothing_of_the_clock_stays() -> None:
    """Afterwards every module has the real clock again, whatever happened."""
    before = real_names()
    assert ("demijohn.context.stack", "monotonic") in before
    with pytest.raises(LookupError), FakeClock():
        left = {name for name, _ in real_names() if not name.startswith("demijohn.testing")}
        assert {name for name in left if name.startswith("demijohn.")} == set()
        raise LookupError
    assert real_names() == before
    assert demijohn.http.sessions.datetime is datetime


def test_one_clock_at_a_time(clock: FakeClock) -> None:
    """A process has one time: a second active clock is refused, and the first goes on."""
    with pytest.raises(RuntimeError, match="active already"), FakeClock():
        raise AssertionError("never")
    clock.advance(1)
    assert clock.time() == NOON + 1


def test_sleepers_wake_in_order() -> None:
    """Threads and tasks that sleep wake when their time has come, the earliest first."""
    clock = FakeClock(limit=PATIENCE)
    woken: list[int] = []

    def sleeper(seconds: int) -> None:
        clock.sleep(seconds)
        woken.append(seconds)

    async def tasks() -> None:
        async def task(seconds: int) -> None:
            await clock.sleep_async(seconds)
            woken.append(seconds)

        await asyncio.gather(task(4), task(40))

    threads = [threading.Thread(target=sleeper, args=(n,)) for n in (3, 30)]
    threads.append(threading.Thread(target=lambda: asyncio.run(tasks())))
    for thread in threads:
        thread.start()
    clock.wait_for_sleepers(4, PATIENCE)
    clock.advance(2.9)
    assert woken == []
    for step, expected in ((0.1, [3]), (1, [3, 4]), (26, [3, 4, 30]), (10, [3, 4, 30, 40])):
        clock.advance(step)
        until(lambda: len(woken) == len(expected))  # noqa: B023
        assert woken == expected
    for thread in threads:
        thread.join(PATIENCE)


def test_a_condition_with_a_time_limit() -> None:
    """`wait` returns True when it was notified, False when the clock's time was over first."""
    clock = FakeClock(limit=PATIENCE)
    condition = threading.Condition()
    results: list[bool] = []

    def waiter(seconds: float) -> None:
        with condition:
            results.append(clock.wait(condition, seconds))

    for act in (lambda: clock.advance(11), lambda: notify(condition)):
        thread = threading.Thread(target=waiter, args=(10,))
        thread.start()
        clock.wait_for_sleepers(1, PATIENCE)
        act()
        thread.join(PATIENCE)
    assert results == [False, True]
    with condition:
        assert clock.wait(condition, 0) is False


def notify(condition: threading.Condition) -> None:
    """Wake who waits for it; a waiter that was noted holds the lock until it waits."""
    with condition:
        condition.notify_all()


def test_a_clock_that_nobody_moves() -> None:
    """Who waits in vain is told so after the real time limit, and is forgotten."""
    clock = FakeClock(limit=0.05)
    condition = threading.Condition()
    with pytest.raises(TimeoutError, match=r"Nobody advanced the clock by 10 s while 0\.05 real"):
        clock.sleep(10)
    with pytest.raises(TimeoutError, match="Nobody advanced"):
        asyncio.run(clock.sleep_async(10))
    with pytest.raises(TimeoutError, match="Nobody advanced"), condition:
        clock.wait(condition, 10)
    with pytest.raises(TimeoutError, match="0 instead of 1 wait for the clock after 0 s"):
        clock.wait_for_sleepers(1, 0)


def test_a_cancelled_sleeper_is_forgotten() -> None:
    """A task that is cancelled while it sleeps is not woken later."""
    clock = FakeClock(limit=PATIENCE)

    async def main() -> None:
        task = asyncio.create_task(clock.sleep_async(10))
        await asyncio.to_thread(clock.wait_for_sleepers, 1, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    clock.advance(20)
    assert not clock._sleepers
