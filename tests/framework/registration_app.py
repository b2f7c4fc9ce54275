"""Applications and blueprints of both frameworks, and descriptions to compare them by.

Not a test file.  `OURS` and `FLASK` make the same things, so that one scenario runs on both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask

import demijohn


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


OURS = Kit("demijohn", demijohn.Demijohn, demijohn.Blueprint)
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
