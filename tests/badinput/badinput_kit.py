"""A site that keeps account of its contexts, a real server for it, and requests of any bytes."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

DEADLINE = 30.0  # seconds for a server's answer


class Ledger:
    """What became of each request of an application: how often it came, ended, failed."""

    def __init__(self, fw: Any, app: Any) -> None:
        self.requests = 0
        self.request_ends = 0
        self.app_ends = 0
        self.left_current = 0
        self.errors: list[BaseException] = []
        # Reentrant: the collector may close a body while this thread has it.
        self._lock = threading.RLock()
        self._quiet = threading.Condition(self._lock)
        self._running = 0
        self._fw = fw
        app.wsgi_app = self._around(app.wsgi_app)
        if hasattr(app, "asgi_app"):
            app.asgi_app = self._around_async(app.asgi_app)
        app.teardown_request(lambda exc: self._count("request_ends"))
        app.teardown_appcontext(lambda exc: self._count("app_ends"))
        self._failed = lambda sender, exception: self.errors.append(exception)
        fw.got_request_exception.connect(self._failed, app)

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def _around(self, inner: Any) -> Any:
        def wsgi_app(environ: Any, start_response: Any) -> Iterator[bytes]:
            with self._lock:
                self.requests += 1
                self._running += 1
            try:
                body = inner(environ, start_response)
                try:
                    yield from body
                finally:
                    getattr(body, "close", lambda: None)()
            finally:
                with self._lock:
                    self.left_current += self._fw.has_app_context()
                    self._running -= 1
                    self._quiet.notify_all()

        return wsgi_app

    def _around_async(self, inner: Any) -> Any:
        async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
            with self._lock:
                self.requests += 1
                self._running += 1
            try:
                await inner(scope, receive, send)
            finally:
                with self._lock:
                    self.left_current += self._fw.has_app_context()
                    self._running -= 1
                    self._quiet.notify_all()

        return asgi_app

    def check(self, requests: int | None = None) -> None:
        """Each request ended its two contexts once and left nothing current on its thread."""
        with self._quiet:
            assert self._quiet.wait_for(lambda: not self._running, DEADLINE)
        if requests is not None:
            assert self.requests == requests
        assert self.request_ends == self.app_ends == self.requests
        assert self.left_current == 0


class _Handler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: malformed requests are the rule here."""

    def log_request(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(app: Any) -> Iterator[tuple[str, int]]:
    """The development server for `app` on a free port, on threads of this process."""
    # A handler raises no error of the application any further than its log.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL + 1)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[:2]  # type: ignore[misc]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Reply:
    """What came back over the socket."""

    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def get(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def comparable(self, address: tuple[str, int]) -> Any:
        """Without the date, the server's name and the port, which differ from run to run."""
        kept = [pair for pair in self.headers if pair[0] not in ("Date", "Server")]
        body = self.body.replace(f":{address[1]}".encode(), b":PORT")
        return self.status, self.reason, kept, body


def exchange(address: tuple[str, int], data: bytes) -> Reply:
    """Send `data` as it is, read to the end, and return the one reply."""
    received = b""
    with socket.create_connection(address, timeout=DEADLINE) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass  # The server closed with some of the request unread; what it said came before.
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin1").split("\r\n")
    found = re.fullmatch(r"HTTP/1\.[01] (\d{3}) (.*)", first)
    assert found, received[:200]
    pairs = [line.partition(": ")[::2] for line in lines]
    return Reply(int(found[1]), found[2], pairs, body)


def message(
    target: bytes,
    *headers: bytes,
    method: bytes = b"GET",
    body: bytes = b"",
    host: bytes = b"a.com",
) -> bytes:
    """A request of these bytes; a host unless it is empty, `Connection: close` in any case."""
    lines = [method + b" " + target + b" HTTP/1.1"]
    lines += [b"Host: " + host] if host else []
    lines += [*headers, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def post(target: bytes, body: bytes, kind: bytes = b"", *headers: bytes) -> bytes:
    """A POST of `body`, its length announced unless a header does that."""
    given = list(headers) + ([b"Content-Type: " + kind] if kind else [])
    if not any(h.lower().startswith((b"content-length", b"transfer-")) for h in given):
        given.append(b"Content-Length: %d" % len(body))
    return message(target, *given, method=b"POST", body=body)


def chunked(parts: Iterable[bytes]) -> bytes:
    """The parts as a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


def multipart(fields: Iterable[tuple[str, bytes]], boundary: bytes = b"bound") -> bytes:
    """A multipart form of these fields."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (boundary, name.encode(), value)
        for name, value in fields
    ]
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


MULTIPART = b"multipart/form-data; boundary=bound"
URLENCODED = b"application/x-www-form-urlencoded"
JSON = b"application/json"


def make_site(fw: Any, **config: Any) -> Any:
    """An application that shows how it understood a request; its ledger is `app.ledger`."""
    # The logger of that name is quiet from then on: no other test may use it.
    app = fw.Flask("badinput", static_folder=None)
    app.secret_key = "key"
    app.config.update(config)
    app.logger.disabled = True
    app.ledger = Ledger(fw, app)
    request = fw.request

    @app.get("/")
    def index() -> Any:
        names = ("host", "url", "base_url", "host_url", "path", "full_path", "method")
        return {
            **{name: getattr(request, name) for name in names},
            "args": list(request.args.items(multi=True)),
            "cookies": list(request.cookies.items(multi=True)),
            "referrer": request.referrer,
            "session": dict(fw.session),
        }

    @app.post("/json")
    def read_json() -> Any:
        return {"json": request.get_json()}

    @app.post("/silent")
    def read_silently() -> Any:
        return {"json": request.get_json(silent=True)}

    @app.post("/form")
    def read_form() -> Any:
        return {"form": list(request.form.items(multi=True)), "files": list(request.files)}

    @app.post("/sizes")
    def read_sizes() -> Any:
        return {"fields": len(request.form), "data": len(request.data)}

    @app.post("/data")
    def read_data() -> Any:
        return {"data": request.get_data(as_text=True)}

    @app.post("/stream")
    def read_stream() -> Any:
        return {"data": len(request.stream.read())}

    @app.get("/text/<name>")
    def text(name: str) -> Any:
        return ascii(name)

    @app.get("/path/<path:name>")
    def path(name: str) -> Any:
        return ascii(name)

    @app.get("/folder/<path:name>/")
    def folder(name: str) -> Any:
        return ascii(name)

    @app.get("/number/<int:n>")
    def number(n: int) -> Any:
        return str(n)

    @app.get("/arg")
    def arg() -> Any:
        return {"n": request.args.get("n", -1, type=int), "a": request.args["a"]}

    @app.get("/write")
    def write() -> Any:
        fw.session["user"] = "alice"
        return "written"

    return app
