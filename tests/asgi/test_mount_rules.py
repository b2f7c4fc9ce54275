"""Which mount serves which path, what is refused, and how an application is told to be called."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import flask
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import demijohn
from demijohn import Demijohn, url_for

from .asgi_kit import DEADLINE, Peer, scope
from .mounted_apps import ASK, ask_wsgi


def saying(name: str) -> Any:
    """A WSGI application that says its name and where it thinks it is."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        said = f"{name} {environ['SCRIPT_NAME']} {environ['PATH_INFO']}"
        return [said.encode("latin-1")]

    return application


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("parent", static_folder=None)
    app.add_url_rule("/<path:rest>", view_func=lambda rest: f"parent  /{rest}")
    return app


@pytest.mark.parametrize("edge", list(ASK))
@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_prefix_wins(app: Demijohn, edge: str, order: int) -> None:
    """In whatever order they were mounted, the longest prefix of whole segments serves a path."""
    for prefix in ["/a", "/a/b", "/a/b/c"][::order]:
        app.mount(prefix, saying(prefix))
    for path, said in {
        "/a": "/a /a ",
        "/a/": "/a /a /",
        "/a/x": "/a /a /x",
        "/a/b": "/a/b /a/b ",
        "/a/bc": "/a /a /bc",
        "/a/b/c/b": "/a/b/c /a/b/c /b",
        "/ab": "parent  /ab",
        "/x/a": "parent  /x/a",
    }.items():
        assert ASK[edge](app, path).body.decode() == said
    assert [mount.prefix for mount in app.mounts] == ["/a/b/c", "/a/b", "/a"]


def test_the_paths_are_those_of_werkzeugs_dispatcher(app: Demijohn) -> None:
    """SCRIPT_NAME and PATH_INFO are what Werkzeug's `DispatcherMiddleware` makes of a path, with a
    prefix of the server's and without."""
    app.mount("/a", saying("mounted"))
    other = DispatcherMiddleware(saying("none"), {"/a": saying("mounted")})
    for path in ("/a", "/a/", "/a/x/", "/a/%C3%BC%2Fb", "/a//b", "/a/%FF"):
        for base in ("http://localhost/", "http://localhost/base", "http://localhost/ü"):
            found = [ask_wsgi(one, path, base_url=base).body for one in (app, other)]
            assert found[0] == found[1]


@pytest.mark.parametrize("edge", list(ASK))
def test_a_prefix_beyond_ascii(app: Demijohn, edge: str) -> None:
    """A prefix is written as text, and found in a path of percent-encoded bytes."""
    app.mount("/präfix", saying("mounted"))
    answer = ASK[edge](app, "/pr%C3%A4fix/%C3%BC/%41")
    assert answer.body.decode() == "mounted /präfix /ü/A"


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("inner", ["wsgi", "asgi", "demijohn"])
def test_a_root_of_the_servers(app: Demijohn, included: bool, inner: str) -> None:
    """Below a server's own root path a mount finds both, whether or not that server's paths
    include the root (uvicorn's do; Hypercorn's do not where a proxy took it off)."""
    seen: list[Any] = []

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["root_path"], scope["path"], scope["raw_path"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        seen.append((environ["SCRIPT_NAME"], environ["SCRIPT_NAME"] + environ["PATH_INFO"], b""))
        start_response("200 OK", [])
        return []

    child = Demijohn("child", static_folder=None)

    @child.get("/x")
    def x() -> str:
        found = demijohn.request
        seen.append((found.root_path, found.root_path + found.path, b""))
        assert url_for("x") == "/base/a/x"
        return ""

    app.mount("/a", {"asgi": asgi, "wsgi": wsgi, "demijohn": child}[inner])
    path = "/base/a/x" if included else "/a/x"
    peer = Peer()

    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            made = scope(path=path, root_path="/base")
            await app.asgi_app(made, peer.receive, peer.send)

    asyncio.run(main())
    raw = b"/base/a/x" if inner == "asgi" else b""
    assert (peer.status, seen) == (200, [("/base/a", "/base/a/x", raw)])


def test_a_prefix_of_a_proxys(app: Demijohn) -> None:
    """Middleware around `wsgi_app` stands around mounts, too: they see what it changed."""
    seen: list[Any] = []

    def mounted(environ: Any, start_response: Any) -> list[bytes]:
        names = ("REMOTE_ADDR", "wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO")
        seen.append([environ[name] for name in names])
        start_response("200 OK", [])
        return []

    app.mount("/first", mounted)
    setattr(app, "wsgi_app", ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_prefix=1))
    app.mount("/second", mounted)
    headers = [
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/outer"),
    ]
    for prefix in ("/first", "/second"):
        ask_wsgi(app, f"{prefix}/x", headers=headers)
        assert seen.pop() == ["1.2.3.4", "https", f"/outer{prefix}", "/x"]


def test_mounting_inside_of_middleware_is_refused(app: Demijohn) -> None:
    """Where `wsgi_app` is wrapped or overridden already, a mount would be outside of that: refused,
    with the order that is right."""
    setattr(app, "wsgi_app", ProxyFix(app.wsgi_app))
    with pytest.raises(RuntimeError, match=r"ProxyFix.*Mount first, then"):
        app.mount("/a", saying("a"))

    class App(Demijohn):
        def wsgi_app(self, environ: Any, start_response: Any) -> Any:
            return super().wsgi_app(environ, start_response)

    with pytest.raises(RuntimeError, match="Mount first, then"):
        App("own").mount("/a", saying("a"))


def test_url_for_of_the_parent(app: Demijohn) -> None:
    """URLs that the parent builds are the same with mounts; its routes go on."""
    app.mount("/a", saying("a"))

    @app.get("/here")
    def here() -> str:
        return url_for("here")

    for ask in ASK.values():
        assert ask(app, "/here").body == b"/here"


@pytest.mark.parametrize("prefix", ["", "/", "//", "a", "a/b", "//a", "/a//b"])
def test_prefixes_that_are_none(app: Demijohn, prefix: str) -> None:
    """A prefix begins with a slash and names a segment."""
    with pytest.raises(ValueError, match="begins with a slash and names at least one segment"):
        app.mount(prefix, saying("a"))


def test_a_prefix_is_taken_once(app: Demijohn) -> None:
    """A second application under a prefix is refused, with the place of the first."""
    app.mount("/a/", saying("first"))
    with pytest.raises(ValueError, match=r"'/a' is taken.*test_mount_rules\.py:\d+"):
        app.mount("/a", saying("second"))


def test_an_application_under_itself(app: Demijohn) -> None:
    """An application cannot be mounted under a prefix of itself."""
    with pytest.raises(ValueError, match="under a prefix of itself"):
        app.mount("/a", app)


@pytest.mark.parametrize("edge", list(ASK))
@pytest.mark.parametrize("first", ["/x", "/a/x"])
def test_after_the_first_request(app: Demijohn, edge: str, first: str) -> None:
    """Mounting is part of the setup: refused after the first request, also one to a mount."""
    app.mount("/a", saying("a"))
    ASK[edge](app, first)
    with pytest.raises(AssertionError, match="'mount' can no longer be called"):
        app.mount("/b", saying("b"))


# -- how it is called -----------------------------------------------------------------------------


async def function(scope: Any, receive: Any, send: Any) -> None: ...


class ByObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Returning:
    """Not async itself: as some middleware is."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return function(scope, receive, send)


APPLICATIONS = {
    "Flask": (flask.Flask("f"), "wsgi"),
    "ProxyFix": (ProxyFix(saying("x")), "wsgi"),
    "a WSGI function": (saying("x"), "wsgi"),
    "a partial": (functools.partial(lambda extra, e, s: [], 1), "wsgi"),
    "FastAPI": (FastAPI(), "asgi"),
    "an ASGI function": (function, "asgi"),
    "a partial of one": (functools.partial(function), "asgi"),
    "an ASGI object": (ByObject(), "asgi"),
    "Demijohn": (Demijohn("d"), "both"),
    "its asgi_app": (Demijohn("d").asgi_app, "asgi"),
    "its wsgi_app": (Demijohn("d").wsgi_app, "wsgi"),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_interface_is_guessed(app: Demijohn, name: str) -> None:
    """An application of each kind is known as what it is."""
    application, interface = APPLICATIONS[name]
    app.mount("/a", application)
    assert [mount.interface for mount in app.mounts] == [interface]


def test_djangos_applications_are_known(app: Demijohn) -> None:
    """Django's two are told apart."""
    # Not made by `get_wsgi_application`, which needs settings.
    app.mount("/w", WSGIHandler.__new__(WSGIHandler))
    app.mount("/a", ASGIHandler.__new__(ASGIHandler))
    assert {mount.prefix: mount.interface for mount in app.mounts} == {"/w": "wsgi", "/a": "asgi"}


def both(*args: Any) -> Any: ...


@pytest.mark.parametrize("application", [Returning(), both, lambda scope: None])
def test_what_could_be_either_is_asked_for(app: Demijohn, application: Any) -> None:
    """Where the signature does not tell, `interface=` is asked for, and is believed."""
    with pytest.raises(TypeError, match="does not show in its signature"):
        app.mount("/a", application)
    app.mount("/a", application, interface="asgi")
    app.mount("/w", application, interface="wsgi")
    assert {mount.prefix: mount.interface for mount in app.mounts} == {"/a": "asgi", "/w": "wsgi"}


@pytest.mark.parametrize("application", [3, "module:app", FastAPI, None])
def test_what_is_no_application(app: Demijohn, application: Any) -> None:
    """What cannot be called, and a class, are refused whatever is said of them."""
    for said in (None, "asgi"):
        with pytest.raises(TypeError, match=r"is no application|is a class"):
            app.mount("/a", application, interface=said)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="interface='rsgi'"):
        app.mount("/a", saying("a"), interface="rsgi")  # type: ignore[arg-type]
    assert app.mounts == ()


WITHOUT = """\
import asyncio, sys
sys.modules["a2wsgi"] = None
from demijohn import Demijohn

async def asgi(scope, receive, send): ...
def wsgi(environ, start_response): ...

app = Demijohn("app")
app.mount("/asgi", asgi)
app.mount("/wsgi", wsgi)
try:
    app.test_client().get("/asgi")
except RuntimeError as error:
    print(error)

told = []
async def receive():
    return {"type": "lifespan.startup"}
async def send(message):
    told.append(message)
asyncio.run(app.asgi_app({"type": "lifespan"}, receive, send))
print(told[0])
"""


def test_a2wsgi_is_asked_for() -> None:
    """Without a2wsgi the error says what is mounted where, and how to install it; an ASGI server
    does not even start."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env={"PYTHONPATH": str(Path(demijohn.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    by_wsgi, by_asgi = done.stdout.splitlines()
    assert "mounted at '/asgi' (at <string>:9) is called by ASGI" in by_wsgi
    assert by_wsgi.endswith('pip install "demijohn[mounts]"')
    assert "lifespan.startup.failed" in by_asgi and "demijohn[mounts]" in by_asgi


def test_mounts_cost_nothing_without() -> None:
    """Without mounts `wsgi_app` is the edge itself, and what mounting needs is not loaded."""
    app = Demijohn("plain")
    assert app.mounts == ()
    assert "wsgi_app" not in vars(app)
    program = (
        "import sys; from demijohn import Demijohn; app = Demijohn('x');"
        " app.mount('/a', lambda environ, start_response: [start_response('200 OK', [])] and []);"
        " app.test_client().get('/a/');"
        " print({'a2wsgi', 'demijohn.serve.bridging'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(Path(demijohn.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert done.stdout == "set()\n", done.stderr
