"""The proxies, typed as what they stand for; they live in `demijohn.framework.globals`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from .framework import globals as _globals

if TYPE_CHECKING:
    from .application import Demijohn
    from .framework.app_contexts import AppContext, _AppCtxGlobals
    from .framework.contexts import RequestContext
    from .framework.wrappers import Request, WebSocket
    from .http.sessions import SessionMixin

_cv_app: ContextVar[AppContext] = _globals._cv_app
_cv_request: ContextVar[RequestContext] = _globals._cv_request
app_ctx: AppContext = _globals.app_ctx
current_app: Demijohn = _globals.current_app
g: _AppCtxGlobals = _globals.g
request_ctx: RequestContext = _globals.request_ctx
request: Request = _globals.request
session: SessionMixin = _globals.session
websocket: WebSocket = _globals.websocket

_no_app_msg: str = "\n\n".join(_globals._NO_APP)
_no_req_msg: str = "\n\n".join(_globals._NO_REQUEST)

__all__ = ("app_ctx", "current_app", "g", "request", "request_ctx", "session", "websocket")
