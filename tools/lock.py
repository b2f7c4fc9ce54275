"""Resolve `requirements/*.in` into `requirements/*.txt`, every package pinned.

Run by hand when a dependency changes: `python tools/lock.py [--python PATH ...]`. Each file is
resolved by pip itself on every interpreter given (pip's `--dry-run --report`); what the
interpreters disagree about gets an environment marker. Nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
FILES = ("core", "test", "dev", "conformance", "extensions")
# These stand alone: the others keep the pins of those before them.
ALONE = ("conformance", "extensions")
# Extensions ask for Flask; their environment is there to see them run without it.
LEFT_OUT = {"extensions": {"flask"}}


def resolve(python: str, source: Path, constraints: Path | None) -> dict[str, str]:
    """Return what pip would install from `source` on `python`, as name -> version."""
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--report", "-", "-r", str(source)]
    if constraints is not None:
        command += ["-c", str(constraints)]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"]
        for item in report["install"]
    }


def minor(python: str) -> str:
    """Return the interpreter's version as environment markers write it, "3.11"."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def merge(found: dict[str, dict[str, str]]) -> list[str]:
    """Return requirement lines for what each Python version resolved to.

    A pin that all agree on has no marker; the newest interpreter's answer also stands for versions
    that were not asked.
    """
    versions = sorted(found, key=lambda text: [int(part) for part in text.split(".")])
    lines = []
    for name in sorted({name for pins in found.values() for name in pins}):
        answers = {version: found[version].get(name) for version in versions}
        if len(set(answers.values())) == 1:
            lines.append(f"{name}=={answers[versions[0]]}")
            continue
        for version, pin in answers.items():
            if pin is not None:
                operator = ">=" if version == versions[-1] else "=="
                lines.append(f'{name}=={pin} ; python_version {operator} "{version}"')
    return lines


def main() -> None:
    """Write every `.txt`; later files keep the pins of earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", help="an interpreter; may be given again")
    pythons = parser.parse_args().python or [sys.executable]
    written: list[Path] = []
    for name in FILES:
        source = REQUIREMENTS / f"{name}.in"
        base = next((path for path in reversed(written) if name not in ALONE), None)
        found = {minor(python): resolve(python, source, base) for python in pythons}
        for pins in found.values():
            for package in LEFT_OUT.get(name, ()):
                pins.pop(package, None)
        target = REQUIREMENTS / f"{name}.txt"
        head = f"# Written by tools/lock.py from {source.name}; change that file.\n"
        target.write_text(head + "\n".join(merge(found)) + "\n")
        written.append(target)
        print(f"{target.name}: {len(merge(found))} pins")


if __name__ == "__main__":
    main()
