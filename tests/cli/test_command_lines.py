"""`python -m demijohn` does what `python -m flask` does: each command line, run by both."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .command_lines import LINES, Line

ROOT = Path(__file__).parents[2]
Answer = dict[str, Any]
Run = Callable[[str, Line], Answer]


class Server:
    """A running `command_server.py` for one framework."""

    def __init__(self, framework: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("command_server.py")), framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )

    def ask(self, question: dict[str, Any]) -> Answer:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        answer: Answer = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    started = {framework: Server(framework) for framework in ("flask", "demijohn")}
    yield started
    for server in started.values():
        server.stop()


@pytest.fixture
def run_line(servers: dict[str, Server], tmp_path: Path) -> Run:
    """A function that runs a command line with a framework, in a folder with its files."""

    def run_line(framework: str, line: Line) -> Answer:
        folder = tmp_path / framework / "here"
        for name, text in line.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("FRAMEWORK", framework), encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        answer = servers[framework].ask(
            {
                "args": shlex.split(line.args),
                "env": {"PATH": os.environ["PATH"], "HOME": str(folder), **line.env},
                "folder": str(folder),
                "script": line.script,
                "stdin": line.stdin,
                "without": line.without,
            }
        )
        for stream in ("out", "err"):
            answer[stream] = in_flasks_words(answer[stream].replace(str(folder), "FOLDER"))
        return answer

    return run_line


def in_flasks_words(text: str) -> str:
    """The text with Flask's names in place of ours."""
    return text.replace("demijohn", "flask").replace("Demijohn", "Flask")


@pytest.mark.parametrize("line", [pytest.param(line, id=line.title) for line in LINES])
def test_command_line(line: Line, run_line: Run) -> None:
    """Exit code and output of a command line are Flask's; of own texts, the phrases that count."""
    ours, theirs = run_line("demijohn", line), run_line("flask", line)
    assert ours["code"] == theirs["code"], (ours, theirs)
    if not line.own_text:
        assert ours["out"] == theirs["out"], (ours, theirs)
    if line.same_stderr:
        assert ours["err"] == theirs["err"]
    assert bool(ours["err"]) == bool(theirs["err"]), (ours, theirs)
    for phrase in line.says:
        for answer in (theirs, ours):
            assert phrase in " ".join(f"{answer['out']} {answer['err']}".split())


@pytest.mark.parametrize(
    ("args", "site"),
    [
        ("run --port 8001", None),
        ("which", "app = make('another')\n"),
        ("run", "print('more')\napp = make('app')\n"),
        ("which", "app = make('app')\nimport sys\nsys.exit(7)\n"),
    ],
)
def test_a_difference_is_found(args: str, site: str | None, run_line: Run) -> None:
    """A command line that does something else for one of them is not taken for equal."""
    from .command_lines import ONE, SITE

    plain = Line(args.split(" --")[0], {"app.py": ONE})
    changed = Line(args, {"app.py": ONE if site is None else SITE + site})
    ours, theirs = run_line("demijohn", changed), run_line("flask", plain)
    assert (ours["code"], ours["out"]) != (theirs["code"], theirs["out"])
