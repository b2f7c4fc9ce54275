"""What the conformance runs need on disk: environments, and tests from pinned source archives.

Everything lives under `.build/conformance` and is kept between runs.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from conformance.suites import SUITES, Suite

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build" / "conformance"
FLASK = SUITES[0]


def subject_python(group: str) -> Path:
    """Return the Python of a group's environment with this package and without Flask."""
    folder = BUILD / f"{group}-venv"
    _setup(group, folder)
    python = folder / "bin" / "python"
    there = [
        str(python),
        "-c",
        "import importlib.util as u; raise SystemExit(bool(u.find_spec('flask')))",
    ]
    if subprocess.run(there).returncode != 0:
        raise SystemExit(f"Flask is installed in {folder}; remove that folder and run again.")
    return python


def control_python(group: str) -> Path:
    """Return the Python of a group's environment with real Flask, from the same archive."""
    folder = BUILD / f"{group}-control-venv"
    _setup(group, folder)
    python = folder / "bin" / "python"
    stamp = folder / ".stamp-flask"
    if not stamp.exists():
        source = archive(FLASK, python)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += ["--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, str(source)], check=True)
        stamp.write_text(source.name)
    return python


def _setup(group: str, folder: Path) -> None:
    command = ["sh", "tools/setup", group, str(folder.relative_to(ROOT))]
    subprocess.run(command, cwd=ROOT, check=True)


def archive(suite: Suite, python: Path) -> Path:
    """Return the source archive, fetched by pip when it is not there; pip checks the hash."""
    folder = BUILD / "sdist" / suite.archive
    if not list(folder.glob("*.tar.gz")):
        command = [str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
        command += ["--require-hashes", "-r", str(suite.pins), "-d", str(folder)]
        subprocess.run(command, check=True)
    [file] = folder.glob("*.tar.gz")
    pinned = suite.pins.read_text().partition("sha256:")[2].split()[0]
    if sha256(file.read_bytes()).hexdigest() != pinned:
        file.unlink()
        raise SystemExit(f"{file.name} is not the pinned file; it was removed. Run again.")
    return file


def tests_folder(suite: Suite, python: Path) -> Path:
    """Return the folder that holds the suite's tests and pytest settings, unpacked afresh.

    The package's own source stays in the archive, so that no import can find it.
    """
    return unpack(archive(suite, python), BUILD / "tests" / suite.name, suite.root, suite.parts)


def unpack(archive: Path, target: Path, root: str, parts: Iterable[str]) -> Path:
    """Unpack what is in `parts` (folders end with "/") of the archive's folder `root`."""
    if target.exists():
        shutil.rmtree(target)
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            inner = member.name.partition("/")[2]
            content = source.extractfile(member) if member.isreg() else None
            if content is None or not inner.startswith(root):
                continue
            inner = inner.removeprefix(root)
            if any(inner == part or (part[-1] == "/" and inner.startswith(part)) for part in parts):
                file = target / inner
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())
    return target
