"""Examples drawn from Hypothesis: applications with their blueprints and settings, and calls."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import strategies as st

from .calls import draw_call
from .chooser import Chooser
from .hooks import draw_handler, draw_hook, indent
from .model import Example, Part, Scope, Target
from .settings import SETTINGS, SIGNALS, SUBCLASSES
from .views import draw_target, draw_view, link_to

APP = """
app = App("app", root_path=ROOT, instance_path=ROOT{arguments})
app.secret_key = "secret"
app.url_map.converters["even"] = Even
""".strip()
LAST = """
@app.template_filter("twice")
def twice(value): return value * 2
""".strip()


class Builder:
    """Draws one example, part by part."""

    def __init__(self, choose: Chooser) -> None:
        self.choose = choose
        self.features: set[str] = set()
        self.setup: list[str] = []
        self.closing: list[str] = []
        self.scopes = [Scope("app")]
        self.hosts = ["localhost", "sub.example.org", "nowhere.org:80", "bad host", "LOCALHOST"]
        self.rule_options: dict[str, dict[str, str]] = {}
        self.by_host = False
        self.handled: list[tuple[str, str]] = []
        """The endpoints that each handler is for, and what makes it answer."""

    def build(self) -> Example:
        self.application()
        self.settings()
        self.blueprints()
        drawn = [self.target(number) for number in range(self.choose.number(6, 8))]
        links = [link_to(target) for target, _ in drawn]
        parts = self.hooks(links)
        causes = self.causes([target for target, _ in drawn])
        for number, (target, options) in enumerate(drawn):
            cause = causes.get(number)
            parts.append(draw_view(self.choose, f"v{number}", target, options, links, cause))
        targets = [target for target, _ in drawn]
        if self.static:
            targets.append(self.static)
        asked = [part.name for part in parts if any(f.startswith("asked") for f in part.features)]
        calls = [
            draw_call(self.choose, targets[number % len(targets)], asked, self.hosts)
            for number in range(self.choose.number(len(targets), 13))
        ]
        return Example(self.setup, parts, self.closing, calls, self.features)

    def causes(self, targets: list[Target]) -> dict[int, str]:
        """For some handlers a view, by its number, that makes them answer."""
        found: dict[int, str] = {}
        for prefix, cause in self.handled:
            fit = [n for n, target in enumerate(targets) if target.endpoint.startswith(prefix)]
            if fit and self.choose.chance(60):
                found[self.choose.one(fit)] = cause
        return found

    static: Target | None = None

    def application(self) -> None:
        """How the application is made: its class, its static files, what its hosts mean."""
        body: list[str] = []
        for feature, variants in SUBCLASSES.items():
            if self.choose.chance(8):
                self.features.add(feature)
                body += indent(self.choose.one(variants))
        made = ["class App(flask.Flask):", *body] if body else ["App = flask.Flask"]
        way = self.choose.number(0, 6)
        arguments = ""
        if way == 6:
            self.features.add("app: host matching")
            self.by_host = True
            arguments = ", host_matching=True, static_host='example.org'"
            self.hosts[0] = self.scopes[0].host = "example.org"
        elif way == 5:
            self.features.add("app: subdomain matching")
            arguments = ", subdomain_matching=True"
            self.hosts[0] = "example.org"
        elif self.choose.chance(15):
            self.features.add("app: no static folder")
            arguments = ", static_folder=None"
        elif self.choose.chance(15):
            self.features.add("app: own static path")
            arguments = ", static_url_path='/files', static_folder='more'"
        self.setup += [*made, *APP.format(arguments=arguments).splitlines()]
        if way == 5:
            self.setup.append("app.config['SERVER_NAME'] = 'example.org'")
        self.static_target(arguments)

    def static_target(self, arguments: str) -> None:
        if "static_folder=None" in arguments:
            return
        path, name = ("/files", "note.txt") if "files" in arguments else ("/static", "hello.txt")
        self.static = Target(
            self.scopes[0],
            "static",
            f"{path}/<path:filename>",
            [f"{path}/{name}"],
            [f"{path}/missing.txt", f"{path}/../templates/page.html"],
            ["GET"],
            features={"static file"},
            hints={"static"},
        )

    def settings(self) -> None:
        for feature in self.choose.some(SETTINGS, 8):
            self.features.add(feature)
            self.setup += self.choose.one(SETTINGS[feature]).splitlines()
        if self.choose.chance(25):
            self.features.add("signals: all")
            self.setup.append(f"watch(app, {SIGNALS!r})")
        elif self.choose.chance(25):
            self.features.add("signals: some")
            self.setup.append(f"watch(app, {tuple(self.choose.some(SIGNALS, 20))!r})")
        self.setup += LAST.splitlines()

    def blueprints(self) -> None:
        for number in range(self.choose.number(0, 3)):
            self.blueprint(f"b{number}")

    def blueprint(self, name: str) -> None:
        """One blueprint, in the application or in an earlier one, registered once or twice."""
        parent = self.choose.one(self.scopes) if self.choose.chance(60) else self.scopes[0]
        nested = parent.variable != "app"
        self.features.add("blueprint: nested" if nested else "blueprint")
        arguments, own_prefix, host = f"'{name}', '{name}', root_path=ROOT", "", parent.host
        if self.choose.chance(60):
            own_prefix = f"/{name}"
            arguments += f", url_prefix='{own_prefix}'"
            self.features.add("blueprint: prefix")
        if self.choose.chance(20):
            given = self.choose.one(("{'d': 'd'}", "{'d': 1, 'e': 'e'}", "{'a': 2}"))
            arguments += f", url_defaults={given}"
            self.features.add("blueprint: url_defaults")
        if "app: subdomain matching" in self.features and self.choose.chance(60):
            subdomain = self.choose.one(("sub", "<who>"))
            arguments += f", subdomain='{subdomain}'"
            host = "sub.example.org"
            self.features.add("blueprint: subdomain")
        if self.choose.chance(15):
            arguments += ", static_folder='more', static_url_path='/bfiles'"
            self.features.add("blueprint: static folder")
        if self.choose.chance(10):
            arguments += ", template_folder='templates'"
        own_name, options = name, ""
        recorded = self.choose.chance(15)
        if self.choose.chance(15):
            own_prefix = f"/reg{name}"
            options += f", url_prefix='{own_prefix}'"
            self.features.add("blueprint: prefix at registration")
        if self.choose.chance(15):
            own_name = f"n{name}"
            options += f", name='{own_name}'"
            self.features.add("blueprint: name at registration")
        self.setup.append(f"{name} = flask.Blueprint({arguments})")
        if recorded:
            self.setup.append(
                f"{name}.record(lambda s: log('{name}', s.first_registration, s.url_prefix))\n"
                f"{name}.record_once(lambda s: log('{name}', s.subdomain, s.url_defaults))\n"
                f"{name}.add_app_template_filter(lambda value: '{name}', 'twice')"
            )
            self.features.add("blueprint: recorded functions")
        register = [f"{parent.variable}.register_blueprint({name}{options})"]
        if self.choose.chance(12):
            again = f"name='t{name}', url_prefix='/t{name}'"
            register.append(f"{parent.variable}.register_blueprint({name}, {again})")
            self.features.add("blueprint: registered twice")
        # Inner ones first: what a blueprint registers has to be known when it is registered.
        self.closing[:0] = register
        prefix = parent.endpoint_prefix + own_name + "."
        self.scopes.append(Scope(name, prefix, parent.url_prefix + own_prefix, host))

    def target(self, number: int) -> tuple[Target, dict[str, str]]:
        scope = self.choose.one(self.scopes)
        target, options = draw_target(self.choose, scope, number)
        if self.by_host:
            options["host"] = self.choose.one(("'example.org'", "'example.org'", "'<who>.org'"))
        elif "app: subdomain matching" in self.features and self.choose.chance(20):
            options["subdomain"] = "'sub'"
            target.features.add("rule: subdomain")
            target.scope = replace(scope, host="sub.example.org")
        return target, options

    def hooks(self, links: list[str]) -> list[Part]:
        """Hooks of the application and of the blueprints: none at all in a third of examples."""
        parts: list[Part] = []
        if self.choose.chance(25):
            self.features.add("hooks: none")
            return parts
        for number in range(self.choose.number(5, 10)):
            scope = self.choose.one(self.scopes)
            parts.append(draw_hook(self.choose, scope, f"h{number}", self.choose.one(links)))
        for number in range(self.choose.number(0, 6)):
            scope = self.choose.one(self.scopes)
            link = self.choose.one(links)
            part, cause = draw_handler(self.choose, scope, f"e{number}", link)
            parts.append(part)
            self.handled.append((scope.endpoint_prefix, cause))
        return parts


def examples() -> st.SearchStrategy[Example]:
    """Applications with their calls.

    Hypothesis draws the source of an example's choices, not each choice: it would make many
    examples of a run variants of one another, and leave a tenth of the features out of it. What
    fails is made smaller by `reduce`.
    """
    return st.binary(min_size=16, max_size=16).map(example_of)


def example_of(source: bytes) -> Example:
    """The example of a source of chance."""
    return Builder(Chooser(Random(source))).build()
