"""Advisories about forms and other bodies."""

from __future__ import annotations

import gzip
from typing import Any

from advisory_kit import (
    END,
    MULTIPART,
    URLENCODED,
    Counting,
    advisory,
    call,
    grows_linearly,
    new_app,
    part,
    post,
    seconds,
    traced_memory,
)


def body_app(fw: Any, **config: Any) -> Any:
    """An application that reads bodies: as a form, as JSON, as bytes."""
    app = new_app(fw, **config)

    @app.route("/form", methods=["POST"])
    def form() -> str:
        return str(len(fw.request.form) + len(fw.request.files))

    @app.route("/json", methods=["POST"])
    def json() -> str:
        value = fw.request.get_json()
        return "nothing" if value is None else type(value).__name__

    @app.route("/data", methods=["POST"])
    def data() -> str:
        return str(len(fw.request.get_data()))

    @app.route("/number/<int:n>")
    def number(n: int) -> str:
        return "number"

    return app


@advisory("CVE-2023-46136")
def boundary_search_is_linear(fw: Any) -> None:
    """A file of a carriage return and then any length of other bytes is parsed in linear time."""
    app = body_app(fw)

    def upload(size: int) -> None:
        data = part("f", b"\r" + b"x" * size, "f") + END
        assert post(app, "/form", data, MULTIPART).body == b"1"

    grows_linearly(upload, 1 << 20)


@advisory("CVE-2023-25577", "CVE-2023-30798", "tornado-6.5.5")
def parts_are_counted(fw: Any) -> None:
    """A form of 1,000 parts is read, one of 1,001 is a 413, files and fields alike."""
    app = body_app(fw)
    for filename in (None, "f"):
        fine = part("a", b"", filename)
        several = b"".join(part(f"a{n}", b"", filename) for n in range(1000))
        assert post(app, "/form", several + END, MULTIPART).body == b"1000"
        assert post(app, "/form", several + fine + END, MULTIPART).status == 413


@advisory("GHSA-q34m-jh98-gwm2", "GHSA-f96h-pmfr-66vw")
def fields_are_bounded(fw: Any) -> None:
    """A field of more than 500,000 bytes is a 413, before a much larger body is read, with and
    without newlines, with the default limit and with one of the application's.
    """
    app = body_app(fw)
    for size, status in ((500_000, 200), (500_001, 413)):
        assert post(app, "/form", part("a", b"x" * size) + END, MULTIPART).status == status

    class Request(fw.Request):
        max_form_memory_size = 100_000

    tight = body_app(fw)
    tight.request_class = Request
    for filling in (b"x", b"\n", b"\r\n", b"x" * 100 + b"\r"):
        data = part("a", filling * (5_000_000 // len(filling))) + END
        stream = Counting(data)
        answer = post(tight, "/form", stream, MULTIPART, CONTENT_LENGTH=str(len(data)))
        assert answer.status == 413
        assert stream.taken < 1_000_000


@advisory("CVE-2026-54283")
def urlencoded_forms_have_limits_too(fw: Any) -> None:
    """An urlencoded form of 700,000 fields or with a field too long is a 413, and soon."""
    app = body_app(fw)
    assert post(app, "/form", b"a=&" * 1001, URLENCODED).status == 413
    huge = b"&".join(b"f%d=" % n for n in range(700_000))
    assert post(app, "/form", huge, URLENCODED).status == 413
    assert post(app, "/form", b"a=" + b"x" * 500_001, URLENCODED).status == 413
    assert post(app, "/form", b"a=" + b"x" * 500_000, URLENCODED).body == b"1"
    taken = seconds(lambda: post(app, "/form", huge, URLENCODED))
    assert taken < 0.25, f"{taken:.3f} s"


@advisory("CVE-2026-33034", "CVE-2026-5766")
def bytes_are_counted_whatever_the_length_says(fw: Any) -> None:
    """Without a length the bytes that come are counted against the limit; with one that is too
    small, no more than announced is read.
    """
    app = body_app(fw, MAX_CONTENT_LENGTH=100_000)
    data = part("f", b"x" * 5_000_000, "f") + END
    for path, kind, body in (
        ("/data", "text/plain", b"x" * 5_000_000),
        ("/form", MULTIPART, data),
        ("/form", URLENCODED, b"a=" + b"x" * 5_000_000),
        ("/json", "application/json", b'"' + b"x" * 5_000_000 + b'"'),
    ):
        stream = Counting(body)
        chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        assert post(app, path, stream, kind, **chunked).status == 413, path
        assert stream.taken < 1_000_000
        stream = Counting(body)
        assert post(app, path, stream, kind, CONTENT_LENGTH="10").status in (200, 400)
        assert stream.taken <= 10
        assert post(app, path, body, kind).status == 413


@advisory("CVE-2025-69228", "CVE-2025-69229")
def forms_are_bounded_as_a_whole(fw: Any) -> None:
    """Many parts that are each within their limit are held to the whole body's; a body in pieces
    of one byte costs no more than linear time.
    """
    app = body_app(fw, MAX_CONTENT_LENGTH=300_000)
    several = b"".join(part(f"a{n}", b"x" * 1000) for n in range(400))
    assert post(app, "/form", several + END, MULTIPART).status == 413

    def slowly(size: int) -> None:
        data = part("a", b"x" * size) + END
        stream = Counting(data, 1)
        answer = post(app, "/form", stream, MULTIPART, CONTENT_LENGTH=str(len(data)))
        assert answer.body == b"1"

    grows_linearly(slowly, 4_000)


@advisory("CVE-2018-1000656")
def json_in_any_encoding_is_cheap(fw: Any) -> None:
    """JSON in another encoding, or claiming one, is read or refused in memory like its size."""
    app = body_app(fw)
    text = '{"a": "' + "x" * 100_000 + '"}'
    names = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le", "latin-1", "utf-7")
    for written in names:
        for claimed in (None, "utf-8", "utf-32", "nope", "idna", "rot13", "zlib_codec"):
            body = text.encode(written)
            kind = "application/json" + (f"; charset={claimed}" if claimed else "")
            with traced_memory() as peak_so_far:
                status = post(app, "/json", body, kind).status
                peak = peak_so_far()
            assert status in (200, 400), (written, claimed)
            assert peak < 12 * len(body) + 500_000, (written, claimed, peak)
    for odd in (b'"\xed\xa0\x80"', b'"\\ud800"', b"NaN", b"[Infinity]", b"\x00", b"\xff\xfe"):
        assert post(app, "/json", odd, "application/json").status in (200, 400)


@advisory("json-depth-and-long-integers")
def json_cannot_exhaust_the_interpreter(fw: Any) -> None:
    """JSON nested 5,000 deep is read or a 400, deeper a 400, integers of 5,000 digits are 400, in a
    path 404.
    """
    app = body_app(fw)
    for text in ("[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000):
        # CPython 3.12 and later can follow that many.
        assert post(app, "/json", text.encode(), "application/json").status in (200, 400)
    for text in ("[" * 200_000, '{"":' * 200_000):
        assert post(app, "/json", text.encode(), "application/json").status == 400
    for text in ("9" * 5000, "[-" + "9" * 5000 + "]"):
        assert post(app, "/json", text.encode(), "application/json").status == 400
    assert call(app, "/number/" + "9" * 5000).status == 404


@advisory("CVE-2021-32677")
def json_needs_its_content_type(fw: Any) -> None:
    """What a page of another site can send without asking is not parsed as JSON: 415."""
    app = body_app(fw)
    for kind in ("text/plain", URLENCODED, MULTIPART, "", "text/plain; application/json"):
        assert post(app, "/json", b'{"a": 1}', kind).status == 415, kind
    assert post(app, "/json", b'{"a": 1}', "application/json").body == b"dict"


@advisory("CVE-2025-69223")
def encoded_bodies_are_not_unpacked(fw: Any) -> None:
    """A compressed body is never decompressed: the view gets the bytes, JSON a 400."""
    app = body_app(fw)
    bomb = gzip.compress(b"[" + b" " * 10_000_000 + b"]")
    headers = [("Content-Encoding", "gzip")]
    with traced_memory() as peak:
        assert post(app, "/data", bomb, "", headers=headers).body == b"%d" % len(bomb)
        assert post(app, "/json", bomb, "application/json", headers=headers).status == 400
        assert peak() < 1_000_000
