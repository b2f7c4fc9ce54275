"""Growth: requests of many kinds, collector off, leave no cyclic garbage and no memory behind."""

from __future__ import annotations

import gc
import io
import os
import random
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import Any

from werkzeug.test import EnvironBuilder

from soak import SoakFailure

SECONDS = 60.0
BATCH = 500
# Resident memory may grow by this much over 100,000 requests: what allocator noise comes to.
MOST_KIB_PER_100K = 1024
# What needs Werkzeug's matcher, each call of which leaves 8 objects in a cycle (3.1.9), none ours.
FALLBACK = {"options": 8}

Environ = dict[str, Any]


def build(framework: Any) -> Any:
    """Return an application that touches what requests usually touch."""
    request, g, session = framework.request, framework.g, framework.session
    app = framework.Flask("growth")
    app.secret_key = "growth"

    @app.before_request
    def before() -> None:
        g.user = request.headers.get("X-User")

    @app.after_request
    def after(response: Any) -> Any:
        response.headers["X-User"] = str(g.user)
        return response

    @app.get("/")
    def hello() -> str:
        return "hello"

    @app.get("/u/<int:id>")
    def user(id: int) -> dict[str, Any]:
        return {"id": id, "q": request.args.get("q")}

    @app.post("/echo")
    def echo() -> Any:
        return request.get_json()

    @app.get("/session")
    def visits() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    @app.get("/raise")
    def fail() -> str:
        raise LookupError("handled below")

    @app.errorhandler(LookupError)
    def handle(error: LookupError) -> tuple[str, int]:
        return "handled", 409

    @app.get("/abort")
    def refuse() -> str:
        framework.abort(403)
        return "never"

    return app


def kinds() -> dict[str, tuple[int, Environ]]:
    """Return each kind of request: the status it must get, and its environ."""
    asked: dict[str, tuple[int, dict[str, Any]]] = {
        "text": (200, {"path": "/"}),
        "converter": (200, {"path": "/u/42", "query_string": "q=1"}),
        "json": (200, {"path": "/echo", "method": "POST", "json": {"a": [1, 2]}}),
        "session": (200, {"path": "/session"}),
        "handled error": (409, {"path": "/raise"}),
        "abort": (403, {"path": "/abort"}),
        "not found": (404, {"path": "/nowhere"}),
        "wrong method": (405, {"path": "/echo"}),
        "head": (200, {"path": "/", "method": "HEAD"}),
        "options": (200, {"path": "/echo", "method": "OPTIONS"}),
    }
    found = {}
    for name, (status, arguments) in asked.items():
        builder = EnvironBuilder(**arguments)
        environ = builder.get_environ()
        environ["body"] = environ["wsgi.input"].read()
        builder.close()
        found[name] = (status, environ)
    return found


def call(app: Any, environ: Environ, status: int) -> None:
    """Make one request as a server does; raise SoakFailure for another status."""
    own = environ.copy()
    own["wsgi.input"] = io.BytesIO(own.pop("body"))
    got: list[str] = []

    def start_response(line: str, headers: object, exc_info: object = None) -> Callable[..., None]:
        got.append(line)
        return lambda data: None

    body = app(own, start_response)
    for _ in body:
        pass
    close = getattr(body, "close", None)
    if close is not None:
        close()
    if got != got[:1] or not got[0].startswith(f"{status} "):
        raise SoakFailure(f"{environ['PATH_INFO']}: expected {status}, got {got}")


def garbage(app: Any, environ: Environ, status: int, calls: int) -> Counter[str]:
    """Return what `calls` requests leave for the cyclic collector, counted by type."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(calls):
            call(app, environ, status)
        gc.collect()
        return Counter(f"{type(thing).__module__}.{type(thing).__name__}" for thing in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def too_much(name: str, counts: Counter[str], calls: int) -> bool:
    """Tell whether a kind of request leaves more than nothing, or than the matcher's 8 a call."""
    plain = all(kind.startswith("builtins.") for kind in counts)
    return counts.total() > FALLBACK.get(name, 0) * calls or not plain


def resident_kib() -> int:
    """Return this process's resident memory in KiB (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def run(seed: int, seconds: float, subject: str = "demijohn") -> dict[str, object]:
    """Send requests for `seconds`; return counts, garbage a request and memory growth."""
    app = build(import_module(subject))
    asked = kinds()
    chance = random.Random(seed)
    names = [name for name in asked if name not in FALLBACK]
    gc.collect()
    gc.disable()
    try:
        for name in list(asked) * 3:
            call(app, asked[name][1], asked[name][0])
        left = {name: garbage(app, asked[name][1], asked[name][0], 20) for name in asked}
        bad = {name: counts for name, counts in left.items() if too_much(name, counts, 20)}
        if bad:
            worst = {name: dict(counts.most_common(6)) for name, counts in bad.items()}
            raise SoakFailure(f"20 requests of a kind leave cyclic garbage: {worst}")
        for _ in range(10 * BATCH):
            status, environ = asked[chance.choice(names)]
            call(app, environ, status)
        objects, memory, sent = len(gc.get_objects()), resident_kib(), 0
        end = monotonic() + seconds
        while monotonic() < end:
            for _ in range(BATCH):
                status, environ = asked[chance.choice(names)]
                call(app, environ, status)
            sent += BATCH
        grown, objects = resident_kib() - memory, len(gc.get_objects()) - objects
    finally:
        gc.enable()
    if grown > MOST_KIB_PER_100K * max(1.0, sent / 100_000):
        raise SoakFailure(f"memory grew by {grown} KiB over {sent} requests")
    if objects > 100:
        raise SoakFailure(f"{objects} more objects live after {sent} requests")
    return {
        "requests": sent,
        "kinds": len(names),
        "cyclic garbage a request": 0,
        "live objects more": objects,
        "memory grown KiB": grown,
    }
