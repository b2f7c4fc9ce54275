"""Pattern 2: a script without requests pushes contexts, of two applications, with errors inside."""

from __future__ import annotations

import os
import subprocess
import sys
from contextvars import copy_context
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import demijohn

LIBRARY = """\
from {framework} import current_app

def report():
    return f"{{current_app.name}}: {{current_app.config['RECIPIENT']}}"
"""

SCRIPT = """\
from {framework} import Flask
from library import report

app = Flask("nightly")
app.config["RECIPIENT"] = "ops@example.com"

@app.teardown_appcontext
def teardown(exc):
    print("teardown", exc)

app.app_context().push()
print(report())
"""


def names(framework: ModuleType) -> tuple[Any, Any, Any]:
    return framework.Flask, framework.current_app, framework.g


def test_script_pushes_and_never_pops(framework: ModuleType, tmp_path: Path) -> None:
    """A script that pushes a context for its whole life runs library code and exits cleanly."""
    for name, text in (("library.py", LIBRARY), ("script.py", SCRIPT)):
        (tmp_path / name).write_text(text.format(framework=framework.__name__))
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    # As in Flask, what is never popped has no end.
    assert done.stdout == "nightly: ops@example.com\n"
    assert done.returncode == 0


def test_push_and_pop_by_hand(framework: ModuleType) -> None:
    """`push` and `pop` by hand frame the same life as `with`, with the teardown at the pop."""
    Flask, current_app, _ = names(framework)
    app = Flask("nightly")
    log: list[str] = []

    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        log.append(f"teardown of {current_app.name}, {exc}")

    ctx = app.app_context()
    ctx.push()
    log.append(current_app.name)
    ctx.pop()
    assert log == ["nightly", "teardown of nightly, None"]
    with pytest.raises(RuntimeError):
        str(current_app.name)


@pytest.mark.leaves_behind("context")
def test_last_pushed_application_is_current(framework: ModuleType) -> None:
    """With two applications pushed in one script the last is current, and each has its own `g`."""
    Flask, current_app, g = names(framework)
    first, second = Flask("first"), Flask("second")

    def script() -> list[object]:
        seen: list[object] = []
        first.app_context().push()
        g.tag = "of first"
        seen.append(current_app.name)
        ctx = second.app_context()
        ctx.push()
        seen += [current_app.name, "tag" in g]
        ctx.pop()
        seen += [current_app.name, g.tag]
        return seen

    # A Context of its own stands for the script's process.
    seen = copy_context().run(script)
    assert seen == ["first", "second", False, "first", "of first"]


def test_applications_can_be_nested_with_with(framework: ModuleType) -> None:
    """Contexts of two applications nest in either order, the same application twice included."""
    Flask, current_app, _ = names(framework)
    first, second = Flask("first"), Flask("second")
    with first.app_context():
        with second.app_context():
            with first.app_context():
                assert current_app == first
            assert current_app == second
        assert current_app == first


def logging_app(framework: ModuleType, name: str, log: list[tuple[str, object]]) -> Any:
    app = framework.Flask(name)

    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        log.append((framework.current_app.name, exc))

    return app


def test_exception_reaches_the_teardown_functions(framework: ModuleType) -> None:
    """An exception inside the block is what that context's teardown functions get, and goes on."""
    log: list[tuple[str, object]] = []
    app = logging_app(framework, "nightly", log)
    error = ValueError("no such report")
    with pytest.raises(ValueError) as caught, app.app_context():
        raise error
    assert caught.value is error
    assert log == [("nightly", error)]


def test_exception_caught_between_stays_inside(framework: ModuleType) -> None:
    """An exception that is caught between two contexts reaches the inner one's functions alone."""
    log: list[tuple[str, object]] = []
    outer, inner = (logging_app(framework, name, log) for name in ("outer", "inner"))
    error = ValueError("no such report")
    with outer.app_context():
        try:
            with inner.app_context():
                raise error
        except ValueError:
            pass
    assert log == [("inner", error), ("outer", None)]


def test_exception_goes_through_both(framework: ModuleType) -> None:
    """An exception that nobody catches reaches both contexts' functions, the inner one's first."""
    log: list[tuple[str, object]] = []
    outer, inner = (logging_app(framework, name, log) for name in ("outer", "inner"))
    error = ValueError("no such report")
    with pytest.raises(ValueError), outer.app_context(), inner.app_context():
        raise error
    assert log == [("inner", error), ("outer", error)]


def test_pop_in_an_except_block_finds_the_exception(framework: ModuleType) -> None:
    """A pop by hand while an exception is handled passes that exception on."""
    log: list[tuple[str, object]] = []
    ctx = logging_app(framework, "nightly", log).app_context()
    ctx.push()
    error = ValueError("no such report")
    try:
        raise error
    except ValueError:
        ctx.pop()
    assert log == [("nightly", error)]


def test_wrong_order_of_pops_is_refused() -> None:
    """Popping the outer context first raises Flask's error and changes nothing.

    Flask raises too, but has torn the outer context down and reset the variable by then.
    """
    log: list[tuple[str, object]] = []
    outer, inner = (logging_app(demijohn, name, log).app_context() for name in ("outer", "inner"))
    outer.push()
    inner.push()
    with pytest.raises(AssertionError, match="Popped wrong app context"):
        outer.pop()
    assert demijohn.current_app.name == "inner"
    assert log == []
    inner.pop()
    outer.pop()
    assert log == [("inner", None), ("outer", None)]


def test_every_teardown_function_runs_whatever_another_raises() -> None:
    """When one teardown function fails the others run still, and its error comes out of the block.

    In Flask the first error keeps the rest from running.
    """
    app = demijohn.Demijohn("nightly")
    log: list[str] = []

    @app.teardown_appcontext
    def close_files(exc: BaseException | None) -> None:
        log.append("files closed")

    @app.teardown_appcontext
    def close_database(exc: BaseException | None) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), app.app_context():
        pass
    assert log == ["files closed"]
    assert not demijohn.has_app_context()
