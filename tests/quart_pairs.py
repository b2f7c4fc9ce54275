"""What the tests of docs/howto/from-quart.md share: an application to try things on, the page's
tables, and which function checks which row of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demijohn import Demijohn

PAGE = Path(__file__).resolve().parent.parent / "docs" / "howto" / "from-quart.md"
DEADLINE = 30.0  # seconds, for what must happen at some time


class Shop:
    """An application in a folder of its own, whose views a check gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "static").mkdir()
        (folder / "templates").mkdir()
        (folder / "static" / "a.txt").write_text("hello")
        (folder / "templates" / "a.html").write_text("{{ x }}")
        self.app = Demijohn("shop", root_path=str(folder))
        self.app.config.update(TESTING=True, SECRET_KEY="k")

    def view(self, function: Callable[..., Any], **options: Any) -> None:
        """Make a function the view of "/"."""
        self.app.add_url_rule("/", "view", function, methods=["GET", "POST"], **options)

    def ask(self, **arguments: Any) -> Any:
        """The answer of the view, by ASGI."""

        async def main() -> Any:
            async with asyncio.timeout(DEADLINE):
                return await self.app.async_test_client().open("/", **arguments)

        return asyncio.run(main())

    def result(self, function: Callable[[], Any], **arguments: Any) -> Any:
        """What an async view gets by calling a function."""
        found: list[Any] = []

        async def view() -> str:
            found.append(function())
            return ""

        self.view(view)
        self.ask(method="POST", **arguments)
        return found[0]


Check = Callable[[Shop], Any]


class Table:
    """The table under a heading of the page; `table(row, …)` decorates the check of these rows."""

    def __init__(self, heading: str) -> None:
        self.heading = heading
        #: The first cell of a row -> what checks the row.
        self.checks: dict[str, Check] = {}

    def __call__(self, *rows: str) -> Callable[[Check], Check]:
        def register(check: Check) -> Check:
            self.checks.update(dict.fromkeys(rows, check))
            return check

        return register

    def rows(self) -> list[str]:
        """The first cells of its rows, in the page."""
        pattern = rf"^## {self.heading}\n(.*?)(?=^## )"
        (part,) = re.findall(pattern, PAGE.read_text(), re.DOTALL | re.MULTILINE)
        lines = [line for line in part.splitlines() if line.startswith("|")]
        return [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]]
