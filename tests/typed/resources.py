"""What type checkers make of resources. Never run: `tools/check` gives it to mypy and pyright.

A line that must be an error says so by an ignore comment, which both report when there is none.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from types import TracebackType
from typing import Any, assert_type

from demijohn import (
    Demijohn,
    held_resources,
    on_commit,
    on_end,
    released,
    resource,
)
from demijohn.context import Context, ContextStack
from demijohn.context.held import Held
from demijohn.context.resources import AsyncResource


class Client:
    """An async context manager."""

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    def get(self) -> str:
        return ""


@resource
def plain() -> Iterator[sqlite3.Connection]:
    yield sqlite3.connect("")


@resource(lifetime="view", dirty=lambda c: c.in_transaction)
def conn() -> Iterator[sqlite3.Connection]:
    yield sqlite3.connect("")


@resource()
def generated() -> Generator[int, None, None]:
    yield 1


@resource
@contextmanager
def managed() -> Iterator[str]:
    yield ""


@resource
def closed() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(""))


@resource
async def awaited() -> AsyncIterator[Client]:
    yield Client()


@resource(lifetime="view")
async def awaited_too() -> AsyncGenerator[int, None]:
    yield 1


@resource
@asynccontextmanager
async def awaited_managed() -> AsyncIterator[str]:
    yield ""


client = resource(Client)

assert_type(plain, sqlite3.Connection)
assert_type(conn, sqlite3.Connection)
assert_type(conn.execute("select 1"), sqlite3.Cursor)
assert_type(generated, int)
assert_type(managed, str)
assert_type(closed, sqlite3.Connection)
assert_type(awaited, AsyncResource[Client])
assert_type(awaited_too, AsyncResource[int])
assert_type(awaited_managed, AsyncResource[str])
assert_type(client, AsyncResource[Client])


async def use() -> None:
    assert_type(await awaited, Client)
    assert_type((await client).get(), str)
    async with released(awaited_too):
        pass
    awaited.get()  # type: ignore[attr-defined]


def in_an_application(app: Demijohn) -> None:
    @app.resource
    def first() -> Iterator[int]:
        yield 1

    @app.resource(lifetime="app")
    def second() -> Iterator[str]:
        yield ""

    assert_type(first, int)
    assert_type(second, str)
    with app.override(first, 5):
        pass
    app.close()


databases = ContextStack[Context]("database")


@databases.resource(lifetime="view")
def own() -> Iterator[bytes]:
    yield b""


assert_type(own, bytes)


def callbacks(send: Any) -> None:
    on_commit(print, 1, end="")
    on_end(send)
    on_end()  # type: ignore[call-arg]
    with released(conn, own):
        pass
    assert_type(held_resources(), list[Held])


conn.missing()  # type: ignore[attr-defined]
managed + 1  # type: ignore[operator]


@resource(lifetime="request")  # type: ignore[call-overload, untyped-decorator]
def wrong_lifetime() -> Iterator[int]:
    yield 1


@resource(lifetme="view")  # type: ignore[call-overload, untyped-decorator]
def wrong_option() -> Iterator[int]:
    yield 1


@resource  # type: ignore[arg-type]
def no_generator() -> int:
    return 1


@resource  # type: ignore[arg-type]
def with_argument(number: int) -> Iterator[int]:
    yield number


@resource  # type: ignore[arg-type]
async def coroutine() -> int:
    return 1
