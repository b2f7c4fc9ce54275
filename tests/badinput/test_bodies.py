"""Bodies that are malformed, nested too deep or over their limits: a status, and nothing lost."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import flask
import pytest
from badinput_kit import make_site, multipart
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import RequestEntityTooLarge

import demijohn

BOTH = pytest.mark.parametrize("fw", [demijohn, flask], ids=["demijohn", "flask"])
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=bound"


def send(app: Any, path: str, data: Any, kind: str, **options: Any) -> Any:
    """POST to `app`; afterwards its contexts have ended, and it answers."""
    client = app.test_client()
    answer = client.post(path, data=data, content_type=kind, buffered=True, **options)
    app.ledger.check()
    assert client.get("/number/7").text == "7"
    return answer


@pytest.fixture(scope="module")
def sites() -> tuple[Any, Any]:
    """The site here and on Flask, for tests that make many requests."""
    theirs = make_site(flask)

    class Request(theirs.request_class):
        def _get_file_stream(self, *args: Any, **kwargs: Any) -> Any:
            return io.BytesIO()  # Flask leaves the files of a broken form to the collector.

    theirs.request_class = Request
    return make_site(demijohn), theirs


# -- JSON ------------------------------------------------------------------------------------------

OPENINGS = ["[", '{"a":', '[{"a":', '{"a":[']
ENDS = {"[": "]", "{": "}"}


def nested(opening: str, depth: int, closed: bool) -> str:
    text = opening * depth
    return text + "1" + "".join(ENDS[c] for c in reversed(text) if c in ENDS) if closed else text


@settings(max_examples=40, deadline=None)
@given(
    opening=st.sampled_from(OPENINGS),
    depth=st.integers(2000, 20_000) | st.just(200_000),
    closed=st.booleans(),
    silent=st.booleans(),
    force=st.booleans(),
)
@example("[", 5000, True, False, False)
@example('{"a":', 5000, True, False, False)
def test_json_nested_too_deep(
    opening: str, depth: int, closed: bool, silent: bool, force: bool
) -> None:
    """JSON nested thousands deep is a 400, or None where the view reads it silently."""
    app = make_site(demijohn)
    app.add_url_rule(
        "/read",
        "read",
        lambda: {"read": demijohn.request.get_json(silent=silent, force=force)},
        methods=["POST"],
    )
    kind = "text/plain" if force else "application/json"
    answer = send(app, "/read", nested(opening, depth, closed), kind)
    if answer.status_code == 200 and not silent:
        # CPython 3.12 and later can follow more.
        assert sys.version_info >= (3, 12) and closed and depth < 50_000
    elif depth > 50_000 or not closed or sys.version_info < (3, 12):
        expected = (200, {"read": None}) if silent else (400, None)
        assert (answer.status_code, answer.json) == expected


def test_json_as_deep_as_the_parser_can() -> None:
    """JSON that is nested, and can be read, is read."""
    answer = send(make_site(demijohn), "/json", nested("[", 200, True), "application/json")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "text", ["{}", "-{}", "[1,{}]", '{{"a":{}}}', '{{"{}":1}}', "0.{}", "{}e5"]
)
@pytest.mark.parametrize("digits", [4300, 4301, 5000, 100_000])
def test_json_with_long_numbers(text: str, digits: int) -> None:
    """An integer of more digits than Python converts is a 400, as in Flask, never a 500."""
    data = text.format("9" * digits)
    ours, theirs = (
        send(make_site(fw), "/json", data, "application/json") for fw in (demijohn, flask)
    )
    assert (ours.status_code, ours.data) == (theirs.status_code, theirs.data)
    assert ours.status_code in (200, 400)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=40) | st.text(max_size=10).map(lambda s: json.dumps(s).encode()[1:]))
def test_json_of_any_bytes(sites: Any, data: bytes) -> None:
    """Any bytes as JSON are answered as by Flask, with 200 or 400."""
    ours, theirs = (
        app.test_client().post("/json", data=data, content_type="application/json") for app in sites
    )
    assert (ours.status_code, ours.data) == (theirs.status_code, theirs.data)
    assert ours.status_code in (200, 400)


# -- forms over their limits -----------------------------------------------------------------------


def urlencoded(fields: int, size: int = 0) -> bytes:
    return b"&".join(b"f%d=%b" % (n, b"x" * size) for n in range(fields))


def parts(fields: int, size: int = 0) -> bytes:
    return multipart((f"f{n}", b"x" * size) for n in range(fields))


ENCODINGS = {"urlencoded": (FORM, urlencoded), "multipart": (PARTS, parts)}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("config", "fields", "size", "status"),
    [
        ({}, 1000, 1, 200),
        ({}, 1001, 1, 413),
        ({}, 1, 500_000, 200),
        ({}, 1, 500_001, 413),
        ({"MAX_FORM_PARTS": 3}, 3, 1, 200),
        ({"MAX_FORM_PARTS": 3}, 4, 1, 413),
        ({"MAX_FORM_PARTS": None}, 1500, 1, 200),
        ({"MAX_FORM_MEMORY_SIZE": 200_000}, 2, 200_000, 200),
        ({"MAX_FORM_MEMORY_SIZE": 200_000}, 2, 200_001, 413),
        ({"MAX_FORM_MEMORY_SIZE": None}, 1, 500_001, 200),
        ({"MAX_CONTENT_LENGTH": 10_000}, 5, 1000, 200),
        ({"MAX_CONTENT_LENGTH": 10_000}, 11, 1000, 413),
    ],
)
def test_form_limits(
    encoding: str, config: dict[str, Any], fields: int, size: int, status: int
) -> None:
    """The three limits hold for both encodings; the form is whole below them, a 413 above."""
    kind, make = ENCODINGS[encoding]
    app = make_site(demijohn, **config)
    answer = send(app, "/sizes", make(fields, size), kind)
    assert answer.status_code == status
    if status == 200:
        assert answer.json["fields"] == fields


@BOTH
def test_urlencoded_limits_are_not_flasks(fw: Any) -> None:
    """The check above fails on Flask, which has no limits for urlencoded forms."""
    answer = send(make_site(fw), "/sizes", urlencoded(1001, 1), FORM)
    assert answer.status_code == (413 if fw is demijohn else 200)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_limits_of_one_request(encoding: str) -> None:
    """Limits that a view sets on its request hold for that request alone."""
    kind, make = ENCODINGS[encoding]
    app = make_site(demijohn)

    @app.post("/tight")
    def tight() -> Any:
        demijohn.request.max_form_parts = 2
        return {"fields": len(demijohn.request.form)}

    assert send(app, "/tight", make(3), kind).status_code == 413
    assert send(app, "/tight", make(2), kind).json == {"fields": 2}
    assert send(app, "/sizes", make(3), kind).json["fields"] == 3


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_form_over_its_limits_is_refused_at_once(encoding: str) -> None:
    """Little of a body with too many fields is read before it is refused."""
    kind, make = ENCODINGS[encoding]
    app = make_site(demijohn)
    data = make(2000, 1) + (b"&" + make(1, 20_000_000) if encoding == "urlencoded" else b"")
    environ = {"CONTENT_LENGTH": str(len(data)), "CONTENT_TYPE": kind, "REQUEST_METHOD": "POST"}
    source = io.BytesIO(data)
    full = {**base_environ(), **environ, "wsgi.input": source}
    with app.request_context(full), pytest.raises(RequestEntityTooLarge):
        demijohn.request.form  # noqa: B018
    assert source.tell() < 1_000_000


def base_environ() -> dict[str, Any]:
    return {
        "PATH_INFO": "/sizes",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }


# -- any form --------------------------------------------------------------------------------------

PIECES = [
    b"--bound\r\n", b"--bound--\r\n", b"--bound", b"--", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"x",
    b'Content-Disposition: form-data; name="a"\r\n\r\n', b"Content-Disposition: form-data\r\n\r\n",
    b'Content-Disposition: form-data; name="f"; filename="../f"\r\n\r\n', b"Content-Length: -1\r\n",
    b"Content-Type: text/plain; charset=utf-16\r\n", b"Content-Transfer-Encoding: base64\r\n",
    b"X\x00: y\r\n", b"\xff", b"a=b", b"&", b"%", b"%zz", b"+", b"=", b";", b" folded\r\n",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join),
    kind=st.sampled_from([FORM, PARTS]),
)
def test_forms_of_any_bytes(sites: Any, data: bytes, kind: str) -> None:
    """A form in any state of disrepair is answered as by Flask, never with a server error."""
    ours, theirs = (send(app, "/form", data, kind) for app in sites)
    assert (ours.status_code, ours.data) == (theirs.status_code, theirs.data)
    assert ours.status_code < 500


class Failing(io.RawIOBase):
    """A body whose reading fails after some bytes."""

    def __init__(self, data: bytes, error: Exception) -> None:
        self.data = data
        self.error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.data:
            raise self.error
        part, self.data = self.data[: len(buffer)], self.data[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("error", [OSError("chunk"), ConnectionResetError(), TimeoutError()])
@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data", ""), ("/json", "application/json"), ("/form", FORM), ("/form", PARTS)],
)
def test_a_body_that_cannot_be_read(
    path: str, kind: str, terminated: bool, error: Exception
) -> None:
    """A server's error while the body is read is a 400, and its uploads so far are closed."""
    app = make_site(demijohn)
    body = Failing(b'--bound\r\nContent-Disposition: form-data; name="f"; filename="f"', error)
    answer = send(
        app,
        path,
        None,
        kind,
        environ_overrides={
            "wsgi.input": body,
            "CONTENT_LENGTH": "1000",
            **({"wsgi.input_terminated": True} if terminated else {}),
        },
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("end", [b"", b"--bound\r\n\r\n\r\n", b"\xff" * 300])
def test_uploads_of_a_broken_form_are_closed(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    """Files that a form had before it turned out to be malformed or too large are closed."""
    app = make_site(demijohn, MAX_FORM_PARTS=2)
    opened: list[Any] = []

    def keep(self: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(io.BytesIO())
        return opened[-1]

    monkeypatch.setattr(demijohn.Request, "_get_file_stream", keep)
    good = multipart([("f", b"x"), ("g", b"y")]).replace(b'="f"', b'="f"; filename="f"')
    assert send(app, "/form", good, PARTS).json == {"form": [["g", "y"]], "files": ["f"]}
    broken = good[: -len(b"--bound--\r\n")] + end
    assert send(app, "/form", broken, PARTS).json in (None, {"form": [], "files": []})
    assert [file.closed for file in opened] == [True, True]


def test_a_full_disk_is_no_fault_of_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OSError of what an upload is written to stays a 500."""
    app = make_site(demijohn)

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(demijohn.Request, "_get_file_stream", lambda self, *args, **kwargs: Full())
    data = multipart([("f", b"x")]).replace(b'name="f"', b'name="f"; filename="f"')
    assert send(app, "/form", data, PARTS).status_code == 500
    assert [type(error) for error in app.ledger.errors] == [OSError]


@pytest.mark.parametrize("length", [0, 1, 99_999, 100_000, 100_001, 300_000])
@pytest.mark.parametrize(
    ("path", "kind", "frame"),
    [
        ("/data", "", "{}"),
        ("/stream", "", "{}"),
        ("/json", "application/json", '"{}"'),
        ("/form", FORM, "{}"),
        ("/form", PARTS, multipart([("a", b"{}")]).decode()),
    ],
)
def test_a_body_of_unknown_length_and_the_maximum(
    path: str, kind: str, frame: str, length: int
) -> None:
    """A body without a length is read whole up to MAX_CONTENT_LENGTH; a longer one is a 413."""
    body = frame.format("x" * max(0, length - len(frame) + 2)).encode()
    app = make_site(demijohn, MAX_CONTENT_LENGTH=100_000)
    terminated = {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}
    answer = send(app, path, None, kind, environ_overrides=terminated)
    assert answer.status_code == (200 if len(body) <= 100_000 else 413)
    if answer.status_code == 200 and path == "/stream":
        assert answer.json == {"data": len(body)}
    elif answer.status_code == 200 and kind != PARTS:
        assert b"x" * max(0, length - len(frame) + 2) in answer.data


def test_flask_cuts_such_a_body_off() -> None:
    """Known-bad control of the test above: Flask gives the first bytes of a body that is longer."""
    app = make_site(flask, MAX_CONTENT_LENGTH=100_000)
    terminated = {"wsgi.input": io.BytesIO(b"x" * 100_001), "wsgi.input_terminated": True}
    answer = send(app, "/stream", None, "", environ_overrides=terminated)
    assert answer.json == {"data": 100_000}
