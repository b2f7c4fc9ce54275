"""What generated programs use besides the framework: the log, exceptions, helpers.

`names` gives the namespace that a program runs in; a printed program has the same as imports.
"""

from __future__ import annotations

import datetime
import decimal
import http
import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import werkzeug.exceptions
import werkzeug.routing
import werkzeug.wrappers
from markupsafe import Markup
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.routing import BaseConverter, RequestRedirect, ValidationError

ROOT = str(Path(__file__).parent / "files")


class Oops(Exception):
    pass


class Worse(Oops):
    pass


class Numbered(Exception):
    """An exception with a `code` that is no HTTPException."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Teapot(werkzeug.exceptions.HTTPException):
    code = 418
    description = "a teapot"


@dataclass
class Point:
    x: int
    y: int


class Even(BaseConverter):
    """A converter that refuses odd numbers."""

    regex = r"\d+"

    def to_python(self, value: str) -> int:
        if int(value) % 2:
            raise ValidationError
        return int(value)

    def to_url(self, value: Any) -> str:
        return str(int(value))


class OwnResponse(werkzeug.wrappers.Response):
    default_mimetype = "text/x-own"


class Closing:
    """An iterable whose `close` shows."""

    def __init__(self, name: str, items: Iterable[str], log: Callable[..., None]) -> None:
        self.name = name
        self.items = iter(items)
        self.log = log

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self.items)

    def close(self) -> None:
        self.log(f"{self.name} closed")


def wsgi_answer(status: str, headers: list[tuple[str, str]], body: Any) -> Callable[..., Any]:
    """A WSGI application; without a body it raises."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if body is None:
            raise Oops("in a WSGI application")
        start_response(status, headers)
        return body

    return application


IMPORTED: dict[str, Any] = {
    "datetime": datetime,
    "decimal": decimal,
    "http": http,
    "io": io,
    "os": os,
    "uuid": uuid,
    "werkzeug": werkzeug,
    "Markup": Markup,
    "RequestRedirect": RequestRedirect,
    "WWWAuthenticate": WWWAuthenticate,
    "Oops": Oops,
    "Worse": Worse,
    "Numbered": Numbered,
    "Teapot": Teapot,
    "Point": Point,
    "Even": Even,
    "OwnResponse": OwnResponse,
    "wsgi_answer": wsgi_answer,
    "ROOT": ROOT,
}


def names(framework: ModuleType, log: Callable[..., None], asked: Any) -> dict[str, Any]:
    """The namespace of a program."""
    return {
        **IMPORTED,
        "flask": framework,
        "log": log,
        "asked": asked,
        "Closing": lambda name, items: Closing(name, items, log),
    }


HEADER = """\
import datetime, decimal, http, io, os, sys, uuid
import werkzeug.exceptions, werkzeug.routing, werkzeug.wrappers

sys.path[:0] = ["src", "tests"]
from differential import kit, side

flask = side.load("flask")  # or "demijohn"
globals().update(kit.IMPORTED)
here = side.Side(flask)
here.write = log = lambda *what: print("   ", *what)
watch, ASKED, asked = here.watch, here.asked, here.asked.__contains__
def Closing(name, items): return kit.Closing(name, items, log)
"""
"""What a printed program begins with."""
