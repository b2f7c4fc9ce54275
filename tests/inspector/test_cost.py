"""What a push costs where nobody watches: nothing that the inspector adds."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

from demijohn import Demijohn
from demijohn.inspector.watch import Watch


def executed(app: Demijohn) -> Counter[tuple[str, int]]:
    """How often each bytecode instruction is executed by pushes, pops and a request."""
    counts: Counter[tuple[str, int]] = Counter()

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if not str(frame.f_globals.get("__name__")).startswith("demijohn"):
            return None  # the collector's callbacks, for instance
        frame.f_trace_opcodes = True
        if event == "opcode":
            counts[frame.f_code.co_qualname, frame.f_lasti] += 1
        return trace

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "wsgi.url_scheme": "http",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
    }
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with app.app_context(), app.app_context():
            pass
        with app.test_request_context("/"):
            pass
        b"".join(app.wsgi_app(dict(environ), lambda *told: lambda data: None))
    finally:
        sys.settrace(before)
    return counts


def test_nothing_is_added_where_nobody_watches() -> None:
    """Pushes, pops and requests execute the very same instructions before and after watching; a
    control: while contexts are watched they execute more."""
    app = Demijohn("site")
    app.add_url_rule("/", view_func=lambda: "done")
    for _ in range(3):
        executed(app)  # the first ones set up what later ones use
    before = executed(app)
    with Watch():
        watched = executed(app)
    assert executed(app) == before
    assert before.total() > 500
    assert watched.total() > before.total() + 100
