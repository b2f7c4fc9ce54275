"""What is known of an application before a request is the application's own, and stays small."""

from __future__ import annotations

import copy
import gc
import threading
from collections.abc import Callable
from typing import Any

import flask
import pytest

import demijohn
from demijohn.framework import plan
from demijohn.http import json_provider
from demijohn.http.json_provider import DefaultJSONProvider

BOTH = pytest.mark.parametrize("fw", [flask, demijohn], ids=["flask", "demijohn"])


def make_app(fw: Any, cls: Any = None) -> Any:
    app = (cls or fw.Flask)("site", static_folder=None)
    app.add_url_rule("/", "index", lambda: "x")
    return app


@BOTH
def test_attributes_set_before_init(fw: Any) -> None:
    """A subclass may set what plans look at, and anything else, before it calls `__init__`."""

    class Request(fw.Request):  # type: ignore[name-defined,misc]
        pass

    class App(fw.Flask):  # type: ignore[name-defined,misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.request_class = Request
            self.before_request_funcs: Any = {}
            self.mine = 1
            super().__init__(*args, **kwargs)

    app = make_app(fw, App)
    kinds = []
    app.before_request(lambda: kinds.append(type(fw.request._get_current_object())))
    app.test_client().get("/")
    assert kinds == [Request]


@BOTH
def test_copied_application_has_its_own_steps(fw: Any) -> None:
    """A copy of an application shares its hooks; steps set on either are that one's alone, also
    when the other is gone."""
    app = make_app(fw)
    app.test_client().get("/")
    other = copy.copy(app)
    other.dispatch_request = lambda *args: "other"
    assert app.test_client().get("/").text == "x"
    assert other.test_client().get("/").text == "other"
    del other.dispatch_request, app
    gc.collect()
    log: list[str] = []
    other.before_request_funcs[None] = [lambda: log.append("before")]
    assert other.test_client().get("/").text == "x"
    other.before_request_funcs[None] = [lambda: log.append("again")]
    other.test_client().get("/")
    assert log == ["before", "again"]


@BOTH
def test_hooks_joined_with_a_dict(fw: Any) -> None:
    """The dict of one kind of hooks can be joined with another from either side."""
    hooks = make_app(fw).before_request_funcs
    hooks[None].append(print)
    assert hooks | {"bp": []} == {"bp": []} | hooks == {None: [print], "bp": []}
    assert repr(hooks).startswith("defaultdict(")


def test_functions_that_come_and_go_are_not_kept() -> None:
    """Hooks that are registered and taken away again, over and over, are not kept for ever."""
    app = make_app(demijohn)
    for _ in range(plan._MOST_PLAIN * 2):
        assert app._plans.is_plain(lambda: None)
    assert len(app._plans.plain) <= plan._MOST_PLAIN


@BOTH
def test_push_and_pop_of_a_context_class(fw: Any) -> None:
    """`with app.app_context()` goes through `push` and `pop` of a context class of one's own."""
    log: list[str] = []

    class Context(fw.ctx.AppContext):  # type: ignore[name-defined,misc]
        def push(self) -> None:
            log.append("push")
            super().push()

        def pop(self, *args: Any) -> None:
            log.append("pop")
            super().pop(*args)

    with Context(make_app(fw)):
        log.append("in")
    assert log == ["push", "in", "pop"]


def run_while(held: Callable[[], object], change: Callable[[], object], monkey: Any) -> None:
    """Run `held` on a thread until it looks at the response class, make `change` then on another,
    and let both end."""
    looked = plan._responses
    entered, go_on = threading.Event(), threading.Event()

    def look(cls: Any) -> Any:
        if not entered.is_set():
            entered.set()
            assert go_on.wait(30)
        return looked(cls)

    monkey.setattr(plan, "_responses", look)
    threads = [threading.Thread(target=held), threading.Thread(target=change)]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    threads[1].join(0.2)  # long enough for a change that does not wait
    go_on.set()
    for thread in threads:
        thread.join(30)


def test_older_finding_does_not_replace_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread finds out about an application is not put over what another found later."""

    class Request(demijohn.Request):
        pass

    app = make_app(demijohn)
    run_while(
        lambda: app._plans.forget(app), lambda: setattr(app, "request_class", Request), monkeypatch
    )
    with app.test_request_context():
        assert type(demijohn.request._get_current_object()) is Request


def test_provider_changed_while_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of a JSON provider that changes while a request finds out that there is none holds
    from the next request on."""
    app = make_app(demijohn)
    app.view_functions["index"] = lambda: {"b": 1, "a": 2}
    looked = json_provider._settings_of

    def look(cls: type[DefaultJSONProvider]) -> Any:
        app.json.sort_keys = False
        return looked(cls)

    client = app.test_client()
    client.get("/")
    app.json.compact = None
    del app.json.compact  # looked at anew
    monkeypatch.setattr(json_provider, "_settings_of", look)
    client.get("/")
    assert client.get("/").data == b'{"b":1,"a":2}\n'
