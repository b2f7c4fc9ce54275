"""Demijohn: Flask's API on a context core that owns its units of work.

Importing the package loads little: each public name is looked up in `_HOMES` at its first use.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from .version import FLASK_API as FLASK_API
from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import json as json
    from .application import Blueprint as Blueprint
    from .application import Demijohn as Demijohn
    from .application import Flask as Flask
    from .compat.alias import install_as_flask as install_as_flask
    from .context.carrier import CarrierError as CarrierError
    from .context.errors import Cancelled as Cancelled
    from .context.errors import ContextEnded as ContextEnded
    from .context.errors import ContextWarning as ContextWarning
    from .context.errors import DeadlineExceeded as DeadlineExceeded
    from .context.errors import DirtyResource as DirtyResource
    from .context.errors import SessionReadOnly as SessionReadOnly
    from .framework.carrying import ContextField as ContextField
    from .framework.children import ContextThread as ContextThread
    from .framework.children import ContextThreadPoolExecutor as ContextThreadPoolExecutor
    from .framework.children import copy_current_request_context as copy_current_request_context
    from .framework.children import in_child as in_child
    from .framework.children import parallel as parallel
    from .framework.children import task_group as task_group
    from .framework.config import Config as Config
    from .framework.helpers import abort as abort
    from .framework.helpers import after_this_request as after_this_request
    from .framework.helpers import flash as flash
    from .framework.helpers import get_flashed_messages as get_flashed_messages
    from .framework.helpers import get_template_attribute as get_template_attribute
    from .framework.helpers import has_app_context as has_app_context
    from .framework.helpers import has_request_context as has_request_context
    from .framework.helpers import has_websocket_context as has_websocket_context
    from .framework.helpers import jsonify as jsonify
    from .framework.helpers import make_response as make_response
    from .framework.helpers import redirect as redirect
    from .framework.helpers import send_file as send_file
    from .framework.helpers import send_from_directory as send_from_directory
    from .framework.helpers import stream_with_context as stream_with_context
    from .framework.helpers import url_for as url_for
    from .framework.resources import held_resources as held_resources
    from .framework.resources import on_commit as on_commit
    from .framework.resources import on_end as on_end
    from .framework.resources import released as released
    from .framework.resources import resource as resource
    from .framework.signals import appcontext_popped as appcontext_popped
    from .framework.signals import appcontext_pushed as appcontext_pushed
    from .framework.signals import appcontext_tearing_down as appcontext_tearing_down
    from .framework.signals import before_render_template as before_render_template
    from .framework.signals import got_request_exception as got_request_exception
    from .framework.signals import message_flashed as message_flashed
    from .framework.signals import request_finished as request_finished
    from .framework.signals import request_started as request_started
    from .framework.signals import request_tearing_down as request_tearing_down
    from .framework.signals import template_rendered as template_rendered
    from .framework.templates import render_template as render_template
    from .framework.templates import render_template_string as render_template_string
    from .framework.templates import stream_template as stream_template
    from .framework.templates import stream_template_string as stream_template_string
    from .framework.wrappers import Request as Request
    from .framework.wrappers import Response as Response
    from .framework.wrappers import WebSocket as WebSocket
    from .globals import app_ctx as app_ctx
    from .globals import current_app as current_app
    from .globals import g as g
    from .globals import request as request
    from .globals import request_ctx as request_ctx
    from .globals import session as session
    from .globals import websocket as websocket
    from .http.websocket import WebSocketBadMessage as WebSocketBadMessage
    from .http.websocket import WebSocketDisconnected as WebSocketDisconnected
    from .serve.asgi_middleware import AppContextASGIMiddleware as AppContextASGIMiddleware
    from .serve.middleware import AppContextMiddleware as AppContextMiddleware

_HOMES = {
    "application": ("Blueprint", "Demijohn", "Flask"),
    "compat.alias": ("install_as_flask",),
    "context.carrier": ("CarrierError",),
    "context.errors": (
        "Cancelled",
        "ContextEnded",
        "ContextWarning",
        "DeadlineExceeded",
        "DirtyResource",
        "SessionReadOnly",
    ),
    "framework.carrying": ("ContextField",),
    "framework.children": (
        "ContextThread",
        "ContextThreadPoolExecutor",
        "copy_current_request_context",
        "in_child",
        "parallel",
        "task_group",
    ),
    "framework.config": ("Config",),
    "framework.globals": (
        "app_ctx",
        "current_app",
        "g",
        "request",
        "request_ctx",
        "session",
        "websocket",
    ),
    "framework.helpers": (
        "abort",
        "after_this_request",
        "flash",
        "get_flashed_messages",
        "get_template_attribute",
        "has_app_context",
        "has_request_context",
        "has_websocket_context",
        "jsonify",
        "make_response",
        "redirect",
        "send_file",
        "send_from_directory",
        "stream_with_context",
        "url_for",
    ),
    "framework.resources": (
        "held_resources",
        "on_commit",
        "on_end",
        "released",
        "resource",
    ),
    "framework.signals": (
        "appcontext_popped",
        "appcontext_pushed",
        "appcontext_tearing_down",
        "before_render_template",
        "got_request_exception",
        "message_flashed",
        "request_finished",
        "request_started",
        "request_tearing_down",
        "template_rendered",
    ),
    "framework.templates": (
        "render_template",
        "render_template_string",
        "stream_template",
        "stream_template_string",
    ),
    "framework.wrappers": ("Request", "Response", "WebSocket"),
    "http.websocket": ("WebSocketBadMessage", "WebSocketDisconnected"),
    "serve.asgi_middleware": ("AppContextASGIMiddleware",),
    "serve.middleware": ("AppContextMiddleware",),
}
_MODULES = frozenset(
    {
        "app",
        "blueprints",
        "cli",
        "config",
        "ctx",
        "globals",
        "helpers",
        "json",
        "logging",
        "sansio",
        "sessions",
        "signals",
        "templating",
        "typing",
        "views",
        "wrappers",
    }
)
"""The submodules that are there after `import flask`, so after `import demijohn` too."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ("FLASK_API", "json", *_HOME_OF)  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    # The builtin `globals` is hidden here: `demijohn.globals` is a module of this package.
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*vars(sys.modules[__name__]), *__all__})
