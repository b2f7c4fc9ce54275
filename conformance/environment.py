"""What the conformance run needs on disk: environments, and Flask's tests from its source archive.

Everything lives under `.build/conformance` and is kept between runs.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build" / "conformance"
PINNED = ROOT / "conformance" / "sdist.txt"
FLASK = "3.1.3"


def subject_python() -> Path:
    """Return the Python of the environment with this package and without Flask."""
    folder = BUILD / "venv"
    _setup(folder)
    python = folder / "bin" / "python"
    there = [
        str(python),
        "-c",
        "import importlib.util as u; raise SystemExit(bool(u.find_spec('flask')))",
    ]
    if subprocess.run(there).returncode != 0:
        raise SystemExit(f"Flask is installed in {folder}; remove that folder and run again.")
    return python


def control_python() -> Path:
    """Return the Python of the environment with real Flask, from the same archive."""
    folder = BUILD / "control-venv"
    _setup(folder)
    python = folder / "bin" / "python"
    stamp = folder / ".stamp-flask"
    if not stamp.exists():
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += ["--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, str(_archive())], check=True)
        stamp.write_text(FLASK)
    return python


def _setup(folder: Path) -> None:
    command = ["sh", "tools/setup", "conformance", str(folder.relative_to(ROOT))]
    subprocess.run(command, cwd=ROOT, check=True)


def _pinned_hash() -> str:
    return PINNED.read_text().partition("sha256:")[2].split()[0]


def _archive() -> Path:
    """Return the source archive, fetched by pip when it is not there; pip checks the hash."""
    folder = BUILD / "sdist"
    archive = folder / f"flask-{FLASK}.tar.gz"
    if not archive.exists():
        python = BUILD / "venv" / "bin" / "python"
        command = [str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-binary", "flask", "--no-build-isolation", "--require-hashes"]
        subprocess.run([*command, "-r", str(PINNED), "-d", str(folder)], check=True)
    if sha256(archive.read_bytes()).hexdigest() != _pinned_hash():
        archive.unlink()
        raise SystemExit(f"{archive.name} is not the pinned file; it was removed. Run again.")
    return archive


def tests_folder() -> Path:
    """Return the folder that holds Flask's `tests` and its pytest settings, unpacked afresh.

    Flask's own source stays in the archive, so that no import can find it.
    """
    archive = _archive()
    target = BUILD / "flask-tests"
    if target.exists():
        shutil.rmtree(target)
    prefix = f"flask-{FLASK}/"
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            inner = member.name.removeprefix(prefix)
            content = source.extractfile(member) if member.isreg() else None
            if content and (inner.startswith("tests/") or inner == "pyproject.toml"):
                file = target / inner
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())
    return target
