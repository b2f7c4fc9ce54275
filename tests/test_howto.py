"""The documents under docs/howto work: a reader who follows them gets what they show."""

from __future__ import annotations

import http.cookiejar
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from documents import FOREIGN, Block, Reader, Step, blocks, environment, follow_page, steps
from local_servers import PATIENCE, free_port

ROOT = Path(__file__).resolve().parent.parent
HOWTO = ROOT / "docs" / "howto"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Yield a reader in an empty folder, with a checkout of this project beside it."""
    (tmp_path / "demijohn").symlink_to(ROOT)
    folder = tmp_path / "application"
    folder.mkdir()
    with Reader(folder, environment(tmp_path / "environment", ["gunicorn", "uvicorn"])) as reader:
        yield reader


def count_visits(address: str) -> None:
    """Visit a server twice, as a browser that keeps its cookies."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
    for number in (1, 2):
        with browser.open(address, timeout=PATIENCE) as answer:
            assert answer.read().decode() == f"Visit {number}"


def test_moving_from_flask(reader: Reader) -> None:
    """Every file and command of "Moving an application from Flask" does what the page says."""
    found = list(blocks((HOWTO / "from-flask.md").read_text()))
    assert len(found) > 15
    for block in found:
        reader.follow(block)
    for address in reader.addresses.values():
        count_visits(address)
    assert len(reader.addresses) == 2


def test_testing_an_application(reader: Reader) -> None:
    """Every file and command of "Test an application" does what the page says."""
    found = list(blocks((HOWTO / "testing.md").read_text()))
    assert len(found) > 8
    reader.run(Step("python -m pip install ../demijohn", []))
    for block in found:
        reader.follow(block)


WRITTEN = """\
import flask
import flask_login
from flask import Flask
from flask.views import View
from flask_login import login_user

def later():
    from flask import g
    import flask
    return "from flask import g", flask
"""
MOVED = """\
import demijohn as flask
import flask_login
from demijohn import Flask
from demijohn.views import View
from flask_login import login_user

def later():
    from demijohn import g
    import demijohn as flask
    return "from flask import g", flask
"""


def test_names_are_replaced_and_put_back(tmp_path: Path) -> None:
    """The replacement changes every import of Flask and nothing else, and the other undoes it."""
    page = blocks((HOWTO / "from-flask.md").read_text())
    found = [step for block in page if block.kind == "console" for step in steps(block)]
    there, back = (step for step in found if step.command.startswith("sed"))
    source = tmp_path / "views.py"
    source.write_text(WRITTEN)
    reader = Reader(tmp_path, os.environ)
    reader.run(there)
    assert source.read_text() == MOVED
    reader.run(back)
    assert source.read_text() == WRITTEN


def test_inspecting(tmp_path: Path) -> None:
    """Every file and command of "See what an application is at" does what the page says."""
    (tmp_path / "demijohn").symlink_to(ROOT)
    folder, files = tmp_path / "application", tmp_path / "files"
    folder.mkdir()
    files.mkdir()
    # Servers of others on this machine are not found.
    places = {"TMPDIR": str(files), "XDG_RUNTIME_DIR": str(files)}
    with Reader(folder, environment(tmp_path / "environment", [], **places)) as reader:
        reader.run(Step("python -m pip install ../demijohn", []))
        for block in blocks((HOWTO / "inspect.md").read_text()):
            reader.follow(block)
        assert len(reader.addresses) == 1


PROGRAMS = [
    "asgi.md",
    "asyncio.md",
    "core-alone.md",
    "from-g-and-teardown.md",
    "from-quart.md",
    "generators.md",
    "lifespan.md",
    "processes.md",
    "resources.md",
    "stopping.md",
    "threads.md",
    "websockets.md",
]
"""The pages whose parts are one program."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_is_a_program(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of a page runs after those before it, and prints what the page shows; its files and
    commands do what it says."""
    monkeypatch.chdir(tmp_path)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
    python = Path(sys.executable).parent
    path = os.pathsep.join([str(python), os.environ["PATH"]])
    environment = {
        **kept,
        "PATH": path,
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(tmp_path),
        "UVICORN_PORT": "0",
    }
    with Reader(tmp_path, environment) as reader:
        assert follow_page(HOWTO / name, reader) > 1


def test_the_core_alone_loads_no_web(tmp_path: Path) -> None:
    """What "Contexts without a web application" imports loads no Werkzeug, socket, http, email."""
    program, *_ = blocks((HOWTO / "core-alone.md").read_text())
    (tmp_path / program.name).write_text(program.text)
    web = {"werkzeug", "flask", "jinja2", "click", "blinker", "socket", "ssl", "http", "email"}
    command = f"import measure, sys; print(sorted(sys.modules.keys() & {web}))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_every_howto_is_followed() -> None:
    """Each page under docs/howto has a test that follows it: in this file, or in one of its own."""
    followed = {
        "deploy.md",
        "from-flask.md",
        "inside-fastapi.md",
        "inspect.md",
        "mounts.md",
        "other-frameworks.md",
        "servers.md",
        "testing.md",
        *PROGRAMS,
    }
    assert {page.name for page in HOWTO.iterdir()} == followed


FAULTS = {
    "another output": Block("console", "", "$ echo Visit 1\nVisit 2\n"),
    "lines out of order": Block("console", "", "$ echo b; echo a\na\nb\n"),
    "a failing command": Block("console", "", "$ echo fine; false\nfine\n"),
    "a server that ends": Block("console", "server", "$ echo no\nstarted\n"),
    "errors in a server": Block("console", "server", "$ printf 'Traceback\\nstarted'\nstarted\n"),
    "a block that nobody runs": Block("python", "", "import nowhere\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_pages_are_found(tmp_path: Path, fault: str) -> None:
    """A control: a page that shows what does not happen fails its test."""
    with (
        pytest.raises((AssertionError, pytest.fail.Exception)),
        Reader(tmp_path, os.environ) as reader,
    ):
        reader.follow(FAULTS[fault])


def test_pages_show_parts_of_the_output(tmp_path: Path) -> None:
    """`...` stands for anything, and lines that are not shown may come between."""
    text = "$ echo one; echo two; echo three 3\none\nthree ...\n"
    Reader(tmp_path, os.environ).follow(Block("console", "", text))


WRONG_PROGRAMS = {
    "another output": ["```python", "print(1)", "```", "```text", "2", "```"],
    "a line too many": ["```python", "print(1); print(2)", "```", "```text", "1", "```"],
    "output that is not shown": ["```python", "print(1)", "```"],
    "output that nobody prints": ["```python", "x = 1", "```", "```text", "1", "```"],
    "a block that nobody runs": ["```sh", "true", "```"],
}


@pytest.mark.parametrize("fault", WRONG_PROGRAMS)
def test_wrong_programs_are_found(tmp_path: Path, fault: str) -> None:
    """A control: a page that shows another output, or less or more of it, fails its test."""
    page = tmp_path / "page.md"
    page.write_text("\n".join([*WRONG_PROGRAMS[fault], ""]))
    with pytest.raises(AssertionError, match=r"page\.md"):
        follow_page(page)


def test_errors_of_a_program_are_in_the_page(tmp_path: Path) -> None:
    """What a part raises has the page's line in its traceback."""
    page = tmp_path / "page.md"
    page.write_text("A page.\n\n```python\nx = 1\nx / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as raised:
        follow_page(page)
    assert (str(raised.traceback[-1].path), raised.traceback[-1].lineno + 1) == (str(page), 5)


def test_programs_show_parts_of_the_output(tmp_path: Path) -> None:
    """`...` stands for the rest of a line, and alone for any lines."""
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1, 2, 3, 4, sep='\\n')\n```\n```text\n1\n...\n4\n```\n")
    assert follow_page(page) == 2


def fetch(address: str) -> str:
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with browser.open(address, timeout=PATIENCE) as answer:
        body: bytes = answer.read()
    return body.decode()


def test_other_frameworks(reader: Reader) -> None:
    """What "Beside another framework" shows works under Django, under Tornado and nested."""
    port = str(free_port())
    for block in blocks((HOWTO / "other-frameworks.md").read_text()):
        reader.follow(replace(block, text=block.text.replace("8888", port)))
    django, tornado = reader.addresses.values()
    assert json.loads(fetch(f"{django}/orders/3/?customer=ann")) == {
        "app": "shop",
        "url": "http://shop.example/orders/3",
    }
    assert fetch(f"{django}/report/") == "row 0\nrow 1\nrow 2\n"
    assert fetch(f"{tornado}/hello/ann") == "Hello ann, this is shop"
    assert json.loads(fetch(f"{tornado}/orders/4")) == {"order": 4}


def test_mounts(reader: Reader) -> None:
    """What "Other applications under a prefix" shows works by WSGI and by ASGI."""
    for block in blocks((HOWTO / "mounts.md").read_text()):
        reader.follow(block)
    assert len(reader.addresses) == 2
    for address in reader.addresses.values():
        assert fetch(f"{address}/") == "the shop"
        found = {path: json.loads(fetch(address + path)) for path in MOUNTED}
        assert found == MOUNTED


MOUNTED = {
    "/legacy/orders/3/": {"order": 3, "url": "/legacy/orders/3/"},
    "/api/hello/ann": {"message": "Hello ann"},
    "/wiki/": {"this page": "/wiki/"},
}


def test_inside_fastapi(reader: Reader) -> None:
    """What "Inside FastAPI" shows works, in endpoints of each kind and in a background task."""
    for block in blocks((HOWTO / "inside-fastapi.md").read_text()):
        reader.follow(block)
    (address,) = reader.addresses.values()
    for path in ("/async", "/sync"):
        assert json.loads(fetch(f"{address}{path}?name=ann")) == {"user": "ann", "one": 1}
    assert fetch(f"{address}/rows?name=bob") == "bob 1\nbob 2\nbob 3\n"
    assert json.loads(fetch(f"{address}/later")) == "soon"
