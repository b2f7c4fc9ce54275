"""Views: how they are registered, what they do and what they answer, as source."""

from __future__ import annotations

from . import answers, works
from .chooser import Chooser
from .hooks import fill, indent
from .model import Part, Scope, Target
from .rules import bad_path, draw_pieces, good_path, rule_of

METHODS = (
    ["GET"],
    ["GET", "POST"],
    ["POST"],
    ["PUT", "DELETE"],
    ["GET", "OPTIONS"],
    ["GET", "HEAD", "PATCH"],
)


def draw_target(choose: Chooser, scope: Scope, number: int) -> tuple[Target, dict[str, str]]:
    """A rule of a scope, and the arguments that it is registered with."""
    pieces = draw_pieces(choose, number)
    slash = choose.chance(35)
    methods = ["GET"] if choose.chance(40) else choose.one(METHODS)
    options: dict[str, str] = {}
    features = {piece.feature for piece, _ in pieces}
    features.add("rule: ends with a slash" if slash else "rule: ends without a slash")
    if methods != ["GET"] or choose.chance(20):
        options["methods"] = repr(methods)
        features.add("rule: methods")
    if choose.chance(15):
        options["strict_slashes"] = choose.one(("False", "True"))
        features.add("rule: strict_slashes")
    if choose.chance(15):
        options["defaults"] = repr({"c": choose.one(("c", 3))})
        features.add("rule: defaults")
    if choose.chance(12):
        options["provide_automatic_options"] = "False"
        features.add("rule: no automatic OPTIONS")
    if choose.chance(8):
        options["redirect_to"] = choose.one(("'/by/redirect'", "lambda adapter, **v: 'by-func'"))
        features.add("rule: redirect_to")
    prefix = scope.url_prefix
    target = Target(
        scope=scope,
        endpoint=scope.endpoint_prefix + f"v{number}",
        rule=rule_of(pieces, slash),
        good=[prefix + good_path(choose, pieces, slash) for _ in range(2)],
        bad=[prefix + bad_path(choose, pieces, slash)],
        methods=methods,
        values={name: choose.one(piece.values) for piece, name in pieces if name and piece.values},
        features=features,
    )
    return target, options


def link_to(target: Target) -> str:
    """The arguments with which `url_for` builds a target's URL."""
    values = "".join(f", {name}={value}" for name, value in target.values.items())
    return f"'{target.endpoint}'{values}"


def draw_view(
    choose: Chooser,
    name: str,
    target: Target,
    options: dict[str, str],
    links: list[str],
    cause: str | None,
) -> Part:
    """The view of a target: what it does, what it answers, and its registration.

    With a cause of an error that is its answer.
    """
    own = [link for link in links if link.startswith(f"'{target.scope.endpoint_prefix}")]
    link = choose.one(own if own and choose.chance(60) else links)
    features: set[str] = set()
    lines: list[str] = []
    for _ in range(choose.number(0, 2)):
        feature = choose.one(works.WEIGHTED)
        features.add(feature)
        lines += fill(choose.one(works.WORKS[feature]), name, link).splitlines()
    if cause is None:
        feature = choose.one(answers.WEIGHTED)
        features.add(feature)
        cause = choose.one(answers.ANSWERS[feature])
    lines += fill(cause, name, link).splitlines()
    made, more = register(choose, name, target, options, lines)
    target.hints = features
    return Part(name, made, features | more)


def register(
    choose: Chooser, name: str, target: Target, options: dict[str, str], lines: list[str]
) -> tuple[list[str], set[str]]:
    """The source of a view and of its registration in one of the ways that there are."""
    body = indent("\n".join([f"log('{name}', values)", *lines]))
    arguments = "".join(f", {key}={value}" for key, value in options.items())
    function = [f"def {name}(**values):", *body]
    way = choose.number(0, 5)
    # In an async view, Flask cannot run the async functions at the end of a context within.
    nested = any("_context(" in line for line in lines)
    if choose.chance(5) and way not in (2, 3) and not nested:
        function[0] = "async " + function[0]
        made, more = by_way(choose, name, target, arguments, function, way)
        return made, {*more, "async: a view"}
    return by_way(choose, name, target, arguments, function, way)


def by_way(
    choose: Chooser, name: str, target: Target, arguments: str, function: list[str], way: int
) -> tuple[list[str], set[str]]:
    """The source of a registration."""
    on, rule, body = target.scope.variable, repr(target.rule), function[1:]
    if way == 1:
        add = f"{on}.add_url_rule({rule}, '{name}', {name}{arguments})"
        return [*function, add], {"view: add_url_rule"}
    if way == 2:
        method = ["    def dispatch_request(self, **values):", *indent("\n".join(body))]
        once = choose.chance(30)
        head = [
            f"class {name.upper()}(flask.views.View):",
            *["    init_every_request = False"] * once,
        ]
        add = f"{on}.add_url_rule({rule}, view_func={name.upper()}.as_view('{name}'){arguments})"
        return [*head, *method, add], {"view: class View"}
    if way == 3:
        return method_view(choose, name, target, arguments, body), {"view: class MethodView"}
    if way == 4 and target.methods == ["GET"] and "methods=" not in arguments:
        return [f"@{on}.get({rule}{arguments})", *function], {"view: method decorator"}
    if way == 5:
        second = f"@{on}.route('/also{target.rule}'{arguments})"
        return [second, f"@{on}.route({rule}{arguments})", *function], {"view: two rules"}
    return [f"@{on}.route({rule}{arguments})", *function], {"view: route"}


def method_view(
    choose: Chooser, name: str, target: Target, arguments: str, body: list[str]
) -> list[str]:
    """A MethodView with the target's methods; its own list of them is left out at times."""
    lines = [f"class {name.upper()}(flask.views.MethodView):"]
    if choose.chance(30):
        lines.append(
            "    decorators = [lambda view: lambda **kw: (log('decorated'), view(**kw))[1]]"
        )
    for method in target.methods:
        if method != "OPTIONS":
            lines += [f"    def {method.lower()}(self, **values):", *indent("\n".join(body))]
    if choose.chance(50):
        arguments = arguments.replace(f", methods={target.methods!r}", "")
    add = f"{target.scope.variable}.add_url_rule({target.rule!r}, "
    return [*lines, add + f"view_func={name.upper()}.as_view('{name}'){arguments})"]
