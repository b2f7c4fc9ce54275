"""Pattern 11: the whole way of an HTTP request on the development servers of Flask and of Demijohn.

Each server is a process of its own (`request_log_server`), the client is a real one. What the
server gave and got, every hook, signal and teardown function is logged in order, together with the
contexts that were current, and the two logs are compared.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("request_log_server.py")
BOUNDARY = "boundary"
UPLOAD = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="file"; filename="notes.txt"\r\n\r\n'
    f"some notes\r\n--{BOUNDARY}--\r\n"
)


@dataclass(frozen=True)
class Sent:
    """One request."""

    path: str
    method: str = "GET"
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Got:
    """One answer, and everything that happened for it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    log: list[str]


class Server:
    """A framework's development server in a process."""

    def __init__(self, framework: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), framework],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PYTHONUNBUFFERED": "1",
                "PYTHONHASHSEED": "0",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = self._read_port()

    def _read_port(self) -> int:
        # The address is printed once the socket listens.
        assert self.process.stderr is not None
        output = ""
        for line in self.process.stderr:
            output += line
            if found := re.search(r"Running on http://127\.0\.0\.1:(\d+)", line):
                return int(found[1])
        self.stop()
        raise AssertionError(f"the server did not start:\n{output}")

    def stop(self) -> str:
        """End the process; what it wrote to stderr."""
        self.process.terminate()
        _, output = self.process.communicate(timeout=60)
        return output

    def send(self, sent: Sent) -> Got:
        """Send one request, and fetch the log when the server is done with it."""
        status, headers, body = self._send(sent)
        log = json.loads(self._send(Sent("/-log"))[2])
        return Got(status, headers, body, log)

    def _send(self, sent: Sent) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            body = None if sent.body is None else sent.body.encode()
            headers = {"Host": "shop.example", **sent.headers}
            connection.request(sent.method, sent.path, body, headers)
            response = connection.getresponse()
            fields = [(k, v) for k, v in response.getheaders() if k not in ("Date", "Server")]
            return response.status, fields, response.read()
        finally:
            connection.close()


@dataclass
class Servers:
    flask: Server
    demijohn: Server

    def send(self, *requests: Sent) -> tuple[list[Got], list[Got]]:
        """The same requests to both; cookies of an answer go with the next request."""
        return self._talk(self.flask, requests), self._talk(self.demijohn, requests)

    @staticmethod
    def _talk(server: Server, requests: tuple[Sent, ...]) -> list[Got]:
        answers: list[Got] = []
        cookies: dict[str, str] = {}
        for sent in requests:
            if cookies:
                jar = "; ".join(f"{k}={v}" for k, v in cookies.items())
                sent = Sent(sent.path, sent.method, sent.body, {**sent.headers, "Cookie": jar})
            answers.append(server.send(sent))
            for name, value in answers[-1].headers:
                if name == "Set-Cookie":
                    key, _, rest = value.partition("=")
                    cookies[key] = rest.partition(";")[0]
        return answers


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    both = Servers(Server("flask"), Server("demijohn"))
    yield both
    for server in (both.flask, both.demijohn):
        server.stop()


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

SAME: dict[str, tuple[Sent, ...]] = {
    "plain": (Sent("/?q=1"),),
    "post": (Sent("/?q=1", "POST", "a=1&b=2", FORM),),
    "head": (Sent("/", "HEAD"),),
    "options": (Sent("/", "OPTIONS"),),
    "match": (Sent("/word/abc/"),),
    "slash redirect": (Sent("/word/abc?q=1"),),
    "json": (Sent("/json", "POST", '{"a": [1, null]}', JSON),),
    "bad json": (Sent("/json", "POST", '{"a": ', JSON),),
    "no json": (Sent("/json", "POST", "a=1", FORM),),
    "upload": (Sent("/upload", "POST", UPLOAD, MULTIPART),),
    "missing file": (Sent("/upload", "POST", "a=1", FORM),),
    "session and flash": (Sent("/login/ada"), Sent("/who"), Sent("/who")),
    "template": (Sent("/template"),),
    "404": (Sent("/nowhere"),),
    "404 with a body": (Sent("/nowhere", "POST", "a=1", FORM),),
    "405": (Sent("/json"),),
    "abort": (Sent("/forbidden"),),
    "handled error": (Sent("/refused"),),
    "error": (Sent("/boom"),),
    "no response": (Sent("/none"),),
    "after_this_request": (Sent("/this"),),
    "list in a response": (Sent("/list-response"),),
    "thread": (Sent("/thread"),),
    "contexts by hand": (Sent("/pushed"),),
    "contexts of another app": (Sent("/other"),),
    "context popped later": (Sent("/popped-late"),),
    "two requests": (Sent("/pushed"), Sent("/state")),
    "static": (Sent("/static/none.txt"),),
}
PREFIXES = {"app": "", "blueprint": "/outer", "nested": "/outer/inner", "lean": "/lean"}
HOOKS: dict[str, tuple[Sent, ...]] = {
    "before stops": (Sent("/outer/?stop=outer+1"),),
    "app's before stops": (Sent("/outer/inner/?stop=app+2"),),
    "before fails": (Sent("/outer/inner/?fail=before+inner+1"),),
    "after fails": (Sent("/outer/inner/?fail=after+outer+2"),),
    "after fails in the app": (Sent("/?fail=after+app+1"),),
    "after fails on an error": (Sent("/outer/boom?fail=after+inner+1"),),
    "hooks on 404": (Sent("/outer/nowhere"),),
}
CASES: dict[str, tuple[Sent, ...]] = {
    f"{where}: {case}": tuple(
        Sent(prefix + sent.path, sent.method, sent.body, sent.headers) for sent in requests
    )
    for where, prefix in PREFIXES.items()
    for case, requests in SAME.items()
    if case != "static" or where in ("app", "lean")
} | {f"hooks: {case}": requests for case, requests in HOOKS.items()}


@pytest.mark.parametrize("case", CASES)
def test_same_answers_and_same_log(servers: Servers, case: str) -> None:
    """Answers (status, headers, body) and log of the whole way are those of Flask."""
    theirs, ours = servers.send(*CASES[case])
    for expected, got in zip(theirs, ours, strict=True):
        assert got.log == expected.log
        assert (got.status, got.headers, got.body) == (
            expected.status,
            expected.headers,
            expected.body,
        )


def names(log: list[str]) -> list[str]:
    """The log without the contexts and details."""
    return [re.sub(r" \[[ar]*\]: .*", "", entry) for entry in log]


END = [
    "teardown_request app 2",
    "teardown_request app 1",
    "signal request_tearing_down",
    "request.close",
    "teardown_appcontext 2",
    "teardown_appcontext 1",
    "signal appcontext_tearing_down",
    "signal appcontext_popped",
]


def test_log_of_a_plain_request(servers: Servers) -> None:
    """The log of a plain request, written out: push, match, hooks, view, response, end, body."""
    _, (got,) = servers.send(Sent("/word/abc/"))
    assert names(got.log) == [
        "environ",
        "request made",
        "signal appcontext_pushed",
        "session opened",
        "match",
        "signal request_started",
        "url_value_preprocessor app",
        "before_request app 1",
        "before_request app 2",
        "view",
        "url_defaults app",
        "after_request app 2",
        "after_request app 1",
        "session saved",
        "signal request_finished",
        "start_response",
        *END,
        "returned",
        "sent",
        "sent all",
        "closed",
    ]


STREAMS = {
    "/stream": "plain generator",
    "/stream-response": "generator in a response",
    "/stream-with-context": "with context",
}


@pytest.mark.parametrize("path", STREAMS)
def test_streamed_body(servers: Servers, path: str) -> None:
    """The bytes of a streamed body are Flask's; its end comes once, after the last byte.

    Flask ends the context before the body, and a second time after one with `stream_with_context`.
    """
    (expected,), (got,) = servers.send(Sent(path))
    assert (got.status, got.headers, got.body) == (
        expected.status,
        expected.headers,
        expected.body,
    )
    label = STREAMS[path]
    steps = [step for _ in range(3) for step in (f"{label} step", "sent")]
    ours, theirs = names(got.log), names(expected.log)
    at = ours.index("start_response") + 1
    assert ours[:at] == theirs[:at]
    assert ours[at:] == ["returned", *steps, f"{label} end", *END, "sent all", "closed"]
    begin = ["signal appcontext_pushed"] if path == "/stream-with-context" else []
    again = END if path == "/stream-with-context" else []
    steps = [*begin, *steps, f"{label} end", *again]
    assert theirs[at:] == [*END, "returned", *steps, "sent all", "closed"]


@pytest.mark.parametrize("path", STREAMS)
def test_streamed_body_without_watchers(servers: Servers, path: str) -> None:
    """The same bytes and steps from an application that nobody watches."""
    (expected,), (got,) = servers.send(Sent(f"/lean{path}"))
    assert (got.status, got.headers, got.body) == (
        expected.status,
        expected.headers,
        expected.body,
    )
    assert names(got.log) == names(expected.log)


def test_context_that_is_never_popped(servers: Servers) -> None:
    """A context that a view forgot does not spoil its answer, nor what later requests see.

    Flask answers 500, because the request pops a context that is not on top.
    """
    theirs, ours = servers.send(Sent("/forgotten"), Sent("/state"), Sent("/outer/state"))
    assert [answer.status for answer in theirs] == [500, 200, 200]
    assert [answer.status for answer in ours] == [200, 200, 200]
    assert ours[0].body == b"forgotten"
    for expected, got in zip(theirs[1:], ours[1:], strict=True):
        assert got.log == expected.log
        assert got.body == expected.body


def test_servers_write_the_same_lines() -> None:
    """What the two servers write for requests and errors is the same, but for times and frames."""
    outputs: list[list[str]] = []
    for framework in ("flask", "demijohn"):
        server = Server(framework)
        for path in ("/", "/nowhere", "/boom", "/outer/boom", "/stream"):
            server.send(Sent(path))
        lines = map(plain, server.stop().splitlines())
        outputs.append([line for line in lines if line and "/-log" not in line])
    assert outputs[0] == outputs[1]
    assert "[time] ERROR in module: Exception on /boom [GET]" in outputs[1]


def plain(line: str) -> str:
    """A line of output without colours, times, frames of tracebacks and names of source files."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    if line.startswith((" ", "Press")):
        return ""
    line = re.sub(r"ERROR in \w+", "ERROR in module", line)
    return re.sub(r"\[\d[^]]*\]", "[time]", line)


def test_a_difference_would_be_seen(servers: Servers) -> None:
    """The comparison is not blind: another request has another log."""
    _, ours = servers.send(Sent("/"), Sent("/outer/"))
    assert ours[0].log != ours[1].log
    assert any("[ar]" in entry for entry in ours[0].log)
    assert any("[a]" in entry for entry in ours[0].log)
    assert any("[]" in entry for entry in ours[0].log)
