"""Errors that explain, in debug mode, why form data is not where a view looks for it."""

from __future__ import annotations

import typing as t

from werkzeug.routing import RequestRedirect

if t.TYPE_CHECKING:
    from werkzeug.wrappers import Request


class RoutedRequest(t.Protocol):
    """A request as `FormDataRoutingRedirect` reads it."""

    @property
    def url(self) -> str: ...

    @property
    def base_url(self) -> str: ...

    @property
    def routing_exception(self) -> Exception | None: ...


class UnexpectedUnicodeError(AssertionError, UnicodeError):
    """Text where bytes were expected, or the other way round."""


class DebugFilesKeyError(KeyError, AssertionError):
    """A file was looked up in `request.files` that the form could not send, as the form's encoding
    has no files."""

    def __init__(self, request: Request, key: str) -> None:
        super().__init__(key)
        parts = [
            f"There is no file {key!r} in request.files: the request's mimetype is"
            f" {request.mimetype!r}, not 'multipart/form-data', so no file contents were"
            ' transmitted. Add enctype="multipart/form-data" to the form.'
        ]
        names = request.form.getlist(key)
        if names:
            listed = ", ".join(map(repr, names))
            parts.append(
                "\n\nThe browser sent file names in place of the files."
                f" This was submitted: {listed}"
            )
        self.msg = "".join(parts)

    def __str__(self) -> str:
        return self.msg


class FormDataRoutingRedirect(AssertionError):
    """Routing answered a request that carries a body with a redirect after which browsers send a
    plain GET, so that the form data would be lost. Raised in debug mode only."""

    def __init__(self, request: RoutedRequest) -> None:
        redirect = request.routing_exception
        assert isinstance(redirect, RequestRedirect)
        parts = [
            f"A request was sent to '{request.url}', but routing redirects it to the"
            f" canonical URL '{redirect.new_url}'."
        ]
        if redirect.new_url.partition("?")[0] == f"{request.base_url}/":
            parts.append(
                " That URL's rule ends with a slash, so requests without it are redirected to it."
            )
        parts.append(
            " Send the form to the canonical URL, or redirect with 307 or 308; after any other"
            " redirect, browsers drop the form data.\n\nThis error is raised in debug mode only."
        )
        super().__init__("".join(parts))


def attach_enctype_error_multidict(request: Request) -> None:
    """Makes `request.files[key]` raise `DebugFilesKeyError` where the form sent a plain value under
    that key."""
    plain = type(request.files)

    class Explaining(plain):  # type: ignore[valid-type,misc]
        def __getitem__(self, key: str) -> t.Any:
            try:
                return super().__getitem__(key)
            except KeyError as error:
                if key not in request.form:
                    raise
                explained = DebugFilesKeyError(request, key)
                raise explained.with_traceback(error.__traceback__) from None

    Explaining.__name__ = plain.__name__
    Explaining.__qualname__ = plain.__qualname__
    Explaining.__module__ = plain.__module__
    t.cast(t.Any, request.files).__class__ = Explaining
