"""What servers do otherwise, each for a reason of its own: asserted by the cells, and shown in
docs/servers.md."""

from __future__ import annotations

from typing import Any

from .rows import ROWS, Bench

GUNICORN = [name for name in ROWS if name.startswith("gunicorn")]
GUNICORN_WSGI = [name for name in GUNICORN if ROWS[name].edge == "WSGI"]
GUNICORN_ASGI = [name for name in GUNICORN if ROWS[name].edge == "ASGI"]

# column, the rows in which it differs, why
DIFFERENCES: list[tuple[str, list[str], str]] = [
    (
        "F2",
        ["demijohn serve, WSGI"],
        "Granian ends a body that broke off as if it were whole: by WSGI it cannot be told"
        " otherwise. The error is in the log. By ASGI it cuts the connection.",
    ),
    (
        "F8",
        ["hypercorn, WSGI"],
        "hypercorn does not tell a WSGI application that the client has left: a body runs to its"
        " end. Serve `app.asgi_app`.",
    ),
    ("F9", ["hypercorn, WSGI"], "As F8."),
    ("F10", ["hypercorn, WSGI"], "As F8: held back while the client stays, and made to its end."),
    (
        "F11",
        ["hypercorn, ASGI", "hypercorn, WSGI"],
        "hypercorn accepts connections until the last request has ended.",
    ),
    (
        "F11",
        ["gunicorn, sync worker", "gunicorn, gthread worker"],
        "The worker keeps its socket until the last request has ended: connections are made, and"
        " wait in the system's queue.",
    ),
    (
        "F12",
        ["hypercorn, WSGI"],
        "By WSGI hypercorn does not say that it serves or stops, and has no hook: the stream goes"
        " on until its own end. Serve `app.asgi_app`.",
    ),
    (
        "F14",
        ["hypercorn, ASGI", "hypercorn, WSGI", "Granian, ASGI", *GUNICORN],
        "The main process ignores the second SIGTERM, or does not pass it on. `demijohn serve` and"
        " uvicorn exit at once.",
    ),
    (
        "F21",
        ["Granian, ASGI", *GUNICORN],
        "The server kills its worker with SIGKILL when the time is over: nothing of the worker's"
        " runs any more, no teardown function either. Set the time longer than the longest request"
        " (`--graceful-timeout`; Granian: `--workers-kill-timeout`).",
    ),
    (
        "F21",
        ["hypercorn, WSGI", "demijohn serve, WSGI"],
        "By WSGI a request cannot be interrupted: it runs to its end, or is killed with its worker"
        " when the time is over.",
    ),
]
REASONS = {(name, column): why for column, names, why in DIFFERENCES for name in names}


def otherwise(bench: Bench, column: str) -> bool:
    """Whether the row differs in this column."""
    return (bench.row.name, column) in REASONS


def differs(bench: Bench, column: str, found: Any, expected: Any) -> None:
    """Assert what was found; where the row differs in this column, that it is otherwise."""
    if otherwise(bench, column):
        assert found != expected, f"{bench.row.name} does what it did not: {found!r}"
    else:
        assert found == expected, f"{found!r} instead of {expected!r}"
