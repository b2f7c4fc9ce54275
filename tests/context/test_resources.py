"""Resources of a kind of context of one's own, without the web: forms, errors, the way they end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from types import TracebackType
from typing import Any

import pytest
from elsewhere import in_thread
from kinds import new_kind
from places import FOREIGN, Runner

from demijohn.context import Context, ContextEnded, ContextStack, ContextWarning
from demijohn.context.releasing import Released


class Boom(Exception):
    """An error of a test."""


@pytest.fixture
def kind() -> type[Any]:
    return new_kind()


@pytest.fixture
def log() -> list[str]:
    return []


# -- forms -----------------------------------------------------------------------------------------


class Manager:
    """A context manager as a class."""

    log: list[str]

    def __enter__(self) -> Manager:
        self.log.append("enter")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.log.append(f"exit {kind and kind.__name__}")

    def close(self) -> None:
        self.log.append("close")


def as_generator(log: list[str]) -> Callable[[], Any]:
    def function() -> Iterator[str]:
        log.append("enter")
        try:
            yield "value"
            log.append("exit None")
        except BaseException as error:
            log.append(f"exit {type(error).__name__}")
            raise

    return function


def as_class(log: list[str]) -> Callable[[], Any]:
    return type("Own", (Manager,), {"log": log})


def as_function(log: list[str]) -> Callable[[], Any]:
    made = as_class(log)
    return lambda: made()


def as_contextmanager(log: list[str]) -> Callable[[], Any]:
    return contextmanager(as_generator(log))


def as_partial(log: list[str]) -> Callable[[], Any]:
    def function(number: int) -> Iterator[int]:
        yield from as_generator(log)()

    return partial(function, 1)


SYNC_FORMS = [as_generator, as_class, as_function, as_contextmanager, as_partial]


@pytest.mark.parametrize("form", SYNC_FORMS)
def test_forms(form: Any, kind: Any, log: list[str]) -> None:
    """Generator functions, context manager classes and functions that return one are resources."""
    value = kind.stack.resource()(form(log))
    with kind():
        assert log == []
        assert value
        assert log == ["enter"]
    assert log == ["enter", "exit None"]


@pytest.mark.parametrize("form", SYNC_FORMS)
def test_forms_with_an_error(form: Any, kind: Any, log: list[str]) -> None:
    """An error that ends the context reaches each form."""
    value = kind.stack.resource()(form(log))
    with pytest.raises(Boom), kind():
        assert value
        raise Boom
    assert log == ["enter", "exit Boom"]


def test_closing(kind: Any, log: list[str]) -> None:
    """`contextlib.closing` makes a resource of anything that has `close()`."""

    class Open:
        def close(self) -> None:
            log.append("close")

    value = kind.stack.resource()(lambda: closing(Open()))
    with kind():
        assert isinstance(value, Open)
        assert log == []
    assert log == ["close"]


class AsyncManager:
    """An async context manager as a class."""

    log: list[str]

    async def __aenter__(self) -> str:
        await asyncio.sleep(0)
        self.log.append("enter")
        return "value"

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await asyncio.sleep(0)
        self.log.append(f"exit {kind and kind.__name__}")


def as_async_generator(log: list[str]) -> Callable[[], Any]:
    async def function() -> AsyncIterator[str]:
        await asyncio.sleep(0)
        log.append("enter")
        try:
            yield "value"
            await asyncio.sleep(0)
            log.append("exit None")
        except BaseException as error:
            await asyncio.sleep(0)
            log.append(f"exit {type(error).__name__}")
            raise

    return function


def as_async_class(log: list[str]) -> Callable[[], Any]:
    return type("Own", (AsyncManager,), {"log": log})


def as_asynccontextmanager(log: list[str]) -> Callable[[], Any]:
    return asynccontextmanager(as_async_generator(log))


ASYNC_FORMS = [as_async_generator, as_async_class, as_asynccontextmanager]


@pytest.mark.parametrize("form", ASYNC_FORMS)
def test_async_forms(form: Any, kind: Any, log: list[str]) -> None:
    """Async ones are awaited, once opened in a context, and `async with` awaits their close."""
    value = kind.stack.resource()(form(log))

    async def main() -> None:
        async with kind():
            assert await value == "value"
            assert await value == "value"
            assert log == ["enter"]
        assert log == ["enter", "exit None"]
        log.clear()
        with pytest.raises(Boom):
            async with kind():
                await value
                raise Boom
        assert log == ["enter", "exit Boom"]

    asyncio.run(main())


@pytest.mark.parametrize("good", [True, False])
def test_a_loop_that_is_closed_first(good: bool, kind: Any, log: list[str]) -> None:
    """A loop that is closed before the context ends what was opened on it, once; that the code
    after the `yield` was passed over at a good end is told."""
    value = kind.stack.resource()(as_async_generator(log))

    async def main() -> None:
        assert await value == "value"

    if good:
        with pytest.warns(ContextWarning, match=r"'function'.*close of its event loop"), kind():
            asyncio.run(main())
    else:
        with pytest.raises(Boom), kind():
            asyncio.run(main())
            raise Boom
    assert log == ["enter", "exit GeneratorExit"]


# -- mistakes --------------------------------------------------------------------------------------


def line_of(function: Callable[..., Any]) -> str:
    return f"{__file__}:{function.__code__.co_firstlineno}"


def test_no_yield(kind: Any) -> None:
    """A generator that yields nothing is named, with file and line, and is not registered."""

    def none() -> Iterator[int]:
        yield from ()

    value = kind.stack.resource()(none)
    with kind() as ctx:
        with pytest.raises(RuntimeError, match="did not yield a value") as caught:
            value + 1
        assert line_of(none) in str(caught.value)
        assert "'none'" in str(caught.value)
        assert ctx.held() == []


@pytest.mark.parametrize("way", ["end", "error", "release"])
def test_a_second_yield(way: str, kind: Any, log: list[str]) -> None:
    """A generator that yields twice is named, with file and line, and is closed."""

    def twice() -> Iterator[int]:
        try:
            yield 1
        except BaseException:
            yield 2
        try:
            yield 3
        finally:
            log.append("closed")

    value = kind.stack.resource(lifetime="view")(twice)
    with pytest.raises((Boom, RuntimeError)) as caught, kind() as ctx:
        assert value == 1
        if way == "error":
            raise Boom
        if way == "release":
            Released([ctx]).__enter__()
    assert "yielded a second time" in str(caught.value)
    assert line_of(twice) in str(caught.value)
    assert log == (["closed"] if way == "end" else [])


def test_a_second_yield_that_will_not_go(kind: Any) -> None:
    """One that goes on yielding when it is closed is named all the same."""

    def stubborn() -> Iterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                pass
            finally:
                if len(seen) < 5:
                    seen.append(1)
                    yield 2

    seen: list[int] = []
    value = kind.stack.resource()(stubborn)
    with pytest.raises(RuntimeError, match="yielded a second time"), kind():
        assert value == 1
    seen += [1] * 5


def test_an_async_second_yield(kind: Any) -> None:
    """The same for async generators: none, and twice."""

    async def none() -> AsyncIterator[int]:
        for number in ():
            yield number

    async def twice() -> AsyncIterator[int]:
        yield 1
        yield 2

    first, second = kind.stack.resource()(none), kind.stack.resource()(twice)

    async def main() -> None:
        async with kind():
            with pytest.raises(RuntimeError, match="did not yield") as caught:
                await first
            assert line_of(none) in str(caught.value)
        with pytest.raises(RuntimeError, match="yielded a second time") as caught:
            async with kind():
                assert await second == 1
        assert line_of(twice) in str(caught.value)

    asyncio.run(main())


@pytest.mark.parametrize("made", [5, [1], iter([1])], ids=["int", "list", "iterator"])
def test_a_wrong_return(made: Any, kind: Any) -> None:
    """A function that returns neither is told what a resource is, with its name and line."""

    def wrong() -> Any:
        return made

    value = kind.stack.resource()(wrong)
    with kind():
        with pytest.raises(TypeError, match=r"returned .*: a resource is a generator") as caught:
            str(value)
        assert line_of(wrong) in str(caught.value)


def test_an_async_manager_from_a_function(kind: Any, log: list[str]) -> None:
    """A plain function that returns an async context manager is told how to declare one."""
    made = as_async_class(log)
    value = kind.stack.resource()(lambda: made())
    with kind(), pytest.raises(TypeError, match="async generator function"):
        str(value)


def test_declarations_that_cannot_be(kind: Any) -> None:
    """What can never work is refused where it is declared."""
    declare = kind.stack.resource

    async def coroutine() -> int:
        return 1

    def function() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"'coroutine' .* is a coroutine function: write `yield`"):
        declare()(coroutine)
    with pytest.raises(TypeError, match="a transaction belongs to one context"):
        declare(lifetime="app", transaction=print)(function)
    with pytest.raises(ValueError, match="lifetime='request': it is one of context, view"):
        declare(lifetime="request")(function)
    with pytest.raises(TypeError, match="is no function"):
        declare()(5)


def test_an_error_in_opening(kind: Any, log: list[str]) -> None:
    """An error in opening comes out as itself, nothing is registered, the next use tries again."""
    fails = True

    @kind.stack.resource()
    def value() -> Iterator[int]:
        try:
            if fails:
                raise Boom
            yield 1
        finally:
            log.append("closed")

    with kind() as ctx:
        for _ in range(2):
            with pytest.raises(Boom):
                str(value)
            assert ctx.held() == []
        assert log == ["closed"] * 2
        fails = False
        assert value == 1
    assert log == ["closed"] * 3


def test_an_error_of_the_value_is_its_own(kind: Any) -> None:
    """An `AttributeError` or `RuntimeError` of value or opening is no missing context's."""

    class Value:
        @property
        def broken(self) -> int:
            raise AttributeError("inner")

    @kind.stack.resource()
    def value() -> Iterator[Value]:
        yield Value()

    @kind.stack.resource()
    def failing() -> Iterator[int]:
        raise RuntimeError("no server")
        yield 1

    with kind():
        for _ in range(2):
            with pytest.raises(AttributeError, match="inner"):
                value.broken  # noqa: B018
            with pytest.raises(AttributeError, match="'Value' object has no attribute 'missing'"):
                value.missing  # noqa: B018
            assert getattr(value, "missing", 5) == 5
        for use in (bool, str, lambda x: x == 1, lambda x: x != 1, dir):
            with pytest.raises(RuntimeError, match="no server"):
                use(failing)


# -- ends ------------------------------------------------------------------------------------------


def test_the_error_is_left_as_it_was(kind: Any) -> None:
    """An error that passes through resources keeps its traceback, and comes out as itself."""

    @kind.stack.resource()
    def value() -> Iterator[int]:
        try:
            yield 1
        finally:
            sum([1])

    managed = kind.stack.resource()(contextmanager(lambda: iter_once()))

    def iter_once() -> Iterator[int]:
        yield 1

    def depth(error: BaseException) -> int:
        count, traceback = 0, error.__traceback__
        while traceback is not None:
            count, traceback = count + 1, traceback.tb_next
        return count

    def run(*used: Any) -> BaseException:
        error = Boom()
        try:
            with kind():
                assert [one == 1 for one in used] == [True] * len(used)
                raise error
        except Boom as caught:
            assert caught is error
            assert caught.__context__ is None
            return caught

    assert depth(run()) == depth(run(value)) == depth(run(managed)) == depth(run(value, managed))


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, GeneratorExit, Boom])
def test_any_error_passes_through(error: type[BaseException], kind: Any) -> None:
    """Errors that generators treat in a way of their own pass through resources as well."""

    @kind.stack.resource()
    def value() -> Iterator[int]:
        yield 1

    @kind.stack.resource()
    async def awaited() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(error), kind():
        assert value == 1
        raise error

    async def main() -> None:
        ctx = kind()
        await ctx.__aenter__()
        await awaited
        await ctx.__aexit__(error, error(), None)

    asyncio.run(main())


def test_an_error_instead_of_the_error(kind: Any) -> None:
    """A close that fails over an error is reported besides; the block's own error leaves."""

    @kind.stack.resource()
    def value() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise LookupError("in the close")

    with pytest.raises(LookupError, match="in the close") as caught, kind():
        assert value == 1
        raise Boom
    assert isinstance(caught.value.__context__, Boom)


def test_a_swallowed_error_leaves_all_the_same(kind: Any) -> None:
    """A resource that catches the error at its `yield` does not hide it from the caller."""

    @kind.stack.resource()
    def value() -> Iterator[int]:
        try:
            yield 1
        except Boom:
            pass

    with pytest.raises(Boom), kind():
        assert value == 1
        raise Boom


def test_last_opened_first(kind: Any, log: list[str]) -> None:
    """What a resource is opened from is closed after it, whichever was asked for first."""

    def declare(name: str, *needs: str) -> None:
        def function() -> Iterator[str]:
            log.append("+" + "".join(str(resources[need]) for need in needs) + name)
            yield name
            log.append("-" + name)

        function.__name__ = name
        resources[name] = kind.stack.resource(lifetime="view")(function)

    resources: dict[str, Any] = {}
    declare("a")
    declare("b", "a")
    declare("c", "b")
    with kind():
        assert resources["c"] == "c"
    assert log == ["+a", "+ab", "+bc", "-c", "-b", "-a"]


def test_closings_that_never_cease(kind: Any) -> None:
    """Closings that open each other anew are stopped, and the end says so."""

    @kind.stack.resource()
    def first() -> Iterator[int]:
        yield 1
        str(second)

    @kind.stack.resource()
    def second() -> Iterator[int]:
        yield 1
        str(first)

    with pytest.raises(ExceptionGroup) as caught, kind():
        str(first)
    assert any("opened anew by closings" in str(error) for error in caught.value.exceptions)


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


@pytest.mark.parametrize("end", FOREIGN, ids=lambda place: place.__name__)
def test_context_variables(end: Runner[Any], kind: Any, log: list[str]) -> None:
    """A variable that a resource sets is reset by it wherever it ends; users see nothing of it."""

    @kind.stack.resource()
    def value() -> Iterator[int]:
        token = number.set(1)
        yield 1
        assert number.get() == 1
        number.reset(token)
        log.append("reset")

    @kind.stack.resource()
    async def awaited() -> AsyncIterator[int]:
        token = number.set(2)
        await asyncio.sleep(0)
        yield 1
        await asyncio.sleep(0)
        assert number.get() == 2
        number.reset(token)
        log.append("reset")

    async def wait() -> int:
        return await awaited

    ctx = kind()
    ctx.push()
    hold = ctx.hold()
    assert value == 1
    with asyncio.Runner() as runner:
        assert contextvars.copy_context().run(runner.run, wait()) == 1
        assert number.get() == 0
        ctx.pop()
        end(hold.release)
    assert log == ["reset", "reset"]
    assert number.get() == 0


def test_a_variable_of_the_opener_is_seen(kind: Any) -> None:
    """A resource sees the caller's variables as they were at its opening, in its close too."""
    seen: list[int] = []

    @kind.stack.resource()
    def value() -> Iterator[int]:
        seen.append(number.get())
        yield 1
        seen.append(number.get())

    def work() -> None:
        number.set(5)
        with kind():
            assert value == 1
            number.set(6)

    contextvars.copy_context().run(work)
    assert seen == [5, 5]


# -- dropped ---------------------------------------------------------------------------------------


@pytest.mark.leaves_behind("context")
def test_what_is_dropped_unclosed(kind: Any, log: list[str]) -> None:
    """A context that is collected without an end warns of what it held, says who opened it, and
    closes it, without going on. In which order the collector comes to its parts is its own
    affair, so the Context is not promised here."""

    @kind.stack.resource()
    def value() -> Iterator[int]:
        try:
            yield 1
            log.append("good")
        finally:
            log.append("closed")

    def open_and_drop() -> None:
        kind().push()
        assert value == 1

    contextvars.copy_context().run(open_and_drop)
    with pytest.warns(ResourceWarning, match="was never closed: its context was dropped") as found:
        gc.collect()
    [warning] = found
    assert "resource 'value'" in str(warning.message)
    assert f"opened by {__file__}:" in str(warning.message)
    assert "open_and_drop in thread 'MainThread'" in str(warning.message)
    assert log == ["closed"]


@pytest.mark.leaves_behind("context")
def test_dropping_with_warnings_as_errors(
    kind: Any, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where warnings are errors, all that was held is closed all the same, and all is reported."""
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: reported.append(hook.exc_value))
    resources = []
    for name in "ab":

        def function(name: str = name) -> Iterator[int]:
            try:
                yield 1
            finally:
                log.append(name)
                raise Boom(name)

        resources.append(kind.stack.resource()(function))

    def open_and_drop() -> None:
        kind().push()
        assert [one == 1 for one in resources] == [True, True]

    contextvars.copy_context().run(open_and_drop)
    gc.collect()
    assert log == ["b", "a"]
    [group] = reported
    kinds = [type(error) for error in group.exceptions]
    assert kinds == [ResourceWarning, Boom, ResourceWarning, Boom]


def test_nothing_of_an_ended_context_is_kept() -> None:
    """Values, contexts and errors are gone right after the end, without the collector."""

    class kind(Context, stack=ContextStack[Any]("plain")):
        """Unlike the other tests', it keeps no error."""

    class Value:
        pass

    refs: list[weakref.ref[Any]] = []

    def make(fails: bool) -> Iterator[Value]:
        made = Value()
        refs.append(weakref.ref(made))
        try:
            yield made
        finally:
            if fails:
                raise LookupError

    good = kind.stack.resource()(lambda: make(False))
    bad = kind.stack.resource()(lambda: make(True))
    managed = kind.stack.resource()(contextmanager(lambda: make(False)))

    def run(error: bool, *used: Any) -> None:
        try:
            with kind() as ctx:
                refs.append(weakref.ref(ctx))
                assert [bool(one) for one in used] == [True] * len(used)
                if error:
                    raise Boom
        except (Boom, LookupError, ExceptionGroup):
            pass

    gc.collect()
    gc.disable()
    try:
        for error in (False, True):
            for used in ((good,), (bad,), (managed,), (good, bad, managed), (bad, good)):
                run(error, *used)
        assert [ref for ref in refs if ref() is not None] == []
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_two_threads_end_and_open(kind: Any) -> None:
    """What another thread opens while the context ends is closed by one of them, and never lost."""
    for _ in range(200):
        log: list[str] = []

        @kind.stack.resource()
        def value(log: list[str] = log) -> Iterator[int]:
            log.append("open")
            try:
                yield 1
            finally:
                log.append("close")

        ctx = kind()
        ready = threading.Barrier(2, timeout=60)

        def use(ready: threading.Barrier = ready, value: Any = value) -> None:
            ready.wait()
            try:
                str(value)
            except ContextEnded:
                pass

        ctx.push()
        thread = threading.Thread(target=contextvars.copy_context().run, args=(use,))
        thread.start()
        ready.wait()
        ctx.pop(None)
        thread.join()
        assert log in ([], ["open", "close"])
        assert ctx.held() == []


def test_a_kind_without_the_web() -> None:
    """A custom context with a resource and a proxy works in any program, on any thread."""

    class Job(Context, stack=ContextStack["Job"]("job")):
        def __init__(self, path: str) -> None:
            self.path = path

    path = Job.stack.proxy("path")

    @Job.stack.resource(lifetime="view")
    def connection() -> Iterator[list[str]]:
        yield [str(path)]

    def work() -> list[str]:
        with Job("a.db"):
            connection.append("row")
            return list(connection)

    assert work() == in_thread(work) == ["a.db", "row"]
    with pytest.raises(RuntimeError, match="Working outside of job context"):
        connection.append("row")
