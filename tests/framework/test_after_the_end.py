"""Work that still sees a context after its end: plain data only (promise 11)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

import pytest

from demijohn import Demijohn, after_this_request, current_app, flash, g, request, session
from demijohn.context import ContextEnded

Look = Callable[[], Any]

READS: dict[str, tuple[Look, object]] = {
    "the application": (lambda: current_app.name, __name__),
    "g": (lambda: (g.user, g["user"], "user" in g), ("ada", "ada", True)),
    "the request": (lambda: (request.path, request.args["q"], request.method), ("/", "1", "POST")),
    "a header": (lambda: request.headers["X-A"], "a"),
    "the body that was read": (lambda: request.get_json(), {"n": 1}),
    "the session": (
        lambda: (session["user"], session.get("no"), "user" in session),
        ("ada", None, True),
    ),
}
WRITES: dict[str, Look] = {
    "an item": lambda: session.__setitem__("user", "eve"),
    "a deletion": lambda: session.pop("user"),
    "an update": lambda: session.update(user="eve"),
    "permanent": lambda: setattr(session, "permanent", True),
    "modified": lambda: setattr(session, "modified", True),
    "a flash": lambda: flash("too late"),
    "a callback": lambda: after_this_request(lambda response: response),
}


def ended(touch_session: bool = True) -> Context:
    """A copy of the Context of a request that is over."""
    app = Demijohn(__name__, static_folder=None)
    app.secret_key = "key"
    kept: list[Context] = []

    @app.post("/")
    def index() -> str:
        g.user = "ada"
        request.get_json()
        if touch_session:
            session["user"] = "ada"
        kept.append(copy_context())
        return "done"

    answer = app.test_client().post("/?q=1", json={"n": 1}, headers={"X-A": "a"})
    assert answer.text == "done"
    return kept[0]


def in_thread(context: Context, look: Look) -> Any:
    """What `look` gives in a thread that inherited the Context."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((True, context.run(look)))
        except Exception as error:
            outcome.append((False, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result(*outcome[0])


def in_task(context: Context, look: Look) -> Any:
    """What `look` gives in an asyncio task that inherited the Context."""

    async def work() -> Any:
        return look()

    async def main() -> Any:
        return await asyncio.create_task(work(), context=context)

    return asyncio.run(main())


def result(good: bool, value: Any) -> Any:
    if not good:
        raise value
    return value


PLACES = [in_thread, in_task, lambda context, look: context.run(look)]
places = pytest.mark.parametrize("place", PLACES, ids=["thread", "task", "same thread"])


@places
@pytest.mark.parametrize("what", READS)
def test_plain_data_can_be_read(place: Any, what: str) -> None:
    """What is plain data reads as it did in the request."""
    look, wanted = READS[what]
    assert place(ended(), look) == wanted


@places
@pytest.mark.parametrize("what", WRITES)
def test_what_would_be_lost_is_refused(place: Any, what: str) -> None:
    """A write to the session and a callback raise; the error says when and by what it ended."""
    context = ended()
    with pytest.raises(ContextEnded, match=r"was ended \d+\.\d+ s ago by its server edge"):
        place(context, WRITES[what])
    assert context.run(lambda: session["user"]) == "ada"


@pytest.mark.parametrize("what", ["an item", "an update", "a flash"])
def test_a_session_that_nobody_opened_in_time(what: str) -> None:
    """A session first looked at after the end is read from the cookie, and refuses writes too."""
    context = ended(touch_session=False)
    assert context.run(lambda: dict(session)) == {}
    with pytest.raises(ContextEnded, match="write the session"):
        context.run(WRITES[what])


def test_the_remedy_is_named() -> None:
    """The error says how the work gets a context of its own."""
    with pytest.raises(ContextEnded, match="copy_current_request_context"):
        ended().run(WRITES["an item"])


def test_a_successor_may_write() -> None:
    """A context that lives again has a session that can be written."""
    app = Demijohn(__name__, static_folder=None)
    app.secret_key = "key"
    ctx = app.test_request_context()
    with ctx:
        session["n"] = 1
    with pytest.raises(ContextEnded):
        ctx.session["n"] = 2
    with ctx:
        session["n"] = 3
        assert session["n"] == 3


def test_outside_of_the_ended_context_nothing_is_seen() -> None:
    """Only who inherited the Context sees it: elsewhere there is none after the end."""
    ended()
    with pytest.raises(RuntimeError, match="Working outside of request context"):
        request.path  # noqa: B018
