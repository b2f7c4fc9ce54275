"""What holds on every server: the same application gives the same answers, and each request ends
once.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .clients import ask, wire
from .kinds import KINDS, Running, eventually

MEBIBYTE = 1024 * 1024
CONTENT = bytes(range(256)) * 64


def servers(trait: str) -> pytest.MarkDecorator:
    """Run a test on the servers that have the trait (`kinds.Kind`)."""
    names = [kind.name for kind in KINDS.values() if getattr(kind, trait)]
    return pytest.mark.parametrize("served", names, indirect=True)


def ended(served: Running, key: str) -> list[str]:
    return [line for line in served.log() if line.startswith(f"{key} ended")]


def body_of(raw: bytes) -> tuple[bytes, bool]:
    """The body of a chunked answer, and whether its last chunk came."""
    _, _, rest = raw.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return body, True
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body, False


def test_status_headers_and_body(served: Running) -> None:
    """Status, the application's headers and the body arrive as they were made."""
    answer = ask(served.port, "/")
    assert (answer.status, answer.body) == (201, "index ü".encode())
    assert answer.headers["X-Own"] == "a; b"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Length"] == "8"
    assert answer.headers.get_all("Content-Length") == ["8"]


def test_missing_and_failing(served: Running) -> None:
    """404, 405 and an exception in a view give their pages."""
    assert ask(served.port, "/none").status == 404
    answer = ask(served.port, "/", method="DELETE")
    assert (answer.status, set(answer.headers["Allow"].split(", "))) == (
        405,
        {"GET", "HEAD", "OPTIONS"},
    )
    answer = ask(served.port, "/fails")
    assert answer.status == 500
    assert b"Internal Server Error" in answer.body


def test_path_and_query(served: Running) -> None:
    """Text beyond ASCII and encoded delimiters in path and query are decoded once."""
    answer = ask(served.port, "/path/%C3%BC/a%3Fb%2525%20?q=%C3%9F%26+c")
    assert answer.json == {"rest": "ü/a?b%25 ", "q": "ß& c"}


def test_environ(served: Running) -> None:
    """Repeated headers are joined, and the client's address is known."""
    with wire(served.port) as connection:
        connection.send(
            "GET /environ HTTP/1.1", "Host: x", "X-Two: 1", "X-Two: 2", "Connection: close"
        )
        raw = connection.rest()
    found = json.loads(raw.partition(b"\r\n\r\n")[2])
    assert [part.strip() for part in found["headers"][0].split(",")] == ["1", "2"]
    assert (found["remote"], found["user"]) == ("127.0.0.1", None)


@servers("clean_environ")
def test_variables_of_the_process_are_no_headers(served: Running) -> None:
    """`HTTP_PROXY` in the server's environment is not the header `Proxy` of every request."""
    assert ask(served.port, "/environ").json["proxy"] is None
    answer = ask(served.port, "/environ", headers={"Proxy": "sent"})
    assert answer.json["proxy"] == "sent"


@pytest.mark.parametrize("path", ["/", "/stream?key=head"])
def test_head(served: Running, path: str) -> None:
    """HEAD gives the headers of GET, no body, and the connection is not out of step."""
    with wire(served.port) as connection:
        connection.send(f"HEAD {path} HTTP/1.1", "Host: x", "Connection: close")
        raw = connection.rest()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b" 201 " in head or b" 200 " in head
    assert (b"x-own: a; b" in head.lower()) is (path == "/")
    assert body == b""


def test_a_streamed_body_arrives_as_it_is_made(served: Running) -> None:
    """The first part is there before the second is made; the request ends after the last, once."""
    with wire(served.port) as connection:
        connection.send("GET /stream?key=parts HTTP/1.1", "Host: x", "Connection: close")
        raw = connection.until(b"first parts\n")
        assert b"last" not in raw
        assert b"x-stream: yes" in raw.lower()
        assert ended(served, "parts") == []
        served.open_gate("parts")
        raw = connection.rest()
    if served.kind.http11:
        assert b"transfer-encoding: chunked" in raw.lower()
        assert body_of(raw) == (b"first parts\nlast\n", True)
    else:
        assert raw.endswith(b"first parts\nlast\n")
    served.wait_for_log("parts ended ok NoneType")
    assert len(ended(served, "parts")) == 1


def test_a_client_that_leaves_in_the_middle(served: Running) -> None:
    """The body is closed and the request ends, once, when its client has gone."""
    with wire(served.port) as connection:
        connection.send("GET /endless?key=left HTTP/1.1", "Host: x")
        connection.until(b"x" * 1000)
    served.wait_for_log("left closed")
    eventually(lambda: ended(served, "left"), lambda: str(served.log()))
    assert ask(served.port, "/").status == 201
    assert len(ended(served, "left")) == 1
    assert served.log().count("left closed") == 1


def test_an_exception_in_a_stream(served: Running) -> None:
    """What was made before arrives, the client can see that something is missing, the error is
    written, the request ends once, and the server goes on.
    """
    with wire(served.port) as connection:
        connection.send("GET /breaks?key=broke HTTP/1.1", "Host: x", "Connection: close")
        raw = connection.rest()
    assert b"good\n" in raw
    served.wait_for_log("broke ended error LookupError")
    assert len(ended(served, "broke")) == 1
    served.wait_for_output("in the stream")
    assert ask(served.port, "/").status == 201
    if served.kind.http11:
        # Granian ends such a body as if it were whole; docs/howto/deploy.md says so.
        assert body_of(raw) == (b"good\n", served.kind.name == "granian")


def test_large_upload(served: Running) -> None:
    """A body of several megabytes arrives whole."""
    data = os.urandom(MEBIBYTE) * 5
    answer = ask(served.port, "/echo", "POST", data)
    assert answer.json == {"length": len(data), "hash": hashlib.sha256(data).hexdigest()}


def test_upload_of_a_form(served: Running) -> None:
    """A multipart form with a large file is parsed."""
    data = b"z" * 2 * MEBIBYTE
    head = 'Content-Disposition: form-data; name="text"\r\n\r\nsome\r\n--b\r\n'
    head += 'Content-Disposition: form-data; name="file"; filename="z.bin"\r\n\r\n'
    body = b"--b\r\n" + head.encode() + data + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = ask(served.port, "/upload", "POST", body, headers)
    assert answer.json == {"length": len(data), "name": "z.bin", "text": "some"}


def test_upload_over_the_limit(served: Running) -> None:
    """A body longer than `MAX_CONTENT_LENGTH` gets 413 without being sent."""
    with wire(served.port) as connection:
        connection.send("POST /echo HTTP/1.1", "Host: x", f"Content-Length: {9 * MEBIBYTE}")
        raw = connection.until(b"\r\n\r\n")
    assert raw.split(b" ")[1] == b"413"


@servers("reads_chunks")
def test_chunked_upload(served: Running) -> None:
    """A body without a length is read to its end; over the limit, it gets 413."""
    parts = [b"a" * 10, b"b" * 70000, b"c"]
    whole = hashlib.sha256(b"".join(parts)).hexdigest()
    answer = ask(served.port, "/echo", "POST", iter(parts), encode_chunked=True)
    assert answer.json == {"length": 70011, "hash": whole}
    answer = ask(served.port, "/echo", "POST", iter([b"x"]), encode_chunked=True)
    assert answer.json["length"] == 1


def test_reading_a_body_in_pieces(served: Running) -> None:
    """`request.stream` is a file: what one call leaves, the next one gets."""
    read_in_pieces(served, chunked=False)


@servers("reads_chunks")
def test_reading_a_chunked_body_in_pieces(served: Running) -> None:
    """A body without a length is such a file too."""
    read_in_pieces(served, chunked=True)


def read_in_pieces(served: Running, chunked: bool) -> None:
    text = b"abcd\nefghi\njkl\n" + b"m" * 100000
    body: Any = iter([text[:3], text[3:]]) if chunked else text
    answer = ask(served.port, "/lines", "POST", body, encode_chunked=chunked)
    assert answer.json == {
        "first": "ab",
        "line": "cd\n",
        "part": "efg",
        "rest": "hi\njkl\n" + "m" * 100000,
        "end": "",
    }


@servers("notices_short")
def test_an_upload_that_breaks_off(served: Running) -> None:
    """A body that is shorter than announced is not taken for a whole one."""
    with wire(served.port) as connection:
        connection.send(
            "POST /echo?key=short HTTP/1.1", "Host: x", "Content-Length: 100", body=b"part"
        )
        connection.socket.shutdown(1)
        raw = connection.rest()
    assert ask(served.port, "/").status == 201
    assert b" 200 OK" not in raw
    served.wait_for_log("short ended ok NoneType")


@servers("keeps_alive")
def test_keep_alive(served: Running) -> None:
    """A second request follows on the same connection, also after a stream and an unread body."""
    served.open_gate("kept")
    with wire(served.port) as connection:
        connection.send("GET /stream?key=kept HTTP/1.1", "Host: x")
        connection.until(b"0\r\n\r\n")
        connection.send("POST / HTTP/1.1", "Host: x", "Content-Length: 3", body=b"abc")
        connection.until(b" 405 ")
        connection.until(b"</p>\n")
        connection.send("GET / HTTP/1.1", "Host: x", "Connection: close")
        raw = connection.rest()
    assert raw.endswith("index ü".encode())


@servers("parallel")
def test_requests_at_once_see_only_their_own(served: Running) -> None:
    """Of twenty requests in views at the same time, each sees its own `g` and `request`."""

    def meet(number: int) -> Any:
        return ask(served.port, f"/meet/{number}?number={number}").json["seen"]

    with ThreadPoolExecutor(20) as pool:
        met = pool.map(meet, range(20))
        # Granian starts a thread when a request arrives and none seems idle. One that was about to
        # take another request seems so, and then only a later arrival starts the thread missing.
        eventually(lambda: ask(served.port, "/") and "met" in served.log())
        assert list(met) == [[n] * 4 for n in range(20)]


def test_session_cookie(served: Running) -> None:
    """A session comes back with its cookie."""
    first = ask(served.port, "/visit")
    assert first.json == {"visits": 1}
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    assert ask(served.port, "/visit", headers={"Cookie": cookie}).json == {"visits": 2}


@pytest.mark.parametrize("path", ["/file", "/file/disk"])
def test_parts_of_a_file(served: Running, path: str) -> None:
    """A file is sent whole, in the range that is asked for, and not where that is beyond it."""
    whole = ask(served.port, path)
    assert whole.status == 200
    assert path != "/file" or whole.body == CONTENT
    answer = ask(served.port, path, headers={"Range": "bytes=10-19"})
    assert (answer.status, answer.body) == (206, whole.body[10:20])
    assert answer.headers["Content-Range"] == f"bytes 10-19/{len(whole.body)}"
    assert answer.headers["Content-Length"] == "10"
    assert ask(served.port, path, headers={"Range": "bytes=99999-"}).status == 416


def test_async_view(served: Running) -> None:
    """An async view is answered, in its request's context."""
    assert ask(served.port, "/async?key=awaited").json == {"key": "awaited"}
    served.wait_for_log("awaited ended ok NoneType")


def test_the_reader_of_chunks_can_tell() -> None:
    """The check of a stream's end fails on one that was cut, and on none that is whole."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert body_of(head + b"3\r\nabc\r\n0\r\n\r\n") == (b"abc", True)
    assert body_of(head + b"3\r\nabc\r\n") == (b"abc", False)


def test_there_are_no_debug_pages(served: Running) -> None:
    """Without debug no server knows the page of live contexts: it is a path like any other."""
    unknown = ask(served.port, "/nobody-knows")
    for path in ("/_contexts", "/_contexts?token=", "/_contexts?format=json"):
        answer = ask(served.port, path, headers={"Authorization": "Bearer "})
        assert (answer.status, answer.body) == (404, unknown.body)
