"""What growth asks of contexts: streams, resources, callbacks, children, errors anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Unhandled(Exception):
    """An error that nothing handles."""


def add_views(app: Any, framework: Any) -> dict[str, tuple[int, str]]:
    """Add views to an application; returns each kind's status and path."""
    resource, released = framework.resource, framework.released
    on_end, on_commit, g = framework.on_end, framework.on_commit, framework.g
    opened: list[str] = []
    pool = framework.ContextThreadPoolExecutor(2)
    app.carry("user")
    app.logger.disabled = True

    def declare(name: str, **options: Any) -> Any:
        def opening() -> Iterator[list[str]]:
            opened.append(name)
            try:
                yield opened
            finally:
                opened.remove(name)

        opening.__name__ = name
        return resource(**options)(opening)

    plain, body, shared = declare("plain"), declare("body", lifetime="body"), []
    pooled = declare("pooled", lifetime="view")
    begun: list[Any] = []
    txn = declare("txn", transaction=lambda value, events: begun.append(events))

    def steps() -> Iterator[str]:
        for item in "abc":
            yield f"{item}{len(pooled)}"

    def beside() -> int:
        on_end(shared.clear)
        return len(plain) + len(str(g.get("user")))

    @app.teardown_request
    def end(exc: BaseException | None) -> None:
        if g.get("fails_at_end"):
            raise Unhandled("at the end")

    @app.get("/stream")
    def stream() -> Any:
        len(pooled), len(body)
        return framework.Response(framework.stream_with_context(steps()))

    @app.get("/resources")
    def resources() -> str:
        on_end(shared.append, "end")
        on_commit(shared.clear)
        with released():
            len(pooled)
        begun.clear()
        len(txn)
        begun[0].begun()
        on_commit(len, "ab")
        begun[0].committed()
        begun.clear()
        return str(len(plain))

    @app.get("/child")
    def child() -> str:
        return str(framework.in_child(beside)())

    @app.get("/pool")
    def in_pool() -> str:
        return str(pool.submit(beside).result())

    @app.get("/parallel")
    def parallel() -> str:
        with framework.parallel() as branches:
            branches.submit(beside)
        return str(branches.results)

    @app.get("/copied")
    def copied() -> str:
        return str(framework.copy_current_request_context(beside)())

    @app.get("/unhandled")
    def unhandled() -> str:
        len(plain)
        raise Unhandled("in the view")

    @app.get("/unhandled-child")
    def unhandled_child() -> str:
        def fails() -> None:
            len(plain)
            raise Unhandled("in a child")

        pool.submit(fails).result()
        return "never"

    @app.get("/end-fails")
    def end_fails() -> str:
        g.fails_at_end = True
        return str(len(plain))

    app.stop_pool = pool.shutdown
    paths = ["/stream", "/resources", "/child", "/pool", "/parallel", "/copied", "/end-fails"]
    asked = {path[1:]: (200, path) for path in paths}
    return asked | {path[1:]: (500, path) for path in ("/unhandled", "/unhandled-child")}
