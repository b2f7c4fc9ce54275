"""Run soak parts: `python -m soak [NAME ...] [--seconds S] [--seed N]`; all parts without a name.

Each part runs in a process of its own and writes `docs/proof/soak-NAME.json`: figures, seed,
commit, date and machine. A part that fails, or needs more than 9 minutes, fails the run; the other
parts run all the same.
"""

from __future__ import annotations

import argparse
import pkgutil
import random
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from time import monotonic

from soak import SoakFailure
from tools import proof

MOST_SECONDS = 9 * 60


def parts() -> list[str]:
    """Return the names of all parts."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in found if not module.name.startswith("_"))


def run_part(name: str, seed: int, seconds: float | None) -> int:
    """Run one part here, print its figures and write them; return the exit status."""
    part = import_module(f"soak.{name}")
    chosen = part.SECONDS if seconds is None else seconds
    first_line = part.__doc__.strip().splitlines()[0]
    print(f"{name}: {first_line}\n  seed {seed}, {chosen:g} s", flush=True)
    start = monotonic()
    try:
        figures = part.run(seed, chosen)
    except SoakFailure as error:
        print(f"  FAILED: {error}\n  again: make soak-{name} ARGS='--seed {seed}'")
        return 1
    except Exception:
        traceback.print_exc()
        print(f"  BROKE\n  again: make soak-{name} ARGS='--seed {seed}'")
        return 1
    took = round(monotonic() - start, 1)
    for key, value in figures.items():
        print(f"  {key}: {value}")
    written = {"seed": seed, "seconds": took, **figures}
    target = proof.record(f"soak-{name}", f"make soak-{name} ARGS='--seed {seed}'", written)
    print(f"  took {took} s, wrote {target.relative_to(proof.ROOT)}")
    return 0


def start_part(name: str, options: argparse.Namespace) -> int:
    """Run one part in a process of its own, at most MOST_SECONDS long; return its exit status."""
    command = [sys.executable, "-m", "soak", name, "--here"]
    command += ["--seed", str(options.seed)]
    if options.seconds is not None:
        command += ["--seconds", str(options.seconds)]
    try:
        return subprocess.run(command, cwd=proof.ROOT, timeout=MOST_SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(f"  FAILED: {name} did not end within {MOST_SECONDS} s (seed {options.seed})")
        return 1


def main() -> int:
    """Parse the command line and run the parts, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(parts())}")
    parser.add_argument("--seconds", type=float, help="how long each part works")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(parts()))
    if unknown:
        parser.error(f"no part named {', '.join(unknown)}; there are: {', '.join(parts())}")
    if options.here:
        return max(run_part(name, options.seed, options.seconds) for name in options.names)
    failed = [name for name in options.names or parts() if start_part(name, options) != 0]
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
