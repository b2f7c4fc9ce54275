"""The documents under docs/howto work: a reader who follows them gets what they show."""

from __future__ import annotations

import http.cookiejar
import importlib.util
import os
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import pytest
from documents import Block, Reader, blocks
from servers import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
HOWTO = ROOT / "docs" / "howto"
FOREIGN = ("DEMIJOHN", "FLASK", "GUNICORN", "PIP", "PYTEST", "PYTHON", "VIRTUAL_ENV")

# The page is ahead of the command: without it, its blocks are left out and the test is skipped.
AS_FLASK = importlib.util.find_spec("demijohn.compat.launch") is not None


def reader_environment(folder: Path) -> dict[str, str]:
    """Make an environment with everything that the tests' has, but for Demijohn; return variables.

    Ports are free ones, and pip needs no network.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(folder)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    here = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", here))
    # The path files in the tests' environment, an editable install's for one, are not read.
    (packages / "more.pth").write_text(sysconfig.get_path("purelib") + "\n")
    server = folder / "bin" / "gunicorn"
    if AS_FLASK:
        original = Path(sysconfig.get_path("scripts"), "gunicorn").read_text()
        server.write_text(f"#!{folder / 'bin' / 'python'}\n{original.partition(chr(10))[2]}")
        server.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
    return {
        **kept,
        "HOME": str(folder),
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "DEMIJOHN_RUN_PORT": "0",
        "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:0",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as: no isolation
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PYTHONUNBUFFERED": "1",
    }


def count_visits(address: str) -> None:
    """Visit a server twice, as a browser that keeps its cookies."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
    for number in (1, 2):
        with browser.open(address, timeout=PATIENCE) as answer:
            assert answer.read().decode() == f"Visit {number}"


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Return a reader in an empty folder, with a checkout of this project beside it."""
    (tmp_path / "demijohn").symlink_to(ROOT)
    folder = tmp_path / "application"
    folder.mkdir()
    return Reader(folder, reader_environment(tmp_path / "environment"), count_visits)


def test_moving_from_flask(reader: Reader) -> None:
    """Every file and command of "Moving an application from Flask" does what the page says."""
    found = list(blocks((HOWTO / "from-flask.md").read_text()))
    assert len(found) > 15
    later = [] if AS_FLASK else [block for block in found if "as-flask" in block.text]
    for block in found:
        if block not in later:
            reader.follow(block)
    if later:
        pytest.skip(f"no command as-flask yet: {len(later)} blocks are left out")


def test_every_howto_is_followed() -> None:
    """There is no other page under docs/howto than those that this file follows."""
    assert [page.name for page in HOWTO.iterdir()] == ["from-flask.md"]


FAULTS = {
    "another output": Block("console", "", "$ echo Visit 1\nVisit 2\n"),
    "lines out of order": Block("console", "", "$ echo b; echo a\na\nb\n"),
    "a failing command": Block("console", "", "$ echo fine; false\nfine\n"),
    "a failing server": Block("console", "server", "$ echo http://127.0.0.1:1; exit 1\n"),
    "a block that nobody runs": Block("python", "", "import nowhere\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_pages_are_found(tmp_path: Path, fault: str) -> None:
    """A control: a page that shows what does not happen fails its test."""
    reader = Reader(tmp_path, os.environ, count_visits)
    with pytest.raises((AssertionError, OSError)):
        reader.follow(FAULTS[fault])


def test_pages_show_parts_of_the_output(tmp_path: Path) -> None:
    """`...` stands for anything, and lines that are not shown may come between."""
    text = "$ echo one; echo two; echo three 3\none\nthree ...\n"
    Reader(tmp_path, os.environ, count_visits).follow(Block("console", "", text))
