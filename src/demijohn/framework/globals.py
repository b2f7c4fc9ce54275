"""The two context variables, their stacks, and the proxies that users import.

Framework code does not read the proxies: it takes the context as an argument.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ..context.kinds import ContextStack
from ..context.proxy import make_proxy

_cv_app: ContextVar[Any] = ContextVar("demijohn.app_ctx")
_cv_request: ContextVar[Any] = ContextVar("demijohn.request_ctx")

# Bound once: a method of an imported name is bound at each call otherwise, 50 ns (CPython 3.11).
current_app_ctx = _cv_app.get
current_request_ctx = _cv_request.get
set_app_ctx = _cv_app.set
set_request_ctx = _cv_request.set
reset_app_ctx = _cv_app.reset
reset_request_ctx = _cv_request.reset

app_stack: ContextStack[Any] = ContextStack("app", _cv_app)
request_stack: ContextStack[Any] = ContextStack("request", _cv_request)

# The first lines are Flask's: users and tools search for them.
NO_APP = "Working outside of application context."
_NO_APP = (NO_APP, "This code needs the current application.")
_NO_REQUEST = (
    "Working outside of request context.",
    "This code needs an active HTTP request.",
)
NO_WEBSOCKET = (
    "Working outside of websocket context.",
    "This code needs an open WebSocket.",
    "Call it from the view of a WebSocket (`@app.websocket(...)`), from its hooks, or from work"
    " that it starts by `task_group()` or `in_child(f)`.",
)
_REQUEST_REMEDY = (
    "Call it from a view, or in a test under `with app.test_request_context():`. Work that a view"
    " starts sees its request if it is started by `in_child(f)`, `ContextThread`,"
    " `ContextThreadPoolExecutor`, `parallel()` or `task_group()`."
)

app_ctx: Any = make_proxy(_cv_app, None, *_NO_APP)
current_app: Any = make_proxy(_cv_app, "app", *_NO_APP)
g: Any = make_proxy(_cv_app, "g", *_NO_APP, held="_g", maker="_make_g")
request_ctx: Any = make_proxy(_cv_request, None, *_NO_REQUEST, remedy=_REQUEST_REMEDY)
request: Any = make_proxy(_cv_request, "request", *_NO_REQUEST, remedy=_REQUEST_REMEDY)
session: Any = make_proxy(_cv_request, "session", *_NO_REQUEST, remedy=_REQUEST_REMEDY)
websocket: Any = make_proxy(_cv_request, "websocket", *NO_WEBSOCKET)
