"""What growth asks of contexts: streams, resources, callbacks, children, errors anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Unhandled(Exception):
    """An error that nothing handles."""


class Opened:
    """Resources of each kind, in a framework that has them."""

    def __init__(self, framework: Any) -> None:
        self._resource = framework.resource
        self.begun: list[Any] = []
        self.plain = self._declare("plain")
        self.body = self._declare("body", lifetime="body")
        self.pooled = self._declare("pooled", lifetime="view")
        begin = self.begun.append
        self.txn = self._declare("txn", transaction=lambda value, events: begin(events))

    def _declare(self, name: str, **options: Any) -> Any:
        open_now: list[str] = []

        def opening() -> Iterator[list[str]]:
            open_now.append(name)
            try:
                yield open_now
            finally:
                open_now.remove(name)

        opening.__name__ = name
        return self._resource(**options)(opening)


def add_views(app: Any, framework: Any) -> dict[str, tuple[int, str]]:
    """Add views to an application; returns each kind's status and path.

    `app.stop_pool()` ends the threads that they use.
    """
    app.carry("user")
    app.logger.disabled = True
    opened = Opened(framework)

    @app.teardown_request
    def end(exc: BaseException | None) -> None:
        if framework.g.get("fails_at_end"):
            raise Unhandled("at the end")

    _add_resources(app, framework, opened)
    _add_children(app, framework, opened)
    _add_errors(app, framework, opened)
    paths = ["/stream", "/resources", "/child", "/pool", "/parallel", "/copied", "/end-fails"]
    asked = {path[1:]: (200, path) for path in paths}
    return asked | {path[1:]: (500, path) for path in ("/unhandled", "/unhandled-child")}


def _add_resources(app: Any, framework: Any, opened: Opened) -> None:
    on_end, on_commit, seen = framework.on_end, framework.on_commit, []

    def steps() -> Iterator[str]:
        for item in "abc":
            yield f"{item}{len(opened.pooled)}"

    @app.get("/stream")
    def stream() -> Any:
        len(opened.pooled), len(opened.body)
        return framework.Response(framework.stream_with_context(steps()))

    @app.get("/resources")
    def resources() -> str:
        on_end(seen.append, "end")
        on_commit(seen.clear)
        with framework.released():
            len(opened.pooled)
        len(opened.txn)
        events = opened.begun.pop()
        events.begun()
        on_commit(len, "ab")
        events.committed()
        return str(len(opened.plain))


def _add_children(app: Any, framework: Any, opened: Opened) -> None:
    pool = framework.ContextThreadPoolExecutor(2)
    app.stop_pool = pool.shutdown

    def beside() -> int:
        framework.on_end(len, "ab")
        return len(opened.plain) + len(str(framework.g.get("user")))

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

    @app.get("/unhandled-child")
    def unhandled_child() -> str:
        def fails() -> None:
            len(opened.plain)
            raise Unhandled("in a child")

        pool.submit(fails).result()
        return "never"


def _add_errors(app: Any, framework: Any, opened: Opened) -> None:
    @app.get("/unhandled")
    def unhandled() -> str:
        len(opened.plain)
        raise Unhandled("in the view")

    @app.get("/end-fails")
    def end_fails() -> str:
        framework.g.fails_at_end = True
        return str(len(opened.plain))
