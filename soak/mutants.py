"""Mutants: under each patch of `tests/mutants` the machine fails, and names what the patch breaks.

A patch's first line says which invariant of `tests/machine/invariants.py` it breaks. It is applied
to a copy of the source; random programs are run on that until one fails with that invariant. A
patch that does not apply any more, and one under which nothing fails, is a failure.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from soak import SoakFailure
from tools import flatten, proof

SECONDS = 400.0
ATTEMPTS = 40
EXAMPLES = 150
MOST_SECONDS = 120.0
PATCHES = proof.ROOT / "tests" / "mutants"
_RUN = "import sys; from soak import machine; machine.try_seed(*map(int, sys.argv[1:]))"


def patches() -> list[Path]:
    """Return the patches, by invariant."""
    return sorted(PATCHES.glob("*.patch"))


def invariant(patch: Path) -> int:
    """Return the number of the invariant that a patch breaks; its header and its name say it."""
    found = re.match(r"Invariant: (\d+)\n", patch.read_text())
    if found is None or int(found[1]) != int(patch.name.partition("_")[0]):
        raise SoakFailure(f"{patch.name} does not begin with the invariant that its name has")
    return int(found[1])


@contextmanager
def mutant(patch: Path) -> Iterator[Path]:
    """A copy of the source with a patch applied, for the block; its `src`."""
    with TemporaryDirectory(prefix="demijohn-mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(proof.ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        applied = apply(patch, Path(folder))
        if applied.returncode:
            raise SoakFailure(f"{patch.name} does not apply any more:\n{applied.stdout}")
        # What is written from other parts has the fault too.
        package = source / "demijohn"
        (package / flatten.TARGET.relative_to(flatten.PACKAGE)).write_text(flatten.written(package))
        yield source


def apply(patch: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Apply a patch in a folder that has `src`; an option may be `--check`."""
    command = ["git", "apply", "-C1", *options, str(patch)]
    # No repository around the folder changes what is applied.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill(patch: Path, chance: random.Random) -> int:
    """Return how many batches of programs it took to find the mutant out."""
    wanted = f"invariant {invariant(patch)} ("
    with mutant(patch) as source:
        said = ""
        for attempt in range(1, ATTEMPTS + 1):
            said = said_by_machine(source, chance.randrange(2**32))
            if wanted in said:
                return attempt
    raise SoakFailure(f"{patch.name}: no program said {wanted!r}, the last said:\n{said[-2000:]}")


def said_by_machine(source: Path, number: int) -> str:
    """Run a batch of programs on some source; what the machine said, nothing when none failed."""
    path = os.pathsep.join([str(source), str(proof.ROOT)])
    try:
        ran = subprocess.run(
            [sys.executable, "-c", _RUN, str(number), str(EXAMPLES)],
            cwd=source.parent,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as late:
        return f"no end within {MOST_SECONDS:g} s: {late.output!r}"
    return ran.stdout if ran.returncode else ""


def run(seed: int, seconds: float) -> dict[str, object]:
    """Find out every mutant, whatever `seconds` says; return how many batches each took."""
    chance = random.Random(seed)
    if said := said_by_machine(proof.ROOT / "src", chance.randrange(2**32)):
        raise SoakFailure(f"the machine fails without a patch:\n{said[-2000:]}")
    took = {patch.stem: kill(patch, chance) for patch in patches()}
    return {"mutants": len(took), "programs a batch": EXAMPLES, "batches": took}
