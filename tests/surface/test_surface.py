"""Everything public in Flask 3.1.3 is here: at the same place, of the same kind, called alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import flask
import pytest
from werkzeug.local import LocalProxy

import demijohn
from demijohn.context.proxy import make_proxy

from .compare import class_gaps, counterpart, instance_gaps, kind_of, value_gaps
from .exceptions import EXCEPTIONS
from .samples import BASES, SAMPLES, modules_of
from .walk import exported_names, import_both, module_names, public_attributes, public_names

DIFFERENCES = Path(__file__).parents[2] / "docs" / "differences.md"
Gaps = list[tuple[str, str]]


def classes() -> dict[str, type]:
    """Flask's public classes by the names at which they are defined."""
    found: dict[str, type] = {}
    for name in module_names():
        module = import_both(name)[0]
        for value in (getattr(module, n) for n in public_names(module)):
            if kind_of(value) == "class" and value.__module__.partition(".")[0] == "flask":
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return dict(sorted(found.items()))


CLASSES = classes()


def module_gaps(name: str) -> Iterator[tuple[str, str]]:
    theirs, ours = import_both(name)
    for public in public_names(theirs):
        if not hasattr(ours, public):
            yield f"{name}.{public}", "is missing"
            continue
        for gap in value_gaps(getattr(theirs, public), getattr(ours, public)):
            yield f"{name}.{public}", gap


def gaps_of_class(name: str) -> Gaps:
    gaps = class_gaps(CLASSES[name], counterpart(CLASSES[name]))
    return [(f"{name}.{attribute}".rstrip("."), gap) for attribute, gap in gaps]


def gaps_of_object(name: str) -> Gaps:
    theirs, ours = (SAMPLES[name](modules_of(package)) for package in ("flask", "demijohn"))
    return [(f"{name}.{attribute}", gap) for attribute, gap in instance_gaps(theirs, ours)]


def unexplained(gaps: Gaps | Iterator[tuple[str, str]]) -> Gaps:
    return [gap for gap in gaps if gap[0] not in EXCEPTIONS]


@pytest.mark.parametrize("name", module_names())
def test_names_of_a_module(name: str) -> None:
    """Each public name of a module of Flask's is in ours, of the same kind and signature."""
    assert unexplained(module_gaps(name)) == []


@pytest.mark.parametrize("name", module_names())
def test_names_are_exported_to_type_checkers(name: str) -> None:
    """A type checker that wants explicit exports lets each name be imported from its module."""
    theirs, ours = import_both(name)
    if ours.__file__ is not None:
        assert set(public_names(theirs)) - exported_names(ours) == set()


@pytest.mark.parametrize("name", CLASSES)
def test_attributes_of_a_class(name: str) -> None:
    """Each public attribute of a class of Flask's is on ours, of the same kind and signature."""
    assert unexplained(gaps_of_class(name)) == []


@pytest.mark.parametrize("name", SAMPLES)
def test_attributes_of_an_object(name: str) -> None:
    """What Flask puts on an object when it is made is on ours too, and of the same type."""
    assert unexplained(gaps_of_object(name)) == []


def test_nothing_is_passed_over() -> None:
    """The walk sees all of Flask: its modules, names, classes, and an object of each class."""
    names = [name for module in module_names() for name in public_names(import_both(module)[0])]
    assert (len(module_names()), len(names), len(CLASSES)) == (24, 299, 46)
    assert {"Flask", "url_for", "current_app", "_cv_app", "T_route"} <= set(names)
    assert sum(len(public_attributes(cls)) for cls in CLASSES.values()) > 800
    assert CLASSES.keys() == SAMPLES.keys() | BASES


def test_no_exception_is_stale() -> None:
    """Each exception stands for a difference that is there."""
    gaps = [gap for name in module_names() for gap in module_gaps(name)]
    gaps += [gap for name in CLASSES for gap in gaps_of_class(name)]
    gaps += [gap for name in SAMPLES for gap in gaps_of_object(name)]
    assert set(EXCEPTIONS) - {name for name, _ in gaps} == set()


def test_each_exception_is_written_down() -> None:
    """Each exception is named in docs/differences.md."""
    text = DIFFERENCES.read_text("utf-8")
    assert [name for name in EXCEPTIONS if f"`{name.removeprefix('flask.')}`" not in text] == []


# ---- the comparison finds what is wrong


def changed_default(location: str, code: int = 301, Response: Any = None) -> Any: ...
def no_default(location: str, code: int, Response: Any = None) -> Any: ...
def renamed(location: str, status: int = 302, Response: Any = None) -> Any: ...
def reordered(location: str, Response: Any = None, code: int = 302) -> Any: ...
def longer(location: str, code: int = 302, Response: Any = None, more: int = 0) -> Any: ...
def required(location: str, code: int = 302, Response: Any = None, *, more: int) -> Any: ...
def keyword_only(location: str, *, code: int = 302, Response: Any = None) -> Any: ...
def allowed(location: str, code: int = 302, Response: Any = None, *, more: int = 0) -> Any: ...


@pytest.mark.parametrize(
    "fault",
    [changed_default, no_default, renamed, reordered, longer, required, keyword_only],
)
def test_a_changed_signature_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that is renamed, moved, added or has another default is found."""
    monkeypatch.setattr(demijohn.helpers, "redirect", fault)
    assert {name for name, _ in module_gaps("flask.helpers")} == {"flask.helpers.redirect"}


def test_an_added_keyword_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours may add a keyword-only parameter with a default."""
    monkeypatch.setattr(demijohn.helpers, "redirect", allowed)
    assert list(module_gaps("flask.helpers")) == []


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        ("helpers", "redirect", object()),
        ("globals", "_cv_app", 1),
        ("globals", "current_app", demijohn.Demijohn("x")),
        ("signals", "request_started", demijohn.request_finished),
        ("views", "http_method_funcs", frozenset({"get"})),
        ("app", "Request", type("Request", (), {})),
        ("", "json", sys),
        ("cli", "run_command", click.Command("run")),
        ("typing", "HeaderValue", str),
    ],
)
def test_a_changed_value_is_found(
    module: str, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that stands for another kind, class, signal, command or constant is found."""
    monkeypatch.setattr(modules_of("demijohn")(module), name, value)
    path = f"flask.{module}".rstrip(".")
    assert f"{path}.{name}" in {found for found, _ in unexplained(module_gaps(path))}


def test_a_name_that_is_not_exported_is_found(tmp_path: Path) -> None:
    """An import for a module's own use is no export."""
    module = ModuleType("m")
    module.__file__ = str(tmp_path / "m.py")
    (tmp_path / "m.py").write_text(
        "import a\nfrom b import c\nfrom d import e as e, f as g\nh: int = 1\n__all__ = ['c']\n"
    )
    assert exported_names(module) == {"c", "e", "h", "__all__"}


def test_a_changed_command_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost command, a lost or changed option and an added argument are found; more is no gap."""
    ours: Any = demijohn.cli
    monkeypatch.delitem(ours.cli.commands, "shell")
    monkeypatch.setitem(ours.cli.commands, "more", click.Command("more"))
    params = [p for p in ours.run_command.params if p.name not in {"cert", "host"}]
    params += [click.Option(["--host", "-H"]), click.Option(["--more"]), click.Argument(["free"])]
    monkeypatch.setattr(ours.run_command, "params", params)
    found = [f"{name}: {gap}" for name, gap in module_gaps("flask.cli")]
    assert any("cli.cli: lacks the command 'shell'" in gap for gap in found)
    assert any("lacks the parameter 'cert'" in gap for gap in found)
    assert any("opts of its parameter 'host'" in gap for gap in found)
    assert any("needs the parameter 'free'" in gap for gap in found)
    assert not any("more" in gap for gap in found)


def test_a_lost_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is gone from a module is found."""
    monkeypatch.delattr(demijohn.helpers, "url_for")
    assert list(module_gaps("flask.helpers")) == [("flask.helpers.url_for", "is missing")]


@pytest.mark.parametrize(
    ("name", "value", "gap"),
    [
        ("debug", property(lambda self: False), "cannot be set"),
        ("test_client", property(lambda self: None), "is a property, not a function"),
        ("test_client", lambda self, **kwargs: None, "lacks the parameter"),
        ("request_class", flask.Request, "not what stands for"),
        ("jinja_options", None, "is a NoneType, not a dict"),
        ("__call__", lambda self, environ: None, "lacks the parameter"),
    ],
)
def test_a_changed_attribute_is_found(
    name: str, value: object, gap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attribute of a class that is of another kind, value or signature is found."""
    monkeypatch.setattr(demijohn.Demijohn, name, value)
    assert [g for n, g in gaps_of_class("flask.app.Flask") if n.endswith(name) and gap in g]


def test_a_lost_attribute_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method, or an attribute that objects are made with, is found when it is gone."""
    monkeypatch.delattr(demijohn.testing.FlaskClient, "session_transaction")
    assert gaps_of_class("flask.testing.FlaskClient")

    def bare(at: Callable[[str], Any]) -> Any:
        sample = at("").Flask("x")
        if at("").__name__ == "demijohn":
            del sample.extensions
            sample.blueprints = []
        return sample

    monkeypatch.setitem(SAMPLES, "flask.app.Flask", bare)
    assert gaps_of_object("flask.app.Flask") == [
        ("flask.app.Flask.blueprints", "is a list, not a dict"),
        ("flask.app.Flask.extensions", "is missing"),
    ]


def test_a_lost_base_is_found() -> None:
    """A class that lost a base is found."""
    plain = type("Request", (), dict(vars(demijohn.Request)))
    assert [gap for name, gap in class_gaps(flask.Request, plain) if not name]


def test_kinds_of_proxies() -> None:
    """Werkzeug's proxies and ours are one kind, whatever they stand for."""
    ours = make_proxy(demijohn.globals._cv_app, "app", "first", "second")
    assert kind_of(ours) == kind_of(LocalProxy(lambda: 1)) == "proxy"
