"""A side in a process of its own: `Worker` starts it and talks to it, `main` is that process.

Hashes are not random there, so that what goes through sets comes out in the same order.
"""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import IO, Any

from .model import Call, Outcome

TESTS = Path(__file__).parent.parent
MOST_SECONDS = 60.0
_LENGTH = 8


class Worker:
    """A running side. Ask with `send`, and take the answer with `receive`."""

    def __init__(self, framework: str) -> None:
        path = [str(TESTS), str(TESTS.parent / "src")]
        environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(path)}
        environ.pop("FLASK_DEBUG", None)
        self.framework = framework
        self.process = subprocess.Popen(
            [sys.executable, "-m", "differential.worker", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environ,
        )

    def send(
        self, program: str, calls: list[Call], stale: bool = False, fault: str | None = None
    ) -> None:
        """Start an example; stale plans and faults are Demijohn's."""
        assert self.process.stdin is not None
        self.asked = f"{program}\n{calls}"
        put(self.process.stdin, (program, calls, stale, fault))

    def receive(self) -> list[Outcome]:
        """The outcomes of the oldest example that was sent."""
        assert self.process.stdout is not None
        end = monotonic() + MOST_SECONDS

        def read(size: int) -> bytes:
            data = b""
            while len(data) < size:
                left = max(0.0, end - monotonic())
                if not select.select([self.process.stdout], [], [], left)[0]:
                    raise TimeoutError(
                        f"{self.framework} did not answer in {MOST_SECONDS:g} s:\n{self.asked}"
                    )
                more = os.read(self.process.stdout.fileno(), size - len(data))
                if not more:
                    raise RuntimeError(f"{self.framework}'s side has ended")
                data += more
            return data

        answer: list[Outcome] | str = pickle.loads(read(int.from_bytes(read(_LENGTH))))
        if isinstance(answer, str):
            raise RuntimeError(f"{self.framework}'s side failed:\n{answer}")
        return answer

    def run(self, program: str, calls: list[Call], **options: Any) -> list[Outcome]:
        self.send(program, calls, **options)
        return self.receive()

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def put(sink: IO[bytes], item: object) -> None:
    """Write a pickle and, before it, its length."""
    data = pickle.dumps(item)
    data = memoryview(len(data).to_bytes(_LENGTH) + data)
    while data:
        data = data[sink.write(data) :]
    sink.flush()


def forget(app: Any) -> None:
    """Make every plan of an application of Demijohn stale."""
    app._plans.forget(app)
    app._plans.forget_hooks(app)
    app._plans._plain.clear()


def main() -> None:
    """Answer examples until the pipe is closed."""
    from . import clock

    clock.freeze()
    from .side import Side, load

    framework = load(sys.argv[1])
    clock.freeze_cookies(framework)
    side = Side(framework)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    while True:
        length = source.read(_LENGTH)
        if not length:
            return
        program, calls, stale, fault = pickle.loads(source.read(int.from_bytes(length)))
        answer: list[Outcome] | str
        try:
            answer = answered(side, program, calls, forget if stale else None, fault)
        except BaseException:
            import traceback

            answer = traceback.format_exc()
        put(sink, answer)


def answered(side: Any, program: str, calls: list[Call], before: Any, fault: str | None) -> Any:
    """The outcomes of one example, with a seeded fault for its time."""
    if fault is None:
        return side.run(program, calls, before)
    import pytest

    from .faults import FAULTS

    with pytest.MonkeyPatch.context() as patch:
        FAULTS[fault](patch)
        return side.run(program, calls, before)


if __name__ == "__main__":
    main()
