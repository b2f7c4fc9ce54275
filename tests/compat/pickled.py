"""Writes and reads pickles of what of Flask can be pickled; run as a program in its own process.

`python pickled.py write FILE` and `python pickled.py read FILE`; the second prints as JSON what it
found. Whether flask is Flask or Demijohn is up to the process.
"""

from __future__ import annotations

import functools
import json
import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import flask
import flask.cli
import flask.config
import flask.ctx
import flask.debughelpers
import flask.json.tag
import flask.sessions
import flask.testing
import flask.views
from markupsafe import Markup
from werkzeug.exceptions import BadRequestKeyError, NotFound

# Not from the package: this module is imported where that must not be.
HOMES: dict[str, list[str]] = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
ENVIRON = {
    "REQUEST_METHOD": "POST",
    "PATH_INFO": "/shelf/12",
    "QUERY_STRING": "a=1&a=2",
    "SERVER_NAME": "example.org",
    "SERVER_PORT": "443",
    "wsgi.url_scheme": "https",
    "HTTP_COOKIE": "c=3",
    "HTTP_X_TOKEN": "t",
    "CONTENT_TYPE": "text/plain",
}


def make_app() -> Any:
    app = flask.Flask("shelf", root_path="/", instance_path="/instance")
    app.config.update(SHELF="B12", SECRET_KEY="k")
    return app


def make_g() -> Any:
    names = flask.ctx._AppCtxGlobals()
    names.user = {"id": 7}
    return names


def make_response() -> Any:
    response = flask.Response("short", status=201, headers={"X-A": "1"}, mimetype="text/plain")
    response.set_cookie("c", "3", httponly=True)
    response.headers.add("X-A", "2")
    return response


def make_read_request() -> Any:
    request = flask.Request(dict(ENVIRON))
    assert request.args["a"] and request.headers and request.cookies and request.url
    return request


def make_abort() -> Any:
    try:
        flask.abort(404, description="no such shelf")
    except NotFound as error:
        return error


def jsonified() -> Any:
    with make_app().app_context():
        return flask.jsonify(shelf="B12")


#: What Flask can pickle, apart from classes and functions.
OBJECTS: dict[str, Callable[[], Any]] = {
    "Config": lambda: flask.Config("/root", {"A": 1}),
    "app.config": lambda: make_app().config,
    "ConfigAttribute": lambda: flask.config.ConfigAttribute("TESTING"),
    "g": make_g,
    "TaggedJSONSerializer": flask.json.tag.TaggedJSONSerializer,
    "TagDict": lambda: flask.json.tag.TagDict(flask.json.tag.TaggedJSONSerializer()),
    "SessionInterface": flask.sessions.SessionInterface,
    "SecureCookieSessionInterface": flask.sessions.SecureCookieSessionInterface,
    "session data": lambda: {"tag": (1, b"2"), "markup": Markup("<b>")},
    "Response": make_response,
    "Response of parts": lambda: flask.Response([b"a", b"b"], 404),
    "jsonify": jsonified,
    "Request": lambda: flask.Request(dict(ENVIRON)),
    "Request that was read": make_read_request,
    "UnexpectedUnicodeError": lambda: flask.debughelpers.UnexpectedUnicodeError("why"),
    "NoAppException": lambda: flask.cli.NoAppException("none here"),
    "ScriptInfo": lambda: flask.cli.ScriptInfo("shelf:app"),
    "AppGroup": lambda: flask.cli.AppGroup("books"),
    "CertParamType": flask.cli.CertParamType,
    "SeparatedPathType": flask.cli.SeparatedPathType,
    "View": flask.views.View,
    "MethodView": flask.views.MethodView,
    "BadRequestKeyError": lambda: BadRequestKeyError("key"),
    "abort": make_abort,
    "partial": lambda: functools.partial(flask.url_for, "static", filename="x"),
}


def describe(value: Any) -> Any:
    """What must be equal on both sides, as plain data."""
    kind = type(value)
    found: Any = None
    if value is None:
        return None
    if isinstance(value, type) or hasattr(value, "__code__"):
        return [value.__module__, value.__qualname__]
    if isinstance(value, flask.Response):
        found = [value.status, value.headers.to_wsgi_list(), value.get_data(as_text=True)]
    elif isinstance(value, flask.Request):
        found = [value.method, value.url, value.args.to_dict(False), value.cookies.to_dict()]
        found += [value.headers["X-Token"], value.mimetype, value.content_length]
        found += [value.url_rule, value.view_args, value.endpoint, value.blueprints]
    elif isinstance(value, flask.json.tag.TaggedJSONSerializer):
        found = [value.dumps(SAMPLE), repr(value.loads(value.dumps(SAMPLE)))]
    elif isinstance(value, flask.json.tag.JSONTag):
        found = [value.key, repr(value.serializer.loads(value.serializer.dumps(SAMPLE)))]
    elif isinstance(value, flask.ctx._AppCtxGlobals):
        found = {name: value.get(name) for name in value}
    elif isinstance(value, flask.Config):
        found = [dict(value), value.root_path]
    elif isinstance(value, functools.partial):
        found = [describe(value.func), value.args, value.keywords]
    elif isinstance(value, Exception):
        found = [str(value), repr(value.args), getattr(value, "description", None)]
    elif isinstance(value, dict):
        found = {key: [type(item).__name__, str(item)] for key, item in value.items()}
    else:
        names = ("name", "app_import_path", "key_derivation", "methods", "null_session_class")
        found = [str(getattr(value, name, None)) for name in names]
    return [f"{kind.__module__}.{kind.__qualname__}", found]


SAMPLE = {"t": (1, b"2"), "m": Markup("<b>"), "d": {" t": 1}}


def write(path: str) -> None:
    """Write every object, and every class and function of Flask's, as one pickle each."""
    written = {name: pickle.dumps(make()) for name, make in OBJECTS.items()}
    for module, names in HOMES.items():
        for name in names:
            value = getattr(import_module(f"flask.{module}"), name, None)
            if value is not None:
                written[f"{module}.{name}"] = pickle.dumps(value)
    with open(path, "wb") as file:
        pickle.dump(written, file)


def load(name: str, data: bytes) -> Any:
    """What was pickled; None for the name of a function that this side does not have."""
    module, _, attribute = name.rpartition(".")
    if name not in OBJECTS and not hasattr(import_module(f"flask.{module}"), attribute):
        return None
    return pickle.loads(data)


def read(path: str) -> None:
    """Print what the pickles hold, as JSON."""
    with open(path, "rb") as file:
        written = pickle.load(file)
    ours = flask.Flask.__mro__[0] is getattr(sys.modules.get("demijohn"), "Flask", None)
    found = {name: describe(load(name, data)) for name, data in written.items()}
    foreign = [name for name, data in written.items() if b"demijohn" in data]
    print(json.dumps({"ours": ours, "found": found, "foreign": foreign}, default=str))


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](sys.argv[2])
