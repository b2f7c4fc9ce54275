"""`on_commit` and `on_end`: after a transaction's commit, else at the end of the context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from resource_kit import Boom, Handled, Site, logged, serve

import demijohn
from demijohn import on_commit, on_end, resource


class Store:
    """A transactional resource made by hand; the hook gives it what it tells its events to."""

    events: Any


def declare_store() -> Any:
    def hook(value: Store, events: Any) -> None:
        value.events = events

    @resource(transaction=hook)
    def store() -> Iterator[Store]:
        yield Store()

    return store


@pytest.fixture
def store() -> Any:
    return declare_store()


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.fixture
def app() -> Any:
    return demijohn.Demijohn("site")


def test_after_the_commit(app: Any, store: Any, log: list[Any]) -> None:
    """A callback is called right after the commit, once, with its arguments, in order."""
    with app.app_context():
        store.events.begun()
        on_commit(lambda *args, **kwargs: log.append((args, kwargs)), 1, key=2)
        on_commit(log.append, "second")
        assert log == []
        store.events.committed()
        assert log == [((1,), {"key": 2}), "second"]
        store.events.begun()
        store.events.committed()
    assert len(log) == 2


def test_dropped_on_rollback(app: Any, store: Any, log: list[Any]) -> None:
    """A rollback drops the callbacks of its transaction, and no other's."""
    with app.app_context():
        on_commit(log.append, "before")
        store.events.begun()
        on_commit(log.append, "never")
        store.events.rolled_back()
        on_commit(log.append, "after")
        assert log == []
    assert log == ["before", "after"]


def test_dropped_on_close(app: Any, store: Any, log: list[Any]) -> None:
    """A transaction that is open when its resource closes is not committed: dropped."""
    with app.app_context():
        store.events.begun()
        on_commit(log.append, "never")
        on_end(log.append, "end")
    assert log == ["end"]


def test_savepoints(app: Any, store: Any, log: list[Any]) -> None:
    """A savepoint's callbacks wait for the outer commit; its rollback drops its own."""
    with app.app_context():
        events = store.events
        events.begun()
        on_commit(log.append, "outer")
        events.begun()
        on_commit(log.append, "kept")
        events.committed()
        events.begun()
        on_commit(log.append, "dropped")
        events.begun()
        on_commit(log.append, "dropped with it")
        events.committed()
        events.rolled_back()
        on_commit(log.append, "last")
        assert log == []
        events.committed()
        assert log == ["outer", "kept", "last"]
        events.begun()
        on_commit(log.append, "never")
        events.begun()
        on_commit(log.append, "never")
        events.committed()
        events.rolled_back()
    assert log == ["outer", "kept", "last"]


def test_the_innermost_of_two_resources(app: Any, log: list[Any]) -> None:
    """Of two transactional resources, the one whose transaction was opened last decides."""
    first, second = declare_store(), declare_store()
    with app.app_context():
        first.events.begun()
        second.events.begun()
        on_commit(log.append, "second")
        first.events.committed()
        assert log == []
        on_commit(log.append, "second too")
        second.events.committed()
        assert log == ["second", "second too"]


def test_a_commit_in_the_close(app: Any, log: list[Any]) -> None:
    """What is committed after the `yield`, at a good end, calls its callbacks there."""

    def hook(value: Store, events: Any) -> None:
        value.events = events
        events.begun()

    @resource(transaction=hook)
    def store() -> Iterator[Store]:
        value = Store()
        yield value
        value.events.committed()

    for fails in (False, True):
        try:
            with app.app_context():
                assert store.events
                on_commit(log.append, "committed")
                if fails:
                    raise Boom
        except Boom:
            pass
        assert log == ["committed"]


def test_events_after_the_close(app: Any, store: Any, log: list[Any]) -> None:
    """Events that come when the resource is gone change nothing."""
    with app.app_context():
        events = store.events
    events.begun()
    events.committed()
    with app.app_context():
        events.begun()
        on_commit(log.append, "end")
        events.rolled_back()
    assert log == ["end"]


def test_events_without_a_begin(app: Any, store: Any) -> None:
    """A commit or rollback that nothing began does nothing."""
    with app.app_context():
        store.events.committed()
        store.events.rolled_back()
        store.events.closed()


@pytest.mark.parametrize(
    ("way", "called"), [("return", True), ("abort", True), ("handled", False), ("raise", False)]
)
def test_without_a_transaction(way: str, called: bool) -> None:
    """With no open transaction it waits for the end, and is called when the outcome is `ok`."""
    site = Site()

    @site.view
    def view() -> str:
        on_commit(site.log.append, "on_commit")
        on_end(site.log.append, "on_end")
        if way == "abort":
            demijohn.abort(404)
        if way == "handled":
            raise Handled
        if way == "raise":
            raise Boom
        return "text"

    serve(site.app)
    assert ("on_commit" in site.log) == called
    assert site.log.count("on_end") == 1


def test_a_failed_close_drops_what_waits(app: Any, log: list[Any]) -> None:
    """Where the last commit fails, in a close, nothing is told that it was kept."""

    @resource
    def session() -> Iterator[int]:
        yield 1
        raise Boom("the commit failed")

    ctx = app.app_context()
    with pytest.raises(Boom), ctx:
        assert session == 1
        on_commit(log.append, "never")
        on_end(log.append, "end")
    assert log == ["end"]
    with ctx:
        on_commit(log.append, "next life")
    assert log == ["end", "next life"]


def test_a_failed_close_of_the_request_drops_what_waits() -> None:
    """The same where the resource is the request's, and the callback its app context's."""
    site = Site()

    @resource(lifetime="view")
    def session() -> Iterator[int]:
        yield 1
        raise Boom("the commit failed")

    @site.view
    def view() -> str:
        assert session == 1
        on_commit(site.log.append, "never")
        return "text"

    assert serve(site.app) == "200 OK"
    assert "never" not in site.log
    assert [str(error) for error in site.errors.found] == ["the commit failed"]


def raising(name: str) -> Callable[[], None]:
    def callback() -> None:
        raise Boom(name)

    return callback


def test_errors_after_a_commit(app: Any, store: Any, log: list[Any]) -> None:
    """Every callback of a commit is called; what they raised comes out of the commit."""
    with app.app_context():
        store.events.begun()
        on_commit(raising("a"))
        on_commit(log.append, "between")
        on_commit(raising("b"))
        with pytest.raises(ExceptionGroup, match="Errors after a commit of the resource 'store'"):
            store.events.committed()
        assert log == ["between"]
        store.events.begun()
        on_commit(raising("c"))
        with pytest.raises(Boom, match="c"):
            store.events.committed()


def test_errors_at_the_end(app: Any, log: list[Any]) -> None:
    """Every callback of an end is called; what they raised leaves the `with`."""
    with pytest.raises(ExceptionGroup) as caught, app.app_context():
        on_end(raising("a"))
        on_commit(log.append, "between")
        on_commit(raising("b"))
    assert [str(error) for error in caught.value.exceptions] == ["a", "b"]
    assert log == ["between"]


def test_callbacks_use_the_context(app: Any, store: Any, log: list[Any]) -> None:
    """A callback sees the context, opens resources and registers callbacks."""
    late = logged(log, "late")

    def callback() -> None:
        log.append(demijohn.current_app.name)
        assert late.name == "late"
        on_commit(log.append, "later")

    with app.app_context():
        store.events.begun()
        on_commit(callback)
        store.events.committed()
        assert log == ["site", "open late"]
    assert log == ["site", "open late", "good late", "close late", "later"]
    log.clear()
    with app.app_context():
        on_end(callback)
    assert log == ["site", "open late", "good late", "close late", "later"]


def test_async_callbacks(app: Any, log: list[Any]) -> None:
    """An async function is run as a hook would be."""

    async def callback(value: str) -> None:
        log.append(value)

    with app.app_context():
        on_end(callback, "awaited")
    assert log == ["awaited"]


def test_in_a_nested_context(app: Any, store: Any, log: list[Any]) -> None:
    """A callback belongs to the context that is current when it is registered."""
    with app.app_context():
        store.events.begun()
        with app.app_context():
            on_commit(log.append, "inner")
        assert log == ["inner"]
        on_commit(log.append, "outer")
        store.events.committed()
    assert log == ["inner", "outer"]
