"""Runs a document: its files are written, its commands executed, their output compared.

The code blocks of a document, in their order:

- ```` ```python NAME ```` is a file of that name, in the reader's folder.
- ```` ```console ```` holds commands, each after `$ `, and what they print: each line that is shown
  comes in the output, in that order. `...` in it stands for anything.
- ```` ```console server ```` holds one command that goes on: it is stopped when it has served.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from servers import PATIENCE, running

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>\S*)(?: (?P<name>\S+))?\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
ADDRESS = r"http://127\.0\.0\.1:\d+"


@dataclass(frozen=True)
class Block:
    """A code block: what follows its fence, and its text without indentation."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True)
class Step:
    """A command and the lines that are shown under it."""

    command: str
    shown: list[str]


def blocks(document: str) -> Iterator[Block]:
    """Yield the code blocks of a document."""
    for match in FENCE.finditer(document):
        yield Block(match["kind"], match["name"] or "", textwrap.dedent(match["text"]))


def steps(block: Block) -> list[Step]:
    """Return the commands of a console block."""
    found: list[Step] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line.removeprefix("$ "), []))
        else:
            found[-1].shown.append(line)
    return found


def missing(shown: list[str], output: str) -> str | None:
    """Return the first shown line that does not come in the output at its turn."""
    lines = iter(output.splitlines())
    for line in shown:
        pattern = re.escape(line).replace(r"\.\.\.", ".*")
        pattern = re.sub(r"(127\\\.0\\\.0\\\.1:)\d+", r"\1\\d+", pattern)  # any port
        if not any(re.fullmatch(pattern, found.rstrip()) for found in lines):
            return line
    return None


class Reader:
    """Follows documents in a folder of its own, step by step.

    `environment` is the commands'; `visit` gets the address of each server while it runs.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], visit: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.environment = environment
        self.visit = visit

    def follow(self, block: Block) -> None:
        """Do what a block says; `AssertionError` when that does not give what it shows."""
        if block.kind == "console":
            for step in steps(block):
                output = (self.serve if block.name == "server" else self.run)(step)
                line = missing(step.shown, output)
                assert line is None, f"$ {step.command}\n{output}\nThis is missing: {line}"
        else:
            assert block.name, f"a block that is no file and no command:\n{block.text}"
            (self.folder / block.name).write_text(block.text)

    def run(self, step: Step) -> str:
        """Run a command to its end, without errors; return what it printed."""
        done = subprocess.run(
            ["sh", "-c", step.command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == 0, f"$ {step.command}\n{done.stdout}"
        return done.stdout

    def serve(self, step: Step) -> str:
        """Run a command until it names an address and that was visited; return what it printed."""
        with running(
            ["sh", "-c", f"exec {step.command}"],
            ADDRESS,
            cwd=self.folder,
            environment=self.environment,
        ) as server:
            self.visit(server.started()[0])
        assert "Traceback" not in server.output, server.output
        return server.output
