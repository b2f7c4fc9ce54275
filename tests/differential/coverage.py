"""What examples exercise: the features there are, and those that an example's calls reached.

A part of an application counts where its name is in the log of Flask's side; what it does only when
a call asks for it counts where that call reached it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .answers import ANSWERS
from .calls import BODIES, HEADERS
from .hooks import AFTER, BLUEPRINT_ONLY, KEYS, KINDS
from .model import Call, Example, Outcome
from .rules import LITERALS, NEAR, PIECES
from .settings import SETTINGS, SUBCLASSES
from .works import WORKS

FLOOR = 5.0
"""What each feature must be at least of all examples, in per cent."""

STATUSES = (200, 304, 308, 400, 404, 405, 500)
RARE_FLOOR = 1.0
RARE = {"got: 204", "got: 206", "got: 302", "got: 413", "got: 415"}
"""Answers that are rarer by nature."""

FEATURES = {
    *(*ANSWERS, *WORKS, *SETTINGS, *SUBCLASSES, *KEYS, *AFTER, *BODIES, *HEADERS, *NEAR),
    *(piece.feature for piece in (*PIECES, *LITERALS)),
    *(f"{kind}: {where}" for kind in KINDS for where in ("of the app", "of a blueprint")),
    *(f"{kind}: of the app from a blueprint" for kind in BLUEPRINT_ONLY.values()),
    *(f"handler: of {where}" for where in ("the app", "a blueprint", "the app from a blueprint")),
    *("handler: returns or raises the error", "teardown_appcontext"),
    *("before_request answers", "before_request raises", "after_request raises"),
    *("url_value_preprocessor raises", "url_value_preprocessor: takes a value"),
    *("teardown_request raises", "teardown_appcontext raises"),
    *("rule: ends with a slash", "rule: ends without a slash", "rule: methods", "rule: defaults"),
    *("rule: strict_slashes", "rule: no automatic OPTIONS", "rule: redirect_to"),
    *("view: route", "view: add_url_rule", "view: class View", "view: class MethodView"),
    *("view: method decorator", "view: two rules"),
    *("app: host matching", "app: subdomain matching", "app: no static folder"),
    *("app: own static path", "static file", "signals: all", "signals: some", "hooks: none"),
    *("blueprint", "blueprint: nested", "blueprint: prefix", "blueprint: url_defaults"),
    *("blueprint: subdomain", "blueprint: static folder", "blueprint: prefix at registration"),
    *("blueprint: name at registration", "blueprint: registered twice"),
    *(f"method: {method}" for method in ("GET", "HEAD", "POST", "OPTIONS", "another")),
    *("path: a value that does not fit", "path: none of a rule", "query", "host: another"),
    *("body: length missing or wrong", "script name", "scheme: https", "cookies: not carried"),
    *(
        "clock: later",
        "client: the framework's",
        "client: with",
        "client: follow",
        "server: closes early",
    ),
    *("client: transaction", "async: a view", "async: a hook or a handler"),
    *("blueprint: recorded functions",),
    *(*RARE, "rule: subdomain"),
    *(f"got: {status}" for status in STATUSES),
    *("got: an exception", "got: Set-Cookie", "got: Vary", "got: Allow", "got: a log record"),
}


def exercised(example: Example, outcomes: list[Outcome]) -> set[str]:
    """The features that an example reached, by what Flask's side told."""
    found = set(example.features)
    reached: set[str] = set()
    by_name = {part.name: part for part in example.parts}
    for call, outcome in zip(example.calls, outcomes[1:], strict=False):
        names = {entry.partition(" ")[0] for entry in outcome.log}
        reached |= names
        for name in names.intersection(call.asked):
            prefix = f"asked {name}: "
            found |= {
                feature.removeprefix(prefix)
                for feature in by_name[name].features
                if feature.startswith(prefix)
            }
        found |= call.features | answered(call, outcome)
    for name in reached.intersection(by_name):
        found |= {item for item in by_name[name].features if not item.startswith("asked ")}
    return found


def answered(call: Call, outcome: Outcome) -> set[str]:
    """What an outcome shows."""
    found = {
        f"got: {name}" for name, _ in outcome.headers if name in ("Set-Cookie", "Vary", "Allow")
    }
    if outcome.status is not None:
        found.add(f"got: {outcome.status[:3]}")
    if outcome.error is not None:
        found.add("got: an exception")
    if outcome.records:
        found.add("got: a log record")
    return found


def table(runs: Iterable[set[str]]) -> tuple[int, dict[str, float]]:
    """How many examples there were, and the share of each feature in per cent, rarest first."""
    counted = list(runs)
    count = Counter(feature for run in counted for feature in run)
    shares = {name: 100 * count[name] / len(counted) for name in FEATURES}
    return len(counted), dict(sorted(shares.items(), key=lambda item: (item[1], item[0])))


def printed(total: int, shares: dict[str, float]) -> str:
    """The table."""
    rows = [f"{share:6.1f} %  {name}" for name, share in shares.items()]
    return "\n".join([f"{total} examples, {len(shares)} features", *rows])
