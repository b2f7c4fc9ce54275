"""What views call: responses, URLs, redirects, flashes and files, for the current request.

Each reads the current contexts and hands over to the application or to `http`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import IO, Any, NoReturn, TypeVar

import werkzeug.utils
from werkzeug.exceptions import abort as werkzeug_abort
from werkzeug.wrappers import Response as BaseResponse

from ..http import files
from .globals import _cv_app, _cv_request, current_app, request, request_ctx, session
from .session_access import SessionSource
from .signals import message_flashed, send_signal
from .streams import stream_with_context as stream_with_context
from .wrappers import Response

F = TypeVar("F", bound=Callable[..., Any])


def has_request_context() -> bool:
    """Whether a request context is current, so that `request` and `session` can be used."""
    return _cv_request.get(None) is not None


def has_websocket_context() -> bool:
    """Whether a WebSocket's context is current, so that `websocket` can be used."""
    ctx = _cv_request.get(None)
    return ctx is not None and ctx._converses


def has_app_context() -> bool:
    """Whether an application context is current, so that `current_app` and `g` can be used."""
    return _cv_app.get(None) is not None


def after_this_request(f: F) -> F:
    """Call `f(response)` when this request's view has returned; what it returns is the response.

    Raises `RuntimeError` outside a request, and in a child of one, which has no response of its
    own; `ContextEnded` when the request is over.
    """
    ctx = _cv_request.get(None)
    if ctx is None:
        raise RuntimeError(
            "'after_this_request' can only be used when a request context is active, such as in a"
            " view function."
        )
    if ctx.ended:
        raise ctx.ended_error("register a function after this request")
    if isinstance(ctx._parent, SessionSource):
        raise RuntimeError(
            "'after_this_request' in a child of a request: the child has no response. Return what"
            " is needed, and call it in the view."
        )
    ctx._after_request_functions.append(f)
    return f


def make_response(*args: Any) -> Response:
    """A response from what a view may return, for setting headers on it.

    No argument gives an empty response; several are taken as the tuple that a view returns.
    """
    if not args:
        empty: Response = current_app.response_class()
        return empty
    response: Response = current_app.make_response(args[0] if len(args) == 1 else args)
    return response


def jsonify(*args: Any, **kwargs: Any) -> Response:
    """A JSON response: one argument is the object, several a list, keywords a dict.

    Needs a current application, whose provider makes it.
    """
    response: Response = current_app.json.response(*args, **kwargs)
    return response


def url_for(
    endpoint: str,
    *,
    _anchor: str | None = None,
    _method: str | None = None,
    _scheme: str | None = None,
    _external: bool | None = None,
    **values: Any,
) -> str:
    """The URL of an endpoint of the current application; see `Demijohn.url_for`."""
    url: str = current_app.url_for(
        endpoint,
        _anchor=_anchor,
        _method=_method,
        _scheme=_scheme,
        _external=_external,
        **values,
    )
    return url


def redirect(
    location: str, code: int = 302, Response: type[BaseResponse] | None = None
) -> BaseResponse:
    """A redirect response, by the current application's `redirect` where there is one."""
    ctx = _cv_app.get(None)
    if ctx is not None:
        response: BaseResponse = ctx.app.redirect(location, code=code)
        return response
    return werkzeug.utils.redirect(location, code=code, Response=Response)


def abort(code: int | BaseResponse, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise the HTTP exception of a status code, or one that answers with the given response."""
    ctx = _cv_app.get(None)
    if ctx is not None:
        ctx.app.aborter(code, *args, **kwargs)
    werkzeug_abort(code, *args, **kwargs)


def get_template_attribute(template_name: str, attribute: str) -> Any:
    """A macro or variable that a template exports."""
    return getattr(current_app.jinja_env.get_template(template_name).module, attribute)


def flash(message: str, category: str = "message") -> None:
    """Keep a message in the session for the next request to show."""
    flashes = session.get("_flashes", [])
    flashes.append((category, message))
    session["_flashes"] = flashes
    app = current_app._get_current_object()
    send_signal(app, message_flashed, message=message, category=category)


def get_flashed_messages(
    with_categories: bool = False, category_filter: Any = ()
) -> list[str] | list[tuple[str, str]]:
    """Take the flashed messages out of the session; the same list again in the same request.

    With `category_filter` only those of the named categories.
    """
    flashes = request_ctx.flashes
    if flashes is None:
        flashes = session.pop("_flashes") if "_flashes" in session else []
        request_ctx.flashes = flashes
    if category_filter:
        flashes = [flash for flash in flashes if flash[0] in category_filter]
    if not with_categories:
        return [message for _, message in flashes]
    found: list[tuple[str, str]] = flashes
    return found


def _file_settings() -> files.FileSettings:
    environ = request.environ
    app = current_app._get_current_object()
    return files.FileSettings(
        environ=environ,
        use_x_sendfile=app.config["USE_X_SENDFILE"],
        response_class=app.response_class,
        root_path=app.root_path,
        get_max_age=app.get_send_file_max_age,
    )


def send_file(
    path_or_file: os.PathLike[Any] | str | IO[bytes],
    mimetype: str | None = None,
    as_attachment: bool = False,
    download_name: str | None = None,
    conditional: bool = True,
    etag: bool | str = True,
    last_modified: datetime | int | float | None = None,
    max_age: Any = None,
) -> Response:
    """Send the content of a file; never pass a path that a client chose.

    See `werkzeug.utils.send_file` for the parameters; relative paths start at the application's
    root path. For a client's path use `send_from_directory`.
    """
    response = files.send_file(
        path_or_file,
        _file_settings(),
        mimetype=mimetype,
        as_attachment=as_attachment,
        download_name=download_name,
        conditional=conditional,
        etag=etag,
        last_modified=last_modified,
        max_age=max_age,
    )
    return response  # type: ignore[return-value]  # made by the application's response class


def send_from_directory(
    directory: os.PathLike[str] | str, path: os.PathLike[str] | str, **kwargs: Any
) -> Response:
    """Send a file from below a directory; 404 for a path that leads out of it.

    `kwargs` are those of `send_file`.
    """
    response = files.send_from_directory(directory, path, _file_settings(), **kwargs)
    return response  # type: ignore[return-value]  # made by the application's response class


@cache
def _split_blueprint_path(name: str) -> list[str]:
    """A dotted blueprint name and its parents' names, innermost first."""
    out: list[str] = [name]
    if "." in name:
        out.extend(_split_blueprint_path(name.rpartition(".")[0]))
    return out


def request_or_none() -> Any:
    """The current request, or None outside of one."""
    ctx = _cv_request.get(None)
    return None if ctx is None else ctx.request
