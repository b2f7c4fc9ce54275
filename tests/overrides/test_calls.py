"""Whatever of Flask's classes is overridden is called where Flask calls it, and changes nothing.

Each public method and property is replaced, one at a time, by one that notes the call and passes
it on; then the whole site is walked through. For an application's methods the same is done on the
object.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import flask
import pytest
from edges import EDGE

import demijohn
from tests.surface.compare import kind_of
from tests.surface.exceptions import EXCEPTIONS
from tests.surface.walk import own_value, public_attributes

from .site import CLASSES, make_site, walk

# What the pipeline in one piece takes as known is what is changed here.
pytestmark = pytest.mark.usefixtures("in_one_piece")

for framework in (flask, demijohn):
    for module in ("testing", "views", "sessions", "json.provider", "templating", "ctx"):
        importlib.import_module(f"{framework.__name__}.{module}")

FILES = Path(__file__).with_name("files")
Calls = dict[str, Counter[str]]
"""Step of the walk -> how often each name was called in it."""

#: What Flask calls in a step in which we do not, each with the reason; differences.md has them.
NOT_CALLED = {
    ("app", "create_url_adapter"): "an app context's is made for the first URL",
    ("app", "secret_key"): "the session is opened when it is first used",
    ("request", "blueprint"): "hooks are chosen by the endpoint of the matched rule",
    ("request", "blueprints"): "hooks are chosen by the endpoint of the matched rule",
    ("request", "cookies"): "the session is opened when it is first used",
    ("json_provider", "dumps"): "Flask makes a signer for each request, which tries it",
}
if EDGE == "wsgi":
    NOT_CALLED["response", "call_on_close"] = "the test client's response is a list already"


def overridable(key: str) -> list[str]:
    """The names of one of Flask's classes that a subclass can override and be called by."""
    cls = CLASSES[key](flask)
    home = f"{cls.__module__}.{cls.__qualname__}"
    return [
        name
        for name in public_attributes(cls)
        if kind_of(own_value(cls, name)) in {"function", "class method", "property"}
        and f"{home}.{name}" not in EXCEPTIONS
    ]


def noting(cls: type, names: list[str], note: Callable[[str], None]) -> type:
    """A subclass in which each of the names notes its call and passes it on."""
    made: dict[str, Any] = {}

    def function(name: str) -> Any:
        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            note(name)
            return getattr(super(own, self), name)(*args, **kwargs)

        return noted

    def attribute(name: str) -> property:
        stored = own_value(cls, name)

        def read(self: Any) -> Any:
            note(name)
            return getattr(super(own, self), name)

        def write(self: Any, value: Any) -> None:
            if hasattr(stored, "__set__"):
                stored.__set__(self, value)
            else:
                self.__dict__[name] = value

        return property(read, write)

    for name in names:
        kind = kind_of(own_value(cls, name))
        make = attribute if kind == "property" else function
        made[name] = classmethod(make(name)) if kind == "class method" else make(name)
    own = type(cls.__name__, (cls,), made)
    return own


def replace(app: Any, name: str, note: Callable[[str], None]) -> None:
    """Put a function on the object itself that notes its call and passes it on."""
    passes_on = getattr(app, name)

    def noted(*args: Any, **kwargs: Any) -> Any:
        note(name)
        return passes_on(*args, **kwargs)

    setattr(app, name, noted)


def walked(
    framework: Any, key: str, names: list[str], on_object: bool = False
) -> tuple[Any, Calls]:
    """What a walk shows, and which of the names were called in which step."""
    calls: Calls = {"setup": Counter()}
    step = "setup"

    def tell(name: str) -> None:
        nonlocal step
        step = name
        calls[step] = Counter()

    def note(name: str) -> None:
        calls[step][name] += 1

    if on_object:
        app = make_site(framework, FILES)
        for name in names:
            replace(app, name, note)
    else:
        own = noting(CLASSES[key](framework), names, note)
        app = make_site(framework, FILES, **{key: own})
    return walk(framework, app, tell), calls


@cache
def of_flask(key: str, on_object: bool) -> Calls:
    """What Flask calls of a class: all is replaced at once, as it goes no other way then."""
    names = methods(key) if on_object else overridable(key)
    return walked(flask, key, names, on_object)[1]


@cache
def plain() -> Any:
    return walk(demijohn, make_site(demijohn, FILES))


def methods(key: str) -> list[str]:
    cls = CLASSES[key](flask)
    return [
        name
        for name in overridable(key)
        if kind_of(own_value(cls, name)) == "function" and not name.startswith("__")
    ]


def missed(key: str, name: str, on_object: bool = False) -> list[str]:
    """The steps in which Flask calls the replaced name and ours does not."""
    seen, ours = walked(demijohn, key, [name], on_object)
    assert seen == plain()
    theirs = of_flask(key, on_object)
    return [step for step, calls in theirs.items() if calls[name] and not ours[step][name]]


WSGI_ONLY = {
    ("app", "wsgi_app"): "it is the WSGI edge",
    ("app", "async_to_sync"): "the other edge awaits",
}


def marked(key: str, name: str) -> Any:
    """A parameter set, with its mark."""
    reason = WSGI_ONLY.get((key, name))
    return pytest.param(key, name, marks=[pytest.mark.wsgi_only(reason)] if reason else [])


def test_the_walk_is_the_same() -> None:
    """Without anything overridden, both frameworks show the same in each step."""
    theirs = walk(flask, make_site(flask, FILES))
    assert {step: plain()[step] for step in theirs} == theirs


@pytest.mark.parametrize(
    ("key", "name"),
    [marked(key, name) for key in CLASSES for name in overridable(key)],
)
def test_overridden_in_a_subclass(key: str, name: str) -> None:
    """A method or property that a subclass overrides is asked in each step in which Flask asks."""
    assert bool(missed(key, name)) == ((key, name) in NOT_CALLED)


@pytest.mark.parametrize(("key", "name"), [marked("app", name) for name in methods("app")])
def test_overridden_on_the_object(key: str, name: str) -> None:
    """A method that is replaced on an application itself is called where Flask calls it."""
    assert bool(missed(key, name, on_object=True)) == ((key, name) in NOT_CALLED)


@pytest.mark.wsgi_only("its fault is in the plain form of the pipeline")
def test_a_way_round_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that goes round an overridden method is found."""
    from demijohn.framework import error_handlers, pipeline

    def round_about(ctx: Any, app: Any, error: Any) -> Any:
        handler = error_handlers.find_error_handler(app, error, ctx.request.blueprints)
        return error if handler is None else handler(error)

    monkeypatch.setattr(pipeline, "handle_http_exception", round_about)
    assert "/gone" in missed("app", "_find_error_handler")
    assert missed("app", "handle_exception") == []


def test_the_walk_calls_much() -> None:
    """The walk reaches at least these, so that what is compared is not nothing."""
    called = {key: set().union(*of_flask(key, False).values()) for key in CLASSES}
    assert len(called["app"]) > 40
    assert {"dispatch_request", "log_exception", "url_for", "make_aborter"} <= called["app"]
    assert {"open_session", "save_session", "get_cookie_path"} <= called["session_interface"]
    assert {"dumps", "loads", "response"} <= called["json_provider"]
    assert {"get_json", "form", "files", "on_json_loading_failed"} <= called["request"]
    assert {"set_cookie", "get_wsgi_headers", "max_cookie_size"} <= called["response"]
    assert {"make_setup_state", "send_static_file"} <= called["blueprint"]
