"""Advisories about headers, cookies, ranges and logs."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

from advisory_kit import Answer, advisory, call, cookies_of, grows_linearly, new_app, seconds

CONTROLS = [chr(n) for n in (*range(9), *range(10, 32), 127)]
INJECTIONS = ["\r\nX-Injected: 1", "\n", "\r", *CONTROLS]


def answers(fw: Any, view: Callable[[], Any]) -> Answer:
    """What an application sends whose only view is that."""
    app = new_app(fw)
    app.add_url_rule("/", "view", view)
    return call(app)


def refused(fw: Any, view: Callable[[], Any]) -> None:
    """The view fails, as a 500, or its text is nowhere in the head of the answer."""
    answer = answers(fw, view)
    head = "\n".join([answer.line, *(f"{k}: {v}" for k, v in answer.headers)])
    assert "X-Injected: 1" not in head.split("\n") and not set(CONTROLS) - {"\n"} & set(head), head


# -- what is read ----------------------------------------------------------------------------------

PARSERS: dict[str, tuple[str, str, str, Callable[[Any], Any]]] = {
    "accept": ("Accept", "a/b;q=0.1,", "", lambda r: len(r.accept_mimetypes)),
    "accept, one type": ("Accept", "a;b=c", "", lambda r: len(r.accept_mimetypes)),
    "language": ("Accept-Language", "de-", "", lambda r: r.accept_languages.best_match(["en"])),
    "cookies": ("Cookie", "a=b; ", "", lambda r: len(r.cookies)),
    "quoted cookie": ("Cookie", "\\101", 'a="', lambda r: r.cookies),
    "backslashes": ("Cookie", "\\", 'a="', lambda r: r.cookies),
    "blanks": ("Cookie", " ", "a=b", lambda r: r.cookies),
    "content type": ("Content-Type", ";a=b", "text/html", lambda r: r.mimetype_params),
    "quoted parameter": ("Content-Type", "\\\\", 'text/html; a="', lambda r: r.mimetype_params),
    "parameter blanks": ("Content-Type", " ", "text/html; a", lambda r: r.mimetype_params),
    "parameter parts": ("Content-Type", "; *0=x", "text/html", lambda r: r.mimetype_params),
    "range": ("Range", "0-1,", "bytes=", lambda r: r.range),
    "etags": ("If-None-Match", '"a", ', "", lambda r: r.if_none_match),
    "open etag": ("If-None-Match", '"', "W/", lambda r: r.if_none_match),
    "date": ("If-Modified-Since", " 1", "Mon,", lambda r: r.if_modified_since),
    "cache": ("Cache-Control", "a=b,", "", lambda r: len(r.cache_control)),
    "cache blanks": ("Cache-Control", " ", "a=", lambda r: r.cache_control),
    "basic": ("Authorization", "QUFB", "Basic ", lambda r: r.authorization),
    "digest": ("Authorization", 'a="b", ', "Digest ", lambda r: r.authorization),
    "forwarded": ("X-Forwarded-For", "1.1.1.1, ", "", lambda r: r.access_route),
    "host": ("Host", "a.", "", lambda r: r.host),
    "referrer": ("Referer", "/%41", "http://a", lambda r: r.referrer),
}


@advisory(
    *("CVE-2024-24762", "CVE-2024-52804", "CVE-2025-67725", "CVE-2025-67726", "CVE-2020-5236")
)
def header_parsers_are_linear(fw: Any) -> None:
    """Each parser of a request header takes linear time, and for 64 kB no more than moments."""
    for name, (header, repeated, start, read) in PARSERS.items():

        def parse(
            size: int, header: str = header, repeated: str = repeated, start: str = start,
            read: Any = read,
        ) -> None:  # fmt: skip
            key = header.upper().replace("-", "_")
            key = key if key == "CONTENT_TYPE" else "HTTP_" + key
            value = start + repeated * (size // len(repeated))
            read(fw.Request({"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", key: value}))

        grows_linearly(parse, 8_000)
        taken = seconds(lambda parse=parse: parse(64_000))  # type: ignore[misc]
        assert taken < 0.3, f"{name}: {taken:.3f} s"


@advisory("CVE-2025-62727", "CVE-2025-69225")
def ranges_are_strict_and_cheap(fw: Any) -> None:
    """A Range of 64 kB costs nothing much; numbers are ASCII digits, in Range and length."""
    app = new_app(fw)

    @app.route("/", methods=["GET", "POST"])
    def view() -> Any:
        if fw.request.method == "POST":
            return str(len(fw.request.get_data()))
        return fw.send_file(io.BytesIO(b"0123456789" * 10), "text/plain", conditional=True)

    def ask(value: str) -> Answer:
        return call(app, headers=[("Range", value)])

    assert (ask("bytes=1-2").status, ask("bytes=1-2").body) == (206, b"12")
    for many in ("bytes=" + "0-1," * 16_000, "bytes=" + "0-," * 21_000, "bytes=" + "9" * 64_000):
        assert seconds(lambda many=many: ask(many)) < 0.2  # type: ignore[misc]
        assert ask(many).status in (200, 206, 416)
    arabic = "\u0663".encode().decode("latin1")
    for odd in ("+1", "1_0", "-0", "\xb2", "\u0663", arabic, "1.0", "0x1", " 1 1", "1e1"):
        for value in (f"bytes={odd}-5", f"bytes=1-{odd}", f"bytes={odd}-", f"bytes=-{odd}"):
            if value not in ("bytes=-0-5", "bytes=-0-") and value != "bytes=1--0":
                assert ask(value).status in (200, 416), value
        if odd != "-0":
            answer = call(app, "/", "POST", [("Content-Length", odd)], io.BytesIO(b"x" * 20))
            assert answer.status in (200, 400) and answer.body in (b"0", answer.body[30:]), odd


@advisory("CVE-2023-23934")
def nameless_cookies_are_no_cookies(fw: Any) -> None:
    """A cookie without a name is not read as one with the name that stands in its value."""
    app = new_app(fw)
    app.add_url_rule("/", "view", lambda: repr(sorted(fw.request.cookies.items(multi=True))))
    table: list[tuple[str, Any]] = [
        ("=__Host-x=bad", None),
        ("=__Host-x=bad; __Host-x=good", "good"),
        ("==__Host-x=bad", None),
        (" = __Host-x=bad", None),
        ("__Host-x=good; __Host-x=bad", "good"),
        ("a==__Host-x=bad", None),
        ('__Host-x="good"', "good"),
        ("__Host-x=" + "g" * 5000, "g" * 5000),
    ]
    read: list[Any] = []
    app.add_url_rule("/x", "x", lambda: read.append(fw.request.cookies.get("__Host-x")) or "x")
    for header, value in table:
        call(app, "/x", headers=[("Cookie", header)])
        assert read.pop() == value, header
    for header in ("\x00=\x01", "a\x00=b", ";" * 4000, "=" * 4000, '"', "a=" + '"' * 4001):
        assert call(app, headers=[("Cookie", header)]).status == 200


# -- what is sent ----------------------------------------------------------------------------------


@advisory("CVE-2026-35536", "CVE-2026-123535", "CVE-2026-0672")
def cookie_attributes_are_not_injected(fw: Any) -> None:
    """Neither a semicolon nor a control character gets out of a cookie's name or attribute."""
    for text in (";", "; Secure", ";HttpOnly", *INJECTIONS):
        for what in ("key", "value", "domain", "path", "samesite", "max_age", "expires"):

            def view(what: str = what, text: str = text) -> Any:
                response = fw.make_response("x")
                given = {"key": "k", "value": "v", what: f"a{text}b"}
                response.set_cookie(**given)
                return response

            refused(fw, view)
            for header in answers(fw, view).all("Set-Cookie"):
                names = [p.partition("=")[0].strip().lower() for p in header.split(";")[1:]]
                assert set(names) <= {"path", what.replace("max_age", "max-age")}, header
                assert len(names) == len(set(names))


@advisory("CVE-2025-67724")
def status_lines_are_not_injected(fw: Any) -> None:
    """No control character gets into the status line, however the status is given."""
    for text in INJECTIONS:
        for status in (f"200 OK{text}", f"200 a{text}b", f"2{text}00 OK", text):
            refused(fw, lambda status=status: ("x", status))  # type: ignore[misc]
            refused(fw, lambda status=status: fw.Response("x", status=status))  # type: ignore[misc]


@advisory("CVE-2020-7695", "CVE-2012-2374", "CVE-2016-9964", "CVE-2018-1000164")
def headers_are_not_injected(fw: Any) -> None:
    """No control character gets into a header's name or value, `Location` among them."""
    for text in INJECTIONS:
        ways: list[Callable[[str], Any]] = [
            lambda text: ("x", {"X-A": f"a{text}b"}),
            lambda text: ("x", {f"X-A{text}b": "a"}),
            lambda text: ("x", 200, [("X-A", f"a{text}b")]),
            lambda text: fw.Response("x", content_type=f"text/a{text}b"),
            lambda text: fw.Response("x", headers=[("Content-Disposition", f"a{text}b")]),
            lambda text: fw.redirect(f"/a{text}b"),
            lambda text: fw.redirect(f"http://a{text}b/"),
            lambda text: fw.send_file(
                io.BytesIO(b""), "text/plain", as_attachment=True, **{NAME: f"a{text}b"}
            ),
        ]
        for way in ways:
            refused(fw, lambda way=way, text=text: way(text))  # type: ignore[misc]


NAME = "download_name"


@advisory("CVE-2020-7694")
def logs_are_not_written_by_clients(fw: Any) -> None:
    """A request that fails writes one record, and no control character of its path is in it."""
    app = new_app(fw)
    app.logger.disabled = False
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    app.logger.handlers[:] = [handler]
    app.logger.propagate = False

    @app.route("/fail/<name>")
    def fail(name: str) -> str:
        raise LookupError(name)

    assert call(app, "/fail/a\nERROR: b\x1b[31m\x07").status == 500
    assert call(app, "/missing/\x1b[31m\n").status == 404
    [record] = records
    assert not set(CONTROLS) & set(record.getMessage()), record.getMessage()
    assert cookies_of(call(app, "/missing")) == {}
