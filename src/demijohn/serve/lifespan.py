"""What runs around the serving of an application: once a server process, at its start and end.

`serve_lifespan` is the ASGI protocol for it, `Serving` the same as a `with` block. Both run a
`Lifespan`. How a process learns that it is to stop is `serve.stopping`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import ExitStack
from contextvars import Context
from time import monotonic
from typing import Any, Self, TypeVar

from ..context.ending import raise_errors
from ..context.lifecycle import State
from ..context.releasing import releasing_clean
from ..context.sources import Source, async_source, sync_source
from ..framework.app_contexts import AppContext
from ..framework.globals import current_app_ctx
from ..framework.handing import Ask, call, hand, made
from ..framework.limits import end_timeout
from ..framework.sites import Site
from .driving import Work
from .loop_thread import LoopThread
from .mounted_lifespan import BY_ASGI, MountedLifespans
from .shielding import shielded
from .stopping import Stopping, heard, stopping_of, told_by_main_process
from .threads import Threads

T = TypeVar("T")

_STOP = "what runs around its serving"
_POLL = 0.1  # seconds between two questions to a main process that sends no signal


async def serve_lifespan(app: Any, threads: Threads, scope: Any, receive: Any, send: Any) -> None:
    """Serve the lifespan of one server process (the ASGI specification's "Lifespan Protocol")."""
    await receive()
    lifespan = Lifespan(app, threads, by_asgi=scope.get(BY_ASGI, True))
    with ExitStack() as hearing:
        loop = asyncio.get_running_loop()
        hearing.enter_context(heard(stopping_of(app).hears_on(loop)))
        try:
            await lifespan.start()
        except Exception as error:
            message = f"The {lifespan.starting} raised {type(error).__name__}: {error}"
            app.logger.error(f"The application does not start: {message}", exc_info=error)
            await send({"type": "lifespan.startup.failed", "message": message})
            return
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            errors = await _to_its_end(lifespan.stop(), app, _STOP)
        await send(_shutdown_message(errors))


def _shutdown_message(errors: list[BaseException]) -> dict[str, str]:
    if not errors:
        return {"type": "lifespan.shutdown.complete"}
    message = "; ".join(f"{type(error).__name__}: {error}" for error in errors)
    return {"type": "lifespan.shutdown.failed", "message": message}


async def _to_its_end(coroutine: Coroutine[Any, Any, T], app: Any, name: str) -> T:
    """Await what ends a part of the serving. However often its task is cancelled meanwhile, it has
    `END_TIMEOUT` seconds from the first time on."""
    return await shielded(coroutine, lambda: name, app, app, patient=True)


class Lifespan:
    """One time of serving an application, on the loop that runs at `start`.

    At the start: `before_serving` functions, then `while_serving` ones up to their `yield`, each in
    the order of registration, then the lifespans of what is mounted. At the end: sync functions
    that still run on threads are waited for, the lifespans of what is mounted end, `while_serving`
    functions go on after their `yield`, last begun first, `after_serving` functions run in the
    order of registration, and resources of lifetime `app` are closed, last opened first.

    An application that is served twice in one process has one lifespan, the first; the second
    does nothing.
    """

    def __init__(self, app: Any, threads: Threads, by_asgi: bool = False) -> None:
        self.app = app
        self._threads = threads
        self._by_asgi = by_asgi
        self._mounted = MountedLifespans(app)
        #: What runs, or ran last, at the start: for the message where it fails.
        self.starting = "startup"
        self._blocks: list[_Block] = []
        self._watch: asyncio.Task[None] | None = None
        self._mine = False

    async def start(self) -> None:
        """Run what begins the serving. Raises what the first function raised that failed, after
        what had begun is ended."""
        app = self.app
        self._mine = vars(app).setdefault("_lifespan", self) is self
        if not self._mine:
            return
        try:
            stopping_of(app).renew()
            if (is_told := told_by_main_process()) is not None:
                watching = _watch_main_process(stopping_of(app), is_told)
                self._watch = asyncio.create_task(watching)
            for function in app.before_serving_funcs:
                await self._call("before_serving", function)
            for function in app.while_serving_funcs:
                self.starting = _named("while_serving", function)
                block = _Block(app, self._threads, self.starting, function)
                await block.enter()
                self._blocks.append(block)
            self.starting = "lifespan of what is mounted"
            await self._mounted.start(self._by_asgi)
            # From here on nothing is registered.
            app._got_first_request = True
        except BaseException:
            await _to_its_end(self._end(served=False), app, _STOP)
            raise

    async def stop(self) -> list[BaseException]:
        """Run what ends the serving, all of it whatever fails; log and return what failed."""
        if not self._mine:
            return []
        stopping_of(self.app).begin()
        await self._await_threads()
        return await self._end(served=True)

    async def _call(self, kind: str, function: Callable[[], Any]) -> None:
        self.starting = name = _named(kind, function)
        await _in_context(self.app, self._threads, name, call(self.app, function))

    async def _end(self, served: bool) -> list[BaseException]:
        """End what has begun; log and return what failed. `served`: the start was a good one."""
        errors: list[BaseException] = []
        for failed in await self._mounted.stop():
            errors.append(self._failed("lifespan of what is mounted", failed))
        while self._blocks:
            block = self._blocks.pop()
            try:
                await block.leave()
            except Exception as error:
                errors.append(self._failed(block.name, error))
        for function in self.app.after_serving_funcs if served else ():
            try:
                await self._call("after_serving", function)
            except Exception as error:
                errors.append(self._failed(self.starting, error))
        work = Work(Context(), self._threads)
        try:
            scope = self.app._scope
            for failed in await work.drive(made(scope.held.closing(None, True))):
                errors.append(self._failed("closing of a resource", failed))
        finally:
            work.free()
        if self._watch is not None:
            self._watch.cancel()
        vars(self.app).pop("_lifespan", None)
        self._threads.close()
        return errors

    async def _await_threads(self) -> None:
        """Wait for sync functions of requests that nobody waits for any more, and for WebSockets,
        which not every server waits for."""
        threads = self._threads
        limit, killed = end_timeout(self.app), stopping_of(self.app).until
        if killed is not None:
            # What comes after this takes its time, too.
            limit = max(0.0, min(limit, (killed - monotonic()) / 2))
        until = monotonic() + limit
        connections = stopping_of(self.app).open
        while running := [*threads.running(), *("a WebSocket" for _ in connections)]:
            if monotonic() > until:
                self.app.logger.error(
                    f"Still running {limit:.1f} s after the last request, and left behind:"
                    f" {', '.join(running)}"
                )
                return
            await asyncio.sleep(0.02)

    def _failed(self, name: str, error: BaseException) -> BaseException:
        self.app.logger.error(f"The {name} failed while the server stops", exc_info=error)
        return error


def _named(kind: str, function: Callable[[], Any]) -> str:
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{kind} function {name} ({Site.of(function)})"


async def _in_context(
    app: Any, threads: Threads, name: str, coroutine: Coroutine[Any, Any, Any]
) -> None:
    """Run in an application context of its own, which ends with it, whatever is cancelled.

    `RuntimeError` for a `SystemExit`: out of a task it would end the loop before what has begun is
    ended, and some servers take it for an application that has no lifespan, and serve that.
    """
    ctx = app.app_context()
    work = Work(Context(), threads)
    try:
        try:
            await work.drive(_pushed(ctx, coroutine))
        except BaseException as error:
            # A push that was not made, or has failed, leaves nothing to pop.
            if ctx.state is State.CURRENT:
                await _to_its_end(work.drive(_handed(ctx.pop, error)), app, name)
            if isinstance(error, SystemExit):
                raise RuntimeError(f"sys.exit({error.code!r}) was called.") from error
            raise
        await _to_its_end(work.drive(_handed(ctx.pop, None)), app, name)
    finally:
        work.free()


async def _pushed(ctx: AppContext, coroutine: Coroutine[Any, Any, Any]) -> None:
    try:
        await hand(ctx.push)
        await coroutine
    finally:
        # It has not begun where the push failed.
        coroutine.close()


async def _handed(function: Callable[..., Any], *args: Any) -> None:
    await hand(function, *args)


class _Block:
    """One `while_serving` function: its task from the start to the end.

    A task of its own, and one Context: task groups, timeouts and variables of its may span the
    `yield`. Its application context does too, and gives back what it can while the server serves.
    """

    def __init__(self, app: Any, threads: Threads, name: str, function: Callable[[], Any]) -> None:
        self.name = name
        self._app = app
        self._threads = threads
        self._function = function
        self._entered = asyncio.Event()
        self._leaving = asyncio.Event()
        self._begun = False
        self._task: asyncio.Task[None]

    def __str__(self) -> str:
        return self.name

    async def enter(self) -> None:
        """Run it up to its `yield`; raises what it raises."""
        self._task = asyncio.create_task(self._live())
        entered = asyncio.create_task(self._entered.wait())
        try:
            await asyncio.wait([self._task, entered], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            await _to_its_end(asyncio.wait([self._task]), self._app, self.name)
            raise
        finally:
            entered.cancel()
        if self._task.done():
            self._task.result()
        self._task.add_done_callback(self._ended)

    async def leave(self) -> None:
        """Let it go on; raises what it raises from there on."""
        if not self._task.done():
            self._leaving.set()
            await self._task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._leaving.is_set() and not task.cancelled() and (error := task.exception()):
            self._app.logger.error(f"The {self.name} failed while serving", exc_info=error)

    async def _live(self) -> None:
        await _in_context(self._app, self._threads, self.name, self._around())

    async def _around(self) -> None:
        """The generator, around the serving."""
        source, step = await self._source()
        try:
            if step is hand:
                await hand(self._start, source)
            else:
                await step(source.start)
                self._begun = True
            releasing = releasing_clean((current_app_ctx(None),))
            raise_errors(await made(releasing), f"Errors in releasing what the {self.name} opened")
            await _on_loop()
            self._entered.set()
            await self._leaving.wait()
        except BaseException as error:
            if self._begun:
                await step(source.finish, error)
            raise
        await step(source.finish, None)

    def _start(self, source: Source) -> None:
        """On a thread: a cancel that comes meanwhile is met after this."""
        source.start()
        self._begun = True

    async def _source(self) -> tuple[Source, Callable[..., Awaitable[Any]]]:
        """What it is made of, and how a step of that is made."""
        await _on_loop()
        found = self._function()
        if isinstance(found, AsyncGenerator) or hasattr(type(found), "__aenter__"):
            return async_source(self, found), _awaited
        if isinstance(found, Generator) or hasattr(type(found), "__enter__"):
            return sync_source(self, found), hand
        raise TypeError(f"The {self.name} is no generator function: it returned {found!r}.")


async def _on_loop() -> None:
    """Go on on the loop's thread: after a sync function the code is on that one's."""
    await Ask(lambda driver: None)


async def _awaited(step: Callable[..., Awaitable[Any]], *args: Any) -> None:
    await _on_loop()
    await step(*args)


async def _watch_main_process(stopping: Stopping, is_told: Callable[[], bool]) -> None:
    while not is_told():
        await asyncio.sleep(_POLL)
    stopping.begin()


class Serving:
    """`with app.serving():` and `async with app.serving():`: the application as it is served.

    Runs what runs around the serving: `before_serving` functions and so on; see `Lifespan`. `async
    with` does it on the running loop, `with` on a loop in a thread of its own. On the main thread
    SIGTERM and SIGINT are heard. Raises what they raise.
    """

    def __init__(self, app: Any, threads: Threads) -> None:
        self._app = app
        self._lifespan = Lifespan(app, threads)
        self._hearing = ExitStack()
        self._thread: LoopThread | None = None
        #: The loop on which the application is served, within the block.
        self.loop: Any = None

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        with self._hear() as hearing:
            await self._lifespan.start()
            self._hearing = hearing.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        with self._hearing:
            errors = await _to_its_end(self._lifespan.stop(), self._app, _STOP)
        self._raise(errors)

    def __enter__(self) -> Self:
        self._thread = thread = LoopThread("demijohn-serving")
        self.loop = thread.loop
        with self._hear() as hearing:
            try:
                thread.run(self._lifespan.start())
            except BaseException:
                thread.stop()
                raise
            self._hearing = hearing.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        thread, self._thread = self._thread, None
        assert thread is not None
        with self._hearing:
            try:
                errors = thread.run(self._lifespan.stop())
            finally:
                thread.stop()
        self._raise(errors)

    def _hear(self) -> ExitStack:
        # Before the start, in which what is mounted puts handlers of its own above these.
        hearing = ExitStack()
        hearing.enter_context(heard(stopping_of(self._app).hears_on(self.loop)))
        return hearing

    def _raise(self, errors: list[BaseException]) -> None:
        self.loop = None
        try:
            raise_errors(errors, f"Errors in what ends with {self._app.name!r}")
        finally:
            # The errors' tracebacks lead to this frame.
            del errors
