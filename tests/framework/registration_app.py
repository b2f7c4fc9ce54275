"""The smallest application that registration needs, and a description to compare it with Flask.

Not a test file.  `OURS` and `FLASK` make the same things, so that one scenario runs on both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask
from jinja2 import Environment
from werkzeug.routing import BuildError, Map, MapAdapter, Rule
from werkzeug.wrappers import Request

from demijohn.framework import registry, urls
from demijohn.framework.blueprints import Blueprint
from demijohn.framework.scaffold import Scaffold, setupmethod
from demijohn.framework.sites import Site


def _default_template_ctx_processor() -> dict[str, Any]:
    return {}


class CommandGroup:
    """A stand-in for `click.Group`."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.commands: dict[str, Any] = {}

    def add_command(self, cmd: Any, name: str | None = None) -> None:
        self.commands[name or cmd.name] = cmd


class SmallBlueprint(Blueprint):
    """A blueprint with what the application layer adds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cli = CommandGroup(self.name)

    def _default_context_processors(self) -> list[Any]:
        return [_default_template_ctx_processor]


class SmallApp(Scaffold):
    """The registration half of an application."""

    url_rule_class = Rule
    debug = False

    def __init__(
        self,
        import_name: str,
        *,
        host_matching: bool = False,
        subdomain_matching: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(import_name, **options)
        self.name = import_name
        self.config: dict[str, Any] = {
            "PROVIDE_AUTOMATIC_OPTIONS": True,
            "SERVER_NAME": None,
            "APPLICATION_ROOT": "/",
            "PREFERRED_URL_SCHEME": "http",
            "TRUSTED_HOSTS": None,
        }
        self.url_map = Map(host_matching=host_matching)
        self.subdomain_matching = subdomain_matching
        self.jinja_env = Environment()
        self.cli = CommandGroup(import_name)
        self.blueprints: dict[str, Blueprint] = {}
        self.endpoint_sites: dict[str, Site] = {}
        self.url_build_error_handlers: list[
            Callable[[Exception, str, dict[str, Any]], str | None]
        ] = []
        self.finished = False

    def _check_setup_finished(self, f_name: str) -> None:
        if self.finished:
            raise AssertionError(f"The setup method '{f_name}' can no longer be called")

    def _default_context_processors(self) -> list[Any]:
        return [_default_template_ctx_processor]

    @setupmethod
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        registry.add_url_rule(self, rule, endpoint, view_func, provide_automatic_options, **options)

    @setupmethod
    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        blueprint.register(self, options)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        return urls.create_url_adapter(self, request)

    def inject_url_defaults(self, endpoint: str, values: dict[str, Any]) -> None:
        urls.inject_url_defaults(self, endpoint, values)

    def handle_url_build_error(
        self, error: BuildError, endpoint: str, values: dict[str, Any]
    ) -> str:
        return urls.handle_url_build_error(self, error, endpoint, values)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


@dataclass(frozen=True)
class Kit:
    """The classes of one implementation."""

    name: str
    app_class: Callable[..., Any]
    blueprint: Callable[..., Any]

    def app(self, **options: Any) -> Any:
        """An app without a static route."""
        return self.app_class("small", root_path="/srv/small", static_folder=None, **options)

    def bp(self, name: str, **options: Any) -> Any:
        return self.blueprint(name, "small", root_path="/srv/small", **options)


OURS = Kit("demijohn", SmallApp, SmallBlueprint)
FLASK = Kit("flask", flask.Flask, flask.Blueprint)


def view(name: str = "view") -> Callable[..., str]:
    """A new function of that name."""

    def function(*args: Any, **kwargs: Any) -> str:
        return name

    function.__name__ = function.__qualname__ = name
    return function


def describe(app: Any) -> dict[str, Any]:
    """All that was registered on an app, as plain data; dicts as lists, so that order counts."""
    hooks = (
        "before_request_funcs",
        "after_request_funcs",
        "teardown_request_funcs",
        "template_context_processors",
        "url_value_preprocessors",
        "url_default_functions",
    )
    return {
        "rules": [
            (
                rule.rule,
                rule.endpoint,
                sorted(rule.methods or ()),
                rule.subdomain,
                rule.host,
                rule.defaults,
                rule.strict_slashes,
                rule.provide_automatic_options,
            )
            for rule in app.url_map.iter_rules()
        ],
        "views": [(key, function.__name__) for key, function in app.view_functions.items()],
        "blueprints": [(key, bp.name) for key, bp in app.blueprints.items()],
        "errors": [
            (scope, code, [(cls.__name__, handler.__name__) for cls, handler in found.items()])
            for scope, codes in app.error_handler_spec.items()
            for code, found in codes.items()
        ],
        "commands": sorted(
            (key, command.name, sorted(getattr(command, "commands", ())))
            for key, command in app.cli.commands.items()
        ),
        **{
            hook: [
                (scope, [function.__name__ for function in functions])
                for scope, functions in getattr(app, hook).items()
            ]
            for hook in hooks
        },
    }


def outcome(action: Callable[..., Any], *args: Any, **options: Any) -> tuple[str, Any]:
    """What an action does, comparably: its value, or its error's type and first line."""
    try:
        return "value", action(*args, **options)
    except Exception as error:
        return type(error).__name__, str(error).partition("\n")[0]


def refusal(action: Callable[..., Any], *args: Any, **options: Any) -> tuple[str, Any] | None:
    """`outcome` where only an error counts."""
    kind, text = outcome(action, *args, **options)
    return None if kind == "value" else (kind, text)
