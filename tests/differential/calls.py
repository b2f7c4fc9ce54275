"""Calls: requests that match an application's rules, nearly match them, or do not."""

from __future__ import annotations

from .chooser import Chooser
from .model import Call, Target
from .rules import NEAR

QUERIES = {
    "query": ("a=1&b=2&a=3", "a=%C3%A9+x", "a=x&a", "q=%ff&%zz"),
}
HEADERS: dict[str, tuple[tuple[tuple[str, str], ...], ...]] = {
    "header: Accept": (
        (("Accept", "application/json;q=0.9, text/html"),),
        (("Accept-Language", "de, en;q=0.5"), ("User-Agent", "agent/1.0")),
    ),
    "header: conditional": (
        (("If-None-Match", '"own"'),),
        (("If-None-Match", "*"),),
        (("If-None-Match", 'W/"own", "other"'),),
        (("If-Modified-Since", "Wed, 01 May 2030 00:00:00 GMT"),),
        (("If-Match", '"other"'),),
    ),
    "header: Range": (
        (("Range", "bytes=0-3"),),
        (("Range", "bytes=-2"),),
        (("Range", "bytes=900-"),),
        (("Range", "bytes=0-1"), ("If-Range", '"own"')),
        (("Range", "lines=1"),),
    ),
    "header: Authorization": (
        (("Authorization", "Basic dXNlcjpwdw=="),),
        (("Authorization", "Bearer token"),),
        (("Authorization", "Basic !"),),
    ),
    "header: several": (
        (("X-Own", "1"), ("X-Forwarded-For", "1.2.3.4"), ("Cache-Control", "max-age=3")),
        (("Upgrade", "websocket"), ("Connection", "Upgrade")),
        (("X-Http-Method-Override", "PUT"), ("Te", "trailers"), ("Max-Forwards", "1")),
        (("Referer", "http://example.org/"), ("Origin", "null"), ("Date", "bad")),
    ),
    "header: foreign cookie": (
        (("Cookie", "session=broken.signature.here; own=1"),),
        (("Cookie", "a=1; a=2; b=%C3%A9; ="),),
        (("Cookie", "session=; own="),),
    ),
}
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nthe file\r\n--b--\r\n"
)
FORM = "application/x-www-form-urlencoded"
BODIES: dict[str, tuple[tuple[bytes, str], ...]] = {
    "body: JSON": (
        (b'{"a": [1, null], "b": "\\u00e9"}', "application/json"),
        ('"é"'.encode(), "application/vnd.api+json"),
        (b"[]", "application/json; charset=utf-8"),
    ),
    "body: bad JSON": (
        (b'{"a": ', "application/json"),
        (b"", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"a": 1}', "text/plain"),
        (b"NaN", "application/json"),
    ),
    "body: form": (
        (b"a=1&b=two+words&a=3", FORM),
        (b"a=%C3%A9&=x&c", FORM),
        (b"b=%ff", FORM + "; charset=latin-1"),
    ),
    "body: multipart": (
        (MULTIPART, "multipart/form-data; boundary=b"),
        (MULTIPART[:-9], "multipart/form-data; boundary=b"),
        (MULTIPART, "multipart/form-data"),
        (MULTIPART.replace(b'name="a"', b'name="\xc3\xa9"'), 'multipart/form-data; boundary="b"'),
    ),
    "body: other": (
        (b"plain text of some length, more than twenty", "text/plain; charset=utf-8"),
        (b"\x00\x01", "application/octet-stream"),
        (b"untyped", ""),
    ),
}
WANTED_BODIES = {
    "request: JSON": ("body: JSON", "body: bad JSON"),
    "request: form": ("body: form", "body: multipart"),
    "request: limits": ("body: form", "body: multipart", "body: other"),
    "request: data": ("body: other", "body: form"),
}
"""By what a view does, the bodies that show it."""
WAYS = ("transaction", "follow", "with")
CONDITIONS = ("header: conditional", "header: Range")
WANTED_CONDITIONS = {
    "return: conditional response",
    "return: send_file",
    "return: send_from_directory",
    "static",
}
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "get", "TRACE", "OWN")


def draw_path(choose: Chooser, call: Call, target: Target) -> None:
    """A path at a target: one that matches in eight of ten calls."""
    way = choose.number(0, 99)
    call.path = choose.one(target.good)
    if way < 80:
        call.features |= target.features
        return
    if way < 86:
        call.features.add("path: a value that does not fit")
        call.path = choose.one(target.bad)
    elif way < 97:
        feature = choose.one(tuple(NEAR))
        call.features.add(feature)
        call.path = NEAR[feature](call.path)
    else:
        call.features.add("path: none of a rule")
        call.path = choose.one(("/nowhere", "/", "", "//", "/%00", "/a b?", "/é", "relative"))


def draw_method(choose: Chooser, call: Call, target: Target) -> None:
    """A method: one of the rule's in most calls."""
    call.method = choose.one(target.methods)
    if choose.chance(16):
        call.method = choose.one(METHODS)
    call.features.add(f"method: {call.method}" if call.method in METHODS[:4] else "method: another")


def draw_body(choose: Chooser, call: Call, target: Target) -> None:
    """A body, more often where the method has one."""
    wanted = [
        body for hint, bodies in WANTED_BODIES.items() if hint in target.hints for body in bodies
    ]
    if not choose.chance(70 if wanted or call.method in ("POST", "PUT", "PATCH") else 15):
        return
    feature = choose.one(wanted or tuple(BODIES))
    call.features.add(feature)
    call.body, content_type = choose.one(BODIES[feature])
    call.environ["CONTENT_LENGTH"] = str(len(call.body))
    if content_type:
        call.environ["CONTENT_TYPE"] = content_type
    if choose.chance(15):
        call.features.add("body: length missing or wrong")
        call.environ["CONTENT_LENGTH"] = choose.one(("", "3", "x", "-1", "9999"))
        if choose.chance(30):
            call.environ["wsgi.input_terminated"] = "yes"
            call.environ["HTTP_TRANSFER_ENCODING"] = "chunked"


def draw_call(choose: Chooser, target: Target, asked: list[str], hosts: list[str]) -> Call:
    """One request."""
    call = Call(host=target.scope.host or hosts[0])
    draw_path(choose, call, target)
    draw_method(choose, call, target)
    draw_body(choose, call, target)
    if choose.chance(20):
        call.query = choose.one(QUERIES["query"])
        call.features.add("query")
    conditional = WANTED_CONDITIONS & target.hints
    if choose.chance(60 if conditional else 30):
        feature = choose.one(CONDITIONS if conditional else tuple(HEADERS))
        call.features.add(feature)
        call.headers += choose.one(HEADERS[feature])
    if asked and choose.chance(40):
        call.asked.append(choose.one(asked))
    if choose.chance(10):
        call.host = choose.one(hosts)
        call.features.add("host: another")
    draw_surroundings(choose, call)
    return call


def draw_surroundings(choose: Chooser, call: Call) -> None:
    """What does not belong to the request itself: the mount, the client, the clock."""
    if choose.chance(4):
        call.environ["SCRIPT_NAME"] = "/mount"
        call.features.add("script name")
    if choose.chance(3):
        call.environ["wsgi.url_scheme"] = "https"
        call.features.add("scheme: https")
    if choose.chance(6):
        call.carry = False
        call.features.add("cookies: not carried")
    if choose.chance(5):
        call.wait = choose.one((30, 100, 40 * 86400))
        call.features.add("clock: later")
    if choose.chance(12):
        call.client = True
        call.features.add("client: the framework's")
        call.ways = choose.some(WAYS, 30)
        call.features |= {f"client: {way}" for way in call.ways}
    elif choose.chance(6):
        call.steps = choose.one((1, 0))
        call.features.add("server: closes early")
