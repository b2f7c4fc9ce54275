"""Other applications under a prefix of this one: which serves a request, and where it thinks it is.

An application under a prefix is served before anything of the parent's request begins: no context,
no hook, no error handler of the parent's. What speaks the other protocol than the edge goes through
`bridge_asgi` or `bridge_wsgi`, which are imported when the first such request comes. Starting and
stopping what is mounted is `mounted_lifespan`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..context.stepping import Steps
from ..framework.globals import (
    current_app_ctx,
    current_request_ctx,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from ..framework.sites import Site
from .asgi_environ import EXTRA_KEY
from .drivers import CLIENT_KEY, clear
from .mounted import Interface, Mount, checked, interface_of
from .stopping import stopping_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Mounts:
    """The mounts of one application, the longest prefix first, and how each is called."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._all: tuple[Mount, ...] = ()
        # (prefix as a WSGI path, mount), and what a mount is bridged by, by its prefix.
        self._paths: tuple[tuple[str, Mount], ...] = ()
        self._bridges: dict[str, Any] = {}
        #: The lifespan of a mount, by prefix, while the parent's has it started.
        self.lifespans: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Mount]:
        return iter(self._all)

    def add(self, prefix: str, other: Any, interface: Interface | None) -> Mount:
        """Mount `other`; see `Demijohn.mount` for the errors."""
        kept = checked(prefix)
        for mount in self._all:
            if mount.prefix == kept:
                raise ValueError(
                    f"The prefix {kept!r} is taken: an application was mounted there at"
                    f" {mount.site}."
                )
        if other is self._app:
            raise ValueError(f"{other!r} cannot be mounted under a prefix of itself.")
        mount = Mount(kept, other, interface_of(other, interface), Site.caller())
        self._all = tuple(sorted((*self._all, mount), key=lambda one: -len(one.prefix)))
        self._paths = tuple((_as_wsgi(one.prefix), one) for one in self._all)
        if mount.interface == "both":
            stopping_of(self._app).mount(stopping_of(other))
        return mount

    def for_wsgi(self, environ: WSGIEnvironment) -> tuple[Mount, str, str] | None:
        """The mount that serves a request, its prefix as a WSGI path, and the path after that."""
        path = environ.get("PATH_INFO", "")
        for prefix, mount in self._paths:
            rest = _below(path, prefix)
            if rest is not None:
                return mount, prefix, rest
        return None

    def for_asgi(self, scope: Any) -> tuple[Mount, dict[str, Any]] | None:
        """The mount that serves a connection, and the scope that it gets."""
        root: str = scope.get("root_path", "").rstrip("/")
        path: str = scope["path"]
        # The path includes `root_path`, by the specification. Some servers leave it out.
        inner = _below(path, root)
        left_out = inner is None
        if inner is None:
            inner = path
        for mount in self._all:
            if _below(inner, mount.prefix) is not None:
                below = {**scope, "root_path": root + mount.prefix, "path": root + inner}
                if left_out and below.get("raw_path") is not None:
                    below["raw_path"] = quote(root).encode() + below["raw_path"]
                # What the parent's lifespan made is the parent's.
                below.pop("state", None)
                lifespan = self.lifespans.get(mount.prefix)
                if lifespan is not None:
                    below["state"] = lifespan.state.copy()
                if EXTRA_KEY in below:
                    below[EXTRA_KEY] = dict(below[EXTRA_KEY])
                    _without_client(below[EXTRA_KEY])
                return mount, below
        return None

    def wsgi_of(self, mount: Mount) -> WSGIApplication:
        """What serves a mount on the WSGI edge."""
        if mount.interface != "asgi":
            called: WSGIApplication = mount.app
            return called
        from .bridge_wsgi import ASGIOnWSGI

        bridge: WSGIApplication = self._bridge(mount, ASGIOnWSGI)
        return bridge

    def asgi_of(self, mount: Mount) -> Any:
        """What serves a mount on the ASGI edge."""
        if mount.interface != "wsgi":
            return mount.app
        from .bridge_asgi import WSGIOnASGI

        return self._bridge(mount, WSGIOnASGI)

    def _bridge(self, mount: Mount, make: Callable[[Mount, Any], Any]) -> Any:
        bridge = self._bridges.get(mount.prefix)
        if bridge is None:
            with self._lock:
                bridge = self._bridges.get(mount.prefix)
                if bridge is None:
                    bridge = self._bridges[mount.prefix] = make(mount, self._app)
        return bridge

    async def leave(self, prefix: str) -> None:
        """The lifespan of a mount is about to be stopped: what still uses it is told, on its loop.
        The next user starts another."""
        self.lifespans.pop(prefix)
        leave = getattr(self._bridges.get(prefix), "leave", None)
        if leave is not None:
            await leave()

    def close(self) -> None:
        """Stop what the bridges of this process have started; a later request starts it again."""
        for bridge in list(self._bridges.values()):
            bridge.close()


class WSGIMounts:
    """The `wsgi_app` of an application with mounts: a mount's, or the application's own.

    It stands inside every middleware around `wsgi_app`, so it sees the environ that those made.
    """

    def __init__(self, app: Any, mounts: Mounts, wsgi_app: WSGIApplication) -> None:
        self._app = app
        self._mounts = mounts
        self._wsgi_app = wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        found = self._mounts.for_wsgi(environ)
        if found is None:
            return self._wsgi_app(environ, start_response)
        mount, prefix, rest = found
        if not self._app._got_first_request:
            self._app._got_first_request = True
        below = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "").rstrip("/") + prefix,
            "PATH_INFO": rest,
        }
        _without_client(below)
        return _clean(self._mounts.wsgi_of(mount), below, start_response)


async def serve_mounted(app: Any, scope: Any, receive: Any, send: Any) -> bool:
    """Have a mount of `app` serve a connection, if it is one's; whether it is."""
    found = app._mounts.for_asgi(scope)
    if found is None:
        return False
    mount, below = found
    if not app._got_first_request:
        app._got_first_request = True
    called = app._mounts.asgi_of(mount)
    app_ctx, request_ctx = current_app_ctx(None), current_request_ctx(None)
    if app_ctx is None and request_ctx is None:
        await called(below, receive, send)
        return True
    # A test calls, in a context that it holds.
    tokens = set_app_ctx(None), set_request_ctx(None)
    try:
        await called(below, receive, send)
    finally:
        reset_app_ctx(tokens[0])
        reset_request_ctx(tokens[1])
    return True


def _clean(
    called: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Call an application where no context of this package is current."""
    if current_app_ctx(None) is None and current_request_ctx(None) is None:
        return called(environ, start_response)
    # A test calls, in a context that it holds.
    context = copy_context()
    context.run(clear)
    body = context.run(called, environ, start_response)
    if isinstance(body, (list, tuple)):
        return body
    return Steps(context, body, lambda error: None)


def _without_client(environ: dict[str, Any]) -> None:
    """To what is mounted whoever calls is a server: it joins and keeps no context of a test's."""
    if environ.pop(CLIENT_KEY, None) is not None:
        environ.pop("werkzeug.debug.preserve_context", None)


def _below(path: str, prefix: str) -> str | None:
    """The part of a path after a prefix, None where the path is not under it."""
    if not path.startswith(prefix):
        return None
    rest = path[len(prefix) :]
    return rest if not rest or rest[0] == "/" else None


def _as_wsgi(path: str) -> str:
    """A path as PEP 3333 has it in an environ: its UTF-8 bytes, each as a character."""
    return path.encode().decode("latin-1")
