"""The Jinja environment and the dispatching loader, compared with Flask's on Flask applications."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import flask
import flask.templating
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import BaseLoader, DictLoader, FunctionLoader, TemplateNotFound

from demijohn.http.template_debug import Attempt, explain
from demijohn.http.templating import DispatchingJinjaLoader, Environment

OURS_ALONE = "  Is it in the folder that this blueprint takes its templates from?"
FLASKS_ALONE = "  Maybe you did not place a template in the right folder?"


def make_app(*folders: dict[str, str] | None) -> flask.Flask:
    """An application whose templates are the first dict, and a blueprint for each other one."""
    app = flask.Flask("the_app", template_folder=None, root_path="/")
    loaders = [None if folder is None else DictLoader(folder) for folder in folders]
    app.jinja_loader = loaders[0]
    for number, loader in enumerate(loaders[1:]):
        blueprint = flask.Blueprint(f"bp{number}", f"module{number}", root_path="/")
        blueprint.jinja_loader = loader
        app.register_blueprint(blueprint)
    return app


def found(loader: BaseLoader, app: flask.Flask, name: str) -> object:
    try:
        return loader.get_source(app.jinja_env, name)[:2]
    except TemplateNotFound as error:
        return TemplateNotFound, error.name


FOLDERS = st.lists(
    st.none() | st.dictionaries(st.sampled_from("abcd"), st.text("xyz"), max_size=4),
    min_size=1,
    max_size=4,
)


@given(folders=FOLDERS, explained=st.booleans())
def test_finds_what_flask_finds(folders: list[dict[str, str] | None], explained: bool) -> None:
    """Whatever is in the folders, a name gives the source, and the list the names, of Flask."""
    app = make_app(*folders)
    app.config["EXPLAIN_TEMPLATE_LOADING"] = explained
    ours, theirs = DispatchingJinjaLoader(app), flask.templating.DispatchingJinjaLoader(app)
    for name in "abcd":
        assert found(ours, app, name) == found(theirs, app, name)
    assert sorted(ours.list_templates()) == sorted(theirs.list_templates())


def test_application_first_then_blueprints_in_order() -> None:
    """The application's template hides a blueprint's, and an earlier blueprint's a later one's."""
    app = make_app({"a": "app"}, {"a": "bp0", "b": "bp0"}, {"b": "bp1", "c": "bp1"})
    env = Environment(app, loader=DispatchingJinjaLoader(app))
    assert [env.get_template(name).render() for name in "abc"] == ["app", "bp0", "bp1"]


def test_blueprint_registered_later_is_seen() -> None:
    """The loader reads the application's blueprints at each search."""
    app = make_app(None)
    env = Environment(app, loader=DispatchingJinjaLoader(app))
    with pytest.raises(TemplateNotFound):
        env.get_template("late")
    blueprint = flask.Blueprint("late", "late", root_path="/")
    blueprint.jinja_loader = DictLoader({"late": "here"})
    app.register_blueprint(blueprint)
    assert env.get_template("late").render() == "here"


def test_loader_read_once_a_search() -> None:
    """A `jinja_loader` that is made at each read is made once a search."""
    reads: list[int] = []

    class App(flask.Flask):
        @property
        def jinja_loader(self) -> DictLoader:  # type: ignore[override]
            reads.append(1)
            return DictLoader({"a": "text"})

    app = App("the_app", root_path="/")
    DispatchingJinjaLoader(app).get_source(app.jinja_env, "a")
    assert len(reads) == 1


def test_subclass_may_choose_the_loaders() -> None:
    """An overridden `_iter_loaders` decides where a template is looked for, by its name."""

    class Themed(DispatchingJinjaLoader):
        def _iter_loaders(self, template: str) -> Any:
            return reversed(list(super()._iter_loaders(template)))

    app = make_app({"a": "app"}, {"a": "bp"})
    assert Themed(app).get_source(app.jinja_env, "a")[0] == "bp"


def test_environment_takes_the_applications_loader() -> None:
    """The application makes the loader, unless the options name one, None included."""
    app = make_app({"a": "app"})
    env = Environment(app, autoescape=True)
    assert isinstance(env.loader, flask.templating.DispatchingJinjaLoader)
    assert (env.app, env.autoescape) == (app, True)
    assert Environment(app, loader=None).loader is None
    assert env.overlay().app is app  # type: ignore[attr-defined]


class Log(logging.Handler):
    """Keeps the raw messages, before any formatting."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.msg)


def accounts(app: flask.Flask, name: str) -> list[str]:
    """Our account and Flask's of the same search, made in a request of the first blueprint."""

    class Loader(DispatchingJinjaLoader):
        def _request_blueprint(self) -> str | None:
            return "bp0"

    app.config["EXPLAIN_TEMPLATE_LOADING"] = True
    log = Log()
    app.logger.handlers = [log]
    app.logger.setLevel(logging.INFO)
    with app.test_request_context() as context:
        context.request.url_rule = app.url_rule_class("/", endpoint="bp0.index")
        for loader in (Loader(app), flask.templating.DispatchingJinjaLoader(app)):
            found(loader, app, name)
    return log.messages


class OddLoader(FunctionLoader):
    """A loader with attributes of every kind."""

    def __init__(self) -> None:
        super().__init__(lambda name: "text" if name == "odd" else None)
        self._private = "hidden"
        self.flag, self.number, self.ratio, self.nothing = True, 3, 0.5, None
        self.paths, self.mixed, self.empty = ("a", "b"), ["a", 1], ()


@pytest.mark.parametrize("name", ["only", "both", "none", "odd", "it's %s"])
def test_account_like_flasks(tmp_path: Path, name: str) -> None:
    """The account of a search has Flask's lines, but for the question in our own words."""
    app = make_app({"only": "1", "both": "1"}, {"both": "2"}, None)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "both").write_text("file")
    on_disk = flask.Blueprint(
        "disk", "disk_module", root_path=tmp_path, template_folder="templates"
    )
    app.register_blueprint(on_disk)
    odd = flask.Blueprint("odd", "odd_module", root_path="/")
    odd.jinja_loader = OddLoader()
    app.register_blueprint(odd)
    ours, theirs = accounts(app, name)
    assert ours.splitlines() == theirs.replace(FLASKS_ALONE, OURS_ALONE).splitlines()
    assert (OURS_ALONE in ours) is (name in ("both", "none", "it's %s"))


def test_account_without_a_blueprint() -> None:
    """Outside of a blueprint's request the account ends with the failure."""
    app = make_app({})
    text = explain(app, "a.html", [Attempt(DictLoader({}), app, None)], None)
    assert text.splitlines() == [
        "Locating template 'a.html':",
        "    1: trying loader of application 'the_app'",
        "       class: jinja2.loaders.DictLoader",
        "       -> no match",
        "Error: the template could not be found.",
    ]


def test_account_of_an_unknown_owner() -> None:
    """A loader of something that is neither application nor blueprint is shown by its repr."""
    text = explain(object(), "a", [Attempt(DictLoader({}), ["an", "owner"], "<string>")], "bp")
    assert "1: trying loader of ['an', 'owner']" in text
    assert "-> found ('<string>')" in text
    assert "belongs" not in text
