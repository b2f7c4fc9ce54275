"""Growth: a million requests of many kinds, collector off, leave nothing behind.

With and without errors, streams, resources, callbacks and children: no cyclic garbage, no more
objects, blocks, threads and descriptors after them than before.
"""

from __future__ import annotations

import gc
import io
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle, islice
from time import monotonic
from typing import Any

from werkzeug.test import EnvironBuilder

from soak import SoakFailure, _growing

SECONDS = 300.0
REQUESTS = 1_000_000
BATCH = 500
# Resident memory may grow by this much over 100,000 requests: what allocator noise comes to.
MOST_KIB_PER_100K = 1024
# What needs Werkzeug's matcher, each call of which leaves 8 objects in a cycle (3.1.9), none ours.
FALLBACK = {"options": 8}

# Blocks and objects that may come and go: caches that fill, threads that are about to end.
MOST_OBJECTS = 100
MOST_BLOCKS = 1000

Environ = dict[str, Any]

_reads = cycle([0, 1, 2, 1000])


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


@dataclass(frozen=True)
class Size:
    """What a process has."""

    objects: int
    blocks: int
    threads: int
    descriptors: int
    resident_kib: int

    @classmethod
    def now(cls) -> Size:
        """As of now, when what was dropped is gone."""
        descriptors = len(os.listdir("/proc/self/fd"))
        blocks = sys.getallocatedblocks()
        threads = threading.active_count()
        return cls(len(gc.get_objects()), blocks, threads, descriptors, resident_kib())

    def since(self, before: Size) -> dict[str, int]:
        """How much more of each than before."""
        return {name: value - getattr(before, name) for name, value in vars(self).items()}


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
    return {name: (status, environ_of(**how)) for name, (status, how) in asked.items()}


def call(app: Any, environ: Environ, status: int) -> None:
    """Make one request as a server does; raise SoakFailure for another status."""
    own = environ.copy()
    own["wsgi.input"] = io.BytesIO(own.pop("body"))
    got: list[str] = []

    def start_response(line: str, headers: object, exc_info: object = None) -> Callable[..., None]:
        got.append(line)
        return lambda data: None

    body = app(own, start_response)
    # Of what can be left unread, each time some more is read.
    most = next(_reads) if hasattr(body, "close") else 1000
    for _ in islice(body, most):
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


def environ_of(**arguments: Any) -> Environ:
    """Return a request's environ, with its body's bytes as "body"."""
    builder = EnvironBuilder(**arguments)
    environ = builder.get_environ()
    environ["body"] = environ["wsgi.input"].read()
    builder.close()
    return environ


def resident_kib() -> int:
    """Return this process's resident memory in KiB (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def run(
    seed: int, seconds: float, subject: str = "demijohn", requests: int = REQUESTS
) -> dict[str, object]:
    """Send `requests` of them, or for `seconds` where these are less than usual; return counts,
    garbage a request and growth."""
    framework = import_module(subject)
    app, asked = build(framework), kinds()
    if hasattr(framework, "in_child"):
        more = _growing.add_views(app, framework)
        asked |= {name: (status, environ_of(path=path)) for name, (status, path) in more.items()}
    least = requests if seconds >= SECONDS or requests != REQUESTS else 1
    gc.collect()
    gc.disable()
    try:
        look_for_garbage(app, asked)
        grown, sent = grow(app, asked, random.Random(seed), least, seconds)
    finally:
        gc.enable()
        getattr(app, "stop_pool", lambda: None)()
    if grown["resident_kib"] > MOST_KIB_PER_100K * max(1.0, sent / 100_000):
        raise SoakFailure(f"memory grew by {grown['resident_kib']} KiB over {sent} requests")
    most = {"objects": MOST_OBJECTS, "blocks": MOST_BLOCKS, "threads": 0, "descriptors": 0}
    bad = {name: grown[name] for name, limit in most.items() if grown[name] > limit}
    if bad:
        raise SoakFailure(f"more objects live after {sent} requests: {bad}")
    return {
        "requests": sent,
        "kinds": len(asked) - len(FALLBACK),
        "cyclic garbage a request": 0,
        **{f"more {name}": more for name, more in grown.items()},
    }


def look_for_garbage(app: Any, asked: dict[str, tuple[int, Environ]]) -> None:
    """Raise SoakFailure for a kind of request that leaves something for the cyclic collector."""
    for name in list(asked) * 3:
        call(app, asked[name][1], asked[name][0])
    left = {name: garbage(app, asked[name][1], asked[name][0], 20) for name in asked}
    bad = {name: counts for name, counts in left.items() if too_much(name, counts, 20)}
    if bad:
        worst = {name: dict(counts.most_common(6)) for name, counts in bad.items()}
        raise SoakFailure(f"20 requests of a kind leave cyclic garbage: {worst}")


def grow(
    app: Any,
    asked: dict[str, tuple[int, Environ]],
    chance: random.Random,
    least: int,
    seconds: float,
) -> tuple[dict[str, int], int]:
    """Send so many requests, or with 1 for so long: what there is more, and how many they were."""
    names = [name for name in asked if name not in FALLBACK]

    def send(number: int) -> None:
        for _ in range(number):
            status, environ = asked[chance.choice(names)]
            call(app, environ, status)

    send(10 * BATCH)
    before, sent = Size.now(), 0
    end = monotonic() + seconds
    while sent < least or (least == 1 and monotonic() < end):
        send(BATCH)
        sent += BATCH
    return Size.now().since(before), sent
