"""The application that every server of these tests serves.

It writes what it does to the file named by `SITE_LOG`, a line each, and waits for files (gates) in
the folder `SITE_GATES`, so that a test knows and decides how far a request is.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demijohn import Demijohn, g, request, send_file, session
from demijohn.globals import app_ctx

LOG = os.environ["SITE_LOG"]
GATES = Path(os.environ["SITE_GATES"])
MEBIBYTE = 1024 * 1024

app = Demijohn(__name__)
app.config.update(SECRET_KEY="known", MAX_CONTENT_LENGTH=8 * MEBIBYTE)
together = threading.Barrier(20)


def log(line: str) -> None:
    with open(LOG, "a") as file:
        file.write(f"{line}\n")


def wait_for_gate(name: str) -> None:
    deadline = time.monotonic() + 60
    while not (GATES / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.01)


@app.before_request
def name_request() -> None:
    g.key = request.args.get("key")


@app.teardown_request
def log_end(error: BaseException | None) -> None:
    if g.key:
        log(f"{g.key} ended {app_ctx.outcome} {type(error).__name__}")


@app.get("/")
def index() -> Any:
    return "index ü", 201, {"X-Own": "a; b"}


@app.get("/environ")
def environ() -> Any:
    return {
        "path": request.path,
        "headers": request.headers.getlist("X-Two"),
        "proxy": request.headers.get("Proxy"),
        "user": request.remote_user,
        "remote": request.remote_addr,
        "multithread": request.environ["wsgi.multithread"],
        "multiprocess": request.environ["wsgi.multiprocess"],
    }


@app.get("/path/<path:rest>")
def path(rest: str) -> Any:
    return {"rest": rest, "q": request.args.get("q")}


@app.post("/echo")
def echo() -> Any:
    data = request.get_data()
    return {"length": len(data), "hash": hashlib.sha256(data).hexdigest()}


@app.post("/upload")
def upload() -> Any:
    file = request.files["file"]
    return {"length": len(file.read()), "name": file.filename, "text": request.form["text"]}


@app.post("/lines")
def lines() -> Any:
    # The server's own, where it ends with the body: `request.stream` has one around it that holds
    # the limit.
    ends = "wsgi.input_terminated" in request.environ
    stream = request.environ["wsgi.input"] if ends else request.stream
    return {
        "first": stream.read(2).decode(),
        "line": stream.readline().decode(),
        "part": stream.readline(3).decode(),
        "rest": stream.read().decode(),
        "end": stream.read().decode(),
    }


@app.get("/stream")
def stream() -> Any:
    def parts() -> Iterator[str]:
        yield f"first {request.args['key']}\n"
        wait_for_gate(request.args["key"])
        yield "last\n"

    return parts(), {"X-Stream": "yes"}


@app.get("/endless")
def endless() -> Any:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 64 * 1024
        finally:
            log(f"{request.args['key']} closed")

    return parts()


@app.get("/breaks")
def breaks() -> Any:
    def parts() -> Iterator[str]:
        yield "good\n"
        raise LookupError("in the stream")

    return parts()


@app.get("/fails")
def fails() -> Any:
    raise LookupError("in the view")


@app.get("/meet/<int:number>")
def meet(number: int) -> Any:
    g.number = number
    if together.wait(60) == 0:
        log("met")
    seen = [g.number, request.view_args["number"], int(request.args["number"])]  # type: ignore[index]
    together.wait(60)
    return {"seen": [*seen, g.number]}


@app.get("/visit")
def visit() -> Any:
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"]}


@app.get("/file")
def file() -> Any:
    return send_file(io.BytesIO(bytes(range(256)) * 64), "application/x-bytes", conditional=True)


@app.get("/file/disk")
def file_on_disk() -> Any:
    return send_file(__file__, "text/x-python", conditional=True)


@app.get("/async")
async def with_await() -> Any:
    import asyncio

    await asyncio.sleep(0)
    return {"key": g.key}


@app.get("/wait")
def wait() -> Any:
    log(f"{g.key} began")
    wait_for_gate(g.key)
    return f"waited {g.key}"
