"""A generator of maps and requests for the differential test of routing; no tests in here.

The maps mix every converter with its options, map and rule options, rules that compete for a
path, and rules that are changed later; the requests are made from the rules' own samples and then
spoiled.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from werkzeug.routing import BaseConverter, Rule, ValidationError

from demijohn.http.routing import Map

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
    ("any", 'any(a, edit, u, "42"):', ["a", "edit", "u", "42"], ["b", "A"]),
    ("any", 'any("x.y", "a|b"):', ["x.y", "a|b"], ["xzy", "a"]),
    ("path", "path:", ["a", "a/b/edit", "a//b", "u/42/", "a\n", "\na"], ["/a", "a\nb", "a/\nb"]),
    ("custom", "even:", ["2", "42"], ["7", "x"]),
    ("custom", "pair:", ["a/b", "edit/u"], ["a", "a/1"]),
]

#: Of a generated rule: feature, text, values that fit, values that do not.
Segment: TypeAlias = tuple[str, str, list[str], list[str]]


@dataclass
class World:
    """A generated map, the texts of its rules with sample values, and what is special about it."""

    url_map: Map
    samples: list[list[Segment]] = field(default_factory=list)
    pairs: list[list[str]] = field(default_factory=list)
    features: set[str] = field(default_factory=set)


class Generator:
    """Makes maps and requests from one random source."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def chance(self, part: float) -> bool:
        return self.rng.random() < part

    def empty_world(self) -> World:
        return World(Map(converters={"even": EvenConverter, "pair": PairConverter}))

    def world(self) -> World:
        rng = self.rng
        world = self.empty_world()
        url_map = world.url_map
        for feature, part, name, value in (
            ("map-loose", 0.25, "strict_slashes", False),
            ("map-unmerged", 0.2, "merge_slashes", False),
            ("redirect-defaults-off", 0.2, "redirect_defaults", False),
            ("default-subdomain", 0.1, "default_subdomain", "www"),
        ):
            if self.chance(part):
                world.features.add(feature)
                setattr(url_map, name, value)
        for _ in range(rng.randint(1, 12)):
            self.add(world, self.segments(), rng.random() < 0.35)
        return world

    def segments(self) -> list[Segment]:
        rng = self.rng
        out: list[Segment] = []
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

    def add(self, world: World, segments: list[Segment], slash: bool) -> None:
        """Add a rule, and often others that compete with it."""
        rng = self.rng
        path = self.text(segments) + ("/" if slash and segments else "")
        if self.chance(0.05):
            at = rng.choice([i for i, c in enumerate(path) if c == "/"])
            path = path[:at] + "/" + path[at:]
        options = self.options(world)
        if self.chance(0.25):
            self.add_pair(world, segments, options)
        if not self.insert(world, path, **options):
            return
        world.samples.append([*segments, ("", "", [""], [""])] if slash else segments)
        for at, (feature, *_) in enumerate(segments):
            world.features.update(feature.split())
            if "path" in feature and at < len(segments) - 1:
                world.features.add("path-in-the-middle")
        if segments and self.chance(0.3):
            self.add_rival(world, segments)

    def text(self, segments: list[Segment]) -> str:
        return "/" + "/".join(text for _, text, *_ in segments)

    def add_pair(self, world: World, segments: list[Segment], options: dict[str, Any]) -> None:
        """Add the other half of what `redirect_defaults` is for: a fixed path with defaults."""
        defaults = {}
        values = []
        for number, (feature, _, good, _) in enumerate(segments):
            value = self.rng.choice(good)
            values.append(value)
            if feature:
                numeric = feature.startswith(("int", "custom")) and value.isdecimal()
                defaults[f"v{number}"] = int(value) if numeric else value
        if defaults:
            options["endpoint"] = f"pair{len(world.pairs)}"
            methods = options.get("methods")
            more = {"endpoint": options["endpoint"], "methods": methods, "defaults": defaults}
            if self.insert(world, f"/first{len(world.pairs)}/", **more):
                world.features.add("defaults-pair")
                world.pairs.append(values)

    def add_rival(self, world: World, segments: list[Segment]) -> None:
        """Add a rule that takes some paths of another: a variable for a word, or a word for it."""
        at = self.rng.randrange(len(segments))
        feature, _, good, bad = segments[at]
        text = self.rng.choice(["<v{}>", "<path:v{}>", "<int:v{}>"]).format(at)
        rival = [*segments]
        rival[at] = (feature, good[0] if feature else text, good, bad)
        if self.insert(world, self.text(rival), **self.options(world)):
            world.features.add("overlap")

    def options(self, world: World) -> dict[str, Any]:
        rng = self.rng
        options: dict[str, Any] = {"endpoint": rng.choice("efgh")}
        if self.chance(0.7):
            options["methods"] = rng.sample(METHODS, rng.choice([0] + [1, 1, 1, 1, 2, 2, 3, 4] * 3))
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
        if not path.isascii():
            features.add("path-utf8")
        raw = path.encode().decode("latin-1")
        kind = rng.randrange(26)
        if kind == 0:
            raw = rng.choice(["", "", "/", "//", "///"])
        elif kind == 1:
            raw = raw.lstrip("/") or "a"
        elif kind in (2, 3):
            at = rng.choice([i for i, c in enumerate(raw) if c == "/"] or [0])
            raw = raw[:at] + "/" * rng.randint(1, 2) + raw[at:]
        elif kind in (4, 5, 12, 13):
            raw = raw[:-1] if raw.endswith("/") else raw + "/"
        elif kind in (6, 11):
            at = rng.randint(0, len(raw))
            raw = (
                raw[:at]
                + rng.choice(["\xff", "\xe9", "\xc3", "\xed\xa0\x80", "\xc2\x85"])
                + raw[at:]
            )
        elif kind in (7, 9):
            raw += rng.choice(["/..", "/.", "/../a", "%2e", "%", "%2F", "\x00", ";x=1", "?"])
        elif kind in (8, 10):
            raw += rng.choice(["\n", "/\n", "9" * 5000, "/" + "9" * 5000])
        features |= self.path_features(raw)
        method = rng.choice([*METHODS, "GET", "GET", "GET", "HEAD"])
        rules = list(world.url_map.iter_rules())
        if rules and self.chance(0.5):
            method = rng.choice(sorted(rng.choice(rules).methods or [method]) or [method])
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
            segments.append(rng.choice(bad if self.chance(0.04) else good))
        if kind < 0.10 and segments:
            segments[rng.randrange(len(segments))] = rng.choice(WORDS)
        elif kind < 0.14:
            segments.append(rng.choice(WORDS))
        elif kind < 0.17:
            return "/first0" if self.chance(0.5) else "/first0/"
        elif kind < 0.3 and world.pairs:
            segments = rng.choice(world.pairs)
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
