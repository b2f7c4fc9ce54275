"""A program that runs command lines of one framework: `python command_server.py flask`.

Each line of its input is a command line as JSON; it is run in a fork of this process, as
`python -m flask ...` would run it, and answered by a line with its exit code and output. A fork
takes a fiftieth of a start. Werkzeug's `run_simple` prints what it would serve and returns.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import werkzeug
import werkzeug.serving

SECONDS = 60
"""After which a command is taken for hung, and killed."""


def main() -> None:
    framework = sys.argv[1]
    importlib.import_module(f"{framework}.cli")
    importlib.import_module(framework).Flask("warm").test_client()
    for line in sys.stdin:
        print(json.dumps(run(framework, json.loads(line))), flush=True)


def run(framework: str, case: dict[str, Any]) -> dict[str, Any]:
    """Run one command line in a fork; its exit code is negative when a signal ended it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            # Nothing of this program may go on in the fork, whatever the command does.
            code = 70
            try:
                code = become(framework, case, out.fileno(), err.fileno())
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return {"code": code, "out": texts[0], "err": texts[1]}


def become(framework: str, case: dict[str, Any], out: int, err: int) -> int:
    """In the fork: be the process of that command line, to its end; the exit code."""
    signal.alarm(SECONDS)
    with tempfile.TemporaryFile() as stdin:
        stdin.write(case["stdin"].encode())
        stdin.seek(0)
        for target, fd in enumerate((stdin.fileno(), out, err)):
            os.dup2(fd, target)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    os.environ.clear()
    os.environ.update(case["env"])
    os.chdir(case["folder"])
    sys.path.insert(0, case["folder"])
    for name in case["without"]:
        sys.modules[name] = None  # type: ignore[assignment]
    show_instead_of_serving(framework)
    code = 0
    try:
        if case["script"]:
            sys.argv = [case["script"], *case["args"]]
            runpy.run_path(case["script"], run_name="__main__")
        else:
            sys.argv = [framework, *case["args"]]
            runpy.run_module(framework, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        # What Python itself does with an error that nobody catches.
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def show_instead_of_serving(framework: str) -> None:
    """Replace `run_simple`, wherever it was imported, by a function that prints its arguments."""

    def run_simple(host: str, port: int, app: Any, **options: Any) -> None:
        shown = {
            "host": host,
            "port": port,
            "app": getattr(app, "import_name", "no app"),
            **options,
        }
        if options.get("ssl_context") is not None and not isinstance(options["ssl_context"], str):
            context = options["ssl_context"]
            names = [Path(p).name for p in context] if isinstance(context, tuple) else None
            shown["ssl_context"] = names or type(context).__name__
        print("SERVES", json.dumps(shown, sort_keys=True))

    for module in (werkzeug, werkzeug.serving, importlib.import_module(f"{framework}.cli")):
        module.__dict__["run_simple"] = run_simple


if __name__ == "__main__":
    main()
