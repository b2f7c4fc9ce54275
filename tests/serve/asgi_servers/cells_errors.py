"""Errors: in a stream, a teardown function, a receiver of a signal, a store of sessions."""

from __future__ import annotations

from servers.clients import ask, wire
from servers.kinds import eventually

from .cells import Bench, cell, ended, left_over, logged, wait_ended, whole
from .differences import differs


@cell("F2")
def exception_in_a_stream(bench: Bench) -> None:
    """An exception in the middle of a streamed body is logged once, the request ends once with it,
    and the client can tell that the body is not whole."""
    server = bench.server()
    for kind in ("sync", "async"):
        key = bench.key()
        before = logged(server, "LookupError: in the stream")
        with wire(server.port) as connection:
            connection.send(
                f"GET /breaks/{kind}?key={key} HTTP/1.1", "Host: x", "Connection: close"
            )
            raw = connection.rest()
        assert b"good\n" in raw
        wait_ended(server, key, "error")
        eventually(lambda n=before: logged(server, "LookupError: in the stream") > n, server.output)
        differs(bench, "F2", whole(raw), False)
        assert b"event: end" not in raw
    left_over(server)


@cell("F4")
def teardown_raises(bench: Bench) -> None:
    """A teardown function raises: the others run, the client gets its response, the error is
    logged once."""
    server = bench.server()
    key = bench.key()
    before = logged(server, "LookupError: in the teardown")
    answer = ask(server.port, f"/plain?end=fails&key={key}")
    assert (answer.status, answer.json) == (200, {"key": key})
    wait_ended(server, key, "ok")
    eventually(lambda: logged(server, "LookupError: in the teardown") == before + 1, server.output)
    left_over(server)


@cell("F5")
def receiver_raises(bench: Bench) -> None:
    """A receiver of each signal of a request raises: the client gets 200 or 500, the error is
    logged, the contexts are gone."""
    server = bench.server()
    for signal, status in {
        "request_started": 500,
        "request_finished": 500,
        "request_tearing_down": 200,
        "appcontext_pushed": 500,
        "appcontext_tearing_down": 200,
        "appcontext_popped": 200,
    }.items():
        key = bench.key()
        server.open_gate(f"raise-{signal}")
        answer = ask(server.port, f"/plain?key={key}")
        assert answer.status == status, (signal, answer)
        server.wait_for_output(f"LookupError: in the receiver of {signal}")
        left_over(server)
        assert len(ended(server, key)) <= 1


@cell("F6")
def open_session_raises(bench: Bench) -> None:
    """The store of sessions is down: a request that needs it gets a 500, or what the application
    makes of it, and one that does not is served."""
    server = bench.server()
    for path, status in {
        "/visit?store=down": 500,
        "/visit?store=down&as=503": 503,
        "/plain?store=up": 200,
    }.items():
        key = bench.key()
        answer = ask(server.port, f"{path}&key={key}")
        assert (answer.status, "Set-Cookie" in answer.headers) == (status, False), path
        wait_ended(server, key, "ok", "error", "handled")
    left_over(server)


@cell("F7")
def save_session_raises(bench: Bench) -> None:
    """Saving a session fails: 500, nothing of the failed save is sent, the session before it is
    intact."""
    server = bench.server()
    first = ask(server.port, "/visit")
    cookie = {"Cookie": first.headers["Set-Cookie"].partition(";")[0]}
    key = bench.key()
    answer = ask(server.port, f"/visit?store=full&key={key}", headers=cookie)
    assert (answer.status, answer.headers["Set-Cookie"]) == (500, None)
    wait_ended(server, key, "error")
    assert ask(server.port, "/visit", headers=cookie).json == {"visits": 2}
