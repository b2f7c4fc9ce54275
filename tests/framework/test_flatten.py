"""What `tools.flatten` does not cover ends it: it writes nothing else than what its sources say."""

from __future__ import annotations

import ast

import pytest

from demijohn.framework import plan
from tools import flat_bodies, flatten

CALL = "finish(answer, environ)"


def function(text: str) -> ast.FunctionDef:
    found = ast.parse(text).body[0]
    assert isinstance(found, ast.FunctionDef)
    return found


def flattened(finish: str, call: str = CALL) -> str:
    """What is written where `serve` has this call, of this function."""
    sources = flatten.Sources()
    serve, module = sources.functions["serve"]
    text = ast.unparse(serve)
    assert CALL in text
    sources.functions["serve"] = function(text.replace(CALL, call)), module
    _, module = sources.functions["finish"]
    sources.functions["finish"] = function(finish), module
    body = flatten.Flattening(sources, "serve", {}).body
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))


def test_a_plain_function_is_written() -> None:
    """What the rules cover is put in the place of its call."""
    assert "finished = (answer, environ)" in flattened(
        "def finish(response, environ):\n return response, environ"
    )


REFUSED = {
    "keyword": (
        "def finish(response, environ=None):\n return 1",
        "finish(answer, environ=environ)",
    ),
    "star": ("def finish(response, environ):\n return 1", "finish(*answer)"),
    "keyword-only": ("def finish(response, environ, *, more=1):\n return 1", CALL),
    "positional-only": ("def finish(response, /, environ):\n return 1", CALL),
    "rest": ("def finish(response, *environ):\n return 1", CALL),
    "decorated": ("@print\ndef finish(response, environ):\n return 1", CALL),
    "default": ("def finish(response, environ, more=[]):\n return more", CALL),
    "lambda": ("def finish(response, environ):\n return lambda environ: environ", CALL),
    "function": ("def finish(response, environ):\n def of():\n  return 1\n return of", CALL),
    "generator": ("def finish(response, environ):\n yield 1", CALL),
    "match": ("def finish(response, environ):\n match environ:\n  case 1: return 1", CALL),
    "loop in a branch": (
        "def finish(response, environ):\n if environ:\n  for part in response:\n   return part"
        "\n print()\n return 2",
        CALL,
    ),
    "loop in a branch in a loop": (
        "def finish(response, environ):\n for part in response:\n  if part:\n   for each in part:\n"
        "    return each\n  print()\n return 2",
        CALL,
    ),
    "name of a function": ("def finish(response, environ):\n quick = 1\n return quick", CALL),
}


@pytest.mark.parametrize(("finish", "call"), REFUSED.values(), ids=REFUSED)
def test_what_no_rule_covers_is_refused(finish: str, call: str) -> None:
    """A call or a function of a kind for which there is no rule ends the tool."""
    with pytest.raises(SystemExit):
        flattened(finish, call)


def test_a_name_of_another_function_is_refused() -> None:
    """A function of the same name in another module is not taken for the one that is meant."""
    sources = flatten.Sources()
    sources.names["serve.wsgi_request"]["finish"] = ("serve.drivers", "finish")
    with pytest.raises(SystemExit, match="another function"):
        flatten.Flattening(sources, "serve", {})


def test_an_argument_that_gets_the_value_is_read_before() -> None:
    """A function reads its argument after its `return` too, where the caller's name has changed."""
    sources = flatten.Sources()
    serve, module = sources.functions["serve"]
    text = ast.unparse(serve).replace(f"finished = {CALL}", f"environ = {CALL}")
    sources.functions["serve"] = function(text), module
    sources.functions["finish"] = (
        function("def finish(response, environ):\n try:\n  return 1\n finally:\n  print(environ)"),
        "http.response",
    )
    made = ast.Module(flatten.Flattening(sources, "serve", {}).body, [])
    body = ast.unparse(ast.fix_missing_locations(made))
    assert "print(environ)" not in body
    assert "print(environ_" in body


def test_what_is_known_must_stand_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition that is said to be known, and that no source has any more, ends the tool."""
    monkeypatch.setitem(flatten.KNOWN, "finish", {"made.nowhere": True})
    with pytest.raises(SystemExit, match=r"made\.nowhere"):
        flatten.written()


FOLDED: dict[str, tuple[str, str]] = {
    "a value": ("value = a and k.yes", "value = a and True"),
    "a condition": ("if a and k.yes:\n    b()", "if a:\n    b()"),
    "a condition in another": ("c = 1 if not (a and k.yes) else 2", "c = 1 if not a else 2"),
    "the rest of try": (
        "try:\n if k.no:\n  a()\nexcept E:\n b()\nelse:\n c()\nfinally:\n d()",
        "c()\nd()",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), FOLDED.values(), ids=FOLDED)
def test_folding_keeps_values(text: str, wanted: str) -> None:
    """What is known shortens conditions; the value of an expression stays what it was."""
    folded = flat_bodies.Folding({"k.yes": True, "k.no": False}).visit(ast.parse(text))
    assert ast.unparse(folded) == wanted


def test_methods_that_are_put_in_are_watched() -> None:
    """Each method of a context class that is put into `serve` is one of those of which plans know
    whether somebody has replaced them."""
    inlined = {name for name in flatten.INLINED.values() if "Context." in name}
    inlined |= {f"{name}.__init__" for name in flatten.MADE}
    assert {f"{cls.__name__}.{name}" for cls, name, _ in plan._methods} == inlined


def test_each_step_that_is_known_counts() -> None:
    """No step of which `serve` takes for known that nobody overrides it may be overridden."""
    steps = {
        text.removeprefix("overrides.")
        for known in flatten.KNOWN.values()
        for text, value in known.items()
        if text.startswith("overrides.") and not value
    }
    of_quick = {"finalize_request", "make_response", "process_response"}
    assert steps <= plan._IN_FLAT | of_quick
