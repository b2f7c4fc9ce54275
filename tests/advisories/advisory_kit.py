"""What the checks of advisories share: a registry, and requests by plain WSGI.

A check takes a framework's package, `demijohn` or `flask`, and raises AssertionError where the
weakness is there. Checks run on old releases too (`conformance/advisories.py`), in environments
without pytest: they import the standard library, Werkzeug's oldest names and what they are given.
"""

from __future__ import annotations

import io
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Check = Callable[[Any], None]
CHECKS: dict[str, Check] = {}


def advisory(*ids: str) -> Callable[[Check], Check]:
    """Register a check under the ids of the advisories whose weakness it looks for."""

    def register(check: Check) -> Check:
        for name in ids:
            assert name not in CHECKS, name
            CHECKS[name] = check
        return check

    return register


class Answer(NamedTuple):
    """A response: its status line, headers and body."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.line.split()[0])

    def all(self, name: str) -> list[str]:
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


class Counting(io.RawIOBase):
    """A body that counts what is read of it, given in pieces of at most `step` bytes."""

    def __init__(self, data: bytes, step: int = 1 << 20) -> None:
        self.source = io.BytesIO(data)
        self.step = step
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.source.read(min(len(buffer), self.step))
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)


def new_app(fw: Any, **config: Any) -> Any:
    """An application of the framework, with a secret key and these settings."""
    app = fw.Flask("advisory", static_folder=None)
    app.secret_key = "key"
    app.config.update(config)
    app.logger.disabled = True
    return app


def call(
    app: Any,
    path: str = "/",
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: Any = b"",
    length: bool = True,
    **environ: Any,
) -> Answer:
    """One request by WSGI. `path` may have a query; `body` is bytes or a stream."""
    path, _, query = path.partition("?")
    full: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "good.com",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "good.com",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body and isinstance(body, bytes) and length:
        full["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers:
        key = name.upper().replace("-", "_")
        full[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key] = value
    full.update(environ)
    started: list[Any] = []

    def start_response(status: str, sent: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started[:] = [status, list(sent)]
        return lambda data: None

    chunks = app(full, start_response)
    try:
        data = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    return Answer(started[0], started[1], data)


def post(app: Any, path: str, body: Any, kind: str, **options: Any) -> Answer:
    """A POST of a body of that content type."""
    headers = [("Content-Type", kind), *options.pop("headers", ())]
    return call(app, path, "POST", headers, body, **options)


def cookies_of(answer: Answer) -> dict[str, str]:
    """The cookies that an answer sets, name and raw value."""
    pairs = (header.partition(";")[0].partition("=") for header in answer.all("Set-Cookie"))
    return {name: value for name, _, value in pairs}


def varies(answer: Answer) -> set[str]:
    """The names in `Vary`, in small letters."""
    return {
        part.strip().lower() for value in answer.all("Vary") for part in value.split(",") if part
    }


def seconds(work: Callable[[], object], tries: int = 3) -> float:
    """The shortest processor time that `work` takes in some tries."""
    best = float("inf")
    for _ in range(tries):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


@contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """Trace what the block allocates; gives a function that tells the peak so far, in bytes."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        # Also when a check fails: tracing makes everything after it many times slower.
        tracemalloc.stop()


def grows_linearly(work: Callable[[int], object], size: int, factor: int = 8) -> None:
    """Work on `factor` times the size takes far less than `factor` squared times as long.

    Times under 10 ms say nothing on a shared machine and are taken as fast enough. Work that gets
    slow long before that size is not waited for.
    """
    small = max(seconds(lambda: work(size)), 0.0005)
    for step in (2, 4):
        taken = seconds(lambda step=step: work(size * step), 1)  # type: ignore[misc]
        assert taken < small * step * 4 + 0.5, f"{small:.4f} s, and {taken:.4f} s for {step} times"
    large = seconds(lambda: work(size * factor))
    if large > 0.01:
        assert large / small < factor * 2.5, f"{small:.4f} s, and {large:.4f} s for {factor} times"


MULTIPART = "multipart/form-data; boundary=bound"
URLENCODED = "application/x-www-form-urlencoded"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    """One part of a multipart form, without the last boundary."""
    extra = "" if filename is None else f'; filename="{filename}"'
    head = f'--bound\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = b"--bound--\r\n"
