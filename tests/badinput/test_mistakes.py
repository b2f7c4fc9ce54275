"""An application's own mistakes: each a clear error, with nothing lost."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest
from badinput_kit import Ledger, make_site
from click.testing import CliRunner

import demijohn
from demijohn import g, has_app_context, has_request_context
from demijohn.context import ContextEnded, ContextWarning

BOTH = pytest.mark.parametrize("fw", [demijohn, flask], ids=["demijohn", "flask"])


def in_thread(function: Callable[[], Any]) -> Any:
    """What `function` gives or raises on a thread of its own."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return found[0]


# -- --app -----------------------------------------------------------------------------------------

SITE = """
from demijohn import Demijohn
app = Demijohn("x")
number = 7
def make_app(name): return Demijohn(name)
def make_nothing(): return None
def fail(): raise TypeError("inside")
"""


@pytest.mark.parametrize(
    ("app", "phrase"),
    [
        ("missing", "Could not import 'missing'"),
        ("missing.py", "missing"),
        ("no/such/folder/site.py", "site"),
        ("site_app.missing", "site_app.missing"),
        ("site_app:missing", "'missing'"),
        ("site_app:number", "number"),
        ("site_app:make_app", "could not be called with the"),
        ("site_app:make_app(1, 2, 3)", "could not be called with the"),
        ("site_app:make_app(", "Failed to parse"),
        ("site_app:make_app(open('x'))", "literal"),
        ("site_app:make_app(*[])", "literal"),
        ("site_app:make_app(**{})", "could not be called with the"),
        ("site_app:make_nothing", "make_nothing"),
        ("site_app:app.name", "Failed to parse"),
        ("site_app:app app", "Failed to parse"),
        ("site_app:1", "Failed to parse"),
        ("site_app:lambda: 0", "Failed to parse"),
        ("site_app:" + "(" * 5000, "Failed to parse"),
        ("site_app:make_app(" + "[" * 5000 + "]" * 5000 + ")", "Failed to parse"),
        ("site_app:make_app(" + "9" * 5000 + ")", "Failed to parse"),
        ("site_app:app\0", "Failed to parse"),
        (".", "import"),
        (":", "Failed to parse"),
        (".site_app", "import"),
        ("site app", "import"),
        ("\udcff", "import"),
    ],
)
def test_bad_app(app: str, phrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad `--app` ends a command with status 2 and a message that names what is wrong."""
    (tmp_path / "site_app.py").write_text(SITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    result = CliRunner().invoke(demijohn.cli.cli, ["--app", app, "routes"], prog_name="demijohn")
    assert (result.exit_code, phrase in result.output) == (2, True), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Error: " in result.output
    assert not has_app_context()


# -- a missing key ---------------------------------------------------------------------------------

WRITES: dict[str, Callable[[Any], Any]] = {
    "item": lambda s: s.__setitem__("a", 1),
    "update": lambda s: s.update(a=1),
    "setdefault": lambda s: s.setdefault("a", 1),
    "pop": lambda s: s.pop("a", None),
    "clear": lambda s: s.clear(),
    "permanent": lambda s: setattr(s, "permanent", True),
}


@BOTH
@pytest.mark.parametrize("name", [*WRITES, "flash"])
def test_session_write_without_a_key(fw: Any, name: str) -> None:
    """A write to the session without a secret key is a 500 whose error says so; reads work."""
    app = make_site(fw)
    app.secret_key = None
    app.add_url_rule(
        "/change", "change", lambda: WRITES.get(name, lambda s: fw.flash("x"))(fw.session) or "x"
    )
    client = app.test_client()
    assert client.get("/change", buffered=True).status_code == 500
    [error] = app.ledger.errors
    assert isinstance(error, RuntimeError) and "no secret key was set" in str(error)
    assert client.get("/", buffered=True).json["session"] == {}
    if fw is demijohn:
        app.ledger.check(2)


# -- views that answer nothing ---------------------------------------------------------------------

NOTHING: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "number": lambda: 7,
    "set": lambda: {1},
    "tuple of None": lambda: (None, 200),
    "empty tuple": lambda: (),
    "long tuple": lambda: ("a", 200, {}, 1),
    "object": object,
    "class": lambda: 1.5,
}


@pytest.mark.parametrize("name", NOTHING)
def test_view_without_an_answer(name: str) -> None:
    """A view that returns None, or nothing that can be sent, is a 500; the error names it, with
    Flask's type, and hooks and handlers have seen it.
    """
    seen: dict[Any, Any] = {}
    for fw in (demijohn, flask):
        app = make_site(fw)
        app.add_url_rule("/nothing", "nothing_at_all", NOTHING[name])
        client = app.test_client()
        answer = client.get("/nothing", buffered=True)
        [error] = app.ledger.errors
        seen[fw] = (answer.status_code, answer.data, type(error))
        assert "did not return a valid response" in str(error)
        if "None" in name:
            assert "nothing_at_all" in str(error)
        assert client.get("/number/7").text == "7"
    app.ledger.check()
    assert seen[demijohn] == seen[flask]
    assert seen[demijohn][::2] == (500, TypeError)


# -- an endpoint twice -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["app", "blueprint"])
def test_endpoint_twice(where: str) -> None:
    """A second function under one endpoint is refused with both places, and the first stays."""
    app = demijohn.Demijohn("twice")
    blueprint = demijohn.Blueprint("b", "twice")
    target: Any = app if where == "app" else blueprint

    @target.get("/first")
    def page() -> str:
        return "first"

    def other() -> str:
        return "second"

    def again() -> None:
        target.add_url_rule("/second", "page", other)
        app.register_blueprint(blueprint)

    with pytest.raises(AssertionError, match="overwriting an existing endpoint function") as caught:
        again()
    if where == "app":
        assert str(caught.value).count(f"{Path(__file__).name}:") == 2
        client = app.test_client()
        # The second rule is there, as in Flask, and leads to the first function.
        assert client.get("/first").text == client.get("/second").text == "first"


def test_registration_after_the_first_request() -> None:
    """A route that comes too late is refused by name, and the application serves on."""
    app = make_site(demijohn)
    client = app.test_client()
    assert client.get("/number/7").text == "7"
    with pytest.raises(AssertionError, match="add_url_rule"):
        app.add_url_rule("/late", "late", lambda: "late")
    assert client.get("/late").status_code == 404
    assert client.get("/number/8").text == "8"


# -- pops ------------------------------------------------------------------------------------------


def kept(app: Any, kind: str) -> Any:
    return app.app_context() if kind == "app" else app.test_request_context("/")


@pytest.mark.parametrize("outer", ["app", "request"])
@pytest.mark.parametrize("inner", ["app", "request"])
def test_pop_out_of_order(outer: str, inner: str) -> None:
    """A pop of a context that is not on top is refused, says so, and changes nothing."""
    app = demijohn.Demijohn("pops")
    ends: list[str] = []
    app.teardown_appcontext(lambda exc: ends.append(g.name))
    first, second = kept(app, outer), kept(demijohn.Demijohn("other"), inner)
    first.push()
    g.name = "first"
    second.push()
    if outer == inner:
        with pytest.raises(AssertionError, match="Popped wrong"):
            first.pop()
        assert demijohn.current_app.name == "other" and ends == []
    second.pop()
    assert g.name == "first" and ends == []
    first.pop()
    assert ends == ["first"] and not has_app_context()
    with pytest.raises((AssertionError, LookupError, RuntimeError)):
        first.pop()
    assert ends == ["first"]


@pytest.mark.parametrize("kind", ["app", "request"])
def test_context_used_after_another_thread_popped_it(kind: str) -> None:
    """After a pop in another thread the context has ended once; here its plain data can be read,
    a write of the session says that it ended, and the right pop still clears this thread.
    """
    app = make_site(demijohn)
    ctx = kept(app, kind)
    ctx.push()
    g.user = "alice"
    with pytest.warns(ContextWarning):
        assert in_thread(ctx.pop) is None
    assert app.ledger.app_ends == 1
    assert g.user == "alice"
    assert demijohn.current_app.name == app.name
    if kind == "request":
        assert has_request_context() and demijohn.request.path == "/"
        with pytest.raises(ContextEnded):
            demijohn.session["a"] = 1
        with pytest.raises(ContextEnded):
            demijohn.after_this_request(lambda response: response)
    ctx.pop()
    assert not has_app_context() and not has_request_context()
    assert app.ledger.app_ends == 1
    assert app.test_client().get("/number/7").text == "7"
    gc.collect()


def test_request_in_whose_context_another_thread_meddles() -> None:
    """A thread that pops a running request's context gets an error or a warning; the request is
    answered, ends once, and the next one too.
    """
    app = make_site(demijohn)

    @app.get("/meddle")
    def meddle() -> str:
        ctx = demijohn.globals.request_ctx._get_current_object()
        found = in_thread(ctx.pop)
        return type(found).__name__

    client = app.test_client()
    text = client.get("/meddle", buffered=True).text
    assert text.endswith(("Error", "Warning"))
    app.ledger.check(1)
    assert client.get("/number/7", buffered=True).text == "7"
    app.ledger.check(2)


# -- the account itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost end", "two ends", "left current"])
def test_the_ledger_finds_faults(fault: str) -> None:
    """The account that these tests rely on does not balance when a context is lost, ends twice or
    stays current.
    """
    app = demijohn.Demijohn("faulty")
    app.ledger = Ledger(demijohn, app)  # type: ignore[attr-defined]
    app.add_url_rule("/", "index", lambda: "x")
    ctx = app.app_context()
    if fault == "lost end":
        app.teardown_appcontext_funcs.clear()
    elif fault == "two ends":
        app.teardown_appcontext_funcs *= 2
    else:
        ctx.push()
        app.ledger.app_ends -= 1  # type: ignore[attr-defined]
    try:
        app.test_client().get("/", buffered=True)
        with pytest.raises(AssertionError):
            app.ledger.check()  # type: ignore[attr-defined]
    finally:
        if fault == "left current":
            ctx.pop()
