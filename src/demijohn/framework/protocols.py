"""What registration, contexts and URL building ask of the objects they are given.

`App` is the application as the framework's own modules see it; the classes that fill it stand
higher up.  Nothing here has behaviour.  Members are read-only properties wherever the framework
only reads the attribute itself (it may well change the container behind it), so that a plain
attribute, a property and a cached property all fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from demijohn import typing as ft

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from jinja2 import Environment
    from werkzeug.routing import BuildError, Map, MapAdapter, Rule

    from .sites import Site

_Handler = TypeVar("_Handler", bound=ft.ErrorHandlerCallable)


class CommandGroup(Protocol):
    """A group of commands, as `click.Group` is one."""

    name: str | None

    @property
    def commands(self) -> MutableMapping[str, Any]: ...

    def add_command(self, cmd: Any, name: str | None = None) -> None: ...


class HostRequest(Protocol):
    """A request before it is matched: its WSGI environ and what decides which host it is for."""

    trusted_hosts: list[str] | None

    @property
    def environ(self) -> WSGIEnvironment: ...

    @property
    def host(self) -> str: ...


class MatchedRequest(Protocol):
    """A request after matching."""

    @property
    def blueprint(self) -> str | None: ...


class AppContextLike(Protocol):
    """A context that can build URLs without a request."""

    @property
    def url_adapter(self) -> MapAdapter | None: ...


class RequestContextLike(AppContextLike, Protocol):
    """A context that can build URLs for the request it serves."""

    @property
    def request(self) -> MatchedRequest: ...


class App(Protocol):
    """The application.

    The containers are live: what reads them does so each time, because users and extensions
    change them in place.  Their key is a blueprint's registered name, or `None` for the app.
    """

    @property
    def name(self) -> str: ...

    @property
    def debug(self) -> bool: ...

    @property
    def config(self) -> Mapping[str, Any]: ...

    @property
    def url_map(self) -> Map: ...

    @property
    def url_rule_class(self) -> type[Rule]: ...

    @property
    def subdomain_matching(self) -> bool: ...

    @property
    def jinja_env(self) -> Environment: ...

    @property
    def cli(self) -> Any: ...  # a CommandGroup, or None where there are no commands

    @property
    def blueprints(self) -> MutableMapping[str, Any]: ...

    @property
    def view_functions(self) -> dict[str, ft.RouteCallable]: ...

    @property
    def endpoint_sites(self) -> MutableMapping[str, Site]: ...

    @property
    def blueprint_sites(self) -> MutableMapping[str, Site]: ...

    @property
    def error_handler_spec(
        self,
    ) -> dict[
        ft.AppOrBlueprintKey, dict[int | None, dict[type[Exception], ft.ErrorHandlerCallable]]
    ]: ...

    @property
    def before_request_funcs(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.BeforeRequestCallable]]: ...

    @property
    def after_request_funcs(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.AfterRequestCallable[Any]]]: ...

    @property
    def teardown_request_funcs(self) -> dict[ft.AppOrBlueprintKey, list[ft.TeardownCallable]]: ...

    @property
    def template_context_processors(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.TemplateContextProcessorCallable]]: ...

    @property
    def before_websocket_funcs(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.BeforeRequestCallable]]: ...

    @property
    def after_websocket_funcs(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.AfterWebSocketCallable]]: ...

    @property
    def teardown_websocket_funcs(self) -> dict[ft.AppOrBlueprintKey, list[ft.TeardownCallable]]: ...

    @property
    def _websocket_endpoints(self) -> set[str]: ...

    @property
    def url_value_preprocessors(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.URLValuePreprocessorCallable]]: ...

    @property
    def url_default_functions(self) -> dict[ft.AppOrBlueprintKey, list[ft.URLDefaultCallable]]: ...

    @property
    def url_build_error_handlers(
        self,
    ) -> Sequence[Callable[[Exception, str, dict[str, Any]], str | None]]: ...

    def before_serving(self, f: Any) -> Any: ...

    def after_serving(self, f: Any) -> Any: ...

    def while_serving(self, f: Any) -> Any: ...

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None: ...

    def errorhandler(
        self, code_or_exception: type[Exception] | int
    ) -> Callable[[_Handler], _Handler]: ...

    # Any: each application's method takes its own request class.
    def create_url_adapter(self, request: Any) -> MapAdapter | None: ...

    def inject_url_defaults(self, endpoint: str, values: dict[str, Any]) -> None: ...

    def handle_url_build_error(
        self, error: BuildError, endpoint: str, values: dict[str, Any]
    ) -> str: ...

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]: ...
