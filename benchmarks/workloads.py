"""The requests that are timed and the answers that make them equal work. Knows no framework."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# What a real server puts into every environ, so that the copies have a real one's size.
SERVER: Environ = {
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "bench",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
    "HTTP_HOST": "127.0.0.1:8000",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) bench",
    "HTTP_ACCEPT": "text/html,application/json;q=0.9,*/*;q=0.8",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate",
    "HTTP_CONNECTION": "keep-alive",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


@dataclass(frozen=True)
class Workload:
    """One request and its right answer.

    `app` says which of a subject's two applications gets it: "plain", or "hooks" with the hooks.
    """

    name: str
    title: str
    app: str
    method: str
    path: str
    content_type: str
    answer: object
    query: str = ""
    body: bytes = b""
    request_headers: Environ = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    closes: int = 0

    def environ(self) -> Environ:
        """Return the environ that every call gets a copy of."""
        own: Environ = {
            "REQUEST_METHOD": self.method,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
        }
        if self.body:
            own["CONTENT_LENGTH"] = str(len(self.body))
            own["CONTENT_TYPE"] = "application/json"
        return SERVER | own | self.request_headers


ECHO = {"title": "a message", "tags": ["one", "two", "three"], "count": 3, "open": True}

WORKLOADS = (
    Workload(
        "hello",
        "GET / -> text",
        "plain",
        "GET",
        "/",
        "text/html; charset=utf-8",
        "hello",
    ),
    Workload(
        "param",
        "GET /u/<int:id>?q= -> JSON",
        "plain",
        "GET",
        "/u/42",
        "application/json",
        {"id": 42, "q": "needle"},
        query="q=needle",
    ),
    Workload(
        "echo",
        "POST JSON -> the same JSON",
        "plain",
        "POST",
        "/echo",
        "application/json",
        ECHO,
        body=json.dumps(ECHO).encode(),
    ),
    Workload(
        "hooks",
        "before, g, resource, after -> JSON",
        "hooks",
        "GET",
        "/ctx/42",
        "application/json",
        {"id": 42, "user": "ada", "path": "/ctx/42", "app": "bench"},
        request_headers={"HTTP_X_USER": "ada"},
        response_headers={"X-User": "ada"},
        closes=1,
    ),
)


class Connection:
    """What the hooks workload opens in the view and closes at the end. `closed` counts."""

    closed = 0

    def close(self) -> None:
        """Count."""
        Connection.closed += 1


class Caller:
    """Calls a WSGI application as a server does: a fresh environ, the whole body, `close()`."""

    def __init__(self, app: WSGIApp, workload: Workload) -> None:
        self.app = app
        self.workload = workload
        self.base = workload.environ()
        self.status = ""
        self.headers: list[tuple[str, str]] = []

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        """Keep status and headers."""
        self.status = status
        self.headers = headers
        return lambda data: None

    def call(self) -> bytes:
        """Make one request and return the body."""
        environ = self.base.copy()
        environ["wsgi.input"] = io.BytesIO(self.workload.body)
        body = self.app(environ, self.start_response)
        try:
            return b"".join(body)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def verify(self) -> None:
        """Raise AssertionError unless the answer is the right one, to its content type."""
        closed = Connection.closed
        body = self.call()
        name = self.workload.name
        headers = {key.lower(): value for key, value in self.headers}
        wanted = {"content-type": self.workload.content_type, "content-length": str(len(body))}
        wanted |= {key.lower(): value for key, value in self.workload.response_headers.items()}
        is_json = self.workload.content_type == "application/json"
        answer = json.loads(body) if is_json else body.decode()
        assert self.status.startswith("200 "), f"{name}: {self.status}"
        assert answer == self.workload.answer, f"{name}: {answer!r}"
        wrong = {key: headers.get(key) for key in wanted if headers.get(key) != wanted[key]}
        assert not wrong, f"{name}: headers {wrong}"
        assert Connection.closed - closed == self.workload.closes, f"{name}: close() calls"
