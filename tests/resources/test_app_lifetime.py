"""Resources of lifetime `app`: once a process and application; overriding resources in tests."""

from __future__ import annotations

import contextvars
import gc
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from elsewhere import in_thread
from resource_kit import Boom, logged, serve

import demijohn
from demijohn import current_app, g, has_request_context, resource
from demijohn.context import ContextEnded

WAIT = 60.0
"""Seconds until a test that hangs fails."""


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def app() -> Iterator[Any]:
    app = demijohn.Demijohn("site", static_folder=None)
    yield app
    app.close()


def test_opened_once_over_threads(app: Any, log: list[str]) -> None:
    """Fifty threads, each with a context of its own, open it once; no context closes it."""
    value = logged(log, "value", lifetime="app")
    start = threading.Barrier(50, timeout=WAIT)

    def use() -> int:
        with app.app_context():
            start.wait()
            return int(value.number)

    with ThreadPoolExecutor(50) as pool:
        assert {one.result(WAIT) for one in [pool.submit(use) for _ in range(50)]} == {0}
    assert log == ["open value"]
    app.close()
    assert log == ["open value", "good value", "close value"]


def test_closed_and_opened_anew(app: Any, log: list[str]) -> None:
    """`app.close()` closes, last opened first; a later use opens again."""
    below = logged(log, "below", lifetime="app")

    @resource(lifetime="app")
    def above() -> Iterator[int]:
        yield below.number
        log.append("above")

    for number in range(2):
        with app.app_context():
            assert above == number
        app.close()
        assert log == ["open below", "above", "good below", "close below"]
        log.clear()
    app.close()
    assert log == []


def test_where_it_opens_and_closes(app: Any, log: list[str]) -> None:
    """It opens and closes in an application context of its own, and sees no request."""

    @resource(lifetime="app")
    def value() -> Iterator[str]:
        log.append(f"{current_app.name} {has_request_context()} {'user' in g}")
        yield current_app.config["NAME"]
        log.append(f"{current_app.name} {has_request_context()} {'user' in g}")

    app.config["NAME"] = "a name"

    @app.get("/")
    def view() -> str:
        g.user = "x"
        return str(value)

    assert app.test_client().get("/").text == "a name"
    app.close()
    assert log == ["site False False"] * 2


def test_one_an_application(log: list[str]) -> None:
    """Each application has its own."""
    value = logged(log, "value", lifetime="app")
    one, other = demijohn.Demijohn("one"), demijohn.Demijohn("other")
    for app in (one, other):
        with app.app_context():
            assert value.number == (0 if app is one else 1)
            with other.app_context():
                assert value.number == 1
    one.close()
    assert log.count("close value") == 1
    other.close()
    assert log.count("close value") == 2


def test_errors(app: Any, log: list[str]) -> None:
    """Errors in closing come out of `app.close()`, after everything is closed."""

    def failing() -> Iterator[int]:
        try:
            yield 1
        finally:
            log.append("closed")
            raise Boom

    values = [resource(lifetime="app")(failing) for _ in range(2)]
    with app.app_context():
        assert [value == 1 for value in values] == [True, True]
        assert [held.name for held in demijohn.held_resources()] == []
    with pytest.raises(ExceptionGroup, match="Errors in closing an application") as caught:
        app.close()
    assert [type(error) for error in caught.value.exceptions] == [Boom, Boom]
    assert log == ["closed", "closed"]


def test_an_error_around_the_opening(app: Any, log: list[str]) -> None:
    """Where the context around its opening ends with an error, it is closed and not registered."""
    value = logged(log, "value", lifetime="app")
    fails = True

    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        if fails and not demijohn.has_request_context() and log == ["open value"]:
            raise Boom

    with app.test_request_context():
        with pytest.raises(Boom):
            value.number  # noqa: B018
        assert log == ["open value", "left value", "close value"]
        fails = False
        assert value.number == 1


def test_after_the_end_of_a_context(app: Any, log: list[str]) -> None:
    """Work that outlived its context cannot open it there."""
    value = logged(log, "value", lifetime="app")
    with app.app_context():
        kept = contextvars.copy_context()
    with pytest.raises(ContextEnded, match="Cannot open the resource 'value'"):
        kept.run(lambda: value.number)


def test_a_collected_application(log: list[str]) -> None:
    """An application that is collected with one open warns, says who opened it, and closes it."""
    app = demijohn.Demijohn("site", static_folder=None)
    value = logged(log, "value", lifetime="app")
    with app.app_context():
        assert value.number == 0
    del app
    with pytest.warns(ResourceWarning, match="its application was dropped without") as found:
        gc.collect()
    assert f"opened by {__file__}:" in str(found[0].message)
    assert log == ["open value", "left value", "close value"]


# -- processes -------------------------------------------------------------------------------------

PROGRAM = """
import os, sys
from demijohn import Demijohn, resource

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(*words):
    os.write(log, (" ".join(map(str, words)) + "\\n").encode())

@resource(lifetime="app")
def value():
    mine = os.getpid()
    note("open", mine)
    try:
        yield mine
        note("good", mine)
    finally:
        note("close", mine, "in", os.getpid())

app = Demijohn("site")

@app.get("/")
def view():
    return f"{value + 0} {os.getpid()}"
"""


def run(tmp_path: Path, code: str, *options: str) -> tuple[list[str], str]:
    """Run the program with more code; what it noted, and what it printed."""
    file, log = tmp_path / "program.py", tmp_path / "log"
    file.write_text(PROGRAM + code)
    command = [sys.executable, *options, str(file), str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return log.read_text().splitlines(), done.stdout


def test_at_the_exit_of_the_process(tmp_path: Path) -> None:
    """What is open when the process exits is closed then, well, without a warning."""
    code = "with app.app_context(): print(value)\n"
    notes, pid = run(tmp_path, code, "-W", "error")
    pid = pid.strip()
    assert notes == [f"open {pid}", f"good {pid}", f"close {pid} in {pid}"]


def test_a_context_at_the_exit_warns_of_nothing(tmp_path: Path) -> None:
    """A context that is still open when the interpreter exits is no leak: nothing is said."""
    code = """
@resource
def other():
    yield 1
ctx = app.app_context()
ctx.push()
print(other)
"""
    assert run(tmp_path, code, "-W", "error")[1] == "1\n"


FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
with app.app_context():
    parents = value + 0
child = os.fork()
if child == 0:
    {child}
    sys.exit()
os.waitpid(child, 0)
with app.app_context():
    assert value == parents == os.getpid()
print(os.getpid(), child)
"""


@pytest.mark.parametrize(
    "use", ["pass", "with app.app_context(): assert value == os.getpid()", "app.close()"]
)
def test_a_forked_process(use: str, tmp_path: Path) -> None:
    """A forked process opens its own, and closes only that: not its parent's, even at its exit."""
    notes, printed = run(tmp_path, FORK.format(child=use))
    parent, child = printed.split()
    childs = [f"open {child}", f"good {child}", f"close {child} in {child}"]
    assert notes == [
        f"open {parent}",
        *(childs if "value" in use else []),
        f"good {parent}",
        f"close {parent} in {parent}",
    ]


def test_gunicorn_with_preload(tmp_path: Path) -> None:
    """Workers forked from a process that opened it open their own, and close only that."""
    pytest.importorskip("gunicorn", reason="pip install gunicorn")
    log = tmp_path / "log"
    (tmp_path / "site_app.py").write_text(
        PROGRAM.replace("sys.argv[1]", repr(str(log)))
        + "with app.app_context(): assert value == os.getpid()\n"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        fd = listener.fileno()
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "1"),
                *("--bind", f"fd://{fd}", "--graceful-timeout", "5", "site_app:app"),
            ],
            cwd=tmp_path,
            pass_fds=[fd],
            stderr=subprocess.DEVNULL,
        )
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=WAIT) as answer:
                value, worker = answer.read().decode().split()
            assert value == worker != str(server.pid)
            server.send_signal(signal.SIGTERM)
            assert server.wait(WAIT) == 0
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
    notes = log.read_text().splitlines()
    mine = str(server.pid)
    assert notes[:2] == [f"open {mine}", f"open {worker}"]
    assert sorted(notes[2:]) == sorted(
        [
            f"good {mine}",
            f"close {mine} in {mine}",
            f"good {worker}",
            f"close {worker} in {worker}",
        ]
    )


# -- overriding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["context", "view", "body", "app"])
def test_override(lifetime: str, app: Any, log: list[str]) -> None:
    """Within the block the name stands for the fake, everywhere; nothing is opened or closed."""
    value = logged(log, "value", lifetime=lifetime)
    app.add_url_rule("/", "view", lambda: f"{value.number}")

    class Fake:
        number = 7

    with app.override(value, Fake):
        assert app.test_client().get("/").text == "7"
        assert serve(app) == "200 OK"
        with app.app_context():
            assert value.number == 7
            assert value._get_current_object() is Fake
            assert repr(value) == repr(Fake)
    assert log == []
    with app.app_context():
        assert value.number == 0


def test_override_what_is_open(app: Any, log: list[str]) -> None:
    """It holds where the resource is open already, and in other threads; it ends with its block."""
    value = logged(log, "value")
    with app.app_context():
        mine = value._get_current_object()
        with app.override(value, 5):
            assert value == 5
            copy = contextvars.copy_context()
            assert in_thread(lambda: copy.run(lambda: value + 1)) == 6
        assert value._get_current_object() is mine


def test_override_with_none(app: Any, log: list[str]) -> None:
    """None is a value like any other."""
    value = logged(log, "value")
    with app.app_context(), app.override(value, None):
        assert value._get_current_object() is None
        assert not value
        assert value == None  # noqa: E711


def test_nested_overrides(app: Any, log: list[str]) -> None:
    """The innermost counts; each block takes its own away, in whichever order they end."""
    value = logged(log, "value")
    with app.app_context():
        with app.override(value, 1):
            with app.override(value, 2):
                assert value == 2
            assert value == 1
        first, second = app.override(value, 1), app.override(value, 1)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert value == 1
        second.__exit__(None, None, None)
        assert value.number == 0


def test_override_in_one_application_only(app: Any, log: list[str]) -> None:
    """Another application's contexts have the real one."""
    value = logged(log, "value")
    other = demijohn.Demijohn("other")
    with app.override(value, 5), other.app_context():
        assert value.number == 0
        with app.app_context():
            assert value == 5


def test_override_an_async_one(app: Any) -> None:
    """An async resource's fake is what is awaited."""

    @resource
    async def value() -> Any:
        yield "real"

    @app.get("/")
    async def view() -> str:
        return str(await value)

    with app.override(value, "fake"):
        assert app.test_client().get("/").text == "fake"
    assert app.test_client().get("/").text == "real"


def test_override_what_is_none(app: Any) -> None:
    """What is no resource cannot be overridden."""
    with pytest.raises(TypeError, match="is no resource"), app.override(5, 6):
        pytest.fail("the block was entered")


def test_a_teardown_function_may_use_one() -> None:
    """A resource of lifetime `app` that teardown functions use is opened once and closed once."""
    log: list[str] = []
    app = demijohn.Demijohn("uses_in_teardown")

    @demijohn.resource(lifetime="app")
    def used() -> Iterator[list[str]]:
        log.append("open")
        yield log
        log.append("close")

    app.teardown_appcontext(lambda exc: used.append("teardown"))
    with app.app_context():
        pass
    app.close()
    assert [name for name in log if name != "teardown"] == ["open", "close"]
    assert log[-1] == "close"
    with app.app_context():
        pass
    app.close()
    assert [name for name in log if name != "teardown"] == ["open", "close"] * 2
