"""The application of the table of faults: the same on every server and both edges.

It writes what it does to the file named by `SITE_LOG`, a line each, that begin with the key of the
request; and waits for files (gates) in the folder `SITE_GATES`, so that a test decides how far a
request is. Messages that break the ASGI protocol are lines that begin with VIOLATION.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from asgi.checker import Checked
from cancelling import Cancelling
from pops import pops

from demijohn import (
    ContextThread,
    Demijohn,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    g,
    has_request_context,
    request,
    request_finished,
    request_started,
    request_tearing_down,
    session,
)
from demijohn.globals import app_ctx
from demijohn.sessions import SecureCookieSessionInterface

LOG = os.environ["SITE_LOG"]
LEAN = "SITE_LEAN" in os.environ  # whether nothing of a request needs a thread but a sync view
GATES = Path(os.environ["SITE_GATES"])
PART = b"x" * 64 * 1024

app = Demijohn(__name__)
app.config.update(SECRET_KEY="known", SYNC_THREADS=4)


def log(line: str) -> None:
    with open(LOG, "a") as file:
        file.write(f"{line}\n")


app.asgi_app = Checked(
    Cancelling(app.asgi_app, log, lambda gate: (GATES / gate).exists()),
    lambda text: log(f"VIOLATION {text}"),
)


@app.after_serving
def log_stop() -> None:
    log("server stops")


def wait_for_gate(name: str) -> None:
    deadline = time.monotonic() + 60
    while not (GATES / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.01)


async def gate(name: str) -> None:
    deadline = time.monotonic() + 60
    while not (GATES / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        await asyncio.sleep(0.01)


# ---- what every request says of its end


def fitting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, or an async one that does the same."""

    async def hook(*args: Any) -> Any:
        return function(*args)

    return hook if LEAN else function


@app.before_request
@fitting
def name_request() -> None:
    g.key = request.args.get("key", "")


@app.teardown_request
@fitting
def log_end(error: BaseException | None) -> None:
    if has_request_context() and (key := request.args.get("key")):
        log(f"{key} ended {app_ctx.outcome} {type(error).__name__} {g.get('key')}")


@app.teardown_request
async def slow_end(error: BaseException | None) -> None:
    if has_request_context() and request.args.get("end") == "slow":
        key = request.args["key"]
        log(f"{key} ends")
        await gate(f"{key}-end")
        log(f"{key} slow end over")


@app.teardown_request
@fitting
def failing_end(error: BaseException | None) -> None:
    if has_request_context() and request.args.get("end") == "fails":
        raise LookupError("in the teardown")


@app.get("/plain")
def plain() -> Any:
    return {"key": g.key}


@app.get("/health")
async def health() -> Any:
    return "well"


# ---- F5: receivers of signals that raise

SIGNALS = {
    "request_started": request_started,
    "request_finished": request_finished,
    "request_tearing_down": request_tearing_down,
    "appcontext_pushed": appcontext_pushed,
    "appcontext_tearing_down": appcontext_tearing_down,
    "appcontext_popped": appcontext_popped,
}


def receiver(name: str) -> Any:
    """A receiver that raises when the gate of its signal is open, and closes it."""

    def receive(sender: Any, **options: Any) -> None:
        if (GATES / f"raise-{name}").exists():
            (GATES / f"raise-{name}").unlink()
            raise LookupError(f"in the receiver of {name}")

    return receive


receivers = {} if LEAN else {name: receiver(name) for name in SIGNALS}
for name, receive in receivers.items():
    SIGNALS[name].connect(receive, app)


# ---- F6, F7: a store of sessions that fails


class Sessions(SecureCookieSessionInterface):
    def open_session(self, app: Any, request: Any) -> Any:
        if request.args.get("store") == "down":
            raise ConnectionError("the store is down")
        return super().open_session(app, request)

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        if request.args.get("store") == "full":
            raise ConnectionError("the store is full")
        super().save_session(app, session, response)


if not LEAN:
    app.session_interface = Sessions()


@app.errorhandler(500)
def explain(error: Any) -> Any:
    """503 for what needs the store, where a request asks for that."""
    if isinstance(error.original_exception, ConnectionError) and request.args.get("as") == "503":
        return "The store is down.", 503
    return error


@app.get("/visit")
def visit() -> Any:
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"]}


# ---- F2, F8, F9, F10, F12, F22: streams


@app.get("/breaks/<kind>")
def breaks(kind: str) -> Any:
    def parts() -> Iterator[str]:
        yield "good\n"
        raise LookupError("in the stream")

    async def async_parts() -> AsyncIterator[str]:
        yield "good\n"
        raise LookupError("in the stream")

    return (parts() if kind == "sync" else async_parts()), {"Content-Type": "text/event-stream"}


@app.get("/busy/<kind>")
def busy(kind: str) -> Any:
    """A stream that never waits by itself; of `most` parts."""
    most = request.args.get("most", 1 << 60, int)

    def parts() -> Iterator[bytes]:
        try:
            for number in range(most):
                log_produced(number)
                yield PART
        finally:
            log(f"{g.key} closed")

    async def async_parts() -> AsyncIterator[bytes]:
        try:
            for number in range(most):
                log_produced(number)
                yield PART
        finally:
            log(f"{g.key} closed")

    return parts() if kind == "sync" else async_parts()


def log_produced(number: int) -> None:
    if number < 10_000:
        log(f"{g.key} produced")


@app.get("/idle/<kind>")
def idle(kind: str) -> Any:
    """An event stream: an async one waits for ever, a sync one sends a comment each 0.2 s."""
    most = request.args.get("most", 1 << 60, int)

    def parts() -> Iterator[str]:
        try:
            yield "data: first\n\n"
            for _ in range(most):
                time.sleep(0.2)
                yield ":\n\n"
        finally:
            log(f"{g.key} closed")

    async def async_parts() -> AsyncIterator[str]:
        try:
            yield "data: first\n\n"
            await asyncio.Event().wait()
        finally:
            log(f"{g.key} closed")

    body = parts() if kind == "sync" else async_parts()
    return body, {"Content-Type": "text/event-stream"}


@app.get("/replaced")
def replaced() -> Any:
    """A stream that nobody ever steps: an `after_request` function answers something else."""

    def parts() -> Iterator[str]:
        log(f"{g.key} stepped")
        yield "never"

    return parts()


@app.after_request
@fitting
def replace(response: Any) -> Any:
    if request.endpoint == "replaced":
        return app.make_response("instead")
    return response


# ---- F11, F13, F14, F25: requests that wait, and work in the background


@app.get("/wait")
def wait() -> Any:
    log(f"{g.key} began")
    wait_for_gate(g.key)
    return f"waited {g.key}"


@app.get("/wait/async")
async def async_wait() -> Any:
    log(f"{g.key} began")
    try:
        await gate(g.key)
    except BaseException as error:
        log(f"{g.key} interrupted {type(error).__name__}")
        raise
    finally:
        log(f"{g.key} left the view")
    return f"waited {g.key}"


@app.get("/background")
def background() -> Any:
    key = g.key

    def work() -> None:
        log(f"{key} works")
        wait_for_gate(key)
        log(f"{key} worked")

    ContextThread(target=work, daemon=False).start()
    return "started"


# ---- F19, F21: cancelling


@app.get("/awaits")
async def awaits() -> Any:
    """A view with awaits of each kind: of tasks, of a thread, of a context manager's end."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0.001))
        group.create_task(asyncio.sleep(0))
    for _ in range(3):
        await asyncio.sleep(0)
    await asyncio.to_thread(time.sleep, 0)
    return f"through {g.key}"


@app.get("/awaits/mixed")
def sync_awaits() -> Any:
    """A sync view: awaited by the edge, on a thread."""
    return f"through {g.key}"


@app.get("/awaits/stream")
async def streamed_awaits() -> Any:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            yield f"{number}\n"

    return parts()


@app.get("/cancelled/<int:number>")
async def cancelled(number: int) -> Any:
    """An async view whose own task is cancelled at this await, as a library may do."""
    task = asyncio.current_task()
    assert task is not None
    for step in range(number + 1):
        if step == number:
            task.cancel()
        await asyncio.sleep(0)
    return "through"


@app.get("/tasks")
async def tasks() -> Any:
    """What runs on this loop besides this request: tasks that are not the server's own."""
    names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
    return {
        "tasks": sorted(names),
        "threads": sorted(thread.name for thread in threading.enumerate()),
    }


# ---- F23, F24, F26


@app.get("/pops")
async def async_pops() -> Any:
    return await pops(app, log)


@app.get("/nested/<int:depth>")
def nested(depth: int) -> Any:
    """A sync view that blocks on another request of this application, `depth` deep."""
    if depth == 0:
        return "bottom"
    edge = "asgi" if "asgi.scope" in request.environ else "wsgi"
    client = app.test_client(edge=edge, isolated=True) if edge == "asgi" else app.test_client()
    return f"{depth} {client.get(f'/nested/{depth - 1}').text}"
