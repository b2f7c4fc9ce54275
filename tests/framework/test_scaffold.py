"""Registering on an application: rules, view functions, hooks, handlers, files, sites."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import flask.sansio.blueprints
import flask.sansio.scaffold
import pytest
from registration_app import FLASK, OURS, Kit, describe, outcome, refusal, view
from werkzeug.exceptions import HTTPException, NotFound

from demijohn import Demijohn
from demijohn.framework.blueprints import Blueprint, BlueprintSetupState
from demijohn.framework.scaffold import Scaffold
from demijohn.framework.sites import Site, registering_at

BOTH = pytest.mark.parametrize("kit", [OURS, FLASK], ids=lambda kit: kit.name)


def here() -> int:
    """The caller's line number."""
    return sys._getframe(1).f_lineno


# Rules


class TypedView:
    """A view object that brings its own methods."""

    methods = ["post", "PUT"]
    required_methods = ["Patch"]
    __name__ = "typed"

    def __call__(self) -> str:
        return ""


class QuietView(TypedView):
    provide_automatic_options = False
    required_methods: list[str] = []
    __name__ = "quiet"


RULES: dict[str, Any] = {
    "get only": lambda app: app.add_url_rule("/", view_func=view()),
    "named endpoint": lambda app: app.add_url_rule("/", "name", view()),
    "no function": lambda app: app.add_url_rule("/", "name"),
    "no function, no endpoint": lambda app: app.add_url_rule("/"),
    "lower-case methods": lambda app: app.add_url_rule("/", "x", view(), methods=["get", "Post"]),
    "no methods": lambda app: app.add_url_rule("/", "x", view(), methods=[]),
    "methods as string": lambda app: app.add_url_rule("/", "x", view(), methods="POST"),
    "own OPTIONS": lambda app: app.add_url_rule("/", "x", view(), methods=["OPTIONS"]),
    "own lower-case OPTIONS": lambda app: app.add_url_rule("/", "x", view(), methods=["options"]),
    "no automatic options": lambda app: app.add_url_rule(
        "/", "x", view(), provide_automatic_options=False
    ),
    "automatic options by hand": lambda app: app.add_url_rule(
        "/", "x", view(), provide_automatic_options=True
    ),
    "view's methods": lambda app: app.add_url_rule("/", view_func=TypedView()),
    "view's options": lambda app: app.add_url_rule("/", view_func=QuietView()),
    "methods over view's": lambda app: app.add_url_rule("/", None, TypedView(), methods=["GET"]),
    "rule options": lambda app: app.add_url_rule(
        "/a/<int:n>", "x", view(), defaults={"n": 1}, strict_slashes=False, subdomain="s"
    ),
    "no slash": lambda app: app.add_url_rule("nowhere", "x", view()),
    "unknown option": lambda app: app.add_url_rule("/", "x", view(), colour="red"),
    "get with methods": lambda app: app.get("/", methods=["GET"]),
    "route": lambda app: app.route("/", endpoint="x", methods=["POST"])(view()),
    "two rules, one function": lambda app: [
        app.add_url_rule(rule, "x", same) for same in [view()] for rule in ("/a", "/b")
    ],
    "conflict": lambda app: [app.add_url_rule("/", "x", view()) for _ in range(2)],
    "function after endpoint": lambda app: (
        app.add_url_rule("/", "x"),
        app.endpoint("x")(view("late")),
        app.add_url_rule("/b", "y", view()),
    ),
    **{
        verb: lambda app, verb=verb: getattr(app, verb)("/", endpoint=verb)(view())
        for verb in ("get", "post", "put", "delete", "patch")
    },
}


@pytest.mark.parametrize("name", RULES)
def test_rules_are_registered_as_in_flask(name: str) -> None:
    """A rule, its methods, options and view function, or the error, come out as in Flask."""
    ours, theirs = OURS.app(), FLASK.app()
    assert refusal(RULES[name], ours) == refusal(RULES[name], theirs)
    assert describe(ours) == describe(theirs)


@BOTH
@pytest.mark.parametrize("given", [None, True, False])
def test_config_decides_automatic_options(kit: Kit, given: bool | None) -> None:
    """`PROVIDE_AUTOMATIC_OPTIONS` counts where neither the call nor the view function says."""
    app = kit.app()
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.add_url_rule("/", "x", view(), provide_automatic_options=given)
    (rule,) = app.url_map.iter_rules()
    assert rule.provide_automatic_options is bool(given)
    assert "OPTIONS" not in rule.methods


def test_rule_variables_may_have_any_name() -> None:
    """No parameter of ours is in the way of a rule option or a view argument."""
    app = OURS.app()
    app.add_url_rule("/<app>/<rule>/<self>", "x", view(), defaults={"app": 1, "rule": 2})
    (rule,) = app.url_map.iter_rules()
    assert rule.arguments == {"app", "rule", "self"}


# Conflicts and sites


def test_conflict_names_both_places() -> None:
    """Two functions for one endpoint: the error names file and line of both registrations."""
    app = OURS.app()

    app.get("/a")(view("page"))
    first = here() - 1
    with pytest.raises(AssertionError) as raised:
        app.add_url_rule("/b", "page", view("other"))
    second = here() - 1
    text = str(raised.value)
    assert text.startswith(
        "View function mapping is overwriting an existing endpoint function: page\n"
    )
    assert f"{__file__}:{first}" in text
    assert f"{__file__}:{second}" in text
    assert "other" in text


def test_conflict_with_a_function_set_by_hand_names_its_definition() -> None:
    """A view function that came into the container directly is named by where it is defined."""
    app = OURS.app()
    function = view("mine")
    app.view_functions["x"] = function
    with pytest.raises(AssertionError, match=r"registration_app\.py:\d+, mine"):
        app.add_url_rule("/", "x", view())


def test_conflict_with_a_builtin_is_still_explained() -> None:
    """A view function without Python code has no place, and the error is the same."""
    app = OURS.app()
    app.view_functions["x"] = len
    with pytest.raises(AssertionError, match="an unknown place, len"):
        app.add_url_rule("/", "x", view())


def test_same_function_again_keeps_the_first_site() -> None:
    """Another rule for the same function does not move the endpoint's place."""
    app = OURS.app()
    function = view()
    app.add_url_rule("/a", "x", function)
    line = here() - 1
    app.add_url_rule("/b", "x", function)
    assert app.endpoint_sites == {"x": Site(__file__, line)}


def test_site_of_looks_through_wrappers() -> None:
    """Partials, decorators, methods and callable objects lead to their function."""

    def plain() -> None: ...

    @functools.wraps(plain)
    def wrapped() -> None: ...

    class Callable:
        def __call__(self) -> None: ...

        def method(self) -> None: ...

    site = Site(__file__, plain.__code__.co_firstlineno)
    assert Site.of(plain) == Site.of(wrapped) == Site.of(functools.partial(wrapped)) == site
    assert Site.of(Callable()) == Site(__file__, Callable.__call__.__code__.co_firstlineno)
    assert Site.of(Callable().method) == Site(__file__, Callable.method.__code__.co_firstlineno)
    assert Site.of(len) is None


def test_site_is_a_frozen_place_that_prints_as_file_and_line() -> None:
    """A site can not be changed, and an editor can open its text."""
    site = Site("a.py", 3)
    assert str(site) == "a.py:3"
    with pytest.raises(AttributeError):
        site.line = 4  # type: ignore[misc]


def test_caller_is_the_given_site_within_its_block_only() -> None:
    """A replayed registration has its original place; afterwards the stack counts again."""
    with pytest.raises(KeyError), registering_at(Site("a.py", 3)):
        assert Site.caller() == Site("a.py", 3)
        raise KeyError
    assert Site.caller() == Site(__file__, here())


# Setup is closed


@BOTH
def test_every_setup_method_asks_whether_setup_is_over(kit: Kit) -> None:
    """After the first request each method that registers something is refused by its name."""
    app = kit.app()
    app._got_first_request = True
    names = [
        "get",
        "post",
        "put",
        "delete",
        "patch",
        "route",
        "add_url_rule",
        "endpoint",
        "before_request",
        "after_request",
        "teardown_request",
        "context_processor",
        "url_value_preprocessor",
        "url_defaults",
        "errorhandler",
        "register_error_handler",
    ]
    for name in names:
        with pytest.raises(AssertionError, match=f"The setup method '{name}' can no longer be"):
            getattr(app, name)("/")


def test_bare_scaffold_leaves_its_hooks_to_subclasses() -> None:
    """A scaffold alone neither knows when setup ends nor where rules go."""
    bare = Scaffold("bare", root_path="/")
    with pytest.raises(NotImplementedError):
        bare.route("/")


# Hooks and error handlers

HOOKS = {
    "before_request": "before_request_funcs",
    "after_request": "after_request_funcs",
    "teardown_request": "teardown_request_funcs",
    "context_processor": "template_context_processors",
    "url_value_preprocessor": "url_value_preprocessors",
    "url_defaults": "url_default_functions",
}


@BOTH
@pytest.mark.parametrize("name", HOOKS)
def test_hooks_are_appended_and_returned(kit: Kit, name: str) -> None:
    """A hook's decorator returns the function and appends it to the live list."""
    app = kit.app()
    container = getattr(app, HOOKS[name])
    before = list(container[None])
    first, second = view("first"), view("second")
    assert getattr(app, name)(first) is first
    assert getattr(app, name)(second) is second
    assert container[None] == [*before, first, second]
    assert getattr(app, HOOKS[name]) is container


def test_containers_make_missing_scopes() -> None:
    """Extensions append to a scope that nobody has used yet, in every container."""
    app = OURS.app()
    for container in HOOKS.values():
        getattr(app, container)["new"].append(view())
    app.error_handler_spec["new"][404][NotFound] = view()


class NoCode(HTTPException):
    pass


class Teapot(HTTPException):
    code = 418


HANDLED = [404, 418, 500, 200, 999, "404", Exception, KeyError, BaseException, str, NotFound]
HANDLED += [NotFound(), KeyError("x"), None, NoCode, Teapot, HTTPException, True]


@pytest.mark.parametrize("key", HANDLED, ids=repr)
def test_error_handlers_are_filed_as_in_flask(key: Any) -> None:
    """Codes and classes end up in the same place as in Flask, or are refused with the same type."""
    ours, theirs = OURS.app(), FLASK.app()
    handler = view("handler")
    got, expected = (outcome(app.register_error_handler, key, handler) for app in (ours, theirs))
    assert got[0] == expected[0]
    assert describe(ours)["errors"] == describe(theirs)["errors"]


@pytest.mark.parametrize(
    ("key", "phrase"),
    [
        (999, "'999' is not a recognized HTTP error code. Use a subclass of HTTPException with"),
        (KeyError("x"), "KeyError('x') is an instance, not a class."),
        (str, "'str' is not a subclass of Exception."),
    ],
)
@BOTH
def test_refused_error_handlers_say_why(kit: Kit, key: Any, phrase: str) -> None:
    """The key phrases of Flask's errors are there."""
    with pytest.raises((TypeError, ValueError)) as raised:
        kit.app().register_error_handler(key, view())
    assert phrase in str(raised.value)


# Files


@pytest.mark.parametrize(
    "options",
    [
        {"static_folder": None},
        {"static_folder": "assets"},
        {"static_folder": "assets/"},
        {"static_folder": Path("deep") / "assets"},
        {"static_folder": "/abs/files"},
        {"static_folder": ""},
        {"static_folder": "assets", "static_url_path": "/s/"},
        {"static_folder": "assets", "static_url_path": ""},
        {"static_folder": None, "static_url_path": "/s"},
        {"template_folder": None},
        {"template_folder": "pages"},
        {"template_folder": Path("pages")},
    ],
    ids=str,
)
def test_folders_as_in_flask(options: dict[str, Any]) -> None:
    """Static and template folders, their URL path and loader are those of Flask."""
    ours = OURS.bp("files", **options)
    theirs = FLASK.bp("files", **options)
    for name in ("root_path", "static_folder", "static_url_path", "has_static_folder"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.template_folder == theirs.template_folder
    loaders = [ours.jinja_loader, theirs.jinja_loader]
    assert [getattr(loader, "searchpath", None) for loader in loaders] == [
        getattr(loaders[1], "searchpath", None)
    ] * 2
    assert ours.jinja_loader is loaders[0]


def test_folders_can_be_set_later() -> None:
    """The static folder and its URL path are settable, and the loader replaceable."""
    app = OURS.app()
    assert app.static_folder is None
    app.static_folder = os.path.join("a", "b")
    assert app.static_url_path == "/b"
    app.static_url_path = None
    app.static_folder = None
    assert not app.has_static_folder
    loader = app.jinja_loader = object()
    assert app.jinja_loader is loader


def test_root_path_is_found_from_the_import_name() -> None:
    """Without a root path it is the folder of the module that the object belongs to."""
    app = Demijohn(__name__)
    assert app.root_path == os.path.dirname(os.path.abspath(__file__))
    assert repr(app) == f"<Demijohn {__name__!r}>"


# The surface


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Scaffold, flask.sansio.scaffold.Scaffold),
        (Blueprint, flask.sansio.blueprints.Blueprint),
        (BlueprintSetupState, flask.sansio.blueprints.BlueprintSetupState),
    ],
)
def test_names_and_parameters_are_those_of_flask(ours: type, theirs: type) -> None:
    """Every public name of Flask's class is there, of the same kind and with its parameters."""

    def parameters(member: Any) -> Any:
        if not callable(member):
            return isinstance(member, property)
        return [(p.name, p.kind) for p in inspect.signature(member).parameters.values()]

    for name in ("__init__", *(n for n in dir(theirs) if not n.startswith("_"))):
        assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name)), name


# The comparison itself


def test_comparison_sees_seeded_faults() -> None:
    """The description differs when a method, a default or the order of hooks differs."""
    good, bad = OURS.app(), OURS.app()
    for app in (good, bad):
        app.add_url_rule("/", "x", view(), methods=["POST"] if app is good else ["PUT"])
    assert describe(good) != describe(bad)
    good, bad = OURS.app(), OURS.app()
    for app, names in ((good, "ab"), (bad, "ba")):
        for name in names:
            app.before_request(view(name))
    assert describe(good) != describe(bad)
