"""However a unit of work ends, what it opened is closed exactly once, in promise 5's order."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from elsewhere import in_thread
from resource_kit import OPENED, Boom, Handled, Served, Site, logged, serve, the_end

import demijohn
from demijohn import abort, on_end
from demijohn.context import ContextEnded, ContextWarning
from demijohn.sessions import SecureCookieSessionInterface
from demijohn.signals import (
    appcontext_pushed,
    appcontext_tearing_down,
    request_finished,
    request_started,
    request_tearing_down,
)

CALLERS = ("edge", "client")


def ask(site: Site, caller: str, path: str = "/") -> int:
    """One request, from a server or a test client; its status."""
    if caller == "client":
        return int(site.app.test_client().get(path).status_code)
    status = serve(site.app, path)
    assert status is not None
    return int(status[:3])


def ending_with(site: Site, way: str) -> None:
    """Make the view of `/` one that opens everything and ends in this way."""

    def view() -> Any:
        site.use()
        if way == "abort":
            abort(404)
        if way == "raise":
            raise Boom
        if way == "handled":
            raise Handled
        if way == "exit":
            raise SystemExit
        if way == "interrupt":
            raise KeyboardInterrupt
        return "text"

    site.view(view)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("way", "status", "outcome", "end"),
    [
        ("return", 200, "ok", the_end()),
        ("abort", 404, "ok", the_end()),
        ("raise", 500, "error", the_end("Boom", good=False)),
        ("handled", 409, "handled", the_end(good=False)),
    ],
)
def test_a_view_that_ends(way: str, status: int, outcome: str, end: list[str], caller: str) -> None:
    """The whole end runs once, in promise 5's order, and the outcome is known in it."""
    site = Site()
    outcomes = site.outcome_in_teardown()
    ending_with(site, way)
    assert ask(site, caller) == status
    assert site.log == OPENED + end
    assert outcomes == [outcome]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("way", "error"), [("exit", SystemExit), ("interrupt", KeyboardInterrupt)])
def test_a_view_that_stops_the_process(way: str, error: type[BaseException], caller: str) -> None:
    """`SystemExit` and `KeyboardInterrupt` leave the application after the whole end."""
    site = Site()
    outcomes = site.outcome_in_teardown()
    ending_with(site, way)
    with pytest.raises(error):
        ask(site, caller)
    assert site.log == OPENED + the_end(error.__name__, good=False)
    assert outcomes == ["error"]


@pytest.mark.parametrize("caller", CALLERS)
def test_an_error_that_leaves_the_application(caller: str) -> None:
    """With `PROPAGATE_EXCEPTIONS` the error leaves after the whole end, as itself."""
    site = Site(PROPAGATE_EXCEPTIONS=True)
    ending_with(site, "raise")
    with pytest.raises(Boom):
        ask(site, caller)
    assert site.log == OPENED + the_end("Boom", good=False)


def streaming(site: Site, steps: list[str], error: type[BaseException] | None = None) -> None:
    """A view whose body opens everything, after the view did, and takes two steps."""

    def body() -> Iterator[str]:
        try:
            site.resources["body"].name  # noqa: B018
            steps.append("one")
            yield "one"
            site.use("view")
            if error is not None:
                raise error
            steps.append("two")
            yield "two"
        finally:
            steps.append("end")

    def view() -> Any:
        site.use()
        return body()

    site.view(view)


TAKEN_AGAIN = [*OPENED, "left view", "close view", "open view"]
FOR_STREAM = [*OPENED, "left view", "close view"]


def the_end_of_stream(again: bool = True, **options: Any) -> list[str]:
    """The end after a body, where the `view` one was taken again in it or not."""
    skip = () if again else ("good view", "left view", "close view")
    order = the_end(**options, skip=skip)
    if again:
        # Opened last, so closed first; its callbacks were registered a second time.
        view = [entry for entry in order if entry.endswith(" view")]
        rest = [entry for entry in order if not entry.endswith(" view")]
        at = rest.index("request_tearing_down") + 1
        order = rest[:at] + view + rest[at:]
        for callback in ("on_commit", "on_end"):
            if callback in order:
                order.insert(order.index(callback), callback)
        callbacks = [entry for entry in order if entry.startswith("on_")]
        at = order.index(callbacks[0])
        order[at : at + len(callbacks)] = (
            ["on_commit", "on_end"] * 2 if "on_commit" in callbacks else callbacks
        )
    return order


def test_a_body_that_is_read() -> None:
    """The end comes after the last byte; a `view` resource is given back before the first."""
    site, steps = Site(), []
    streaming(site, steps)
    served = Served(site.app)
    assert site.log == FOR_STREAM
    assert served.read() == b"onetwo"
    assert steps == ["one", "two", "end"]
    assert site.log == TAKEN_AGAIN + the_end_of_stream()


def never_started(served: Served) -> None:
    served.close()


def half_way(served: Served) -> None:
    assert next(iter(served.body)) == b"one"
    served.close()


def dropped(served: Served) -> None:
    assert next(iter(served.body)) == b"one"
    served.body = None
    gc.collect()


def dropped_unread(served: Served) -> None:
    served.body = None
    gc.collect()


def closed_elsewhere(served: Served) -> None:
    assert next(iter(served.body)) == b"one"
    in_thread(served.close)


def stepped_elsewhere(served: Served) -> None:
    assert in_thread(lambda: next(iter(served.body))) == b"one"
    served.close()


@pytest.mark.parametrize(
    "leave",
    [never_started, half_way, dropped, dropped_unread, closed_elsewhere, stepped_elsewhere],
)
def test_a_body_that_is_not_read_to_its_end(leave: Callable[[Served], None]) -> None:
    """It ends where it is left, once: closed, dropped to the collector, or on another thread."""
    site, steps = Site(), []
    outcomes = site.outcome_in_teardown()
    streaming(site, steps)
    served = Served(site.app)
    leave(served)
    served.close()
    good = outcomes == ["ok"]
    assert good or outcomes == ["disconnected"]
    assert site.log == FOR_STREAM + the_end_of_stream(again=False, good=good)
    assert steps in ([], ["one", "end"])


def test_a_body_that_fails() -> None:
    """An error in a body is raised at each `yield`, and leaves to the server."""
    site, steps = Site(), []
    streaming(site, steps, Boom)
    served = Served(site.app)
    with pytest.raises(Boom):
        served.read()
    end = the_end_of_stream(exc="Boom", good=False)
    assert site.log == TAKEN_AGAIN + end


class Interface(SecureCookieSessionInterface):
    """A session interface that opens everything, and fails where told to."""

    def __init__(self, site: Site, fails: str) -> None:
        self.site = site
        self.fails = fails

    def open_session(self, app: Any, request: Any) -> Any:
        if not self.site.log:
            self.site.use()
        if self.fails == "open_session":
            raise Boom
        return super().open_session(app, request)

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        if self.fails == "save_session":
            raise Boom
        super().save_session(app, session, response)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("fails", ["open_session", "save_session"])
def test_an_error_of_the_session_interface(fails: str, caller: str) -> None:
    """An error in opening or saving the session ends everything once, as an error."""
    site = Site()
    site.view(lambda: "text")
    site.app.session_interface = Interface(site, fails)
    assert ask(site, caller) == 500
    assert site.log == OPENED + the_end("Boom", good=False)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("signal", [request_started, request_finished])
def test_an_error_of_a_receiver_in_the_request(signal: Any, caller: str) -> None:
    """An error in a receiver of a request's signal ends everything once, as an error."""
    site = Site()
    site.view(lambda: "text")

    def receiver(sender: Any, **values: Any) -> None:
        if not site.log:
            site.use()
            raise Boom

    signal.connect(receiver, site.app)
    assert ask(site, caller) == 500
    assert site.log == OPENED + the_end("Boom", good=False)


@pytest.mark.parametrize("caller", CALLERS)
def test_an_error_of_a_receiver_before_the_request(caller: str) -> None:
    """An error in `appcontext_pushed` closes what was opened there: with the app context."""
    site = Site()
    site.view(lambda: "text")

    def receiver(sender: Any, **values: Any) -> None:
        site.use()
        raise Boom

    appcontext_pushed.connect(receiver, site.app)
    assert ask(site, caller) == 500
    at = site.log.index("teardown_appcontext Boom")
    assert site.log[at + 2 :: 2][:3] == ["Boom in body", "Boom in view", "Boom in context"]
    assert [entry for entry in site.log if entry.startswith("close ")] == [
        "close body",
        "close view",
        "close context",
    ]
    assert site.log[-2:] == ["on_end", "appcontext_popped"]


ENDS = {
    "teardown_request": lambda app, fail: app.teardown_request(fail),
    "request_tearing_down": lambda app, fail: request_tearing_down.connect(fail, app),
    "teardown_appcontext": lambda app, fail: app.teardown_appcontext(fail),
    "appcontext_tearing_down": lambda app, fail: appcontext_tearing_down.connect(fail, app),
}


def fail(*args: Any, **values: Any) -> None:
    raise Boom


@pytest.mark.parametrize("where", ENDS)
def test_an_error_of_the_end_is_reported(where: str) -> None:
    """An error elsewhere in the end keeps nothing from closing, and a good response is delivered;
    a server's edge logs it."""
    site = Site()
    ENDS[where](site.app, fail)
    ending_with(site, "return")
    assert serve(site.app) == "200 OK"
    assert site.log == OPENED + the_end()
    assert [type(error) for error in site.errors.found] == [Boom]


@pytest.mark.parametrize("where", ENDS)
def test_an_error_of_the_end_is_raised_in_a_test(where: str) -> None:
    """A test client raises it from the call where exceptions propagate."""
    site = Site(TESTING=True)
    ENDS[where](site.app, fail)
    ending_with(site, "return")
    with pytest.raises(Boom):
        ask(site, "client")
    assert site.log == OPENED + the_end()


@pytest.mark.parametrize("lifetime", ["context", "view", "body"])
def test_an_error_in_closing(lifetime: str) -> None:
    """An error in one resource's close keeps none from closing, is reported, and drops what waits
    for success: nobody knows what was kept."""
    site = Site()

    @demijohn.resource(lifetime=lifetime)
    def failing() -> Iterator[int]:
        yield 1
        raise Boom

    @site.view
    def view() -> str:
        assert failing == 1
        site.use()
        return "text"

    assert serve(site.app) == "200 OK"
    assert site.log == OPENED + the_end(commits=False)
    assert [type(error) for error in site.errors.found] == [Boom]


def test_errors_everywhere_are_all_reported() -> None:
    """Errors of teardown functions, closings and callbacks come out as one group, in order."""
    site = Site(TESTING=True)
    names = iter("abcdefgh")

    def raising(*args: Any, **values: Any) -> None:
        raise Boom(next(names))

    def failing() -> Iterator[int]:
        try:
            yield 1
        finally:
            raising()

    first = demijohn.resource(failing)
    second = demijohn.resource(lifetime="view")(failing)
    site.app.teardown_request(raising)
    site.app.teardown_appcontext(raising)

    @site.view
    def view() -> str:
        assert first == second == 1
        on_end(raising)
        on_end(raising)
        site.use()
        return "text"

    with pytest.raises(ExceptionGroup) as caught:
        ask(site, "client")
    assert [str(error) for error in caught.value.exceptions] == list("abcdef")
    assert site.log == OPENED + the_end(commits=False)


def test_an_error_in_dirty() -> None:
    """Where `dirty` fails, the resource stays open, the others are given back, it is reported."""
    site = Site()

    def failing(value: Any) -> bool:
        raise Boom

    kept = logged(site.log, "kept", lifetime="view", dirty=failing)

    @site.view
    def view() -> Any:
        assert kept.name == "kept"
        site.use("view")
        return (part for part in ["text"])

    served = Served(site.app)
    assert site.log == ["open kept", "open view", "left view", "close view"]
    assert served.read() == b"text"
    assert site.log.count("good kept") == 1
    assert site.log.count("close kept") == 1
    assert [type(error) for error in site.errors.found] == [Boom]


def test_an_error_in_the_transaction_hook() -> None:
    """Where the hook fails, the resource is released and not registered; the error comes out."""
    site = Site()
    broken = True

    def hook(value: Any, events: Any) -> None:
        events.begun()
        if broken:
            raise Boom

    wired = logged(site.log, "wired", transaction=hook)

    @site.view
    def view() -> str:
        nonlocal broken
        with pytest.raises(Boom):
            wired.name  # noqa: B018
        assert demijohn.held_resources() == []
        assert site.log == ["open wired", "left wired", "close wired"]
        # The transaction that the hook began is over with it.
        demijohn.on_commit(site.log.append, "on_commit")
        broken = False
        assert wired.name == "wired"
        return "text"

    assert serve(site.app) == "200 OK"
    assert site.log.count("close wired") == 2
    assert site.log.count("on_commit") == 1


@pytest.mark.parametrize("caller", [*CALLERS, "by hand"])
@pytest.mark.parametrize("lifetime", ["context", "view"])
def test_what_the_close_of_a_request_opens(lifetime: str, caller: str) -> None:
    """A resource that a request class's own `close` is the first to use is closed as well, also
    where nothing else of an end is to be done."""
    log: list[str] = []
    used = logged(log, "used", lifetime=lifetime)
    app = demijohn.Demijohn("closing", static_folder=None)

    class Request(app.request_class):  # type: ignore[misc, name-defined]
        def close(self) -> None:
            assert used.name == "used"

    app.request_class = Request
    app.get("/")(lambda: "text")
    if caller == "by hand":
        with app.test_request_context():
            pass
    elif caller == "client":
        assert app.test_client().get("/").status_code == 200
    else:
        assert serve(app) == "200 OK"
    assert log == ["open used", "good used", "close used"]


def test_opening_when_everything_is_closed() -> None:
    """What is wanted between the closings and the end of the end raises `ContextEnded`."""
    site = Site()
    errors: list[BaseException] = []

    class Request(site.app.request_class):  # type: ignore[misc, name-defined]
        def close(self) -> None:
            try:
                site.use("view")
            except ContextEnded as error:
                errors.append(error)
            super().close()

    site.app.request_class = Request
    site.view(lambda: site.use("view") or "text")
    assert ask(site, "edge") == 200
    assert len(errors) == 1


@pytest.mark.wsgi_only("at the other edge no helper's loop is needed")
def test_an_async_view_on_a_thread_whose_loop_runs() -> None:
    """What an async view opens on a helper's loop, which is closed with it, holds up no end."""
    site = Site()

    @demijohn.resource
    async def value() -> AsyncIterator[int]:
        site.log.append("open")
        try:
            yield 1
        finally:
            site.log.append("close")

    async def view() -> str:
        return str(await value)

    async def main() -> None:
        with pytest.warns(ContextWarning, match="close of its event loop"):
            assert ask(site, "client") == 200

    site.app.get("/")(view)
    asyncio.run(main())
    assert site.errors.found == []
    assert site.log[:2] == ["open", "close"]


@pytest.mark.parametrize("caller", [*CALLERS, "by hand"])
@pytest.mark.parametrize("error", [None, Boom, Handled])
def test_a_request_knows_whether_it_succeeded(error: Any, caller: str) -> None:
    """At the end both contexts of a request say the same of it, at an edge and by hand."""
    site, told = Site(), list[tuple[bool, str | None]]()

    def view() -> str:
        if error is not None:
            raise error
        return "text"

    def tell(exc: BaseException | None) -> None:
        told.append((demijohn.globals.request_ctx.succeeded, demijohn.globals.app_ctx.outcome))

    site.view(view)
    site.app.teardown_request(tell)
    if caller == "by hand":
        with suppress(Boom), site.app.test_request_context("/"):
            site.app.full_dispatch_request()
    else:
        ask(site, caller)
    assert told == [(error is None, {None: "ok", Boom: "error", Handled: "handled"}[error])]
