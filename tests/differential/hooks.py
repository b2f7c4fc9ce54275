"""Hooks and error handlers of every kind and scope, as source."""

from __future__ import annotations

import re

from .answers import ANSWERS, SHORT
from .chooser import Chooser
from .model import Part, Scope
from .works import EARLY, WORKS

BLUEPRINT_ONLY = {
    "before_app_request": "before_request",
    "after_app_request": "after_request",
    "teardown_app_request": "teardown_request",
    "app_url_value_preprocessor": "url_value_preprocessor",
    "app_url_defaults": "url_defaults",
    "app_context_processor": "context_processor",
}
"""Decorators of a blueprint that register for the whole application."""

KINDS = (
    "before_request",
    "after_request",
    "teardown_request",
    "url_value_preprocessor",
    "url_defaults",
    "context_processor",
)

ASYNC = ("before_request", "after_request", "teardown_request")
"""Hooks that may be async functions."""

RAISES = ('raise Oops("NAME")', "flask.abort(409)", 'raise KeyError("NAME")', "flask.abort(404)")
AFTER = {
    "after_request: header": 'response.headers["X-NAME"] = str(response.status_code)',
    "after_request: status": "response.status_code = 299",
    "after_request: data": "if not response.direct_passthrough:\n"
    '    response.set_data(response.get_data() + b" NAME")',
    "after_request: another": 'return flask.make_response("NAME", 203)',
    "after_request: cookie": 'response.set_cookie("NAME", "1")',
}

KEYS = {
    "handler: 404": ("404", "werkzeug.exceptions.NotFound"),
    "handler: 405": ("405", "werkzeug.exceptions.MethodNotAllowed"),
    "handler: 500": ("500", "werkzeug.exceptions.InternalServerError"),
    "handler: other code": ("400", "403", "418", "413", "werkzeug.exceptions.BadRequestKeyError"),
    "handler: HTTPException": ("werkzeug.exceptions.HTTPException",),
    "handler: Exception": ("Exception",),
    "handler: class": ("Worse", "ValueError", "KeyError", "ZeroDivisionError"),
    "handler: base class": ("Oops", "LookupError", "ArithmeticError"),
}


CAUSES = {
    "404": "flask.abort(404)",
    "werkzeug.exceptions.NotFound": "flask.abort(404)",
    "405": "flask.abort(405)",
    "werkzeug.exceptions.MethodNotAllowed": "flask.abort(405)",
    "500": 'raise OSError("NAME")',
    "werkzeug.exceptions.InternalServerError": "flask.abort(500)",
    "400": "flask.request.form['missing']",
    "403": "flask.abort(403)",
    "418": "raise Teapot()",
    "413": "flask.abort(413)",
    "werkzeug.exceptions.BadRequestKeyError": "flask.request.form['missing']",
    "werkzeug.exceptions.HTTPException": "flask.abort(409)",
    "Exception": 'raise OSError("NAME")',
    "Worse": 'raise Worse("NAME")',
    "ValueError": "int('x')",
    "KeyError": "{}['missing']",
    "ZeroDivisionError": "1 / 0",
    "Oops": 'raise Worse("NAME")',
    "LookupError": "[][1]",
    "ArithmeticError": "1 / 0",
}
"""What a view does so that the handler of a key answers."""


def indent(text: str) -> list[str]:
    return ["    " + line for line in text.splitlines()]


def fill(text: str, name: str, link: str) -> str:
    return re.sub(r"\bLINK\b", lambda found: link, re.sub(r"\bNAME\b", name, text))


def body_of(choose: Chooser, name: str, link: str, first: str) -> tuple[list[str], set[str]]:
    """The beginning of a hook: it logs, and may do something else."""
    lines = [f"log({first})"]
    features: set[str] = set()
    if choose.chance(25):
        feature = choose.one(EARLY)
        features.add(feature)
        lines += fill(choose.one(WORKS[feature]), name, link).splitlines()
    return lines, features


def when_asked(choose: Chooser, name: str, link: str, may_return: bool) -> tuple[list[str], str]:
    """What it does when a call asks for it: raise, or answer."""
    if may_return and choose.chance(50):
        text = choose.one(ANSWERS[choose.one(SHORT)])
        return [f"if asked('{name}'):", *indent(fill(text, name, link))], "answers"
    return [f"if asked('{name}'):", *indent(fill(choose.one(RAISES), name, link))], "raises"


def maybe_async(choose: Chooser, part: Part) -> Part:
    """The part with an async function, at times."""
    if choose.chance(6):
        at = next(n for n, line in enumerate(part.lines) if line.startswith("def "))
        part.lines[at] = "async " + part.lines[at]
        part.features.add("async: a hook or a handler")
    return part


def draw_hook(choose: Chooser, scope: Scope, name: str, link: str) -> Part:
    """One hook of a scope."""
    blueprint = scope.variable != "app"
    if not blueprint and choose.chance(20):
        return teardown_appcontext(choose, name)
    kind = choose.one((*KINDS, *("context_processor", "url_defaults", "url_defaults") * 2))
    decorator = kind
    where = "of a blueprint" if blueprint else "of the app"
    if blueprint and choose.chance(40):
        decorator = next(own for own, plain in BLUEPRINT_ONLY.items() if plain == kind)
        where = "of the app from a blueprint"
    lines, features, parameters = MAKERS[kind](choose, name, link)
    head = [f"@{scope.variable}.{decorator}", f"def {name}({parameters}):"]
    part = Part(name, [*head, *indent("\n".join(lines))], {f"{kind}: {where}", *features})
    return maybe_async(choose, part) if kind in ASYNC else part


def before_request(choose: Chooser, name: str, link: str) -> tuple[list[str], set[str], str]:
    lines, features = body_of(choose, name, link, f"'{name}'")
    more, what = when_asked(choose, name, link, may_return=True)
    return [*lines, *more], {*features, f"asked {name}: before_request {what}"}, ""


def after_request(choose: Chooser, name: str, link: str) -> tuple[list[str], set[str], str]:
    lines, features = body_of(choose, name, link, f"'{name}', response.status")
    more, what = when_asked(choose, name, link, may_return=False)
    changes = choose.some(AFTER, 30)
    for change in changes:
        lines += fill(AFTER[change], name, link).splitlines()
    lines += [*more, "return response"]
    return lines, {*features, *changes, f"asked {name}: after_request {what}"}, "response"


def teardown_request(choose: Chooser, name: str, link: str) -> tuple[list[str], set[str], str]:
    lines = [f"log('{name}', exc, sorted(flask.g))"]
    if choose.chance(50):
        lines += [f"if asked('{name}'):", f'    raise Oops("{name}")']
        return lines, {f"asked {name}: teardown_request raises"}, "exc"
    return lines, set(), "exc"


def teardown_appcontext(choose: Chooser, name: str) -> Part:
    lines, features, _ = teardown_request(choose, name, "")
    features = {feature.replace("teardown_request", "teardown_appcontext") for feature in features}
    source = ["@app.teardown_appcontext", f"def {name}(exc):", *indent("\n".join(lines))]
    return Part(name, source, {"teardown_appcontext", *features})


def url_value_preprocessor(
    choose: Chooser, name: str, link: str
) -> tuple[list[str], set[str], str]:
    lines = [f"log('{name}', endpoint, values)"]
    features = set()
    if choose.chance(40):
        lines += ["if values is not None:", "    flask.g.seen = values.pop('a', None)"]
        features.add("url_value_preprocessor: takes a value")
    more, what = when_asked(choose, name, link, may_return=False)
    features.add(f"asked {name}: url_value_preprocessor {what}")
    return [*lines, *more], features, "endpoint, values"


def url_defaults(choose: Chooser, name: str, link: str) -> tuple[list[str], set[str], str]:
    lines = [f"log('{name}', endpoint, sorted(values))"]
    lines.append(
        choose.one(
            (
                f"values.setdefault('by', '{name}')",
                "if app.url_map.is_endpoint_expecting(endpoint, 'a'):\n"
                "    values.setdefault('a', 4)",
            )
        )
    )
    return "\n".join(lines).splitlines(), set(), "endpoint, values"


def context_processor(choose: Chooser, name: str, link: str) -> tuple[list[str], set[str], str]:
    text = choose.one(
        (f"return {{'extra': '{name}'}}", "return {'a': 'processor', 'name': '<p>'}", "return {}")
    )
    return [f"log('{name}')", text], set(), ""


MAKERS = {
    "before_request": before_request,
    "after_request": after_request,
    "teardown_request": teardown_request,
    "url_value_preprocessor": url_value_preprocessor,
    "url_defaults": url_defaults,
    "context_processor": context_processor,
}


def draw_handler(choose: Chooser, scope: Scope, name: str, link: str) -> tuple[Part, str]:
    """An error handler of a scope, and what makes it answer."""
    feature = choose.one(tuple(KEYS))
    key = choose.one(KEYS[feature])
    blueprint = scope.variable != "app"
    decorator, where = "errorhandler", "of a blueprint" if blueprint else "of the app"
    if blueprint and choose.chance(30):
        decorator, where = "app_errorhandler", "of the app from a blueprint"
    lines = [
        f"log('{name}', type(error).__name__, getattr(error, 'code', None),"
        " type(getattr(error, 'original_exception', None)).__name__)"
    ]
    features = {feature, f"handler: {where}"}
    if choose.chance(20):
        lines.append(choose.one(("return error", "raise error", "raise Worse('again')")))
        features.add("handler: returns or raises the error")
    else:
        lines += fill(choose.one(ANSWERS[choose.one(SHORT)]), name, link).splitlines()
    head = [f"@{scope.variable}.{decorator}({key})", f"def {name}(error):"]
    if choose.chance(15):
        head = [f"def {name}(error):"]
        tail = [f"{scope.variable}.register_error_handler({key}, {name})"]
        if decorator == "app_errorhandler":
            tail = [f"{scope.variable}.app_errorhandler({key})({name})"]
        return Part(name, [*head, *indent("\n".join(lines)), *tail], features), CAUSES[key]
    part = Part(name, [*head, *indent("\n".join(lines))], features)
    return maybe_async(choose, part), CAUSES[key]
