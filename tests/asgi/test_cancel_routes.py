"""Every async route of applications that other tests serve, cancelled at each of its awaits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from . import test_same
from .cancelling import Call, http_call
from .every_route import Site, check

SOCKETS = Path(__file__).parents[1] / "serve" / "websockets" / "socket_site.py"


def same() -> Site:
    """The application that both edges answer for: hooks, handlers, ends and streams of both
    kinds."""
    app, _ = test_same.make_app()
    json = [("content-type", "application/json"), ("content-length", "9")]

    def fails() -> Call:
        call = http_call("/stream-fails")
        call.error = ValueError
        return call

    calls: dict[str, Callable[[], Call]] = {
        "GET /async/<int:number>": partial(http_call, "/async/7"),
        "GET /stream-fails": fails,
        "POST /json": partial(http_call, "/json", "POST", (b'{"a":', b"[1]}"), headers=json),
    }
    return Site(app, calls)


def sockets() -> Site:
    """The WebSockets that servers of other tests serve."""
    spec = importlib.util.spec_from_file_location("socket_site", SOCKETS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Site(module.app, most=2)


ROUTES = {
    f"{make.__name__} {route}": (make, route)
    for make in (same, sockets)
    for route in make().routes(only_async=True)
}


@pytest.mark.parametrize("how", ["cancelled", "left"])
@pytest.mark.parametrize("name", ROUTES)
def test_disturbed_at_every_await(name: str, how: str) -> None:
    """Wherever it is cancelled, or its client leaves, a call ends once, leaves nothing, and the
    next one is answered as ever."""
    make, route = ROUTES[name]
    site = make()
    site.app.logger.disabled = True
    awaits, faults = check(site, route, leaves=how == "left")
    assert faults == []
    assert awaits >= 3
