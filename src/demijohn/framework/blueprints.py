"""Blueprints: registrations written down now and made on an application later.

A blueprint keeps its own hooks and handlers in its containers (see `scaffold`) and everything
that needs an application as functions of a `BlueprintSetupState`.  `Blueprint.register` replays
them.  What a blueprint does with files and commands is added in the application layer.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

from demijohn import typing as ft

from .registry import endpoint_from_view_func
from .scaffold import (
    Scaffold,
    T_after_request,
    T_after_websocket,
    T_before_request,
    T_error_handler,
    T_serving,
    T_teardown,
    T_template_context_processor,
    T_template_filter,
    T_template_global,
    T_template_test,
    T_url_defaults,
    T_url_value_preprocessor,
    T_while_serving,
    setupmethod,
)
from .sites import Site, registering_at

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from .protocols import App, CommandGroup

DeferredSetupFunction = Callable[["BlueprintSetupState"], None]
_T = TypeVar("_T")

#: `cli_group` was not given: the commands go into a group named like the blueprint.
_sentinel: Any = object()


class BlueprintSetupState:
    """One registration of a blueprint on an application, as its recorded functions see it.

    `options` are those given to `register_blueprint`; the other attributes are what follows from
    them and the blueprint's own settings.  `first_registration` says whether the blueprint object
    is new to this application.
    """

    def __init__(
        self, blueprint: Blueprint, app: App, options: Any, first_registration: bool
    ) -> None:
        self.app = app
        self.blueprint = blueprint
        self.options = options
        self.first_registration = first_registration

        subdomain = options.get("subdomain")
        self.subdomain = blueprint.subdomain if subdomain is None else subdomain
        url_prefix = options.get("url_prefix")
        self.url_prefix = blueprint.url_prefix if url_prefix is None else url_prefix
        self.name = options.get("name", blueprint.name)
        self.name_prefix = options.get("name_prefix", "")
        self.url_defaults = dict(blueprint.url_values_defaults)
        self.url_defaults.update(options.get("url_defaults", ()))

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        **options: Any,
    ) -> None:
        """Add a rule to the application, with this registration's prefix, name and defaults."""
        if self.url_prefix is not None:
            rule = _join_paths(self.url_prefix, rule) if rule else self.url_prefix
        options.setdefault("subdomain", self.subdomain)
        if endpoint is None:
            endpoint = endpoint_from_view_func(view_func)
        defaults = self.url_defaults
        if "defaults" in options:
            defaults = {**defaults, **options.pop("defaults")}
        self.app.add_url_rule(
            rule,
            _dotted(self.name_prefix, f"{self.name}.{endpoint}"),
            view_func,
            defaults=defaults,
            **options,
        )


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """A rule as it was written down on a blueprint, and where."""

    rule: str
    endpoint: str | None
    view_func: ft.RouteCallable | None
    provide_automatic_options: bool | None
    options: dict[str, Any]
    site: Site

    def __call__(self, state: BlueprintSetupState) -> None:
        with registering_at(self.site):
            state.add_url_rule(
                self.rule,
                self.endpoint,
                self.view_func,
                provide_automatic_options=self.provide_automatic_options,
                **self.options,
            )


class Blueprint(Scaffold):
    """A named part of an application, set up without one.

    `name` prefixes the blueprint's endpoints, `url_prefix` its rules; `subdomain` and
    `url_defaults` apply to each of its rules.  `cli_group` names the group for its commands;
    `None` adds them to the application's own.  The other parameters are `Scaffold`'s; static
    files and templates are off unless their folders are given.

    Raises `ValueError` for a name that is empty or has a dot.
    """

    _got_registered_once = False

    def __init__(
        self,
        name: str,
        import_name: str,
        static_folder: str | os.PathLike[str] | None = None,
        static_url_path: str | None = None,
        template_folder: str | os.PathLike[str] | None = None,
        url_prefix: str | None = None,
        subdomain: str | None = None,
        url_defaults: dict[str, Any] | None = None,
        root_path: str | None = None,
        cli_group: str | None = _sentinel,
    ):
        super().__init__(
            import_name=import_name,
            static_folder=static_folder,
            static_url_path=static_url_path,
            template_folder=template_folder,
            root_path=root_path,
        )
        if not name:
            raise ValueError("'name' may not be empty.")
        if "." in name:
            raise ValueError("'name' may not contain a dot '.' character.")
        self.name = name
        self.url_prefix = url_prefix
        self.subdomain = subdomain
        self.url_values_defaults = {} if url_defaults is None else url_defaults
        self.cli_group = cli_group
        self.deferred_functions: list[DeferredSetupFunction] = []
        self._blueprints: list[tuple[Blueprint, dict[str, Any]]] = []

    def _check_setup_finished(self, f_name: str) -> None:
        if self._got_registered_once:
            raise AssertionError(
                f"The setup method '{f_name}' can no longer be called on the blueprint"
                f" '{self.name}'. It has already been registered at least once, and applications"
                " that have it would not see the change.\n"
                "Import and decorate everything that sets the blueprint up before"
                " 'register_blueprint'."
            )

    def send_static_file(self, filename: str) -> Response:
        """The view of the static route; the application layer knows how to send files."""
        raise NotImplementedError

    # Writing down

    @setupmethod
    def record(self, func: DeferredSetupFunction) -> None:
        """Call `func(state)` at each registration of this blueprint."""
        self.deferred_functions.append(func)

    @setupmethod
    def record_once(self, func: DeferredSetupFunction) -> None:
        """Call `func(state)` at this blueprint's first registration on an application only."""

        def first_time(state: BlueprintSetupState) -> None:
            if state.first_registration:
                func(state)

        self.record(update_wrapper(first_time, func))

    @setupmethod
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        """Register a rule; see `Scaffold.add_url_rule`.

        Rule and endpoint get the blueprint's prefix and name, so neither the endpoint nor the view
        function's name may have a dot (`ValueError`).
        """
        if endpoint and "." in endpoint:
            raise ValueError("'endpoint' may not contain a dot '.' character.")
        if view_func and "." in getattr(view_func, "__name__", ""):
            raise ValueError("'view_func' name may not contain a dot '.' character.")
        self.record(
            RouteRecord(
                rule, endpoint, view_func, provide_automatic_options, options, Site.caller()
            )
        )

    @setupmethod
    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Nest another blueprint in this one, to be registered wherever this one is.

        Prefixes, subdomains and names are joined; `options` go before the other's own settings.
        """
        if blueprint is self:
            raise ValueError("Cannot register a blueprint on itself")
        self._blueprints.append((blueprint, options))

    # Registering

    def make_setup_state(
        self, app: App, options: dict[str, Any], first_registration: bool = False
    ) -> BlueprintSetupState:
        """The state that the recorded functions get; override it to give them another class."""
        return BlueprintSetupState(self, app, options, first_registration)

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Make this blueprint's registrations on `app`; what `app.register_blueprint` calls.

        The order is: the static route, the hooks and handlers, the recorded functions, the
        commands, the nested blueprints.  Raises `ValueError` when the name is taken; `name` in
        `options` gives another.
        """
        prefix = options.get("name_prefix", "")
        own_name = options.get("name", self.name)
        name = _dotted(prefix, own_name)
        if name in app.blueprints:
            whose = "this" if app.blueprints[name] is self else "a different"
            where = f" '{name}'" if own_name != name else ""
            raise ValueError(
                f"The name '{own_name}' is already registered for {whose} blueprint{where}."
                " Use 'name=' to provide a unique name.\n"
                f"  first:  {app.blueprint_sites.get(name, 'an unknown place')}\n"
                f"  second: {Site.caller()}"
            )
        first_registration = all(other is not self for other in app.blueprints.values())
        app.blueprints[name] = self
        app.blueprint_sites[name] = Site.caller()
        self._got_registered_once = True
        state = self.make_setup_state(app, options, first_registration)

        if self.has_static_folder:
            state.add_url_rule(
                f"{self.static_url_path}/<path:filename>",
                view_func=self.send_static_file,
                endpoint="static",
            )
        self._merge_blueprint_funcs(app, name)
        for deferred in self.deferred_functions:
            deferred(state)
        self._merge_commands(app, name, options.get("cli_group", self.cli_group))
        for nested, nested_options in self._blueprints:
            nested.register(app, _nested_options(state, name, nested, nested_options))

    def _merge_blueprint_funcs(self, app: App, name: str) -> None:
        """Copy the hooks and handlers into the app's containers, under the registered name."""
        for scope, by_code in self.error_handler_spec.items():
            app.error_handler_spec[_scope(name, scope)] = defaultdict(
                dict, {code: dict(handlers) for code, handlers in by_code.items()}
            )
        app.view_functions.update(self.view_functions)
        _extend(app.before_request_funcs, self.before_request_funcs, name)
        _extend(app.after_request_funcs, self.after_request_funcs, name)
        _extend(app.teardown_request_funcs, self.teardown_request_funcs, name)
        _extend(app.before_websocket_funcs, self.before_websocket_funcs, name)
        _extend(app.after_websocket_funcs, self.after_websocket_funcs, name)
        _extend(app.teardown_websocket_funcs, self.teardown_websocket_funcs, name)
        _extend(app.url_default_functions, self.url_default_functions, name)
        _extend(app.url_value_preprocessors, self.url_value_preprocessors, name)
        _extend(app.template_context_processors, self.template_context_processors, name)

    def _merge_commands(self, app: App, name: str, group: str | None) -> None:
        own: CommandGroup | None = self.cli
        if own is None or not own.commands:
            return
        if group is None:
            app.cli.commands.update(own.commands)
        else:
            own.name = name if group is _sentinel else group
            app.cli.add_command(own)

    # For the whole application

    @setupmethod
    def app_template_filter(
        self, name: str | None = None
    ) -> Callable[[T_template_filter], T_template_filter]:
        """Decorator for a template filter of the app, named `name` or like the function."""

        def decorator(f: T_template_filter) -> T_template_filter:
            self.add_app_template_filter(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_app_template_filter(
        self, f: ft.TemplateFilterCallable, name: str | None = None
    ) -> None:
        """`app_template_filter` as a plain call."""

        def add(state: BlueprintSetupState) -> None:
            state.app.jinja_env.filters[name or f.__name__] = f

        self.record_once(add)

    @setupmethod
    def app_template_test(
        self, name: str | None = None
    ) -> Callable[[T_template_test], T_template_test]:
        """Decorator for a template test of the app, named `name` or like the function."""

        def decorator(f: T_template_test) -> T_template_test:
            self.add_app_template_test(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_app_template_test(self, f: ft.TemplateTestCallable, name: str | None = None) -> None:
        """`app_template_test` as a plain call."""

        def add(state: BlueprintSetupState) -> None:
            state.app.jinja_env.tests[name or f.__name__] = f

        self.record_once(add)

    @setupmethod
    def app_template_global(
        self, name: str | None = None
    ) -> Callable[[T_template_global], T_template_global]:
        """Decorator for a template global of the app, named `name` or like the function."""

        def decorator(f: T_template_global) -> T_template_global:
            self.add_app_template_global(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_app_template_global(
        self, f: ft.TemplateGlobalCallable, name: str | None = None
    ) -> None:
        """`app_template_global` as a plain call."""

        def add(state: BlueprintSetupState) -> None:
            state.app.jinja_env.globals[name or f.__name__] = f

        self.record_once(add)

    @setupmethod
    def before_app_request(self, f: T_before_request) -> T_before_request:
        """`before_request` for every request of the app."""
        self.record_once(lambda state: _for_all(state.app.before_request_funcs).append(f))
        return f

    @setupmethod
    def after_app_request(self, f: T_after_request) -> T_after_request:
        """`after_request` for every request of the app."""
        self.record_once(lambda state: _for_all(state.app.after_request_funcs).append(f))
        return f

    @setupmethod
    def teardown_app_request(self, f: T_teardown) -> T_teardown:
        """`teardown_request` for every request of the app."""
        self.record_once(lambda state: _for_all(state.app.teardown_request_funcs).append(f))
        return f

    @setupmethod
    def before_app_serving(self, f: T_serving) -> T_serving:
        """`before_serving` of the app."""
        self.record_once(lambda state: state.app.before_serving(f))
        return f

    @setupmethod
    def after_app_serving(self, f: T_serving) -> T_serving:
        """`after_serving` of the app."""
        self.record_once(lambda state: state.app.after_serving(f))
        return f

    @setupmethod
    def while_app_serving(self, f: T_while_serving) -> T_while_serving:
        """`while_serving` of the app."""
        self.record_once(lambda state: state.app.while_serving(f))
        return f

    @setupmethod
    def before_app_websocket(self, f: T_before_request) -> T_before_request:
        """`before_websocket` for every WebSocket of the app."""
        self.record_once(lambda state: _for_all(state.app.before_websocket_funcs).append(f))
        return f

    @setupmethod
    def after_app_websocket(self, f: T_after_websocket) -> T_after_websocket:
        """`after_websocket` for every WebSocket of the app."""
        self.record_once(lambda state: _for_all(state.app.after_websocket_funcs).append(f))
        return f

    @setupmethod
    def teardown_app_websocket(self, f: T_teardown) -> T_teardown:
        """`teardown_websocket` for every WebSocket of the app."""
        self.record_once(lambda state: _for_all(state.app.teardown_websocket_funcs).append(f))
        return f

    @setupmethod
    def app_context_processor(
        self, f: T_template_context_processor
    ) -> T_template_context_processor:
        """`context_processor` for every template of the app."""
        self.record_once(lambda state: _for_all(state.app.template_context_processors).append(f))
        return f

    @setupmethod
    def app_errorhandler(
        self, code: type[Exception] | int
    ) -> Callable[[T_error_handler], T_error_handler]:
        """`errorhandler` for every request of the app."""

        def decorator(f: T_error_handler) -> T_error_handler:
            def add(state: BlueprintSetupState) -> None:
                state.app.errorhandler(code)(f)

            self.record_once(add)
            return f

        return decorator

    @setupmethod
    def app_url_value_preprocessor(self, f: T_url_value_preprocessor) -> T_url_value_preprocessor:
        """`url_value_preprocessor` for every request of the app."""
        self.record_once(lambda state: _for_all(state.app.url_value_preprocessors).append(f))
        return f

    @setupmethod
    def app_url_defaults(self, f: T_url_defaults) -> T_url_defaults:
        """`url_defaults` for every URL of the app."""
        self.record_once(lambda state: _for_all(state.app.url_default_functions).append(f))
        return f


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}".lstrip(".")


def _scope(name: str, scope: str | None) -> str:
    return name if scope is None else f"{name}.{scope}"


def _join_paths(prefix: str, path: str) -> str:
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}"


def _for_all(container: dict[str | None, list[_T]]) -> list[_T]:
    """The list for every request in a container of hooks."""
    return container.setdefault(None, [])


def _extend(
    target: dict[str | None, list[_T]], source: dict[str | None, list[_T]], name: str
) -> None:
    for scope, functions in source.items():
        target.setdefault(_scope(name, scope), []).extend(functions)


def _nested_options(
    parent: BlueprintSetupState, parent_name: str, nested: Blueprint, given: dict[str, Any]
) -> dict[str, Any]:
    """The options to register `nested` with: those given, joined with its parent's registration."""
    options = {**given, "name_prefix": parent_name}
    subdomain = given.get("subdomain")
    if subdomain is None:
        subdomain = nested.subdomain
    if parent.subdomain is not None:
        subdomain = parent.subdomain if subdomain is None else f"{subdomain}.{parent.subdomain}"
    if subdomain is not None:
        options["subdomain"] = subdomain

    url_prefix = given.get("url_prefix")
    if url_prefix is None:
        url_prefix = nested.url_prefix
    if parent.url_prefix is not None:
        url_prefix = (
            parent.url_prefix if url_prefix is None else _join_paths(parent.url_prefix, url_prefix)
        )
    if url_prefix is not None:
        options["url_prefix"] = url_prefix
    return options
