"""The pytest plugin finds what a test leaves behind, and finds nothing in a suite that is clean."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from suites import BOARD, Outcome, run_suite

from demijohn.testing import plugin

PLANTED = """\
import asyncio, contextvars, sqlite3, threading, unittest
import pytest
from concurrent.futures import ThreadPoolExecutor
from demijohn import (
    ContextThread, Demijohn, app_ctx, current_app, has_app_context, has_request_context, in_child,
    resource,
)
from demijohn.context import Context, ContextStack

app = Demijohn("site")
plain = contextvars.ContextVar("plain", default="nobody")
bare = contextvars.ContextVar("bare")
kept = []
may_end = threading.Event()

class Job(Context, stack=ContextStack("job")):
    pass

@app.get("/stream")
def stream():
    def body():
        yield "a"
        yield "b"
    return body()

@pytest.fixture(autouse=True)
def all_is_well(request):
    assert request.cls or not has_app_context()
    assert not has_request_context() and not Job.stack.current
    assert plain.get() == "nobody"

@pytest.fixture
def careless():
    plain.set("fixture")

@pytest.fixture
def pusher():
    app.app_context().push()  # by a fixture
    yield

def test_app_context():
    app.app_context().push()

def test_request_context():
    app.test_request_context("/planted").push()

def test_two():
    app.app_context().push()
    app.test_request_context().push()

def test_job():
    Job().push()

def test_job_whose_end_fails():
    class Failing(Job):
        def on_exit(self, exc):
            raise LookupError("closing")
    Failing().push()

def test_job_that_was_not_pushed():
    Job.stack.var.set(Job())

def test_client_block():
    app.test_client().__enter__().get("/stream").close()

def test_variable():
    plain.set("test")

def test_bare_variable():
    bare.set(["x"])

def test_variable_of_a_fixture(careless):
    pass

def test_context_of_a_fixture(pusher):
    pass

@pytest.mark.parametrize("n", [1, 2])
def test_parameters(n):
    if n == 2:
        app.app_context().push()

class TestGroup:
    def setup_method(self):
        self.ctx = app.app_context()
        self.ctx.push()

    def test_method(self):
        assert current_app

class TestCase(unittest.TestCase):
    def setUp(self):
        app.app_context().push()

    def test_case(self):
        assert current_app

class TestClassWide(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        app.app_context().push()
    def test_first(self):
        assert current_app
    def test_second(self):
        assert current_app

def test_child():
    ready = threading.Event()
    def work():
        with app.app_context():
            ready.set()
            may_end.wait()
    threading.Thread(target=work, name="worker").start()
    ready.wait()

def test_child_goes_on():
    may_end.set()

def test_child_thread():
    ready = threading.Event()
    def work():
        ready.set()
        app_ctx.wait_cancelled(60)
    with app.app_context():
        kept.append(ContextThread(target=work, name="kid"))
        kept[-1].start()
    ready.wait()

def test_child_thread_was_cancelled():
    kept[-1].join(20)
    assert not kept[-1].is_alive()

@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        pool.submit(int).result()
        yield pool

def test_pool_before(pool):
    pass

def test_child_of_a_request_in_an_older_thread(pool):
    ready = threading.Event()
    def work():
        ready.set()
        app_ctx.wait_cancelled(60)
    with app.test_request_context("/parent"):
        pool.submit(in_child(work))
    ready.wait()

def test_thread_that_is_over():
    def work():
        kept.append(app.app_context())
        kept[-1].push()
    thread = threading.Thread(target=work, name="careless")
    thread.start()
    thread.join()

def test_dropped():
    thread = threading.Thread(target=lambda: app.app_context().push(), name="careless")
    thread.start()
    thread.join()

def test_task():
    async def work():
        kept.append(app.app_context())
        kept[-1].push()
    async def main():
        await asyncio.create_task(work(), name="planter")
    asyncio.run(main())

def test_open_response():
    kept.append(app.test_client().get("/stream"))

@resource
def conn():
    yield "conn"

@resource(lifetime="app")
def database():
    yield "database"

def test_resource():
    app.app_context().push()
    assert conn[0] == "c"

def test_resource_of_an_application():
    mine = Demijohn("mine")
    kept.append(mine)
    with mine.app_context():
        assert database[0] == "d"

def test_pops_what_is_not_its_own(held):
    Job.stack.current.pop()

@pytest.fixture
def held():
    job = Job()
    job.push()
    yield
    if not job.ended:
        job.pop()

@pytest.fixture(scope="class")
def class_wide():
    app.app_context().push()
    yield
    current_app_is_there = bool(current_app)
    assert current_app_is_there

class TestWide:
    def test_first(self, class_wide):
        assert current_app
    def test_second(self, class_wide):
        assert current_app

def test_last():
    pass
"""

LEFT = {
    "test_app_context": ["<AppContext of site> is current", "test_app_context, in thread 'MainThr"],
    "test_request_context": [
        "<RequestContext 'http://localhost/planted' [GET] of site> is current"
    ],
    "test_two": [
        "<RequestContext 'http://localhost/' [GET] of site> is",
        "<AppContext of site> is",
    ],
    "test_job": ["Job object at", "is current", "test_plant.py:"],
    "test_job_whose_end_fails": ["Failing object at", "its end failed: LookupError: closing"],
    "test_job_that_was_not_pushed": ["Job object at", "its end failed: WrongContextError"],
    "test_client_block": [
        "<RequestContext 'http://localhost/stream'",
        "<AppContext",
        "_client_block",
    ],
    "test_variable": ["the variable 'plain' was 'nobody', and is 'test'"],
    "test_bare_variable": ["'bare' was unset, and is ['x']; it stays so, as it has no default"],
    "test_variable_of_a_fixture": [
        "'plain' was 'nobody', and is 'fixture' by the fixture 'careless'"
    ],
    "test_context_of_a_fixture": ["<AppContext of site> is current", "pusher, in thread"],
    "test_parameters[2]": ["<AppContext of site> is current"],
    "TestGroup.test_method": ["<AppContext of site> is current", "TestGroup.setup_method"],
    "TestCase.test_case": ["<AppContext of site> is current", "TestCase.setUp"],
    "TestClassWide.test_second": ["<AppContext of site> is current", "TestClassWide.setUpClass"],
    "test_child": ["<AppContext of site> is still at work", "in thread 'worker'", "<locals>.work"],
    "test_child_thread": [
        "<AppContext of site> is still at work",
        "a child, started at",
        "test_child_thread, in thread 'kid'",
    ],
    "test_child_of_a_request_in_an_older_thread": [
        "'http://localhost/parent' [GET] of site> is still at work",
        "a child, started at",
        "older_thread, in thread 'pool_0'",
    ],
    "test_thread_that_is_over": ["was pushed and not popped", "in thread 'careless'"],
    "test_dropped": ["was pushed, not popped, and dropped", "in thread 'careless'"],
    "test_task": ["was pushed and not popped", "in task 'planter'"],
    "test_open_response": ["'http://localhost/stream' [GET] of site> is open: read the response"],
    "test_resource": [
        "<AppContext of site> is current",
        "holds the resource 'conn', opened at",
        "test_resource, in thread 'MainThread', 0.",
    ],
    "test_resource_of_an_application": [
        "an application of this test, <Demijohn 'mine'>, has open resources",
        "holds the resource 'database', opened at",
        "close them with `app.close()`",
    ],
    "TestWide.test_second": ["<AppContext of site> is current", "class_wide, in thread"],
}
"""Each planted test -> what its error says. Every other test of that suite passes."""
MORE = {"test_parameters[1]", "test_child_goes_on", "test_last", "TestClassWide.test_first"}
MORE |= {"test_child_thread_was_cancelled", "test_pool_before"}
MORE |= {"TestWide.test_first", "test_pops_what_is_not_its_own"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of the planted suite."""
    return run_suite(tmp_path_factory.mktemp("planted"), {"test_plant.py": PLANTED})


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_is_named(planted: Outcome, name: str) -> None:
    """A test that leaves something fails, with what it left and where that began."""
    fault = planted.faults[name]
    assert f"{name.replace('.', '::')} left behind:" in fault
    for text in LEFT[name]:
        assert text in fault
    assert fault.count("\n- ") == (2 if name in ("test_two", "test_client_block") else 1)


def test_only_who_leaves_something_fails(planted: Outcome) -> None:
    """A leftover is cleaned up, so the tests before and after it pass."""
    assert planted.passed == MORE, planted.output


def test_the_same_on_two_processes(tmp_path: Path, planted: Outcome) -> None:
    """With pytest-xdist the same tests fail."""
    outcome = run_suite(tmp_path, {"test_plant.py": PLANTED}, "-n", "2", "--dist", "loadscope")
    assert outcome.passed == planted.passed, outcome.output


CLEAN = '''\
import contextvars, decimal, threading, unittest
import pytest
from demijohn import (
    Demijohn, current_app, g, has_app_context, has_request_context, resource
)
from demijohn.testing import wait_for_children

site = Demijohn("site")
site.get("/")(lambda: "hello")
var = contextvars.ContextVar("var", default=0)
wide_var = contextvars.ContextVar("wide_var")

@pytest.fixture(scope="session")
def whole_session():
    token = wide_var.set("session")
    with site.app_context() as ctx:
        yield ctx
    wide_var.reset(token)

@pytest.fixture(scope="module")
def whole_module(whole_session):
    with site.app_context() as ctx:
        yield ctx

@pytest.fixture(scope="class", params=[1, 2])
def whole_class(request, whole_module):
    with site.app_context() as ctx:
        g.param = request.param
        yield ctx

@pytest.fixture
def one():
    token = var.set(1)
    with site.app_context() as ctx:
        yield ctx
    var.reset(token)

@pytest.fixture(scope="module")
def server():
    """A thread that stays, with a context that it pushes late."""
    go, pushed, stop = (threading.Event() for _ in range(3))
    def serve():
        go.wait()
        with site.app_context():
            pushed.set()
            stop.wait()
    thread = threading.Thread(target=serve)
    thread.start()
    yield go, pushed
    stop.set()
    thread.join()

def test_nothing(): pass

def test_server(server):
    server[0].set()
    assert server[1].wait(10)

def test_module(whole_module, one):
    assert has_app_context() and wide_var.get() == "session"

class TestClass:
    def test_one(self, whole_class, one):
        assert current_app
    def test_two(self, whole_class):
        assert g.param
    def test_late(self, one, request):
        request.getfixturevalue("late")

@pytest.fixture(scope="module")
def late():
    return site.app_context()

@pytest.mark.parametrize("n", range(3))
def test_requests(n, app, client, runner, app_ctx):
    assert client.get("/").text == "hello"
    assert current_app._get_current_object() is app
    assert runner.invoke(args=["--help"]).exit_code == 0

def test_block():
    with site.test_client() as client:
        client.get("/")
        assert has_request_context()

def test_decimals():
    decimal.getcontext().prec = 5

def test_children():
    ready = threading.Event()
    def work():
        with site.app_context():
            ready.wait()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads: thread.start()
    ready.set()
    wait_for_children()

def test_a_stream_that_was_read():
    site_2 = Demijohn("other")
    site_2.get("/")(lambda: iter(["a", "b"]))
    response = site_2.test_client().get("/")
    assert response.text == "ab"
    site_2.test_client().get("/")

class TestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ctx = site.app_context()
        cls.ctx.push()
        cls.addClassCleanup(cls.ctx.pop)

    def setUp(self):
        self.enterContext(site.test_request_context())
        inner = site.app_context()
        inner.push()
        self.addCleanup(inner.pop)

    def test_one(self):
        assert has_request_context()
    def test_two(self):
        assert has_app_context()

@resource(lifetime="app")
def pool():
    yield "pool"

def test_resource_of_the_application(app):
    with app.app_context():
        assert pool == "pool"

@pytest.fixture(scope="module")
def lasting():
    app = Demijohn("lasting")
    yield app
    app.close()

def test_resource_of_a_lasting_application(lasting, app):
    with lasting.app_context():
        assert pool == "pool"

@pytest.mark.skip
def test_skipped(): pass

@pytest.mark.xfail(strict=True)
def test_expected():
    site.app_context().push()
    assert False
'''


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_a_clean_suite_passes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Wider fixtures may hold contexts and variables; what a test undoes itself is no leftover."""
    settings = {"pytest.ini": "[pytest]\ndemijohn_app = board:create_app()\n"}
    outcome = run_suite(tmp_path, {"test_clean.py": CLEAN, **settings}, *arguments)
    assert set(outcome.faults) == outcome.passed, outcome.output
    assert len(outcome.passed) == 21


def test_a_failed_test_tells_its_leftovers(tmp_path: Path) -> None:
    """The leftovers of a test that failed anyway stand in its report, and are cleaned up."""
    suite = """\
        from demijohn import Demijohn, has_app_context
        def test_fails():
            Demijohn("site").app_context().push()
            assert 1 == 2
        def test_next():
            assert not has_app_context()
        """
    outcome = run_suite(tmp_path, {"test_fails.py": suite})
    assert outcome.passed == {"test_next"}
    assert "1 == 2" in outcome.faults["test_fails"]
    assert "1 failed, 1 passed" in outcome.output
    assert "Captured leftovers" in outcome.output
    assert "<AppContext of site> is current" in outcome.output


LEAVING = """\
import contextvars, threading, pytest
from demijohn import Demijohn, has_app_context
var = contextvars.ContextVar("var", default=0)
app = Demijohn("site")
def push(): app.app_context().push()
def test_context(): push()
def test_variable(): var.set(1)
@pytest.mark.leaves_behind
def test_marked(): push(); var.set(1)
@pytest.mark.leaves_behind("context", "variable")
def test_kinds(): push(); var.set(1)
@pytest.mark.leaves_behind("variable")
def test_another_kind(): push(); var.set(1)
@pytest.mark.leaves_behind("contexts")
def test_no_kind(): push()
"""


def test_what_may_be_left(tmp_path: Path) -> None:
    """The marker allows everything, or the kinds that it names; a setting allows variables."""
    outcome = run_suite(tmp_path, {"test_it.py": LEAVING})
    assert outcome.passed == {"test_marked", "test_kinds"}
    assert "AppContext" in outcome.faults["test_another_kind"]
    assert "'var'" not in outcome.faults["test_another_kind"]
    assert "'contexts' is no kind of leftover" in outcome.faults["test_no_kind"]
    outcome = run_suite(tmp_path, {}, "-o", "demijohn_allow_variables=other var")
    assert outcome.passed == {"test_marked", "test_kinds", "test_variable"}


def test_severity(tmp_path: Path) -> None:
    """A suite that moves here may have warnings first, or no check; other words are refused."""
    files = {"test_it.py": LEAVING}
    outcome = run_suite(tmp_path, files, "-o", "demijohn_leaks=warning", "-W", "default")
    everything = set(outcome.faults)
    assert outcome.passed == everything - {"test_no_kind"}
    assert "test_context left behind" in outcome.output
    outcome = run_suite(tmp_path, files, "-o", "demijohn_leaks=ignore")
    assert outcome.passed == everything
    assert "left behind" not in outcome.output
    with pytest.raises(AssertionError, match="it can be error, warning or ignore"):
        run_suite(tmp_path, files, "-o", "demijohn_leaks=perhaps")


FIXTURES = """\
from demijohn import current_app, g, has_app_context
import sys
def test_app(app):
    assert app.testing
    assert not has_app_context()
def test_client(app, client):
    assert client.application is app
    with app.app_context():
        g.user = "the test's"
        app.add_url_rule("/user", view_func=lambda: g.get("user", "nobody"))
        assert client.get("/user").text == "nobody"
        assert app.test_client().get("/user").text == "the test's"
def test_off_again():
    assert not sys.modules["board"].app.testing
"""


def test_fixtures(tmp_path: Path) -> None:
    """`app` is the named one, in testing mode for the test; `client` never joins the test's
    context."""
    settings = {"pytest.ini": "[pytest]\ndemijohn_app = board:app\n"}
    outcome = run_suite(tmp_path, {"test_fixtures.py": FIXTURES, **settings})
    assert len(outcome.passed) == 3, outcome.output


PLACES = {
    "a factory": ("{0}:create_app()", {}, "hello"),
    "a factory with arguments": ("{0}:create_app('hi')", {}, "hi"),
    "a variable": ("{0}:app", {}, "hello"),
    "a file": ("{0}.py", {}, "hello"),
    "DEMIJOHN_APP": ("", {"DEMIJOHN_APP": "{0}", "FLASK_APP": "no"}, "hello"),
    "FLASK_APP": ("", {"FLASK_APP": "{0}:create_app('hi')"}, "hi"),
}


@pytest.mark.parametrize("place", PLACES)
def test_where_the_app_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The setting names the application, from the settings' folder; else a variable does."""
    setting, variables, greeting = PLACES[place]
    name = f"board_of_{list(PLACES).index(place)}"
    (tmp_path / f"{name}.py").write_text(BOARD)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in ("DEMIJOHN_APP", "FLASK_APP"):
        monkeypatch.setenv(variable, variables.get(variable, "").format(name))
    if not setting:
        monkeypatch.chdir(tmp_path)
    config: Any = SimpleNamespace(getini=lambda _: setting.format(name), rootpath=tmp_path)
    try:
        assert plugin.load_app(config).test_client().get("/").text == greeting
    finally:
        sys.modules.pop(name, None)


def test_no_app_is_explained(tmp_path: Path) -> None:
    """Without any word of the application the error shows the two ways; a wrong one is named."""
    files = {"test_it.py": "def test_app(app): pass\n"}
    outcome = run_suite(tmp_path, files)
    for word in ("demijohn_app = board:create_app()", "FLASK_APP", "@pytest.fixture"):
        assert word in outcome.faults["test_app"]
    outcome = run_suite(tmp_path, files, "-o", "demijohn_app=board:nothing")
    assert "The fixture `app` cannot load" in outcome.faults["test_app"]
    assert "Failed to find attribute 'nothing' in 'board'." in outcome.faults["test_app"]


def test_an_own_app_fixture(tmp_path: Path) -> None:
    """The fixtures work on a fixture `app` of the suite's own, whatever its scope."""
    conftest = """\
        import pytest
        from board import create_app
        pytest_plugins = ["demijohn.testing.plugin"]
        @pytest.fixture(scope="session")
        def app():
            app = create_app("mine")
            with app.app_context():
                yield app
        """
    suite = """\
        from demijohn import app_ctx as current, current_app
        def test_client(client): assert client.get("/").text == "mine"
        def test_context(app, app_ctx):
            assert app_ctx is current._get_current_object()
            assert app_ctx.app is app
        def test_runner(app, runner): assert runner.app is app
        """
    outcome = run_suite(tmp_path, {"conftest.py": conftest, "test_it.py": suite})
    assert len(outcome.passed) == 3, outcome.output


ASYNC = """\
import asyncio, contextvars, pytest
from demijohn import Demijohn, current_app, has_app_context
app = Demijohn("site")
var = contextvars.ContextVar("var", default=0)
kept = []
{mark}
async def test_clean():
    with app.app_context():
        await asyncio.sleep(0)
        assert current_app.name == "site"
    var.set(1)  # in the test's own task
{mark}
async def test_fixture(held):
    assert current_app.name == "site"
{mark}
async def test_leaves():
    kept.append(app.app_context())
    kept[-1].push()
def test_next(): assert not has_app_context() and var.get() == 0
"""
HELD = """\
{decorator}
async def held():
    with app.app_context() as ctx:
        yield ctx
"""
BACKENDS = {
    "pytest_asyncio": ("pytest_asyncio", "@pytest.mark.asyncio", "@pytest_asyncio.fixture"),
    "anyio": ("anyio", "@pytest.mark.anyio", "@pytest.fixture"),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_async_tests(tmp_path: Path, backend: str) -> None:
    """In async tests, too, a context that is left is found, and nothing else is."""
    module, mark, decorator = BACKENDS[backend]
    suite = f"import {module}\n" + ASYNC.format(mark=mark) + HELD.format(decorator=decorator)
    anyio = "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n" if module == "anyio" else ""
    files = {
        "test_async.py": suite + anyio,
        "pytest.ini": "[pytest]\nasyncio_default_fixture_loop_scope = function\n",
    }
    outcome = run_suite(
        tmp_path, files, "-W", "default::pytest.PytestConfigWarning", has_async=True
    )
    assert set(outcome.faults) - outcome.passed == {"test_leaves"}, outcome.output
    assert "was pushed and not popped" in outcome.faults["test_leaves"]
    assert len(outcome.passed) == 3
