"""Building URLs, and binding the URL map to a request or to the configured server.

Plain functions: the app and the contexts are arguments, and nothing here asks what is current.
Where Flask has an overridable method of the app (`inject_url_defaults`, `create_url_adapter`,
`handle_url_build_error`), `url_for` calls that method; the functions of the same name here are
what the application's methods do by default.  Matching is in `http.routing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from werkzeug.routing import BuildError
from werkzeug.wsgi import get_host

from ..http.request import readable_host

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

    from .protocols import App, AppContextLike, HostRequest, RequestContextLike

# What RFC 3986 allows in a fragment, and '%' for anchors that are quoted already.
_ANCHOR_SAFE = "%!#$&'()*+,/:;=?@"


def url_for(
    app: App,
    request_ctx: RequestContextLike | None,
    app_ctx: AppContextLike | None,
    endpoint: str,
    /,
    *,
    _anchor: str | None = None,
    _method: str | None = None,
    _scheme: str | None = None,
    _external: bool | None = None,
    **values: Any,
) -> str:
    """The URL of `endpoint` with `values`; unknown values become the query string.

    In a request an endpoint that starts with a dot is relative to the request's blueprint, and
    the URL has no scheme and host unless `_external` or `_scheme` is given.  Outside one the URL
    is external unless `_external` is false.

    The first parameters are positional only, so that rules may have variables of those names.

    Raises `RuntimeError` when there is nothing to build from (no request and no `SERVER_NAME`,
    or a request whose host was refused), `ValueError` for a `_scheme` on a URL that is not
    external, and `BuildError` when no rule fits and no build error handler helps.
    """
    if request_ctx is not None:
        adapter = request_ctx.url_adapter
        if endpoint[:1] == ".":
            endpoint = f"{request_ctx.request.blueprint or ''}{endpoint}".removeprefix(".")
        if adapter is None:
            raise RuntimeError(
                f"Unable to build the URL for {endpoint!r}: the current request could not be bound"
                " to the URL map, because its host was refused or is not valid."
            )
        if _external is None:
            _external = _scheme is not None
    else:
        adapter = app.create_url_adapter(None) if app_ctx is None else app_ctx.url_adapter
        if adapter is None:
            raise RuntimeError(
                "Unable to build URLs outside an active request without 'SERVER_NAME' configured."
                " Also configure 'APPLICATION_ROOT' and 'PREFERRED_URL_SCHEME' as needed."
            )
        if _external is None:
            _external = True

    # A scheme that silently had no effect could leave a link insecure.
    if _scheme is not None and not _external:
        raise ValueError("When specifying '_scheme', '_external' must be True.")

    app.inject_url_defaults(endpoint, values)
    try:
        url = adapter.build(
            endpoint, values, method=_method, url_scheme=_scheme, force_external=_external
        )
    except BuildError as error:
        values.update(_anchor=_anchor, _method=_method, _scheme=_scheme, _external=_external)
        return app.handle_url_build_error(error, endpoint, values)
    return url if _anchor is None else f"{url}#{quote(_anchor, safe=_ANCHOR_SAFE)}"


def inject_url_defaults(app: App, endpoint: str, values: dict[str, Any]) -> None:
    """Let the URL default functions that apply to `endpoint` change `values` in place.

    The app's run first, then those of the endpoint's blueprints, outermost first.  They are found
    by the endpoint's name, so this works without a request.
    """
    functions = app.url_default_functions
    if not functions:
        return
    for function in functions.get(None, ()):
        function(endpoint, values)
    dot = endpoint.find(".")
    while dot != -1:
        for function in functions.get(endpoint[:dot], ()):
            function(endpoint, values)
        dot = endpoint.find(".", dot + 1)


def create_url_adapter(app: App, request: HostRequest | None) -> MapAdapter | None:
    """The URL map bound to `request`, or to the configured server when there is no request.

    `None` without a request and without `SERVER_NAME`.  The request's host is settled here:
    against `TRUSTED_HOSTS` if that is set, else against the hosts set on the request.
    `SERVER_NAME` names the parent domain for subdomain matching and never refuses a host.

    Raises Werkzeug's `SecurityError` (400) for a host that is not trusted.
    """
    config = app.config
    server_name = config["SERVER_NAME"]
    if request is None:
        if server_name is None:
            return None
        return app.url_map.bind(
            server_name,
            script_name=config["APPLICATION_ROOT"],
            url_scheme=config["PREFERRED_URL_SCHEME"],
        )

    trusted_hosts = config["TRUSTED_HOSTS"]
    if trusted_hosts is not None:
        request.trusted_hosts = trusted_hosts
    # bind_to_environ trusts every host, so the check is made here.
    host = get_host(request.environ, request.trusted_hosts)
    setattr(request, "host", readable_host(host))

    subdomain = None
    if app.url_map.host_matching:
        # Given a server name, Werkzeug would match on it and not on the request's own host.
        server_name = None
    elif not app.subdomain_matching:
        # The only way to turn Werkzeug's subdomain matching off is to name the subdomain.
        subdomain = app.url_map.default_subdomain or ""
    return app.url_map.bind_to_environ(
        request.environ, server_name=server_name, subdomain=subdomain
    )


def handle_url_build_error(
    app: App, error: BuildError, endpoint: str, values: dict[str, Any]
) -> str:
    """Ask the app's URL build error handlers in turn; the first URL that one returns is the answer.

    A handler that returns `None` or raises `BuildError` passes on to the next, the new error
    taking the old one's place.  Raises the last error when none answers.
    """
    for handler in app.url_build_error_handlers:
        try:
            url = handler(error, endpoint, values)
        except BuildError as another:
            error = another
        else:
            if url is not None:
                return url
    raise error
