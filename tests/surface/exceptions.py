"""Every place where a public name of Flask's is different here, each with its reason.

Keys are Flask's paths. Each entry has a line in docs/differences.md; one that does not apply any
more fails `test_no_exception_is_stale`.
"""

from __future__ import annotations

_TEXTS = "texts of errors are our own; the first line is Flask's"
_ON_OBJECTS = "set on each request: reading is ten times slower where the class has the name too"
_JSON_MODULE = "the module with the functions themselves, which the path file re-exports"

EXCEPTIONS: dict[str, str] = {
    "flask.app.Flask.__call__": "ASGI servers call it too, with other arguments",
    "flask.ctx._AppCtxGlobals.__getattr__": (
        "for type checkers in Flask; here it would slow down every read of `g`"
    ),
    "flask.globals._no_app_msg": _TEXTS,
    "flask.globals._no_req_msg": _TEXTS,
    "flask.wrappers.Request.json_module": _JSON_MODULE,
    "flask.wrappers.Request.routing_exception": _ON_OBJECTS,
    "flask.wrappers.Request.url_rule": _ON_OBJECTS,
    "flask.wrappers.Request.view_args": _ON_OBJECTS,
    "flask.wrappers.Response.json_module": _JSON_MODULE,
}
