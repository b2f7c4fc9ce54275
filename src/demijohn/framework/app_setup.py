"""The application while it is set up: configuration, rules, blueprints, template functions, paths.

What happens in a request is in `app_base`.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, ValuesView
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import werkzeug.utils
from werkzeug.datastructures import ImmutableDict
from werkzeug.exceptions import Aborter, BadRequest, BadRequestKeyError
from werkzeug.routing import BuildError, Rule
from werkzeug.routing import Map as WerkzeugMap
from werkzeug.wrappers import Response as BaseResponse

from demijohn import typing as ft

from ..http.json_provider import DefaultJSONProvider, JSONProvider
from ..http.lazy import lazy, share
from ..http.routing import Map
from ..http.sessions import SecureCookieSessionInterface, SessionInterface
from ..http.templating import Environment
from . import registry, urls
from .app_contexts import _AppCtxGlobals
from .carrying import check_names
from .config import DEFAULTS, Config, ConfigAttribute, get_debug_flag
from .error_handlers import find_error_handler
from .globals import _cv_app, _cv_request, g, request, session
from .helpers import get_flashed_messages
from .logging import create_logger
from .paths import auto_instance_path
from .scaffold import (
    F,
    Scaffold,
    T_serving,
    T_teardown,
    T_template_filter,
    T_template_global,
    T_template_test,
    T_while_serving,
    setupmethod,
)
from .templates import DispatchingJinjaLoader, _default_template_ctx_processor
from .wrappers import Request, Response, WebSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.routing import MapAdapter

    from .blueprints import Blueprint
    from .sites import Site

T_shell_context_processor = TypeVar(
    "T_shell_context_processor", bound=ft.ShellContextProcessorCallable
)

_AUTOESCAPED = (".html", ".htm", ".xml", ".xhtml", ".svg")


def _as_timedelta(value: timedelta | int | None) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    return timedelta(seconds=value)


class AppSetup(Scaffold):
    """What an application is made of before it serves anything.

    The parameters are those of `Demijohn`.
    """

    aborter_class: type[Aborter] = Aborter
    jinja_environment: type[Environment] = Environment
    app_ctx_globals_class: type[Any] = _AppCtxGlobals
    config_class: type[Config] = Config
    request_class: type[Request] = Request
    response_class: type[Response] = Response
    websocket_class: type[WebSocket] = WebSocket
    session_interface: SessionInterface = SecureCookieSessionInterface()
    json_provider_class: type[JSONProvider] = DefaultJSONProvider
    jinja_options: dict[str, Any] = {}
    url_rule_class: type[Rule] = Rule
    url_map_class: type[WerkzeugMap] = Map
    default_config: ImmutableDict[str, Any] = DEFAULTS

    #: What the `test_client` and `test_cli_runner` of an application make; None: the default class.
    test_client_class: Any = None
    test_cli_runner_class: Any = None

    testing = ConfigAttribute[bool]("TESTING")
    secret_key = ConfigAttribute[str | bytes | None]("SECRET_KEY")
    permanent_session_lifetime = ConfigAttribute[timedelta](
        "PERMANENT_SESSION_LIFETIME",
        get_converter=_as_timedelta,  # type: ignore[arg-type]
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        share(cls)

    def __init__(
        self,
        import_name: str,
        static_url_path: str | None = None,
        static_folder: str | os.PathLike[str] | None = "static",
        static_host: str | None = None,
        host_matching: bool = False,
        subdomain_matching: bool = False,
        template_folder: str | os.PathLike[str] | None = "templates",
        instance_path: str | None = None,
        instance_relative_config: bool = False,
        root_path: str | None = None,
    ) -> None:
        super().__init__(
            import_name=import_name,
            static_folder=static_folder,
            static_url_path=static_url_path,
            template_folder=template_folder,
            root_path=root_path,
        )
        if instance_path is None:
            instance_path = self.auto_find_instance_path()
        elif not os.path.isabs(instance_path):
            raise ValueError(
                "If an instance path is provided it must be absolute."
                " A relative path was given instead."
            )
        self.instance_path = instance_path
        self.config = self.make_config(instance_relative_config)
        self.aborter = self.make_aborter()
        #: Makes and reads JSON; may be replaced.
        self.json: JSONProvider = self.json_provider_class(self)
        self.url_build_error_handlers: list[
            Callable[[Exception, str, dict[str, Any]], str | None]
        ] = []
        self.teardown_appcontext_funcs: list[ft.TeardownCallable] = []
        #: What runs once a server process, in the order of registration.
        self.before_serving_funcs: list[ft.ServingCallable] = []
        self.after_serving_funcs: list[ft.ServingCallable] = []
        self.while_serving_funcs: list[ft.WhileServingCallable] = []
        self.shell_context_processors: list[ft.ShellContextProcessorCallable] = []
        #: Registered name -> blueprint, in the order of registration.
        self.blueprints: dict[str, Blueprint] = {}
        #: A place for extensions to keep their state, by name.
        self.extensions: dict[str, Any] = {}
        self.url_map: WerkzeugMap = self.url_map_class(host_matching=host_matching)
        self.subdomain_matching = subdomain_matching
        self.endpoint_sites: dict[str, Site] = {}
        self.blueprint_sites: dict[str, Site] = {}
        self._websocket_endpoints: set[str] = set()
        #: Those of which the log has that they returned what nobody gets.
        self._lost_answers: set[str] = set()
        #: Names in `g`, in the order of their declaration.
        self._carried_names: dict[str, None] = {}
        self._got_first_request = False

    if TYPE_CHECKING:
        # The application's own (`app_base`), which registration and URL building call.
        def create_url_adapter(self, request: Any) -> MapAdapter | None: ...
        def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]: ...

    def _default_context_processors(self) -> list[ft.TemplateContextProcessorCallable]:
        return [_default_template_ctx_processor]

    def _check_setup_finished(self, f_name: str) -> None:
        if self._got_first_request:
            raise AssertionError(
                f"The setup method '{f_name}' can no longer be called on the application. It has"
                " already handled its first request, any changes will not be applied"
                " consistently.\n"
                "Make sure all imports, decorators, functions, etc. needed to set up the"
                " application are done before running it."
            )

    # -- identity and places ------------------------------------------------------------------

    @lazy
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The import name, or the file's name for a script that is run. May be set."""
        if self.import_name != "__main__":
            return self.import_name
        path: str | None = getattr(sys.modules["__main__"], "__file__", None)
        if path is None:
            return "__main__"
        return os.path.splitext(os.path.basename(path))[0]

    @lazy
    def logger(self) -> logging.Logger:
        """The logger named like the application."""
        return create_logger(self)

    @property
    def debug(self) -> bool:
        """Whether debug mode is on (config `DEBUG`): errors propagate, templates reload."""
        debug: bool = self.config["DEBUG"]
        return debug

    @debug.setter
    def debug(self, value: bool) -> None:
        self.config["DEBUG"] = value
        if self.config["TEMPLATES_AUTO_RELOAD"] is None:
            self.jinja_env.auto_reload = value

    def make_config(self, instance_relative: bool = False) -> Config:
        """The configuration that the application starts with."""
        defaults = dict(self.default_config)
        defaults["DEBUG"] = get_debug_flag()
        return self.config_class(
            self.instance_path if instance_relative else self.root_path, defaults
        )

    def make_aborter(self) -> Aborter:
        """What `abort` calls."""
        return self.aborter_class()

    def auto_find_instance_path(self) -> str:
        """The instance folder where none was given; see `paths.auto_instance_path`."""
        return auto_instance_path(self.import_name, self.name)

    # -- templates ----------------------------------------------------------------------------

    @lazy
    def jinja_env(self) -> Environment:
        """The template environment, made at first use."""
        return self.create_jinja_environment()

    def create_jinja_environment(self) -> Environment:
        """Make the template environment from `jinja_options` and the configuration."""
        options = dict(self.jinja_options)
        options.setdefault("autoescape", self.select_jinja_autoescape)
        if "auto_reload" not in options:
            reload = self.config["TEMPLATES_AUTO_RELOAD"]
            options["auto_reload"] = self.debug if reload is None else reload
        environment = self.jinja_environment(self, **options)
        environment.globals.update(
            url_for=self.url_for,
            get_flashed_messages=get_flashed_messages,
            config=self.config,
            # Templates get these from the context processor; an imported one sees globals alone.
            request=request,
            session=session,
            g=g,
        )
        environment.policies["json.dumps_function"] = self.json.dumps
        return environment

    def create_global_jinja_loader(self) -> DispatchingJinjaLoader:
        """The loader over the application's and the blueprints' template folders."""
        return DispatchingJinjaLoader(self)

    def select_jinja_autoescape(self, filename: str | None) -> bool:
        """Whether a template is escaped: by its file's ending; text without a name is."""
        return filename is None or filename.endswith(_AUTOESCAPED)

    def _template_function(
        self, add: Callable[[Any, str | None], None], name: str | None
    ) -> Callable[[F], F]:
        def decorator(f: F) -> F:
            add(f, name)
            return f

        return decorator

    @setupmethod
    def template_filter(
        self, name: str | None = None
    ) -> Callable[[T_template_filter], T_template_filter]:
        """Register a template filter under `name`, by default the function's."""
        return self._template_function(self.add_template_filter, name)

    @setupmethod
    def add_template_filter(self, f: ft.TemplateFilterCallable, name: str | None = None) -> None:
        """Register a template filter."""
        self.jinja_env.filters[name or f.__name__] = f

    @setupmethod
    def template_test(
        self, name: str | None = None
    ) -> Callable[[T_template_test], T_template_test]:
        """Register a template test under `name`, by default the function's."""
        return self._template_function(self.add_template_test, name)

    @setupmethod
    def add_template_test(self, f: ft.TemplateTestCallable, name: str | None = None) -> None:
        """Register a template test."""
        self.jinja_env.tests[name or f.__name__] = f

    @setupmethod
    def template_global(
        self, name: str | None = None
    ) -> Callable[[T_template_global], T_template_global]:
        """Register a template global under `name`, by default the function's."""
        return self._template_function(self.add_template_global, name)

    @setupmethod
    def add_template_global(self, f: ft.TemplateGlobalCallable, name: str | None = None) -> None:
        """Register a template global."""
        self.jinja_env.globals[name or f.__name__] = f

    # -- rules, blueprints, hooks -------------------------------------------------------------

    @setupmethod
    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Add a blueprint; `options` override what it was made with."""
        blueprint.register(self, options)

    def iter_blueprints(self) -> ValuesView[Blueprint]:
        """The blueprints in the order of their registration."""
        return self.blueprints.values()

    @setupmethod
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        """Add a URL rule; see `registry.add_url_rule` for the options and errors."""
        registry.add_url_rule(self, rule, endpoint, view_func, provide_automatic_options, **options)

    @setupmethod
    def teardown_appcontext(self, f: T_teardown) -> T_teardown:
        """Call `f(exc)` at the end of each application context."""
        self.teardown_appcontext_funcs.append(f)
        return f

    @setupmethod
    def before_serving(self, f: T_serving) -> T_serving:
        """Call `f()` once in each server process, before it serves its first request.

        Sync or async; each in an application context of its own. An error keeps the server from
        starting.
        """
        self.before_serving_funcs.append(f)
        return f

    @setupmethod
    def after_serving(self, f: T_serving) -> T_serving:
        """Call `f()` once in each server process that began to serve, after its last request."""
        self.after_serving_funcs.append(f)
        return f

    @setupmethod
    def while_serving(self, f: T_while_serving) -> T_while_serving:
        """Run a generator function, sync or async, around the serving of each server process.

        Up to its `yield` before the first request, from there on after the last one, in one
        application context and one task. Raises `TypeError` for a coroutine function.
        """
        if inspect.iscoroutinefunction(inspect.unwrap(f)):
            raise TypeError(
                f"{getattr(f, '__name__', f)!r} is a coroutine function: write `yield` between what"
                " it does before the serving and after it, or register it with `before_serving`."
            )
        self.while_serving_funcs.append(f)
        return f

    def _end_setup(self, environ: WSGIEnvironment) -> None:
        """The first request is here, and no start of a serving before it: nothing is registered any
        more. A server that runs nothing around the serving is told of in the log."""
        self._got_first_request = True
        around = (*self.before_serving_funcs, *self.while_serving_funcs, *self.after_serving_funcs)
        if around and "demijohn.client" not in environ:
            names = ", ".join(getattr(one, "__qualname__", repr(one)) for one in around)
            self.logger.warning(
                f"Not run before the first request, nor at the end: {names}. The server runs"
                " nothing around the serving. Serve the application by ASGI, with `demijohn serve`,"
                " or in a block `with app.serving():`."
            )

    @property
    def _runs_around_serving(self) -> bool:
        """Whether anything is registered for the start or the end of a server process."""
        return bool(
            self.before_serving_funcs or self.while_serving_funcs or self.after_serving_funcs
        )

    @setupmethod
    def carry(self, *names: str) -> None:
        """Declare names in `g` whose values go into children and carriers.

        The values must be plain data then (see `demijohn.context.carrier.plain`). A name may be
        declared more than once. Raises `TypeError` or `ValueError` for what is no name.
        """
        check_names(names)
        self._carried_names.update(dict.fromkeys(names))

    @setupmethod
    def shell_context_processor(self, f: T_shell_context_processor) -> T_shell_context_processor:
        """Add what `f()` returns to the names of the `shell` command."""
        self.shell_context_processors.append(f)
        return f

    def _find_error_handler(
        self, e: Exception, blueprints: list[str]
    ) -> ft.ErrorHandlerCallable | None:
        return find_error_handler(self, e, blueprints)

    # -- errors -------------------------------------------------------------------------------

    def trap_http_exception(self, e: Exception) -> bool:
        """Whether an HTTP exception is treated as any other, by the two `TRAP_...` settings."""
        if self.config["TRAP_HTTP_EXCEPTIONS"]:
            return True
        trap_bad_request = self.config["TRAP_BAD_REQUEST_ERRORS"]
        if trap_bad_request is None and self.debug and isinstance(e, BadRequestKeyError):
            return True
        return bool(trap_bad_request) and isinstance(e, BadRequest)

    def should_ignore_error(self, error: BaseException | None) -> bool:
        """Whether teardown functions get None instead of this error; never, by default."""
        return False

    # -- URLs ---------------------------------------------------------------------------------

    def url_for(
        self,
        /,
        endpoint: str,
        *,
        _anchor: str | None = None,
        _method: str | None = None,
        _scheme: str | None = None,
        _external: bool | None = None,
        **values: Any,
    ) -> str:
        """Build the URL of an endpoint; see `urls.url_for`."""
        return urls.url_for(
            self,
            _cv_request.get(None),
            _cv_app.get(None),
            endpoint,
            _anchor=_anchor,
            _method=_method,
            _scheme=_scheme,
            _external=_external,
            **values,
        )

    def inject_url_defaults(self, endpoint: str, values: dict[str, Any]) -> None:
        """Let the `url_defaults` functions fill in values before a URL is built."""
        urls.inject_url_defaults(self, endpoint, values)

    def handle_url_build_error(
        self, error: BuildError, endpoint: str, values: dict[str, Any]
    ) -> str:
        """Ask the build error handlers for a URL; raises `error` when none has one."""
        return urls.handle_url_build_error(self, error, endpoint, values)

    def redirect(self, location: str, code: int = 302) -> BaseResponse:
        """A redirect response to `location`."""
        return werkzeug.utils.redirect(location, code=code, Response=self.response_class)
