"""`Request` and `Response` as applications use them: settings come from the current application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..http.request import Request as HttpRequest
from ..http.response import Response as HttpResponse
from ..http.websocket import WebSocket as HttpWebSocket
from . import json
from .globals import current_app_ctx

if TYPE_CHECKING:
    from ..http.body_request import RequestSettings


class Request(HttpRequest):
    """The request that a view sees as `request`.

    Werkzeug's `Request` with the matched rule, its view arguments and blueprint, and limits that
    default to the application's configuration and can be set for one request.
    """

    json_module: Any = json

    def _settings(self) -> RequestSettings | None:
        ctx = current_app_ctx(None)
        return None if ctx is None else ctx.app


class WebSocket(  # pyright: ignore[reportIncompatibleMethodOverride]  # its `close` is its own
    HttpWebSocket, Request
):
    """The WebSocket that a view sees as `websocket`, and as `request`: see `http.websocket`."""


class Response(HttpResponse):
    """The response that views make and hooks see: Werkzeug's, of type HTML by default."""

    json_module: Any = json

    def _settings(self) -> RequestSettings | None:
        ctx = current_app_ctx(None)
        return None if ctx is None else ctx.app
