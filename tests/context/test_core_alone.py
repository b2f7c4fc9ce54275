"""The core by itself: what it imports, and that it leaves no garbage behind."""

from __future__ import annotations

import ast
import contextvars
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kinds import Recorder, new_kind

import demijohn.context
from demijohn.context import Context, ContextStack, WrongContextError
from demijohn.context.stepping import Steps

PACKAGE = Path(demijohn.context.__file__).parent


def test_it_loads_no_web() -> None:
    """Importing the core loads no Werkzeug, no socket, no http and no email."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import demijohn.context\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded & {'werkzeug', 'flask', 'jinja2', 'click', 'blinker',"
        " 'itsdangerous', 'socket', 'ssl', 'http', 'email', 'asyncio', 'urllib', 'logging'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PACKAGE.parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_it_imports_the_standard_library_only(path: Path) -> None:
    """No module of the core names anything outside itself and the standard library."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, "an import of something above"
            names = [] if node.level else [node.module or ""]
        else:
            continue
        for name in names:
            assert name.partition(".")[0] in sys.stdlib_module_names


def test_the_eight_lines_of_the_docstring() -> None:
    """A custom context as the package's docstring shows it works in a program without HTTP."""
    log: list[str] = []

    class Connection:
        def execute(self, sql: str) -> str:
            return sql.upper()

        def close(self) -> None:
            log.append("closed")

    databases: ContextStack[Context] = ContextStack("database")

    class DatabaseContext(Context, stack=databases):
        def on_enter(self) -> None:
            self.connection = Connection()

        def on_exit(self, exc: BaseException | None) -> None:
            self.connection.close()

    current_db = databases.proxy("connection")
    with DatabaseContext():
        assert current_db.execute("select") == "SELECT"
    assert log == ["closed"]
    with pytest.raises(RuntimeError, match="Working outside of database context"):
        current_db.execute("select")


def nested(kind: type[Recorder]) -> object:
    """Push and pop, nested and borrowed."""
    ctx = kind()
    with ctx, kind(), ctx:
        pass
    return ctx


def failing_view(kind: type[Recorder]) -> object:
    """An error that passes through a `with`."""
    ctx = kind()
    with suppress(LookupError), ctx:
        raise LookupError
    ctx.errors.clear()
    return ctx


def failing_end(kind: type[Recorder]) -> object:
    """An error of the end itself."""
    ctx = kind(fail={"exit": OSError()})
    with suppress(OSError), ctx:
        pass
    ctx.fail.clear()
    return ctx


def failing_begin(kind: type[Recorder]) -> object:
    """An error of the begin."""
    ctx = kind(fail={"enter": OSError()})
    with suppress(OSError):
        ctx.push()
    ctx.fail.clear()
    return ctx


def wrong_pop(kind: type[Recorder]) -> object:
    """A refused pop and the right one."""
    ctx = kind()
    with ctx, kind(), suppress(WrongContextError):
        ctx.pop()
    return ctx


def held(kind: type[Recorder]) -> object:
    """A context that a holder ends."""
    ctx = kind()
    ctx.push()
    hold = ctx.hold()
    ctx.pop()
    hold.release()
    return ctx


def dropped(kind: type[Recorder]) -> object:
    """A context whose hold is dropped."""
    ctx = kind()
    ctx.push()
    hold = ctx.hold()
    ctx.pop()
    del hold
    assert ctx.ends == 1
    return ctx


def stepped(kind: type[Recorder]) -> object:
    """A context in the steps of a body, that fails, and of another, that is dropped."""
    ctx = kind()

    def generate() -> Iterator[int]:
        with ctx:
            yield 1
            raise LookupError

    for count in (1, 2):
        steps = Steps(contextvars.copy_context(), generate(), lambda error: None)
        with suppress(LookupError):
            for _ in range(count):
                next(steps)
        del steps
    ctx.errors.clear()
    return ctx


def successor(kind: type[Recorder]) -> object:
    """Three lives."""
    ctx = kind()
    for _ in range(3):
        with ctx:
            pass
    return ctx


SCENES: list[Callable[[type[Recorder]], object]] = [
    nested,
    failing_view,
    failing_end,
    failing_begin,
    wrong_pop,
    held,
    dropped,
    stepped,
    successor,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_no_cycles(scene: Callable[[type[Recorder]], object]) -> None:
    """With the cyclic collector off, a context is freed when it is let go, and no garbage
    remains."""
    kind = new_kind()
    scene(kind)
    gc.collect()
    gc.disable()
    try:
        ctx = scene(kind)
        gone = weakref.ref(ctx)
        del ctx
        assert gone() is None
        for _ in range(50):
            ctx = scene(kind)
            del ctx
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_refused_pop_keeps_no_context_alive() -> None:
    """The error of a wrong pop can be kept without keeping the contexts, once its traceback is
    gone."""
    kind = new_kind()
    ctx = kind()
    try:
        ctx.pop()
    except WrongContextError as error:
        kept = error.with_traceback(None)
    gone = weakref.ref(ctx)
    del ctx
    assert gone() is None
    assert "Popped wrong" in str(kept)
