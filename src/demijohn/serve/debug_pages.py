"""Pages of the development server's debug mode, and who may see them.

A page comes from the entry-point group `demijohn.debug_pages` and stands at `/_` and its entry's
name. Only a browser or command of this machine that knows the server's token gets one; every other
request goes to the application, whose answer tells nothing of the pages. Not here: any page.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import os
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, urlencode

import click
from werkzeug import serving
from werkzeug.sansio.utils import host_is_trusted
from werkzeug.wrappers import Response

from . import debug_servers
from .debug_servers import DebugServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

GROUP = "demijohn.debug_pages"
TRUSTED_HOSTS = (".localhost", "127.0.0.1")
"""The debugger's. Any other `Host` may be a foreign name that was made to lead here."""
PROXY_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_REAL_IP",
)
"""Behind a proxy on this machine every client's address looks like this machine's."""
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every page is sent with: its URL and its content stay in that tab."""

Answer: TypeAlias = Callable[["Mapping[str, str]"], Response]
"""A page: what it answers to a query's arguments, without the token."""
Page: TypeAlias = Callable[[], AbstractContextManager[Answer]]
"""What an entry point names: entered when the server starts and left when it ends."""

_TOKEN_VARIABLE = "DEMIJOHN_DEBUG_TOKEN"
_FD_VARIABLE = "WERKZEUG_SERVER_FD"


class DebugPages:
    """A WSGI application: `app` with debug pages in front, for those who may see them.

    Arguments:
        pages: path -> page.
        token: what a request for a page shows, as `?token=` or as `Authorization: Bearer`.
    """

    def __init__(self, app: WSGIApplication, pages: Mapping[str, Answer], token: str) -> None:
        self.app = app
        self._pages = pages
        self._token = token
        # Whether the request that this thread answers is one for a page.
        self._here = threading.local()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        page = self._pages.get(environ.get("PATH_INFO", ""))
        query = None if page is None else self._admit(environ)
        if page is None or query is None:
            self._here.answers = False
            return self.app(environ, start_response)
        self._here.answers = True
        response = page(query)
        response.headers.extend(HEADERS)
        return response(environ, start_response)

    def __getattr__(self, name: str) -> Any:
        # Whoever is handed the served application sees the application.
        return getattr(self.app, name)

    def _admit(self, environ: WSGIEnvironment) -> dict[str, str] | None:
        """The query of a request that may see a page, without the token; None for any other."""
        if (
            environ["REQUEST_METHOD"] != "GET"
            or environ.get("SCRIPT_NAME")
            or not is_loopback(environ.get("REMOTE_ADDR", ""))
            or not host_is_trusted(environ.get("HTTP_HOST"), TRUSTED_HOSTS)
            or any(name in environ for name in PROXY_HEADERS)
        ):
            return None
        query = {
            name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()
        }
        shown = query.pop("token", "")
        scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer":
            shown = credentials.strip()
        given, wanted = shown.encode("utf-8", "replace"), self._token.encode()
        return query if hmac.compare_digest(given, wanted) else None

    def filter(self, record: logging.LogRecord) -> bool:
        """For the server's log: whether a line is wanted. Those of pages would repeat the token,
        each second."""
        return not (getattr(self._here, "answers", False) and record.levelno == logging.INFO)


def is_loopback(address: str) -> bool:
    """Whether an IP address is this machine's loopback, also as IPv4 within IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback if mapped is None else bool(mapped.is_loopback)


@contextmanager
def around(app: WSGIApplication, https: bool, reloads: bool) -> Iterator[WSGIApplication]:
    """The application to serve in debug mode while the block runs.

    `reloads` says that the reloader is used: then this process only starts the one that serves, and
    hands it the token, which is the same after each reload.
    """
    child = serving.is_running_from_reloader()
    if reloads and not child:
        os.environ[_TOKEN_VARIABLE] = secrets.token_urlsafe()
        try:
            yield app
        finally:
            del os.environ[_TOKEN_VARIABLE]
            debug_servers.forget(os.getpid())
        return
    # Out of the environment, so that programs that the application starts do not have it.
    handed = os.environ.pop(_TOKEN_VARIABLE, None)
    token = (handed if child else None) or secrets.token_urlsafe()
    with ExitStack() as stack:
        pages = {f"/_{name}": stack.enter_context(page()) for name, page in _load()}
        if not pages:
            yield app
            return
        served = DebugPages(app, pages, token)
        logger = logging.getLogger("werkzeug")
        logger.addFilter(served)
        stack.callback(logger.removeFilter, served)
        if not child:
            stack.callback(debug_servers.forget, os.getpid())
        stack.enter_context(_announcing(list(pages), str(getattr(app, "name", "")), token, https))
        yield served


def _load() -> Iterator[tuple[str, Page]]:
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            yield entry.name, entry.load()
        except Exception:
            # A page of somebody else's: the server starts without it.
            click.secho(f"The debug page '{entry.name}' ({entry.value}) failed to load:", err=True)
            traceback.print_exc()


@contextmanager
def _announcing(paths: list[str], app: str, token: str, https: bool) -> Iterator[None]:
    """Say where the pages are as soon as the server has its port, which it alone knows."""
    child = serving.is_running_from_reloader()
    if not child:
        os.environ.pop(_FD_VARIABLE, None)
    over = threading.Event()

    def announce() -> None:
        while (fd := os.environ.get(_FD_VARIABLE)) is None:
            if over.wait(0.01):
                return
        server = _server(int(fd), app, token, https)
        if server is None or server.host is None:
            return
        # After a reload everything is as it was said.
        again = child and debug_servers.known(server.pid, token)
        try:
            debug_servers.write(server)
        except OSError as error:
            click.echo(f" * Commands do not find this server: {error}", err=True)
        if not again:
            for path in paths:
                url = f"{server.origin}{path}?{urlencode({'token': token})}"
                click.echo(f" * {path.removeprefix('/_').capitalize()}: {url}", err=True)

    thread = threading.Thread(target=announce, name="debug pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _server(fd: int, app: str, token: str, https: bool) -> DebugServer | None:
    """The server that listens on that descriptor; None when that is no IP address."""
    listening = socket.socket(fileno=fd)
    try:
        name = listening.getsockname()
    finally:
        listening.detach()  # the server's own
    if not isinstance(name, tuple):
        return None
    child = serving.is_running_from_reloader()
    return DebugServer(
        pid=os.getppid() if child else os.getpid(),
        app=app,
        scheme="https" if https else "http",
        address=name[0],
        port=name[1],
        token=token,
    )
