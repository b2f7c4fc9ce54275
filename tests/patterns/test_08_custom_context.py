"""Pattern 8: a context of the user's own, and a decorator that pushes an app context."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import wraps
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, ParamSpec, TypeVar

import pytest
from werkzeug.local import LocalProxy

from demijohn import Demijohn, current_app
from demijohn.context import Context, ContextStack, WrongContextError

P = ParamSpec("P")
R = TypeVar("R")

# -- by hand: a ContextVar, a context manager and a LocalProxy ------------------------------------

_cv_database: ContextVar[DatabaseContext] = ContextVar("database")


class DatabaseContext:
    """A unit of work on a database, as blogs write it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._token: Token[DatabaseContext] | None = None

    def __enter__(self) -> DatabaseContext:
        self.connection = sqlite3.connect(self.path)
        self._token = _cv_database.set(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._token is not None
        _cv_database.reset(self._token)
        self.connection.close()


current_db: Any = LocalProxy(_cv_database, "connection")  # type: ignore[arg-type]

# -- the same in eight lines ----------------------------------------------------------------------

databases: ContextStack[Database] = ContextStack("database")


class Database(Context, stack=databases):
    def __init__(self, path: str) -> None:
        self.path = path

    def on_enter(self) -> None:
        self.connection = sqlite3.connect(self.path)

    def on_exit(self, exc: BaseException | None) -> None:
        self.connection.close()


current_database: Any = databases.proxy("connection")

BOTH = pytest.mark.parametrize(
    ("context", "current"),
    [(DatabaseContext, current_db), (Database, current_database)],
    ids=["by hand", "demijohn.context"],
)


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("select 1")
    except sqlite3.ProgrammingError:
        return True
    return False


@BOTH
def test_proxy_is_the_connection_in_the_block(context: Any, current: Any, tmp_path: Path) -> None:
    """Inside the block the proxy is the connection; after it the connection is closed."""
    with context(str(tmp_path / "a.db")) as ctx:
        current.execute("create table t (n int)")
        current.execute("insert into t values (1)")
        assert current.execute("select n from t").fetchall() == [(1,)]
        assert isinstance(current, sqlite3.Connection)
        connection = ctx.connection
    assert is_closed(connection)
    with pytest.raises(RuntimeError):
        current.execute("select 1")


@BOTH
def test_inner_database_is_current(context: Any, current: Any, tmp_path: Path) -> None:
    """Two databases nest: the inner one is current in its block, the outer one again after it."""
    with context(str(tmp_path / "a.db")) as outer:
        with context(str(tmp_path / "b.db")) as inner:
            assert current._get_current_object() is inner.connection
        assert is_closed(inner.connection)
        assert current._get_current_object() is outer.connection
    assert is_closed(outer.connection)


@BOTH
def test_exception_closes_it_too(context: Any, current: Any) -> None:
    """An exception leaves the block, with the connection closed and nothing current."""
    ctx = context(":memory:")
    with pytest.raises(KeyError), ctx:
        raise KeyError("x")
    assert is_closed(ctx.connection)
    assert not current


@BOTH
def test_another_thread_does_not_see_it(context: Any, current: Any) -> None:
    """A thread that was started inside the block has no current database."""
    seen: list[bool] = []
    with context(":memory:"):
        thread = threading.Thread(target=lambda: seen.append(bool(current)))
        thread.start()
        thread.join()
    assert seen == [False]


@BOTH
def test_beside_the_framework_contexts(
    framework: ModuleType, context: Any, current: Any, tmp_path: Path
) -> None:
    """A custom context nests with the framework's in a view, either around the other."""
    app = framework.Flask("shop")
    app.config["DATABASE"] = str(tmp_path / "a.db")

    @app.get("/")
    def index() -> str:
        with context(framework.current_app.config["DATABASE"]), app.app_context():
            return str(current.execute("select 41 + 1").fetchone()[0])

    assert app.test_client().get("/").text == "42"
    assert not current
    with context(":memory:"), app.app_context():
        assert app.test_client().get("/").text == "42"
        assert current.execute("select 1").fetchone() == (1,)


def test_context_can_be_pushed_by_hand_and_again() -> None:
    """A `demijohn.context` can be pushed by hand, borrowed, and begun anew after its end."""
    ctx = Database(":memory:")
    ctx.push()
    first = ctx.connection
    with ctx:  # borrowed: ends nothing
        assert current_database._get_current_object() is first
    assert not is_closed(first)
    ctx.pop()
    assert is_closed(first)
    with ctx:
        assert current_database._get_current_object() is not first
    assert databases.current is None


def test_error_outside_explains_itself() -> None:
    """Outside of the user's context the error names that context and where the code runs."""
    with pytest.raises(RuntimeError) as caught:
        current_database.execute("select 1")
    text = str(caught.value)
    assert text.splitlines()[0] == "Working outside of database context."
    assert "in the main thread" in text


def test_wrong_pop_is_refused() -> None:
    """Popping the outer of two custom contexts first is refused and changes nothing."""
    outer, inner = Database(":memory:"), Database(":memory:")
    with outer, inner:
        with pytest.raises(WrongContextError, match="Popped wrong database context"):
            outer.pop()
        assert databases.current is inner
        assert not is_closed(outer.connection)


def test_failing_enter_leaves_nothing() -> None:
    """When `on_enter` fails the context is not current and its error comes out of the `with`."""
    with pytest.raises(sqlite3.OperationalError), Database("/nowhere/at/all.db"):
        raise AssertionError("not reached")
    assert databases.current is None


# -- a decorator that pushes an application's context ---------------------------------------------


def with_app_context(app: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As users write it: the decorated function runs in a context of `app`."""

    def decorator(f: Callable[P, R]) -> Callable[P, R]:
        @wraps(f)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with app.app_context():
                return f(*args, **kwargs)

        return wrapper

    return decorator


def test_decorator_gives_a_context_to_each_call(framework: ModuleType) -> None:
    """Each call of the decorated function has a fresh `g`, recursive calls too, each ended once."""
    app, g = framework.Flask("shop"), framework.g
    ends: list[object] = []
    app.teardown_appcontext(lambda exc: ends.append(g.get("n")))

    @with_app_context(app)
    def count_down(n: int) -> list[str]:
        assert "n" not in g
        g.n = n
        below = count_down(n - 1) if n else []
        assert g.n == n
        return [*below, f"{framework.current_app.name} {n}"]

    assert count_down.__name__ == "count_down"
    assert count_down(2) == ["shop 0", "shop 1", "shop 2"]
    assert ends == [0, 1, 2]
    assert not framework.has_app_context()


def test_decorated_function_in_a_thread(framework: ModuleType) -> None:
    """The decorated function is what a bare thread needs as its target."""
    app = framework.Flask("shop")
    seen: list[str] = []

    @with_app_context(app)
    def work() -> None:
        seen.append(framework.current_app.name)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["shop"]


def test_decorated_function_that_raises(framework: ModuleType) -> None:
    """An exception of the decorated function reaches the teardown functions and the caller."""
    app = framework.Flask("shop")
    seen: list[object] = []
    app.teardown_appcontext(seen.append)
    error = KeyError("x")

    @with_app_context(app)
    def fail() -> None:
        raise error

    with pytest.raises(KeyError):
        fail()
    assert seen == [error]


def test_context_itself_is_no_decorator_state() -> None:
    """Two decorated functions, one calling the other, each see their own application."""
    first, second = Demijohn("first"), Demijohn("second")

    @with_app_context(second)
    def inner() -> str:
        return str(current_app.name)

    @with_app_context(first)
    def outer() -> tuple[str, str, str]:
        return current_app.name, inner(), current_app.name

    assert outer() == ("first", "second", "first")
