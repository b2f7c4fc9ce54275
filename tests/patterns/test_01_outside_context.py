"""Pattern 1: the proxies outside of any context, in an app context, and in a request."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import pytest

import demijohn
from demijohn import Demijohn, current_app, g, request, session


def make_app(framework: ModuleType) -> Any:
    app = framework.Flask("shop")
    app.config["MAIL_SENDER"] = "shop@example.com"
    app.secret_key = "key"

    @app.get("/sender")
    def sender() -> str:
        return str(framework.current_app.config["MAIL_SENDER"])

    return app


OUTSIDE: dict[str, tuple[str, Callable[[ModuleType], object]]] = {
    "config": ("application", lambda f: f.current_app.config["MAIL_SENDER"]),
    "name": ("application", lambda f: f.current_app.name),
    "g read": ("application", lambda f: f.g.user),
    "g write": ("application", lambda f: setattr(f.g, "user", 1)),
    "g in": ("application", lambda f: "user" in f.g),
    "url_for": ("application", lambda f: f.url_for("index")),
    "template": ("application", lambda f: f.render_template_string("hello")),
    "jsonify": ("application", lambda f: f.jsonify(a=1)),
    "request read": ("request", lambda f: f.request.args),
    "request method": ("request", lambda f: f.request.get_json()),
    "session read": ("request", lambda f: f.session["user"]),
    "session write": ("request", lambda f: f.session.__setitem__("user", 1)),
    "session in": ("request", lambda f: "user" in f.session),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_use_outside_any_context_raises_runtime_error(framework: ModuleType, case: str) -> None:
    """Each use of a proxy outside of its context raises `RuntimeError` with Flask's first line."""
    kind, use = OUTSIDE[case]
    with pytest.raises(RuntimeError) as caught:
        use(framework)
    assert str(caught.value).splitlines()[0] == f"Working outside of {kind} context."


def test_proxies_are_false_outside(framework: ModuleType) -> None:
    """Outside of any context the proxies are false and say `unbound`, and asking is no error."""
    for proxy in (framework.current_app, framework.g, framework.request, framework.session):
        assert not proxy
        assert "unbound" in repr(proxy)
    assert not framework.has_app_context()
    assert not framework.has_request_context()


def test_app_context_makes_it_work(framework: ModuleType) -> None:
    """Inside `with app.app_context()` the same line works, and fails again after the block."""
    app = make_app(framework)
    with app.app_context():
        assert framework.current_app.config["MAIL_SENDER"] == "shop@example.com"
        assert framework.current_app == app
        assert framework.current_app._get_current_object() is app
        assert framework.has_app_context()
        framework.g.user = "ada"
        assert framework.g.user == "ada"
    with pytest.raises(RuntimeError, match=r"^Working outside of application context"):
        framework.current_app.config["MAIL_SENDER"]


def test_app_context_is_no_request(framework: ModuleType) -> None:
    """In an app context alone `request` and `session` still raise."""
    with make_app(framework).app_context():
        assert not framework.has_request_context()
        with pytest.raises(RuntimeError, match=r"^Working outside of request context"):
            str(framework.request.path)
        with pytest.raises(RuntimeError, match=r"^Working outside of request context"):
            framework.session["user"]


def test_request_context_brings_an_app_context(framework: ModuleType) -> None:
    """A request context makes `current_app` and `g` work too, and takes both away at its end."""
    app = make_app(framework)
    with app.test_request_context("/sender?page=2"):
        assert framework.current_app.config["MAIL_SENDER"] == "shop@example.com"
        assert framework.request.args["page"] == "2"
        framework.g.user = "ada"
        assert framework.has_app_context()
    assert not framework.has_app_context()


def test_view_needs_no_context_of_its_own(framework: ModuleType) -> None:
    """A view uses `current_app` without any setup, and nothing stays behind."""
    app = make_app(framework)
    assert app.test_client().get("/sender").text == "shop@example.com"
    assert not framework.has_app_context()


def test_each_request_has_an_app_context_of_its_own(framework: ModuleType) -> None:
    """App contexts are not shared between requests: `g` starts empty in each."""
    app = framework.Flask("shop")
    seen: list[Any] = []

    @app.get("/")
    def index() -> str:
        seen.append(list(framework.g))
        framework.g.user = "ada"
        seen.append(framework.globals.app_ctx._get_current_object())
        return ""

    client = app.test_client()
    client.get("/")
    client.get("/")
    assert seen[0] == seen[2] == []
    assert seen[1] is not seen[3]


def test_nested_app_context_has_its_own_g(framework: ModuleType) -> None:
    """A second `with app.app_context()` starts with an empty `g`; the outer one is back after."""
    app = make_app(framework)
    with app.app_context():
        framework.g.user = "outer"
        with app.app_context():
            assert "user" not in framework.g
            framework.g.user = "inner"
        assert framework.g.user == "outer"


# -- what the message says here (Flask's is the same text everywhere) -----------------------------


def message_of(use: Callable[[], object]) -> str:
    with pytest.raises(RuntimeError) as caught:
        use()
    return str(caught.value)


def test_message_in_the_main_thread() -> None:
    """The message names the main thread and the line that mends it.

    Flask gives general advice that does not depend on where the code runs.
    """
    text = message_of(lambda: current_app.config)
    assert "in the main thread" in text
    assert "with app.app_context():" in text


def test_message_for_request_names_the_test_helper() -> None:
    """For `request` and `session` the remedy is a request context, not an app context."""
    for use in (lambda: request.path, lambda: session["user"]):
        text = message_of(use)
        assert "in the main thread" in text
        assert "test_request_context" in text


def test_message_at_import_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that reads the configuration while it is imported is told so.

    Flask's message is the same as for any other place.
    """
    (tmp_path / "too_early.py").write_text(
        "from demijohn import current_app\nSENDER = current_app.config['MAIL_SENDER']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = message_of(lambda: importlib.import_module("too_early"))
    assert "while a module is imported" in text


def test_message_in_a_thread() -> None:
    """In a bare thread the message names the thread and the function it was started with.

    Flask's message does not say that it is a thread.
    """
    texts: list[str] = []

    def send_mail() -> None:
        texts.append(message_of(lambda: g.user))

    thread = threading.Thread(target=send_mail, name="mailer")
    with Demijohn("shop").app_context():
        thread.start()
        thread.join()
    assert "'mailer'" in texts[0]
    assert "send_mail" in texts[0]
    assert "in_child" in texts[0]


def test_class_is_its_own_under_both_names() -> None:
    """`from demijohn import Flask` gives the same class as `Demijohn`, which is not Flask's."""
    assert demijohn.Flask is Demijohn
    assert not issubclass(Demijohn, flask.Flask)
