"""`demijohn run --as-flask` serves an application that imports flask, also after a reload."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

SITE = """
import sys
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return f"{Flask is sys.modules['demijohn'].Demijohn} first"
"""
RUN = ("-m", "demijohn", "run", "--as-flask", "--port", "0")

Write = Callable[[str, str], Path]
Start = Callable[..., Any]


def address(process: Any) -> str:
    """Host and port that the server printed when it had bound them."""
    return str(process.wait_for("Running on http://").split("http://")[1].strip())


def get(where: str) -> str:
    connection = http.client.HTTPConnection(where, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_run(write: Write, start: Start) -> None:
    """The application that was written for Flask is ours."""
    write("app.py", SITE)
    assert get(address(start(*RUN))) == "True first"


def test_reload(write: Write, start: Start) -> None:
    """The process that the reloader starts stands in for Flask too, before and after a change."""
    path = write("app.py", SITE)
    process = start(*RUN, FLASK_DEBUG="1")
    where = address(process)
    assert get(where) == "True first"
    path.write_text(SITE.replace("first", "second"))
    # The socket stays open meanwhile: the next request waits in it for the new process.
    process.wait_for("Detected change in")
    process.wait_for("Restarting with")
    assert get(where) == "True second"
