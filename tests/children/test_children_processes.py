"""`in_child` into a process pool: the declared values and the deadline go along, nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextvars import copy_context
from typing import Any

import process_app
import pytest
from children_kit import PATIENCE, make_app

from demijohn import DeadlineExceeded, g, in_child
from demijohn.context import Context, ContextStack
from demijohn.context.children.child import in_child as core_in_child
from demijohn.framework.app_places import app_at, place_of
from demijohn.globals import app_ctx

WAIT = 3 * PATIENCE  # a process imports all of it


@pytest.fixture(scope="module", params=["fork", "spawn"])
def pool(request: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool of one process, begun before any context."""
    context = multiprocessing.get_context(request.param)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(os.getpid).result(WAIT) != os.getpid()
        yield executor


@pytest.fixture
def current() -> Iterator[Any]:
    """An app context with values to carry, and others."""
    with process_app.app.app_context() as ctx:
        g.user = {"name": "ann", "pid": os.getpid()}
        g.connection = object()
        process_app.tenant.set("acme")
        yield ctx


SEEN = {
    "n": 1,
    "other process": True,
    "user": "ann",
    "names": ["user"],
    "tenant": "acme",
    "label": "global",
    "request": False,
    "cancelled": False,
    "deadline": False,
}


def test_what_goes_along(pool: ProcessPoolExecutor, current: Any) -> None:
    """In the process there is an app context with the declared values, and no request."""
    assert pool.submit(in_child(process_app.look), 1).result(WAIT) == SEEN
    assert list(pool.map(in_child(process_app.look), [1, 2])) == [SEEN, {**SEEN, "n": 2}]


def test_from_a_request(pool: ProcessPoolExecutor) -> None:
    """From a request the same goes along, and the request stays."""
    with process_app.app.test_request_context("/"):
        g.user = {"name": "ann", "pid": os.getpid()}
        process_app.tenant.set("acme")
        assert pool.submit(in_child(process_app.look), 1).result(WAIT) == SEEN


def test_each_call_has_its_own_context(pool: ProcessPoolExecutor, current: Any) -> None:
    """Two calls in one process have each a `g` of their own, and none is left there."""
    work = in_child(process_app.dirty)
    assert [pool.submit(work).result(WAIT) for _ in range(2)] == [True, True]
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        pool.submit(process_app.dirty).result(WAIT)


def test_a_pool_that_was_begun_in_a_request() -> None:
    """A process that was forked in a request, and so has its Context, sees the child's context in
    the child, and no request."""
    fork = multiprocessing.get_context("fork")
    with process_app.app.test_request_context("/"):
        g.user = {"name": "ann", "pid": os.getpid()}
        process_app.tenant.set("acme")
        app_ctx.cancel()
        with ProcessPoolExecutor(1, mp_context=fork) as executor:
            assert executor.submit(in_child(process_app.look), 1).result(WAIT) == SEEN


def test_an_error(pool: ProcessPoolExecutor, current: Any) -> None:
    """An error of the function comes back, and the pool goes on."""
    with pytest.raises(LookupError, match="ann"):
        pool.submit(in_child(process_app.fail)).result(WAIT)
    assert pool.submit(in_child(process_app.look), 1).result(WAIT) == SEEN


def test_an_async_function(pool: ProcessPoolExecutor, current: Any) -> None:
    """An async function is run to its end in the process."""
    assert pool.submit(in_child(process_app.look_async), 1).result(WAIT) == SEEN


def test_the_deadline(pool: ProcessPoolExecutor, current: Any) -> None:
    """The deadline of the work, and one of the call alone, hold in the process."""
    found = pool.submit(in_child(process_app.look, deadline=60), 1).result(WAIT)
    assert found == {**SEEN, "deadline": True}

    def work() -> Any:
        g.user = {"name": "ann", "pid": os.getpid()}
        process_app.tenant.set("acme")
        return pool.submit(in_child(process_app.look), 1).result(WAIT)

    assert in_child(work, deadline=60)() == {**SEEN, "deadline": True}
    # One that has passed on the way is noticed there.
    assert issubclass(DeadlineExceeded, TimeoutError)


@pytest.mark.parametrize("config", ["process_app:create_app()", "process_app:create_app('named')"])
def test_an_application_of_a_factory(pool: ProcessPoolExecutor, config: str) -> None:
    """An application that is no global is made by what `PROCESS_APP` names, once a process."""
    app = process_app.create_app()
    app.config["PROCESS_APP"] = config
    with app.app_context():
        g.user = {"name": "ann", "pid": os.getpid()}
        process_app.tenant.set("acme")
        work = in_child(process_app.look)
        label = "named" if "named" in config else "made"
        assert pool.submit(work, 1).result(WAIT) == {**SEEN, "label": label}
        before = pool.submit(process_app.how_many).result(WAIT)
        pool.submit(work, 1).result(WAIT)
        assert pool.submit(process_app.how_many).result(WAIT) == before


def test_an_application_that_cannot_be_found() -> None:
    """Where another process cannot find the application, pickling says how to tell it."""
    with make_app().app_context():
        work = in_child(process_app.look)
        with pytest.raises(RuntimeError, match="PROCESS_APP"):
            pickle.dumps(work)


def test_a_place_that_is_wrong(pool: ProcessPoolExecutor) -> None:
    """A place that has no application is told in the call, and the pool goes on."""
    app = process_app.create_app()
    with app.app_context():
        for place, text in {
            "process_app:missing": "has no 'missing'",
            "process_app:how_many()": "is no application",
            "process_app:a.b": "is no place",
            "process_app:f(x)": "is no place",
            "process_app": "is no place",
        }.items():
            app.config["PROCESS_APP"] = place
            with pytest.raises(RuntimeError, match=text):
                pool.submit(in_child(process_app.look), 1).result(WAIT)
        app.config["PROCESS_APP"] = "no_such_module:app"
        with pytest.raises(ModuleNotFoundError):
            pool.submit(in_child(process_app.look), 1).result(WAIT)


def test_what_is_pickled() -> None:
    """What is pickled is the function and plain data: the carrier, as JSON gives it back."""
    with process_app.app.app_context():
        g.user = {"name": "ann"}
        make, (_, deadline, _, place, carrier) = in_child(process_app.look).__reduce__()
    assert (deadline, place) == (None, "process_app:app")
    assert json.loads(json.dumps(carrier)) == carrier
    assert "Cookie" not in json.dumps(carrier)
    assert callable(make)


def test_context_variables_do_not_go_along(current: Any) -> None:
    """What was to begin with context variables is refused, not called without them."""
    with pytest.raises(TypeError, match="context= cannot go to another process"):
        pickle.dumps(in_child(len, context=copy_context()))


def test_a_context_itself_is_refused(current: Any) -> None:
    """A context does not pickle, and says to use `in_child`."""
    with pytest.raises(TypeError, match="in_child"):
        pickle.dumps(app_ctx._get_current_object())


def test_a_custom_kind_of_context() -> None:
    """Children of a custom kind of context say that they stay in their process."""
    stack: ContextStack[Any] = ContextStack("database")

    class Database(Context, stack=stack):
        pass

    with Database():
        work = core_in_child(stack, process_app.how_many)
    with pytest.raises(TypeError, match="database context cannot run in another process"):
        pickle.dumps(work)


def test_places() -> None:
    """An application is found as a global of its module, and at its place."""
    assert place_of(process_app.app) == "process_app:app"
    assert app_at("process_app:app") is process_app.app
