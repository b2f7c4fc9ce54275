"""Runs a document: its files are written, its commands executed, their output compared.

The code blocks of a document, in their order:

- ```` ```python NAME ```` is a file of that name, in the reader's folder.
- ```` ```console ```` holds commands, each after `$ `, and what they print: each line that is shown
  comes in the output, in that order. `...` in it stands for anything.
- ```` ```console server ```` holds one command that goes on until the end of the document. It is
  ready when it has printed what is shown. It takes a free port; the port that is shown is
  understood as that one from there on.

A page that explains is a program of its own as well (`follow_page`):

- ```` ```python ```` without a name is the program's next part.
- ```` ```text ```` is what the part before it printed, all of it. `...` in it stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType

from local_servers import PATIENCE, Program, running

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>\S*)(?: (?P<name>\S+))?\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
FOREIGN = ("DEMIJOHN", "FLASK", "GUNICORN", "PIP", "PYTEST", "PYTHON", "STUDIO", "VIRTUAL_ENV")
"""How variables begin that would change what a reader's commands do."""


@dataclass(frozen=True)
class Block:
    """A code block: what follows its fence, its text without indentation, the fence's line."""

    kind: str
    name: str
    text: str
    line: int = 0


@dataclass(frozen=True)
class Step:
    """A command and the lines that are shown under it."""

    command: str
    shown: list[str]


def blocks(document: str) -> Iterator[Block]:
    """Yield the code blocks of a document."""
    for match in FENCE.finditer(document):
        line = document.count("\n", 0, match.start()) + 1
        yield Block(match["kind"], match["name"] or "", textwrap.dedent(match["text"]), line)


def steps(block: Block) -> list[Step]:
    """Return the commands of a console block."""
    found: list[Step] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line.removeprefix("$ "), []))
        else:
            found[-1].shown.append(line)
    return found


def pattern(line: str) -> str:
    """Return the regular expression of a shown line."""
    text = re.escape(line).replace(r"\.\.\.", ".*")
    return re.sub(r"(127\\\.0\\\.0\\\.1:)\d+", r"\1\\d+", text)  # any port


def missing(shown: Sequence[str], output: str) -> str | None:
    """Return the first shown line that does not come in the output at its turn."""
    lines = iter(output.splitlines())
    for line in shown:
        if not any(re.fullmatch(pattern(line), found.rstrip()) for found in lines):
            return line
    return None


def is_printed(shown: str, printed: str) -> bool:
    """Whether a text block shows all that was printed; a line of `...` stands for any lines."""
    lines = [
        r"[\s\S]*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*")
        for line in shown.rstrip().splitlines()
    ]
    return re.fullmatch("\n".join(lines), printed.rstrip()) is not None


class PageProgram:
    """The program that a page shows in parts, with the text that each part prints.

    The parts have the page's own lines, for tracebacks and for what prints where it was declared.
    """

    def __init__(self, page: Path) -> None:
        self._page = page
        self._module = module = ModuleType(f"page_{page.stem}")
        module.__file__ = str(page)
        # Applications and dataclasses look their module up by its name.
        sys.modules[module.__name__] = module
        self._unshown = ""

    def follow(self, block: Block) -> None:
        """Run a part, or compare what the last one printed."""
        here = f"{self._page.name}:{block.line}"
        if block.kind == "python" and not block.name:
            self.finish()
            source = "\n" * block.line + block.text
            code = compile(source, str(self._page), "exec")
            with redirect_stdout(StringIO()) as printed:
                exec(code, vars(self._module))
            self._unshown = printed.getvalue()
        else:
            assert block.kind == "text", f"{here}: nobody runs this block"
            printed_text, self._unshown = self._unshown, ""
            assert is_printed(block.text, printed_text), f"{here}: printed is\n{printed_text}"

    def finish(self) -> None:
        """Make sure that the page shows all that the last part printed."""
        assert not self._unshown, f"{self._page.name} does not show\n{self._unshown}"

    def close(self) -> None:
        """Let the module go."""
        del sys.modules[self._module.__name__]


def follow_page(page: Path, reader: Reader | None = None) -> int:
    """Run the program of a page, and have `reader` follow its files and commands.

    Returns how many blocks that were.
    """
    program = PageProgram(page)
    try:
        found = list(blocks(page.read_text()))
        for block in found:
            if reader is not None and (block.name or block.kind == "console"):
                reader.follow(block)
            else:
                program.follow(block)
        program.finish()
    finally:
        program.close()
    return len(found)


class Reader(ExitStack):
    """Follows a document in a folder, block by block, and closes what runs at its end.

    `addresses` are those of the servers that run: as shown -> as they are.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.folder = folder
        self.environment = environment
        self.addresses: dict[str, str] = {}

    def follow(self, block: Block) -> None:
        """Do what a block says; `AssertionError` when that does not give what it shows."""
        if block.kind == "console":
            for step in steps(block):
                if block.name == "server":
                    self.serve(step)
                else:
                    self.run(step)
        else:
            assert block.name, f"a block that is no file and no command:\n{block.text}"
            (self.folder / block.name).write_text(block.text)

    def run(self, step: Step) -> None:
        """Run a command to its end, without errors."""
        done = subprocess.run(
            ["sh", "-c", self._here(step.command)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == 0, f"$ {step.command}\n{done.stdout}"
        _compare(step, done.stdout)

    def serve(self, step: Step) -> None:
        """Start a command, and wait for the last line that is shown."""
        server = self.enter_context(
            running(
                ["sh", "-c", f"exec {self._here(step.command)}"],
                pattern(step.shown[-1]),
                cwd=self.folder,
                environment=self.environment,
            )
        )
        line = server.started()[0]
        _compare(step, server.output)
        shown, found = ADDRESS.search(step.shown[-1]), ADDRESS.search(line)
        if shown and found:
            self.addresses[shown[0]] = found[0]
        self.callback(_without_errors, server)

    def _here(self, command: str) -> str:
        return ADDRESS.sub(lambda shown: self.addresses.get(shown[0], shown[0]), command)


def _compare(step: Step, output: str) -> None:
    line = missing(step.shown, output)
    assert line is None, f"$ {step.command}\n{output}\nThis is missing: {line}"


def _without_errors(server: Program) -> None:
    assert server.process.poll() is None, server.output
    assert "Traceback" not in server.output, server.output


def environment(folder: Path, programs: Sequence[str], **variables: str) -> dict[str, str]:
    """Make an environment with everything that the tests' has but Demijohn; return its variables.

    `programs` are the console scripts that it needs. Ports are free ones, and pip needs no network.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(folder)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    here = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", here))
    # The path files in the tests' environment, an editable install's for one, are not read.
    (packages / "more.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in programs:
        original = Path(sysconfig.get_path("scripts"), name).read_text()
        script = folder / "bin" / name
        script.write_text(f"#!{folder / 'bin' / 'python'}\n{original.partition(chr(10))[2]}")
        script.chmod(0o755)
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
        "UVICORN_PORT": "0",
        "no_proxy": "127.0.0.1",
        **variables,
    }
