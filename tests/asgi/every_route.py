"""The routes of an application, found in it; each is asked, and disturbed at every await."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from demijohn import Demijohn
from demijohn.framework.plan import is_async

from .cancelling import (
    Call,
    Journal,
    Run,
    faults_in,
    faults_of,
    http_call,
    lifespan_call,
    socket_call,
)

LIFESPAN = "lifespan"


def answer(call: Call) -> list[Any]:
    """What the client was told, without what is different each time."""
    told: list[Any] = []
    body = b""
    for message in call.sent:
        body += message.get("body", b"")
        if message["type"] != "http.response.body":
            headers = dict(message.get("headers", ()))
            told += [message["type"], message.get("status"), headers.get(b"content-type")]
            told += [message.get("text"), message.get("code")]
    return [*told, re.sub(rb"(?m)^id: \S+", b"id:", body)]


def leave_when_told(call: Call) -> None:
    """The client leaves when it gets a message."""
    if call.sent[-1]["type"] == "websocket.send":
        call.leave()


@dataclass
class Site:
    """An application, how its routes are asked, and what they leave."""

    app: Demijohn
    #: Route, as `routes` has it -> a call of it.
    calls: dict[str, Callable[[], Call]] = field(default_factory=dict)
    #: What calls have left.
    held: Callable[[], Iterator[str]] = lambda: iter(())
    #: How many contexts a call of it may have.
    most: int = 1

    def routes(self, only_async: bool = False) -> list[str]:
        """Its routes by method and rule; also what runs around the serving. Not the static files.

        `only_async`: those whose function is async, and WebSockets. Who knows what others return.
        """
        app = self.app
        found: list[str] = []
        for rule in app.url_map.iter_rules():
            methods = {"WS"} if getattr(rule, "websocket_view", False) else rule.methods or set()
            wanted = (
                "WS" in methods or not only_async or is_async(app.view_functions[rule.endpoint])
            )
            if wanted and rule.endpoint.rpartition(".")[2] != "static":
                found += [f"{one} {rule.rule}" for one in sorted(methods - {"HEAD", "OPTIONS"})]
        if app.before_serving_funcs or app.while_serving_funcs or app.after_serving_funcs:
            found.append(LIFESPAN)
        return found

    def call(self, route: str) -> Callable[[], Call]:
        """How a route is asked. One without arguments need not be told, if it is a WebSocket, whose
        client says "1" and leaves when it is told something, or got by GET."""
        if route in self.calls:
            return self.calls[route]
        if route == LIFESPAN:
            return lifespan_call
        method, path = route.split(" ", 1)
        assert method in ("GET", "WS") and "<" not in path, f"Nobody says how to ask {route}."
        return partial(http_call, path) if method == "GET" else partial(socket_call, path, "1")


def check(site: Site, route: str, **how: Any) -> tuple[int, list[str]]:
    """Disturb a route at each of its awaits; how many there are, and what was found."""
    app = site.app
    journal = Journal(app)
    journal.most = site.most
    call = site.call(route)

    def undisturbed() -> tuple[list[Any], list[str]]:
        asked = made()
        faults = faults_in(app, journal, Run(app.asgi_app, asked, (), False))
        return answer(asked), [*faults, *site.held()]

    def made() -> Call:
        asked = call()
        if asked.scope["type"] == "websocket" and asked.on_sent is None:
            asked.on_sent = leave_when_told
        return asked

    expected, faults = undisturbed()
    if faults:
        return 0, faults

    def after() -> Iterator[str]:
        yield from site.held()
        got, faults = undisturbed()
        if got != expected:
            yield f"it answers {got} instead of {expected}"
        yield from faults

    return faults_of(app, journal, made, after=after, **how)
