"""The pytest plugin: fixtures for an application, and a check of what each test leaves behind.

`pytest_plugins = ["demijohn.testing.plugin"]` in the top `conftest.py` turns it on. What counts as
left behind and how it is cleaned up is in `leaks`; no fixture here pushes a context unasked.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from ..cli.discover import NoAppException, ScriptInfo
from .client import FlaskClient
from .leaks import Beginning, Leak, Leaks, changes
from .runner import FlaskCliRunner
from .watch import watch

_APP_VARIABLES = ("DEMIJOHN_APP", "FLASK_APP")
_OWN_VARIABLES = frozenset({"asgiref.local", "decimal_context"})
"""Variables that libraries set at their first use and keep: a value of theirs is no leak."""
_MARKER = "leaves_behind"
_KINDS = ("context", "variable", "child", "resource")
_NOWHERE = """\
Nothing says where the application is. Either define a fixture in conftest.py:

    @pytest.fixture
    def app():
        return create_app({"TESTING": True})

or name it: `demijohn_app = board:create_app()` in pytest's settings, or the environment variable \
DEMIJOHN_APP or FLASK_APP."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings."""
    parser.addini("demijohn_app", "the app for the fixture `app`: module:name or module:factory()")
    parser.addini(
        "demijohn_leaks", "what a leftover of a test is: error, warning or ignore", default="error"
    )
    parser.addini(
        "demijohn_allow_variables", "names of context variables that tests may change", type="args"
    )
    parser.addini(
        "demijohn_grace",
        "seconds that a test's threads and tasks have to end after it",
        default="0.5",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to note who pushes contexts."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(*kinds): the test leaves something on purpose; it is cleaned up without an"
        f" error. Kinds: {', '.join(_KINDS)}; all of them when none is given.",
    )
    severity = config.getini("demijohn_leaks")
    if severity not in ("error", "warning", "ignore"):
        raise pytest.UsageError(
            f"demijohn_leaks is {severity!r}; it can be error, warning or ignore."
        )
    if severity != "ignore":
        watch.start()
        config.add_cleanup(watch.stop)
        config.pluginmanager.register(_Check(config, severity), "demijohn-leaks")


# -- fixtures --------------------------------------------------------------------------------------


@pytest.fixture
def app(pytestconfig: pytest.Config) -> Iterator[Any]:
    """The application: override this fixture, or name it with the setting `demijohn_app`.

    `TESTING` is on while the test runs; afterwards resources of lifetime `app` are closed.
    """
    app = load_app(pytestconfig)
    before = app.config.get("TESTING", False)
    app.config["TESTING"] = True
    yield app
    app.config["TESTING"] = before
    app.close()


@pytest.fixture
def client(app: Any) -> FlaskClient:
    """A test client whose requests never join a context that the test holds."""
    client: FlaskClient = app.test_client(isolated=True)
    return client


@pytest.fixture
def runner(app: Any) -> FlaskCliRunner:
    """A runner for the application's commands."""
    runner: FlaskCliRunner = app.test_cli_runner()
    return runner


@pytest.fixture
def app_ctx(app: Any) -> Iterator[Any]:
    """An application context, current for the test."""
    with app.app_context() as ctx:
        yield ctx


def load_app(config: pytest.Config) -> Any:
    """The application that the settings or the environment name; a failed test when none does."""
    named: str = config.getini("demijohn_app")
    if named:
        # As pytest's other paths: from the folder of its settings.
        path, colon, name = named.partition(":")
        named = f"{config.rootpath / path}{colon}{name}"
    else:
        named = next(filter(None, map(os.environ.get, _APP_VARIABLES)), "")
    if not named:
        pytest.fail(_NOWHERE, pytrace=False)
    try:
        return ScriptInfo(named, set_debug_flag=False).load_app()
    except NoAppException as error:
        pytest.fail(f"The fixture `app` cannot load {named!r}: {error.message}", pytrace=False)


# -- the check -------------------------------------------------------------------------------------


class _Fixture:
    """A fixture wider than a test that changed variables when it was set up."""

    def __init__(self, name: str, scope: str, made: dict[ContextVar[Any], tuple[Any, Any]]) -> None:
        self.name = name
        self.scope = scope
        self.made = made


class _Check:
    """Looks after each test: once its own fixtures are gone, and once wider ones are too.

    What a wider fixture changes when it is set up is its own and must be undone at its end; all
    else that is different after a test, the test has left.
    """

    def __init__(self, config: pytest.Config, severity: str) -> None:
        self.severity = severity
        self.allowed = _OWN_VARIABLES | frozenset(config.getini("demijohn_allow_variables"))
        self.grace = float(config.getini("demijohn_grace"))
        self.wide: dict[int, _Fixture] = {}
        self.item: pytest.Item | None = None

    # -- a test's course ---------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        self.item = item
        watch.begin()
        self.outer = self.start = Beginning.now(watch)
        self.expected: dict[ContextVar[Any], Any] = {}
        self.set_by: dict[ContextVar[Any], tuple[Any, str]] = {}
        self.found: list[Leak] = []
        self.looks_last = self.failed = False
        try:
            yield
        except BaseException:
            self.failed = True
            raise
        finally:
            if not self.looks_last:
                self.start = Beginning.now(watch)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            self.failed = not isinstance(error, pytest.skip.Exception)
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        if not self.looks_last:
            self._look_after_test()
        try:
            yield
        except BaseException:
            self.failed = True
            raise
        finally:
            self.item = None
            self._look_after_fixtures()
            self._tell(item)

    # -- fixtures ----------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        own = fixturedef.scope == "function"
        if own and not self.looks_last and self.item is not None:
            # Finalizers run latest first: this one after those of all the test's own fixtures, and
            # before those of wider ones.
            self.looks_last = True
            self.start = Beginning.now(watch)
            self.item.addfinalizer(self._look_after_test)
        before = Beginning.now(watch) if self.looks_last and not own else None
        variables = copy_context()
        try:
            return (yield)
        finally:
            made = changes(variables, copy_context())
            if made:
                self._note_fixture(fixturedef, made)
            if before is not None:
                self.start = self.start.without(before, Beginning.now(watch))

    def _note_fixture(
        self, fixturedef: pytest.FixtureDef[Any], made: dict[ContextVar[Any], tuple[Any, Any]]
    ) -> None:
        name = f"the fixture {fixturedef.argname!r}"
        for var, (_, new) in made.items():
            self.set_by[var] = (new, name)
        if fixturedef.scope != "function":
            self.wide[id(fixturedef)] = _Fixture(name, fixturedef.scope, made)
            self.expected.update((var, new) for var, (_, new) in made.items())

    @pytest.hookimpl(trylast=True)
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        fixture = self.wide.pop(id(fixturedef), None)
        if fixture is None:
            return
        for var, (old, new) in fixture.made.items():
            now = self.expected.get(var, self.outer.variables.get(var))
            if now is new:
                self.expected[var] = old

    # -- looking -----------------------------------------------------------------------------------

    def _look_after_test(self) -> None:
        self._look(self.start, elsewhere=not self.failed)

    def _look_after_fixtures(self) -> None:
        self._look(self.outer, elsewhere=False)

    def _look(self, start: Beginning, elsewhere: bool) -> None:
        # A failed test's traceback keeps what it worked with: nothing can be said of that.
        leaks = Leaks(watch, start, self.expected, self.allowed, self.set_by, self.grace)
        self.found += leaks.look(elsewhere)
        self.expected.update(leaks.kept)

    def _tell(self, item: pytest.Item) -> None:
        if not self.found:
            return
        on_purpose = _kinds_on_purpose(item)
        lines = [f"- {leak.text}" for leak in self.found if leak.kind not in on_purpose]
        if not lines:
            return
        text = "\n".join([f"{item.nodeid} left behind:", *lines])
        if self.failed:
            item.add_report_section("teardown", "leftovers", text)
        elif self.severity == "warning":
            item.warn(pytest.PytestWarning(text))
        else:
            pytest.fail(text, pytrace=False)


def _kinds_on_purpose(item: pytest.Item) -> Collection[str]:
    marker = item.get_closest_marker(_MARKER)
    if marker is None:
        return ()
    unknown = set(marker.args) - set(_KINDS)
    if unknown:
        pytest.fail(
            f"{_MARKER}: {', '.join(map(repr, sorted(unknown)))} is no kind of leftover; the kinds"
            f" are {', '.join(_KINDS)}.",
            pytrace=False,
        )
    return marker.args or _KINDS
