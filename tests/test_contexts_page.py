"""docs/contexts.md is true: its program prints what it shows, its table says what work sees."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from documents import follow_page
from local_servers import PATIENCE

from demijohn import (
    ContextThread,
    ContextThreadPoolExecutor,
    Demijohn,
    app_ctx,
    copy_current_request_context,
    g,
    has_app_context,
    has_request_context,
    in_child,
    parallel,
    request,
    resource,
    session,
    task_group,
)
from demijohn.context import SessionReadOnly

PAGE = Path(__file__).resolve().parent.parent / "docs" / "contexts.md"


def test_the_page_is_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of the page runs after those before it, and prints what the page shows."""
    monkeypatch.chdir(tmp_path)
    assert follow_page(PAGE) > 10


# -- the table -------------------------------------------------------------------------------------

closed: list[object] = []


@resource
def kept() -> Iterator[object]:
    value = object()
    yield value
    closed.append(value)


@resource(lifetime="view")
def given_back() -> Iterator[object]:
    yield object()


@dataclass
class Seen:
    """What work found around it."""

    context: Any = None
    g: Any = None
    user: str | None = None
    mark: object = None
    request: Any = None
    writes: bool = False
    kept: Any = None
    given_back: Any = None


def look() -> Seen:
    """Look around."""
    if not has_app_context():
        assert not has_request_context()
        return Seen()
    seen = Seen(
        app_ctx._get_current_object(),
        g._get_current_object(),
        g.get("user"),
        g.get("mark"),
        kept=kept._get_current_object(),
        given_back=given_back._get_current_object(),
    )
    if has_request_context():
        seen.request = request._get_current_object()
        seen.writes = True
        try:
            session["written"] = True
        except SessionReadOnly:
            seen.writes = False
        else:
            del session["written"]
    return seen


@dataclass
class Scene:
    """One row: work is started in a view, which looks around first."""

    app: Demijohn
    parent: Seen = field(default_factory=Seen)
    child: Seen = field(default_factory=Seen)
    #: Whether the work's own resource was closed by then.
    closed_on_return: bool = False

    def work(self) -> None:
        """What is started."""
        self.child = look()

    async def work_async(self) -> None:
        """The same as a coroutine."""
        self.work()

    def run(self, start: Callable[[Scene], Any]) -> None:
        """Run a view that starts the work."""

        @self.app.get("/")
        def view() -> Any:
            g.user, g.mark = "ada", object()
            session["cart"] = 3
            self.parent = look()
            body = start(self)
            self.closed_on_return = self.child.kept in closed
            return body or "done"

        with self.app.test_client().get("/") as response:
            assert response.text
        assert self.parent.kept in closed
        assert self.child.kept is None or self.child.kept in closed
        assert len(set(closed)) == len(closed)


def again(scene: Scene) -> None:
    with app_ctx._get_current_object():
        scene.work()


def nested(scene: Scene, **options: Any) -> None:
    with scene.app.app_context(**options):
        scene.work()


def join(scene: Scene) -> None:
    nested(scene, nested="join")


def stream(scene: Scene) -> Iterator[str]:
    yield "first"
    scene.work()
    yield "second"
    assert scene.child.kept not in closed


def child(scene: Scene) -> None:
    in_child(scene.work)()


def thread(scene: Scene) -> None:
    started = ContextThread(target=scene.work)
    started.start()
    started.join()


def executor(scene: Scene) -> None:
    with ContextThreadPoolExecutor(1) as pool:
        pool.submit(scene.work).result()


def copied(scene: Scene) -> None:
    copy_current_request_context(scene.work)()


def make_app() -> Demijohn:
    """The application of each scene, which other processes make for themselves."""
    app = Demijohn(__name__)
    app.secret_key = "for this test"
    app.carry("user")
    app.config["PROCESS_APP"] = f"{__name__}:make_app()"
    return app


def look_from_afar() -> dict[str, Any]:
    """Look around in another process; only plain data comes back."""
    seen = look()
    return {"user": seen.user, "mark": seen.mark, "request": seen.request}


def closed_there() -> int:
    return len(closed)


def process(scene: Scene) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        told = pool.submit(in_child(look_from_afar)).result(PATIENCE)
        scene.child = Seen(object(), object(), kept=object(), given_back=object(), **told)
        if pool.submit(closed_there).result(PATIENCE) == 1:
            closed.append(scene.child.kept)


def branch(scene: Scene) -> None:
    with parallel() as p:
        p.submit(scene.work)


def group(scene: Scene) -> None:
    async def run() -> None:
        async with task_group() as tg:
            tg.create_task(scene.work_async())

    asyncio.run(run())


def task(scene: Scene) -> None:
    async def run() -> None:
        await asyncio.create_task(scene.work_async())

    asyncio.run(run())


def to_thread(scene: Scene) -> None:
    asyncio.run(asyncio.to_thread(scene.work))


def plain_thread(scene: Scene) -> None:
    started = threading.Thread(target=scene.work)
    started.start()
    started.join()


def carrier(scene: Scene) -> None:
    taken = app_ctx.carrier()

    def elsewhere() -> None:
        nested(scene, carrier=taken)

    started = threading.Thread(target=elsewhere)
    started.start()
    started.join()


def command(scene: Scene) -> None:
    scene.app.cli.command("work")(scene.work)

    def elsewhere() -> None:
        result = scene.app.test_cli_runner().invoke(args=["work"])
        assert result.exit_code == 0, result.output

    started = threading.Thread(target=elsewhere)
    started.start()
    started.join()


STARTED: dict[str, Callable[[Scene], Any]] = {
    "`with` on the same context again": again,
    "`with app.app_context():` inside another": nested,
    '`with app.app_context(nested="join"):`': join,
    "a body that streams": stream,
    "`in_child(f)`": child,
    "`ContextThread`": thread,
    "`ContextThreadPoolExecutor`": executor,
    "`copy_current_request_context(f)`": copied,
    "`in_child(f)` in a process pool": process,
    "`parallel()`": branch,
    "`task_group()`": group,
    "`asyncio.create_task(f())`": task,
    "`asyncio.to_thread(f)`": to_thread,
    "`threading.Thread(target=f)`": plain_thread,
    "`with app.app_context(carrier=…):`": carrier,
    "a command (`@app.cli.command`)": command,
}
"""The rows of the table -> what starts work so."""


def of_context(parent: Seen, child: Seen) -> str:
    if child.context is None:
        return "none"
    return "the same" if child.context is parent.context else "another"


def of_g(parent: Seen, child: Seen) -> str:
    if child.g is None:
        return "none"
    if child.g is parent.g:
        return "the same"
    assert child.mark is None
    return "its own, with what is carried" if child.user == "ada" else "its own, empty"


def of_request(parent: Seen, child: Seen) -> str:
    if child.request is None:
        return "none"
    if child.request is parent.request:
        assert child.writes
        return "the same"
    assert child.request.url == parent.request.url
    return "a copy; the session is shared" if child.writes else "a copy, to read"


def of_resources(parent: Seen, child: Seen) -> str:
    if child.kept is None:
        return "none"
    if child.kept is not parent.kept:
        assert child.given_back is not parent.given_back
        return "its own"
    if child.given_back is not parent.given_back:
        return 'the same; `"view"` ones opened again'
    return "the same"


def of_end(parent: Seen, child: Seen, closed_on_return: bool) -> str:
    if child.kept is None:
        return "none"
    return "its own" if closed_on_return else "the owner's"


def rows() -> dict[str, list[str]]:
    """The table of the page: first cell -> the others."""
    text = PAGE.read_text().partition("## What each kind of work sees")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)
    ]
    return {first: rest for first, *rest in cells[2:]}


def compared(shown: list[str]) -> list[str]:
    """A row as a scene tells it: who makes a context, and when its own end comes, are words."""
    context, *rest, end = shown
    own = context.startswith(("a child", "a new one"))
    ends = {"after the last byte": "the owner's"}
    return ["another" if own else context, *rest, ends.get(end, end.partition(",")[0])]


@pytest.mark.parametrize("started_by", STARTED)
def test_work_sees_what_the_table_says(started_by: str) -> None:
    """Work that is started in this way finds the context, `g`, request, session, resources and end
    of its row."""
    scene = Scene(make_app())
    closed.clear()
    scene.run(STARTED[started_by])
    parent, work = scene.parent, scene.child
    found = [
        of_context(parent, work),
        of_g(parent, work),
        of_request(parent, work),
        of_resources(parent, work),
        of_end(parent, work, scene.closed_on_return),
    ]
    assert found == compared(rows()[started_by])


def test_the_table_has_no_other_rows() -> None:
    """Each row of the table is compared with what work sees."""
    assert rows().keys() == STARTED.keys()
