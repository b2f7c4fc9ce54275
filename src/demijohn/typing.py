"""Aliases for what users hand to the framework: return values of views, hooks and other callbacks.

They name the standard library's and Werkzeug's types only, so every layer may use them.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from wsgiref.types import WSGIApplication

from werkzeug.datastructures import Headers
from werkzeug.sansio.response import Response

__all__ = [
    "ASGIApplication",
    "AfterRequestCallable",
    "AppOrBlueprintKey",
    "BeforeFirstRequestCallable",
    "BeforeRequestCallable",
    "ErrorHandlerCallable",
    "HeaderValue",
    "HeadersValue",
    "ResponseClass",
    "ResponseReturnValue",
    "ResponseValue",
    "RouteCallable",
    "ServingCallable",
    "ShellContextProcessorCallable",
    "TeardownCallable",
    "TemplateContextProcessorCallable",
    "TemplateFilterCallable",
    "TemplateGlobalCallable",
    "TemplateTestCallable",
    "URLDefaultCallable",
    "URLValuePreprocessorCallable",
    "WhileServingCallable",
]

#: What an ASGI server calls: `await app(scope, receive, send)`.
ASGIApplication: t.TypeAlias = cabc.Callable[
    [t.Any, cabc.Callable[[], cabc.Awaitable[t.Any]], cabc.Callable[[t.Any], cabc.Awaitable[None]]],
    cabc.Awaitable[None],
]

#: What can be a response by itself. Of mappings only `dict` is accepted; the wider type lets a
#: `TypedDict` through.
ResponseValue: t.TypeAlias = (
    Response
    | str
    | bytes
    | list[t.Any]
    | cabc.Mapping[str, t.Any]
    | cabc.Iterator[str]
    | cabc.Iterator[bytes]
    | cabc.AsyncIterable[str]
    | cabc.AsyncIterable[bytes]
)

#: The value of one header; several stand for several headers of that name.
HeaderValue: t.TypeAlias = str | list[str] | tuple[str, ...]

#: The headers in a returned tuple.
HeadersValue: t.TypeAlias = (
    Headers | cabc.Mapping[str, HeaderValue] | cabc.Sequence[tuple[str, HeaderValue]]
)

#: What a view, a before hook or an error handler may return.
ResponseReturnValue: t.TypeAlias = (
    ResponseValue
    | tuple[ResponseValue, HeadersValue]
    | tuple[ResponseValue, int]
    | tuple[ResponseValue, int, HeadersValue]
    | WSGIApplication
)

#: A response class, so that a callback annotated with a subclass checks.
ResponseClass = t.TypeVar("ResponseClass", bound=Response)

#: Under which hooks are kept: a blueprint's name, `None` for the app's own.
AppOrBlueprintKey: t.TypeAlias = str | None

AfterRequestCallable: t.TypeAlias = (
    cabc.Callable[[ResponseClass], ResponseClass]
    | cabc.Callable[[ResponseClass], cabc.Awaitable[ResponseClass]]
)
AfterWebSocketCallable: t.TypeAlias = (
    cabc.Callable[[t.Any], t.Any] | cabc.Callable[[t.Any], cabc.Awaitable[t.Any]]
)
BeforeFirstRequestCallable: t.TypeAlias = (
    cabc.Callable[[], None] | cabc.Callable[[], cabc.Awaitable[None]]
)
BeforeRequestCallable: t.TypeAlias = (
    cabc.Callable[[], ResponseReturnValue | None]
    | cabc.Callable[[], cabc.Awaitable[ResponseReturnValue | None]]
)
ServingCallable: t.TypeAlias = cabc.Callable[[], object]
WhileServingCallable: t.TypeAlias = cabc.Callable[
    [], cabc.Iterator[t.Any] | cabc.AsyncIterator[t.Any]
]
ShellContextProcessorCallable: t.TypeAlias = cabc.Callable[[], dict[str, t.Any]]
TeardownCallable: t.TypeAlias = (
    cabc.Callable[[BaseException | None], None]
    | cabc.Callable[[BaseException | None], cabc.Awaitable[None]]
)
TemplateContextProcessorCallable: t.TypeAlias = (
    cabc.Callable[[], dict[str, t.Any]] | cabc.Callable[[], cabc.Awaitable[dict[str, t.Any]]]
)
TemplateFilterCallable: t.TypeAlias = cabc.Callable[..., t.Any]
TemplateGlobalCallable: t.TypeAlias = cabc.Callable[..., t.Any]
TemplateTestCallable: t.TypeAlias = cabc.Callable[..., bool]
URLDefaultCallable: t.TypeAlias = cabc.Callable[[str, dict[str, t.Any]], None]
URLValuePreprocessorCallable: t.TypeAlias = cabc.Callable[
    [str | None, dict[str, t.Any] | None], None
]

#: The argument is an exception of any class: a handler names the one it is registered for, and a
#: parameter type narrower than `Exception` would not check.
ErrorHandlerCallable: t.TypeAlias = (
    cabc.Callable[[t.Any], ResponseReturnValue]
    | cabc.Callable[[t.Any], cabc.Awaitable[ResponseReturnValue]]
)
WebSocketViewCallable: t.TypeAlias = cabc.Callable[..., cabc.Awaitable[ResponseReturnValue | None]]
RouteCallable: t.TypeAlias = (
    cabc.Callable[..., ResponseReturnValue]
    | cabc.Callable[..., cabc.Awaitable[ResponseReturnValue]]
)
