"""Blueprints: what is written down, and what each registration makes of it on the application."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registration_app import FLASK, OURS, Kit, describe, refusal, view
from werkzeug.exceptions import NotFound

from demijohn import Demijohn
from demijohn.framework.blueprints import Blueprint, BlueprintSetupState, RouteRecord

BOTH = pytest.mark.parametrize("kit", [OURS, FLASK], ids=lambda kit: kit.name)


def here() -> int:
    """The caller's line number."""
    return sys._getframe(1).f_lineno


OWN_HOOKS = [
    "before_request",
    "after_request",
    "teardown_request",
    "context_processor",
    "url_value_preprocessor",
    "url_defaults",
]
APP_WIDE_HOOKS = [
    "before_app_request",
    "after_app_request",
    "teardown_app_request",
    "app_context_processor",
    "app_url_value_preprocessor",
    "app_url_defaults",
]


def everything(kit: Kit, name: str = "bp", **options: Any) -> Any:
    """A blueprint that uses every decorator once."""
    bp = kit.bp(name, **options)
    bp.get("/get")(view("get"))
    bp.route("", endpoint="root")(view("root"))
    bp.add_url_rule("/rule", "rule", view("rule"), defaults={"own": 1}, methods=["PUT"])
    bp.add_url_rule("/quiet", "quiet", view("quiet"), provide_automatic_options=False)
    bp.add_url_rule("/sub", "sub", view("sub"), subdomain="own")
    bp.endpoint("bare")(view("bare"))
    for hook in OWN_HOOKS + APP_WIDE_HOOKS:
        getattr(bp, hook)(view(f"{name}_{hook}"))
    bp.errorhandler(404)(view("own_404"))
    bp.errorhandler(KeyError)(view("own_key"))
    bp.app_errorhandler(500)(view("app_500"))
    bp.app_errorhandler(LookupError)(view("app_lookup"))
    return bp


SCENARIOS: dict[str, Callable[[Kit, Any], Any]] = {
    "plain": lambda kit, app: app.register_blueprint(everything(kit)),
    "prefix": lambda kit, app: app.register_blueprint(everything(kit, url_prefix="/p")),
    "prefix with slash": lambda kit, app: app.register_blueprint(everything(kit, url_prefix="/p/")),
    "prefix option": lambda kit, app: app.register_blueprint(
        everything(kit, url_prefix="/p"), url_prefix="/o"
    ),
    "empty prefix": lambda kit, app: app.register_blueprint(
        everything(kit, url_prefix="/p"), url_prefix=""
    ),
    "name": lambda kit, app: app.register_blueprint(everything(kit), name="other", url_prefix="/x"),
    "dotted name": lambda kit, app: app.register_blueprint(
        everything(kit), name="a.b", url_prefix="/x"
    ),
    "name prefix": lambda kit, app: app.register_blueprint(
        everything(kit, url_prefix="/x"), name_prefix="outer"
    ),
    "subdomain": lambda kit, app: app.register_blueprint(
        everything(kit, url_prefix="/x", subdomain="s")
    ),
    "subdomain option": lambda kit, app: app.register_blueprint(
        everything(kit, url_prefix="/x", subdomain="s"), subdomain="o"
    ),
    "url defaults": lambda kit, app: app.register_blueprint(
        everything(kit, url_prefix="/x", url_defaults={"lang": "de", "own": 2}),
        url_defaults={"lang": "en", "more": 3},
    ),
    "url defaults as pairs": lambda kit, app: app.register_blueprint(
        everything(kit, url_prefix="/x"), url_defaults=[("lang", "en")]
    ),
    "static": lambda kit, app: app.register_blueprint(
        kit.bp("bp", url_prefix="/p", static_folder="assets")
    ),
    "static at own path": lambda kit, app: app.register_blueprint(
        kit.bp("bp", static_folder="assets", static_url_path="/files/")
    ),
    "no slash without prefix": lambda kit, app: app.register_blueprint(relative(kit)),
    "no slash with prefix": lambda kit, app: app.register_blueprint(relative(kit), url_prefix="/p"),
    "twice": lambda kit, app: twice(kit, app),
    "twice, two names": lambda kit, app: twice(kit, app, name="second"),
    "two with one name": lambda kit, app: [app.register_blueprint(kit.bp("bp")) for _ in range(2)],
    "nested": lambda kit, app: app.register_blueprint(nest(kit)),
    "nested twice": lambda kit, app: (
        [
            app.register_blueprint(bp, name=name, url_prefix=f"/{name}")
            for bp in [nest(kit)]
            for name in ("one", "two")
        ]
    ),
    "nested with taken name": lambda kit, app: nest_twice(kit, app),
    "same child under two parents": lambda kit, app: shared_child(kit, app),
    "nested in itself": lambda kit, app: [bp.register_blueprint(bp) for bp in [kit.bp("bp")]],
    "conflict": lambda kit, app: [app.register_blueprint(clash(kit))],
    "view named like the app's": lambda kit, app: (
        app.add_url_rule("/", "bp.get", view()),
        app.register_blueprint(everything(kit, url_prefix="/x")),
    ),
}


def relative(kit: Kit) -> Any:
    bp = kit.bp("bp")
    bp.add_url_rule("here", "here", view())
    return bp


def twice(kit: Kit, app: Any, **options: Any) -> None:
    bp = everything(kit, url_prefix="/a")
    app.register_blueprint(bp)
    app.register_blueprint(bp, url_prefix="/b", **options)


def nest(kit: Kit) -> Any:
    outer = everything(kit, "outer", url_prefix="/outer/", subdomain="o", static_folder="files")
    middle = everything(kit, "middle", url_prefix="/middle", url_defaults={"m": 1})
    inner = everything(kit, "inner", subdomain="i", static_folder="files")
    middle.register_blueprint(inner, url_prefix="/inner", name="renamed")
    middle.register_blueprint(kit.bp("leaf"), subdomain="leaf")
    outer.register_blueprint(middle)
    return outer


def nest_twice(kit: Kit, app: Any) -> None:
    outer = kit.bp("outer")
    for _ in range(2):
        outer.register_blueprint(kit.bp("child"))
    app.register_blueprint(outer)


def shared_child(kit: Kit, app: Any) -> None:
    child = everything(kit, "child")
    for name in ("one", "two"):
        parent = kit.bp(name, url_prefix=f"/{name}")
        parent.register_blueprint(child)
        app.register_blueprint(parent)


def clash(kit: Kit) -> Any:
    bp = kit.bp("bp")
    bp.add_url_rule("/a", "same", view("a"))
    bp.add_url_rule("/b", "same", view("b"))
    return bp


@pytest.mark.parametrize("name", SCENARIOS)
def test_registration_is_that_of_flask(name: str) -> None:
    """What a registration leaves in the app's containers and URL map, or raises, is as in Flask."""
    ours, theirs = OURS.app(), FLASK.app()
    assert refusal(SCENARIOS[name], OURS, ours) == refusal(SCENARIOS[name], FLASK, theirs)
    assert describe(ours) == describe(theirs)


# Trees of blueprints

prefixes = st.sampled_from([None, "", "/", "/p", "/p/", "/a/<x>"])
subdomains = st.sampled_from([None, "", "s", "<t>"])
own = st.fixed_dictionaries({"url_prefix": prefixes, "subdomain": subdomains})
given_options = st.fixed_dictionaries(
    {},
    optional={
        "url_prefix": prefixes,
        "subdomain": subdomains,
        "name": st.sampled_from(["one", "two", "a.b"]),
        "url_defaults": st.just({"d": 1}),
    },
)
trees: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.sampled_from("abc"), own, given_options, st.just([])),
    lambda children: st.tuples(
        st.sampled_from("abc"), own, given_options, st.lists(children, max_size=3)
    ),
    max_leaves=6,
)


def plant(kit: Kit, tree: Any) -> tuple[Any, dict[str, Any]]:
    """The blueprint of a tree, with its children, and the options to register it with."""
    name, settings_, options, children = tree
    bp = kit.bp(name, **settings_)
    bp.add_url_rule("", "root", view("root"))
    bp.add_url_rule("/leaf", "leaf", view("leaf"))
    bp.before_request(view(name))
    bp.errorhandler(404)(view(name))
    bp.before_app_request(view(f"app_{name}"))
    for child in children:
        child_bp, child_options = plant(kit, child)
        bp.register_blueprint(child_bp, **child_options)
    return bp, options


@settings(max_examples=150, deadline=None)
@given(st.lists(trees, min_size=1, max_size=3))
def test_trees_of_blueprints_come_out_as_in_flask(forest: list[Any]) -> None:
    """Names, prefixes, subdomains and hooks of any nesting are joined as Flask joins them."""
    results = []
    for kit in (OURS, FLASK):
        app = kit.app()
        steps = [
            refusal(app.register_blueprint, bp, **options)
            for bp, options in (plant(kit, tree) for tree in forest)
        ]
        results.append((steps, describe(app)))
    assert results[0] == results[1]


class ForgetsTheParentsPrefix(Demijohn):
    """A seeded fault: nested rules lose what stands before their last part."""

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        super().add_url_rule("/" + rule.rpartition("/")[2], *args, **options)


def test_comparison_sees_a_lost_prefix() -> None:
    """An app that loses a parent's prefix is told apart."""
    good, bad = OURS.app(), ForgetsTheParentsPrefix("small", root_path="/srv/small")
    for app in (good, bad):
        app.register_blueprint(nest(OURS))
    assert describe(good)["rules"] != describe(bad)["rules"]


# Names, and what comes too late


@BOTH
@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [(("", "x"), "'name' may not be empty."), (("a.b", "x"), "'name' may not contain a dot")],
)
def test_blueprint_names_are_checked(kit: Kit, arguments: Any, phrase: str) -> None:
    """An empty name and one with a dot are refused, with Flask's words."""
    with pytest.raises(ValueError, match=phrase):
        kit.blueprint(*arguments)


@BOTH
def test_endpoints_may_not_have_dots(kit: Kit) -> None:
    """A dot in an endpoint or in the view function's name would fake another blueprint."""
    bp = kit.bp("bp")
    with pytest.raises(ValueError, match="'endpoint' may not contain a dot"):
        bp.add_url_rule("/", "a.b", view())
    with pytest.raises(ValueError, match="'view_func' name may not contain a dot"):
        bp.add_url_rule("/", "ab", view("a.b"))


@BOTH
def test_every_setup_method_is_refused_once_registered(kit: Kit) -> None:
    """After its first registration a blueprint names the method and itself in an error."""
    bp = kit.bp("late")
    kit.app().register_blueprint(bp)
    names = [
        "get",
        "route",
        "add_url_rule",
        "endpoint",
        "before_request",
        "errorhandler",
        "register_error_handler",
        "record",
        "record_once",
        "register_blueprint",
        "app_template_filter",
        "add_app_template_filter",
        "app_template_test",
        "add_app_template_test",
        "app_template_global",
        "add_app_template_global",
        "before_app_request",
        "after_app_request",
        "teardown_app_request",
        "app_context_processor",
        "app_errorhandler",
        "app_url_value_preprocessor",
        "app_url_defaults",
    ]
    for name in names:
        with pytest.raises(
            AssertionError,
            match=f"The setup method '{name}' can no longer be called on the blueprint 'late'."
            " It has already been registered at least once",
        ):
            getattr(bp, name)("/")


# Records and states


def test_a_route_is_a_frozen_record_with_its_place() -> None:
    """What a blueprint writes down for a rule knows its file and line and can not be changed."""
    bp = OURS.bp("bp")
    bp.add_url_rule("/", "x", view(), methods=["PUT"])
    line = here() - 1
    (record,) = bp.deferred_functions
    assert isinstance(record, RouteRecord)
    assert (record.site.file, record.site.line) == (__file__, line)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.rule = "/other"  # type: ignore[misc]


def test_conflict_on_a_blueprint_names_where_the_rules_were_written() -> None:
    """Both places are those of the blueprint's decorators, not that of the registration."""
    bp = OURS.bp("bp")
    bp.get("/a", endpoint="same")(view("a"))
    bp.get("/b", endpoint="same")(view("b"))
    line = here()
    with pytest.raises(AssertionError, match=r"existing endpoint function: bp\.same") as raised:
        OURS.app().register_blueprint(bp)
    assert f"first:  {__file__}:{line - 2}, a" in str(raised.value)
    assert f"second: {__file__}:{line - 1}, b" in str(raised.value)


@BOTH
def test_record_runs_at_each_registration_and_record_once_at_the_first(kit: Kit) -> None:
    """`record` is called for each registration, `record_once` for the first on each app."""
    bp = kit.bp("bp")
    seen: list[tuple[str, str, bool]] = []
    bp.record(lambda s: seen.append(("each", s.name, s.first_registration)))
    bp.record_once(lambda s: seen.append(("once", s.name, s.first_registration)))
    for app in (kit.app(), kit.app()):
        app.register_blueprint(bp)
        app.register_blueprint(bp, name="again")
    assert seen == 2 * [("each", "bp", True), ("once", "bp", True), ("each", "again", False)]


@BOTH
def test_state_knows_the_registration(kit: Kit) -> None:
    """A recorded function sees the app, the blueprint, the options and what follows from them."""
    app, bp = kit.app(), kit.bp("bp", url_prefix="/p", subdomain="s", url_defaults={"a": 1})
    states: list[Any] = []
    bp.record(states.append)
    app.register_blueprint(bp, url_defaults={"b": 2}, name="other", mine="option")
    (state,) = states
    assert (state.app, state.blueprint) == (app, bp)
    assert state.options["mine"] == "option"
    assert (state.name, state.name_prefix) == ("other", "")
    assert (state.url_prefix, state.subdomain) == ("/p", "s")
    assert state.url_defaults == {"a": 1, "b": 2}
    assert bp.url_values_defaults == {"a": 1}


def test_setup_state_can_be_another_class() -> None:
    """`make_setup_state` decides what the recorded functions get."""

    class Loud(BlueprintSetupState):
        def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
            super().add_url_rule(rule.upper(), *args, **options)

    class LoudBlueprint(Blueprint):
        def make_setup_state(self, *args: Any) -> BlueprintSetupState:
            return Loud(self, *args)

    app, bp = OURS.app(), LoudBlueprint("bp", "small", root_path="/")
    bp.add_url_rule("/quiet", "x", view())
    app.register_blueprint(bp)
    assert [rule.rule for rule in app.url_map.iter_rules()] == ["/QUIET"]


@BOTH
def test_later_changes_of_the_blueprints_containers_stay_its_own(kit: Kit) -> None:
    """Registration copies: a handler added to the blueprint afterwards is not the app's."""
    app, bp = kit.app(), kit.bp("bp")
    bp.before_request(view("early"))
    bp.errorhandler(404)(view("early"))
    app.register_blueprint(bp)
    bp.before_request_funcs[None].append(view("late"))
    bp.error_handler_spec[None][404][KeyError] = view("late")
    assert [f.__name__ for f in app.before_request_funcs["bp"]] == ["early"]
    assert list(app.error_handler_spec["bp"][404]) == [NotFound]


# Templates and commands


@BOTH
def test_template_helpers_reach_the_apps_environment(kit: Kit) -> None:
    """Filters, tests and globals are there under their own or the given name, added once."""
    app, bp = kit.app(), kit.bp("bp")
    bp.app_template_filter()(view("own_filter"))
    bp.app_template_filter("given_filter")(view())
    bp.add_app_template_filter(view(), name="plain_filter")
    bp.app_template_test()(view("own_test"))
    bp.app_template_test("given_test")(view())
    bp.add_app_template_test(view(), name="plain_test")
    bp.app_template_global()(view("own_global"))
    bp.app_template_global("given_global")(view())
    bp.add_app_template_global(view(), name="plain_global")
    app.register_blueprint(bp)
    for kind in ("filter", "test", "global"):
        found = getattr(app.jinja_env, f"{kind}s")
        assert {f"own_{kind}", f"given_{kind}", f"plain_{kind}"} <= set(found)


@pytest.mark.parametrize(
    ("own_group", "options", "expected"),
    [
        ({}, {}, [("bp", "bp")]),
        ({"cli_group": "mine"}, {}, [("mine", "mine")]),
        ({"cli_group": None}, {}, [("hello", "hello")]),
        ({"cli_group": "mine"}, {"cli_group": "given"}, [("given", "given")]),
        ({"cli_group": "mine"}, {"cli_group": None}, [("hello", "hello")]),
        ({}, {"name": "renamed"}, [("renamed", "renamed")]),
    ],
    ids=str,
)
def test_commands_go_into_their_group(
    own_group: dict[str, Any], options: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """The group is the blueprint's name, the `cli_group` given, or with `None` the app itself."""
    app, bp = OURS.app(), OURS.bp("bp", **own_group)
    bp.cli.add_command(click.Command("hello"))
    app.register_blueprint(bp, **options)
    assert [(key, command.name) for key, command in app.cli.commands.items()] == expected


def test_without_commands_nothing_is_added() -> None:
    """A blueprint with no command, or with no command group at all, leaves the app's alone."""
    app = OURS.app()
    app.register_blueprint(OURS.bp("bp"))
    app.register_blueprint(Blueprint("bare", "small", root_path="/"))
    assert app.cli.commands == {}


def test_bare_blueprint_does_not_send_files() -> None:
    """How a file is sent is for the application layer to say."""
    with pytest.raises(NotImplementedError):
        Blueprint("bare", "small", root_path="/").send_static_file("x")


def test_a_second_blueprint_under_one_name_names_both_places() -> None:
    """The error for a blueprint's name that is taken says where both were registered."""
    app = Demijohn("site")
    first = here() + 1
    app.register_blueprint(Blueprint("bp", __name__))
    with pytest.raises(ValueError, match="already registered") as caught:
        app.register_blueprint(Blueprint("bp", __name__))
    assert f"first:  {__file__}:{first}\n  second: {__file__}:{first + 2}" in str(caught.value)
