"""The core proof of the routing index: on generated maps it answers as Werkzeug's matcher does.

A seeded generator makes maps, paths and methods. Where the index answers, its answer must be that
of `MapAdapter.match`: the same rule, the same values of the same types, or the same exception with
the same data. The comparison is proven on indexes with seeded faults, each of which it must catch.

The seed is fixed. `DEMIJOHN_SOAK_SEED=random`, or a number, takes another; a failure names it.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter, MapAdapter, RequestRedirect, Rule, ValidationError

from demijohn.http import routing, routing_index
from demijohn.http.routing import Map, Miss, RouteIndex

CASES = 20_000
FAULT_CASES = 5_000
PATHS_A_MAP = 10
SEED = 20240531

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
WORDS = ["a", "b", "u", "edit", "new", "42", "7", "x.y", "über", "日本", "p q", "50%", "a+b", "v1"]


class EvenConverter(BaseConverter):
    """A user's converter: even numbers, refused after the expression has matched."""

    regex = r"\d+"
    weight = 60

    def to_python(self, value: str) -> int:
        if int(value) % 2:
            raise ValidationError()
        return int(value)


class PairConverter(BaseConverter):
    """A user's converter that spans a slash and has a group of its own."""

    regex = r"(?:[a-z]+)/(?P<second>[a-z]+)"

    def to_python(self, value: str) -> list[str]:
        return value.split("/")

    def to_url(self, value: Any) -> str:
        return "/".join(value)


#: Feature, converter text, values that it takes, values that it refuses.
CONVERTERS: list[tuple[str, str, list[str], list[str]]] = [
    ("string", "", ["a", "b", "edit", "über", "-", "a\nb", "+1", "%2F"], [""]),
    ("string", "string:", ["u", "42", "..", "日本"], [""]),
    ("length", "string(length=2):", ["ab", "é1", "42"], ["a", "abc"]),
    ("length", "string(minlength=2, maxlength=4):", ["ab", "abcd", "42"], ["a", "abcde"]),
    ("length", "string(maxlength=3):", ["a", "new"], ["edit"]),
    ("int", "int:", ["0", "42", "007", "٣", "9" * 30], ["+1", "-1", "1_0", " 1", "1\n", "²", "x"]),
    ("int-options", "int(min=2, max=50):", ["2", "42", "50"], ["1", "51", "9" * 5000]),
    ("int-options", "int(fixed_digits=3):", ["007", "123"], ["7", "1234"]),
    ("int-options", "int(signed=True):", ["-1", "42", "-007"], ["--1", "-", "+1"]),
    ("float", "float:", ["1.5", "0.0", "٣.٣"], ["1", ".5", "1.", "-1.5", "nan", "1e5"]),
    ("float", "float(signed=True, max=2.5):", ["-1.5", "2.5"], ["2.6", "+1.0"]),
    ("uuid", "uuid:", ["0123abcd-" * 1 + "0000-1111-AAAA-0123456789ab"], ["0123abcd", "42"]),
    ("any", "any(a, edit, u, 42):", ["a", "edit", "u", "42"], ["b", "A"]),
    ("any", 'any("x.y", "a|b"):', ["x.y", "a|b"], ["xzy", "a"]),
    ("path", "path:", ["a", "a/b/edit", "a//b", "u/42/", "a\n", "\na"], ["/a", "a\nb", "a/\nb"]),
    ("custom", "even:", ["2", "42"], ["7", "x"]),
    ("custom", "pair:", ["a/b", "edit/u"], ["a", "a/1"]),
]

#: What each kind of case must be at least of all cases, in per cent.
FLOOR = 3.0
FEATURES = {
    *(feature for feature, *_ in CONVERTERS),
    *("path-in-the-middle", "mixed-segment", "overlap", "defaults", "defaults-pair"),
    *("map-loose", "map-unmerged", "rule-strict", "rule-unmerged", "redirect-defaults-off"),
    *("methods", "methods-none", "default-subdomain", "changed-live", "script-name", "query"),
    *("path-empty", "path-unrooted", "path-doubled", "path-trailing", "path-utf8", "path-bytes"),
    *("path-percent", "path-dots", "path-digits", "path-newline", "path-as-rule", "method-lower"),
    *("alias", "redirect-to", "websocket", "build-only", "subdomain"),
    *("got-hit", "got-NotFound", "got-MethodNotAllowed", "got-RequestRedirect"),
}
#: Rules that the index may leave to Werkzeug.
NOT_PLAIN = {"alias", "redirect-to", "subdomain"}


@dataclass
class World:
    """A generated map, the texts of its rules with sample values, and what is special about it."""

    url_map: Map
    samples: list[list[tuple[str, list[str], list[str]]]] = field(default_factory=list)
    features: set[str] = field(default_factory=set)


class Generator:
    """Makes maps and requests from one random source."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def chance(self, part: float) -> bool:
        return self.rng.random() < part

    def world(self) -> World:
        rng = self.rng
        world = World(Map(converters={"even": EvenConverter, "pair": PairConverter}))
        url_map = world.url_map
        for feature, part, name, value in (
            ("map-loose", 0.25, "strict_slashes", False),
            ("map-unmerged", 0.25, "merge_slashes", False),
            ("redirect-defaults-off", 0.2, "redirect_defaults", False),
            ("default-subdomain", 0.1, "default_subdomain", "www"),
        ):
            if self.chance(part):
                world.features.add(feature)
                setattr(url_map, name, value)
        for _ in range(rng.randint(1, 12)):
            self.add(world, self.segments(), rng.random() < 0.35)
        return world

    def segments(self) -> list[tuple[str, str, list[str], list[str]]]:
        """Return a rule's segments: feature, text, values that fit, values that do not."""
        rng = self.rng
        out = []
        for number in range(rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])):
            if self.chance(0.5):
                word = rng.choice(WORDS)
                out.append(("", word, [word], [rng.choice(WORDS)]))
                continue
            feature, text, good, bad = rng.choice(CONVERTERS)
            variable = f"<{text}v{number}>"
            if self.chance(0.15):
                good, bad = [f"v{x}" for x in good], [f"w{x}" for x in good] + bad
                feature, variable = "mixed-segment " + feature, "v" + variable
            out.append((feature, variable, good, bad))
        return out

    def add(self, world: World, segments: list[Any], slash: bool) -> None:
        """Add a rule, and often another one that competes with it."""
        rng = self.rng
        path = "/" + "/".join(text for _, text, *_ in segments)
        if slash and segments:
            path += "/"
        if self.chance(0.05):
            path = path.replace("/", "//", 1) if self.chance(0.3) else path[:1] + path[1:].replace("/", "//", 1)
        options = self.options(world)
        arguments = [f"v{i}" for i, (feature, *_) in enumerate(segments) if feature]
        if arguments and self.chance(0.1):
            # The pair that `redirect_defaults` exists for.
            endpoint = options["endpoint"] = f"pair{len(world.samples)}"
            values = {name: rng.choice([1, 42, "a"]) for name in arguments}
            if self.insert(world, "/first/", endpoint=endpoint, defaults=values):
                world.features.add("defaults-pair")
            segments = [
                (f, t, [*good, str(values[f"v{i}"])] if f else good, bad)
                for i, (f, t, good, bad) in enumerate(segments)
            ]
        if self.insert(world, path, **options):
            world.samples.append([*segments, ("", "", [""], [""])] if slash else segments)
            for at, (feature, *_) in enumerate(segments):
                world.features.update(feature.split())
                if "path" in feature and at < len(segments) - 1:
                    world.features.add("path-in-the-middle")
        if segments and self.chance(0.3):
            at = rng.randrange(len(segments))
            feature, _, good, _ = segments[at]
            text = rng.choice(["<v0>", "<path:v0>", "<int:v0>"]) if not feature else good[0]
            if "<" not in path.replace(segments[at][1], "") and "/" not in text.strip("/<>"):
                rival = [t if i != at else text for i, (_, t, *_) in enumerate(segments)]
                if self.insert(world, "/" + "/".join(rival), **self.options(world)):
                    world.features.add("overlap")

    def options(self, world: World) -> dict[str, Any]:
        rng = self.rng
        options: dict[str, Any] = {"endpoint": rng.choice("efgh")}
        if self.chance(0.7):
            options["methods"] = rng.sample(METHODS, rng.choice([0, 1, 1, 1, 2, 3]))
        for feature, part, name, values in (
            ("rule-strict", 0.12, "strict_slashes", [True, False]),
            ("rule-unmerged", 0.12, "merge_slashes", [True, False]),
            ("defaults", 0.12, "defaults", [{"v0": 1}, {"extra": "x"}, {"v0": "a", "v1": 42}, {}]),
            ("alias", 0.01, "alias", [True]),
            ("redirect-to", 0.01, "redirect_to", ["elsewhere", "/top"]),
            ("websocket", 0.04, "websocket", [True]),
            ("build-only", 0.03, "build_only", [True]),
            ("subdomain", 0.015, "subdomain", ["", "api", "<v9>", "<path:v9>"]),
        ):
            if self.chance(part):
                options[name] = rng.choice(values)
                world.features.add(feature)
        if options.get("websocket"):
            options.pop("methods", None)
        world.features.add("methods" if "methods" in options else "methods-none")
        return options

    def insert(self, world: World, path: str, **options: Any) -> bool:
        try:
            world.url_map.add(Rule(path, **options))
        except (ValueError, TypeError, AttributeError):
            return False  # Defaults that their converter cannot write, say.
        return True

    def change(self, world: World) -> None:
        """Change a rule or the map after the index was built, as an app may."""
        rng = self.rng
        rules = list(world.url_map.iter_rules())
        if not rules:
            return
        rule = rng.choice(rules)
        kind = rng.randrange(6)
        if kind < 2 and rule.methods is not None:
            rule.methods.symmetric_difference_update(rng.sample(METHODS, 2))
        elif kind == 2:
            rule.methods = None if rng.random() < 0.3 else set(rng.sample(METHODS, 2))
        elif kind == 3:
            rule.strict_slashes = not rule.strict_slashes
        elif kind == 4:
            world.url_map.merge_slashes = not world.url_map.merge_slashes
        elif rule.defaults:
            rule.defaults = {name: "changed" for name in rule.defaults}
        world.features.add("changed-live")

    def request(self, world: World) -> tuple[str, str, set[str]]:
        """Return a raw PATH_INFO, a method, and what is special about them."""
        rng = self.rng
        features = set()
        path = self.path(world)
        if path.startswith("/\0"):
            path = path[2:]
        if not path.isascii():
            features.add("path-utf8")
        raw = path.encode().decode("latin-1")
        kind = rng.randrange(20)
        if kind == 0:
            raw = rng.choice(["", "", "/", "//", "///"])
        elif kind == 1:
            raw = raw.lstrip("/") or "a"
        elif kind in (2, 3):
            at = rng.choice([i for i, c in enumerate(raw) if c == "/"] or [0])
            raw = raw[:at] + "/" * rng.randint(1, 2) + raw[at:]
        elif kind in (4, 5):
            raw = raw[:-1] if raw.endswith("/") else raw + "/"
        elif kind == 6:
            at = rng.randint(0, len(raw))
            raw = raw[:at] + rng.choice(["\xff", "\xe9", "\xc3", "\xed\xa0\x80", "\xc2\x85"]) + raw[at:]
        elif kind == 7:
            raw += rng.choice(["/..", "/.", "/../a", "%2e", "%", "%00", "%2F", "\x00", ";x=1", "?"])
        elif kind == 8:
            raw += rng.choice(["\n", "/\n", "9" * 5000, "/" + "9" * 5000])
        features |= self.path_features(raw)
        method = rng.choice([*METHODS, "GET", "GET", "GET", "HEAD"])
        if self.chance(0.05):
            method = rng.choice([method.lower(), method.title(), "--", "", "M-SEARCH", "get"])
            features.add("method-lower")
        return raw, method, features

    def path_features(self, raw: str) -> set[str]:
        decoded = raw.encode("latin-1").decode(errors="replace")
        found = {
            "path-empty": not raw.strip("/"),
            "path-unrooted": not raw.startswith("/"),
            "path-doubled": "//" in raw,
            "path-trailing": raw.endswith("/") and len(raw) > 1,
            "path-bytes": "\ufffd" in decoded,
            "path-percent": "%" in raw,
            "path-dots": ".." in raw or "/." in raw,
            "path-digits": "9" * 30 in raw,
            "path-newline": "\n" in raw,
        }
        return {name for name, is_so in found.items() if is_so}

    def path(self, world: World) -> str:
        rng = self.rng
        kind = rng.random()
        if kind < 0.06 or not world.samples:
            return "/" + "/".join(rng.choices([*WORDS, ""], k=rng.randint(0, 4)))
        segments = []
        for _, _, good, bad in rng.choice(world.samples):
            segments.append(rng.choice(bad if self.chance(0.08) else good))
        if kind < 0.12 and segments:
            segments[rng.randrange(len(segments))] = rng.choice(WORDS)
        elif kind < 0.15:
            segments.append(rng.choice(WORDS))
        elif kind < 0.17:
            return "/first" if self.chance(0.5) else "/first/"
        return "/" + "/".join(segments)

    def environ(self, raw: str, method: str) -> tuple[dict[str, Any], set[str]]:
        rng = self.rng
        features = set()
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": raw,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "5000",
            "HTTP_HOST": rng.choice(["example.com", "Example.com:8080"]),
            "wsgi.url_scheme": rng.choice(["http", "https"]),
        }
        if self.chance(0.15):
            environ["SCRIPT_NAME"] = rng.choice(["/app", "/a/b", "/\xc3\xbcber"])
            features.add("script-name")
        if self.chance(0.3):
            environ["QUERY_STRING"] = rng.choice(["a=1", "a=1&b=%20", "\xc3\xbc=1", "?&"])
            features.add("query")
        return environ, features


def bind(world: World, environ: dict[str, Any]) -> MapAdapter:
    """Return the adapter that Flask makes for an app without subdomain matching."""
    url_map = world.url_map
    return url_map.bind_to_environ(environ, subdomain=url_map.default_subdomain or "")


def exception_data(error: BaseException) -> tuple[Any, ...]:
    data: list[Any] = ["raised", type(error).__name__, type(error)]
    if isinstance(error, HTTPException):
        data.append(error.code)
    if isinstance(error, RequestRedirect):
        data.append(error.new_url)
    elif isinstance(error, MethodNotAllowed):
        assert error.valid_methods is not None
        data.append(list(error.valid_methods))
    else:
        data.append(str(error))
    return tuple(data)


def hit_data(rule: Rule, args: Any) -> tuple[Any, ...]:
    assert type(args) is dict
    return ("hit", id(rule), [(name, type(value), value) for name, value in args.items()])


def expected(world: World, environ: dict[str, Any]) -> tuple[Any, ...]:
    try:
        rule, args = bind(world, environ).match(return_rule=True)
    except Exception as error:
        return exception_data(error)
    return hit_data(rule, args)


def actual(index: RouteIndex, world: World, environ: dict[str, Any]) -> tuple[Any, ...] | None:
    try:
        answer = index.match(environ["PATH_INFO"], environ["REQUEST_METHOD"])
        if answer is None:
            return None
        if isinstance(answer, Miss):
            return exception_data(answer.as_exception(lambda: bind(world, environ)))
    except Exception as error:
        return exception_data(error)
    return hit_data(*answer)


@dataclass
class Report:
    """What a comparison saw: cases by feature, cases of plain maps, and those answered."""

    cases: int = 0
    plain: int = 0
    answered: int = 0
    features: Counter[str] = field(default_factory=Counter)
    mismatch: str | None = None


def compare(seed: int, cases: int, build: Callable[[Map], RouteIndex] = RouteIndex) -> Report:
    """Compare index and matcher on `cases` cases; stop at the first difference."""
    make = Generator(random.Random(seed))
    report = Report()
    while report.cases < cases:
        world = make.world()
        index = build(world.url_map)
        for number in range(PATHS_A_MAP):
            if number == PATHS_A_MAP // 2 and make.chance(0.3):
                make.change(world)
            if not index.fresh():
                index = build(world.url_map)
            raw, method, features = make.request(world)
            environ, more = make.environ(raw, method)
            want = expected(world, environ)
            got = actual(index, world, environ)
            report.cases += 1
            report.features.update(features | more | world.features)
            report.features["got-" + (want[1] if want[0] == "raised" else "hit")] += 1
            report.features["path-as-rule"] += want[0] == "hit"
            if not world.features & NOT_PLAIN:
                report.plain += 1
                report.answered += got is not None
            if got is not None and got != want:
                report.mismatch = (
                    f"seed {seed}, case {report.cases}: {method} {raw!r} in {world.url_map!r}\n"
                    f"{world.features}\nindex:    {got}\nwerkzeug: {want}"
                )
                return report
    return report


def chosen_seed() -> int:
    text = os.environ.get("DEMIJOHN_SOAK_SEED", "")
    if text == "random":
        return random.SystemRandom().getrandbits(32)
    return int(text) if text else SEED


def test_the_index_answers_as_werkzeug() -> None:
    """On 20,000 generated cases, the index answers as Werkzeug's matcher or leaves it to it."""
    report = compare(chosen_seed(), CASES)
    assert report.mismatch is None, report.mismatch
    assert report.answered >= 0.9 * report.plain
    assert report.plain >= 0.5 * report.cases
    shares = {name: 100 * report.features[name] / report.cases for name in sorted(FEATURES)}
    assert not {name: share for name, share in shares.items() if share < FLOOR}
