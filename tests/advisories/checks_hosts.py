"""Advisories about hosts, redirects and the debugger."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlsplit

from advisory_kit import Answer, advisory, call, new_app

MALFORMED = [
    *("e.com/abc?bar=", "a@b", "good.com@evil.com", "e.com#x", "good.com\\evil", "a b", "a,b", ""),
    *("good.com:99999", "good.com:x", "[::1", "good.com\x00", "good.com\t", "good.com, evil.com"),
    *("\xe4.com", "xn--a", "a..b", "good.com:", "%65vil.com", "good.com/"),
]


def host_app(fw: Any, **config: Any) -> Any:
    """An application that tells its URL, and redirects to add a slash."""
    app = new_app(fw, **config)
    seen = app.seen = []

    @app.before_request
    def note() -> None:
        request = fw.request
        seen.append((request.host, request.url, request.base_url, request.path))

    @app.route("/")
    @app.route("/abc")
    def view() -> str:
        return "view"

    @app.route("/folder/<path:name>/")
    def folder(name: str) -> str:
        return "folder"

    @app.route("/<path:name>/d/")
    def deep(name: str) -> str:
        return "deep"

    return app


@advisory("CVE-2026-48710", "PYSEC-2026-248")
def urls_agree_with_routing(fw: Any) -> None:
    """With a malformed Host the answer is 400 or the host empty; a URL's path is the routed one."""
    app = host_app(fw)
    for host in ["good.com", "good.com:8000", *MALFORMED]:
        for path in ("/", "/abc", "/abc?q=/x"):
            app.seen.clear()
            answer = call(app, path, headers=[("Host", host)])
            assert answer.status in (200, 400), (host, answer.status)
            for found, url, base, routed in app.seen if answer.status == 200 else ():
                # `xn--a` has valid characters; whether IDNA can decode it is for Python to say.
                assert found in ("", "good.com", "good.com:8000") or host == "xn--a", (host, found)
                assert urlsplit(url).path == urlsplit(base).path == routed == path.split("?")[0]
                assert urlsplit(url).netloc == found


@advisory("TRUSTED_HOSTS")
def trusted_hosts_are_exact(fw: Any) -> None:
    """With TRUSTED_HOSTS only those hosts are served, on any port; the rest is a 400."""
    app = host_app(fw, TRUSTED_HOSTS=["good.com", ".wide.org"])
    for host in (
        "good.com",
        "good.com:80",
        "good.com:8000",
        "wide.org",
        "a.wide.org",
        "a.b.wide.org",
    ):
        assert call(app, headers=[("Host", host)]).status == 200, host
    evil = [
        "evil.com",
        "evilgood.com",
        "good.com.",
        "good.com.evil.com",
        "a.good.com",
        "evilwide.org",
    ]
    for host in [*evil, *(h for h in MALFORMED if not h.startswith("good.com:"))]:
        assert call(app, headers=[("Host", host)]).status == 400, host
        assert call(app, "/missing", headers=[("Host", host)]).status == 400, host


@advisory("CVE-2020-28724", "CVE-2021-21330", "CVE-2023-28370", "CVE-2018-14574")
def redirects_stay_on_the_host(fw: Any) -> None:
    """The redirect that adds a slash leads to the host that was asked, whatever the path."""
    app = host_app(fw)
    paths = ["//evil.com/d", "///evil.com/d", "/\\evil.com/d", "/%2f%2fevil.com/d", "/folder//evil"]
    paths += [
        "/folder/evil.com",
        "//folder/x",
        "/evil.com//d",
        "/@evil.com/d",
        "/http://evil.com/d",
    ]
    for host in ("good.com", "good.com:8000", *MALFORMED):
        for path in paths:
            answer = call(app, path, headers=[("Host", host)])
            for location in answer.all("Location"):
                where = browsed(location, host)
                assert where in ("good.com", host), (host, path, location)


def browsed(location: str, host: str) -> str:
    """The host where a browser that asked `good.com` goes (WHATWG URL: `\\` is `/`, and any number
    of slashes may follow the scheme).
    """
    text = location.replace("\\", "/")
    found = re.match(r"(?:https?:/*|//+)([^/?#]*)", text)
    if found is None:
        return host if host.startswith("good.com:8") else "good.com"
    return found[1].rpartition("@")[2]


# -- the debugger ----------------------------------------------------------------------------------


def debugged(fw: Any) -> tuple[Any, Any]:
    """A failing application under the debugger that `run --debug` puts there."""
    from werkzeug.debug import DebuggedApplication

    app = new_app(fw, PROPAGATE_EXCEPTIONS=True)

    @app.route("/fail")
    def fail() -> str:
        raise LookupError("--><script>alert(1)</script>")

    @app.errorhandler(404)
    def missing(error: Any) -> Any:
        return error

    return app, DebuggedApplication(app, evalex=True, pin_security=True)


def ask(debugger: Any, path: str, host: str = "localhost") -> Answer:
    import io

    return call(debugger, path, headers=[("Host", host)], **{"wsgi.errors": io.StringIO()})


@advisory("CVE-2024-34069", "GHSA-2g68-c3qc-8985", "CVE-2019-14806")
def debugger_is_for_this_machine(fw: Any) -> None:
    """The debugger's commands and console are refused to another Host, and its PIN holds after
    some tries.
    """
    _, debugger = debugged(fw)
    assert ask(debugger, "/fail").status == 500
    [frame, *_] = debugger.frames
    command = f"/fail?__debugger__=yes&cmd=1%2B1&frm={frame}&s={debugger.secret}"
    pin = f"/?__debugger__=yes&cmd=pinauth&s={debugger.secret}&pin="
    for host in ("evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "127.0.0.2"):
        assert ask(debugger, command, host).status in (400, 404, 500), host
        assert b'"auth": true' not in ask(debugger, pin + (debugger.pin or ""), host).body
        assert ask(debugger, "/console", host).status in (400, 404), host
    assert ask(debugger, "/console").status in (200, 404)
    assert b">2<" not in ask(debugger, command).body
    for _ in range(12):
        debugger._failed_pin_auth = getattr(debugger, "_failed_pin_auth", 0)
    # Each try waits; the counter is set as ten tries leave it.
    debugger._failed_pin_auth = Tried(debugger)
    assert b'"exhausted": true' in ask(debugger, pin + (debugger.pin or "")).body


def Tried(debugger: Any) -> Any:
    """A counter of eleven tries, of the kind that the debugger's is."""
    now = debugger._failed_pin_auth
    if hasattr(now, "value"):
        now.value = 11
        return now
    return 11


@advisory("CVE-2016-10516", "CVE-2017-12794")
def tracebacks_are_escaped(fw: Any) -> None:
    """An exception's text is escaped in the debugger's page."""
    _, debugger = debugged(fw)
    body = ask(debugger, "/fail?<script>alert(2)</script>").body.decode()
    # At its end the page has the traceback as a comment, which the text must not close.
    assert "<script>alert(" not in re.sub("<!--.*?-->", "", body, flags=re.DOTALL)
    assert html.escape("<script>alert(1)") in body
