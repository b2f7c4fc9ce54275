"""Points at which Flask's classes are overridden: each a function of the framework.

It makes an application whose override changes something, uses it, and returns what came of it. They
are in named_classes.py, assigned.py, steps.py and parts.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Framework = Any
Point = Callable[[Framework], Any]
POINTS: dict[str, Point] = {}


def point(function: Point) -> Point:
    POINTS[function.__name__] = function
    return function


def at(framework: Framework, path: str) -> Any:
    return importlib.import_module(f"{framework.__name__}.{path}")


def make(framework: Framework, cls: type | None = None, **attributes: Any) -> Any:
    """An application of a subclass with these attributes, and a few views."""
    site = type("Site", (cls or framework.Flask,), attributes)
    app = site("site_of_points", root_path="/nowhere")
    app.secret_key = "key"
    app.logger.disabled = True

    @app.route("/", methods=["GET", "POST"])
    def index() -> Any:
        return "index"

    @app.route("/dict")
    def a_dict() -> Any:
        return {"b": 1, "a": [1, 2]}

    @app.route("/fail")
    def fail() -> Any:
        raise LookupError("failed")

    return app


def ask(app: Any, path: str = "/", **kwargs: Any) -> Any:
    """The answer to a request that is sent twice: the first one of a host is matched otherwise.

    What the second one raises comes through.
    """
    with suppress(Exception):
        app.test_client().open(path, **kwargs).close()
    with app.test_client().open(path, **kwargs) as response:
        return response.status_code, dict(response.headers), response.get_data(as_text=True)
