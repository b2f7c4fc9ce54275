"""Where an application's own and instance folders are, and what it opens there."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from .kit import Framework, same

APP = "from {framework} import Flask\napp = Flask({arguments})\n"
LAYOUTS = {
    "module": ("", "site_{f}.py"),
    "package": ("", "site_{f}/__init__.py"),
    "module of a package": ("", "site_{f}/views.py"),
    "package of a package": ("", "site_{f}/sub/__init__.py"),
    "namespace package": ("", "space_{f}/site.py"),
    "installed module": ("venv/lib/python3.11/site-packages", "site_{f}.py"),
    "installed package": ("venv/lib/python3.11/site-packages", "site_{f}/__init__.py"),
    "installed for one user": ("home/.local/lib/python3.11/site-packages", "site_{f}/__init__.py"),
    "installed on Windows": ("venv/Lib/site-packages", "site_{f}/__init__.py"),
    "an egg": ("venv/lib/python3.11/site-packages/site.egg", "site_{f}/__init__.py"),
}
ARGUMENTS = ["__name__", "__name__.partition('.')[0]", "__name__, instance_relative_config=True"]


def import_site(
    framework: Framework, folder: Path, layout: str, arguments: str, monkeypatch: pytest.MonkeyPatch
) -> Any:
    below, file = LAYOUTS[layout]
    file = file.format(f=framework.__name__)
    path = folder / below / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if layout in {"module of a package", "package of a package"}:
        (folder / below / file.split("/")[0] / "__init__.py").touch()
    path.write_text(APP.format(framework=framework.__name__, arguments=arguments))
    monkeypatch.syspath_prepend(str(folder / below))
    name = file.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
    try:
        return importlib.import_module(name).app
    finally:
        for module in list(sys.modules):
            if module.partition(".")[0] == name.partition(".")[0]:
                del sys.modules[module]


# A namespace package itself has no folder of its own to be the root.
FOLDERS = [
    (layout, arguments)
    for layout in LAYOUTS
    for arguments in ARGUMENTS
    if "namespace" not in layout or "partition" not in arguments
]


@pytest.mark.parametrize(("layout", "arguments"), FOLDERS)
def test_folders(
    layout: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a module, a package, and what is installed, both folders are where Flask finds them."""

    def ask(framework: Framework) -> Any:
        app = import_site(framework, tmp_path, layout, arguments, monkeypatch)
        found = app.root_path, app.instance_path, app.static_folder, app.config.root_path
        return [path.replace(framework.__name__, "F") for path in found]

    root, instance, _, config = same(ask)
    assert os.path.isabs(root) and os.path.isabs(instance)
    assert ("var" in Path(instance).parts) is ("installed" in layout)
    assert config == (instance if "relative_config" in arguments else root)


def test_a_prefix_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies below `sys.prefix` has its instance folder in there."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    def ask(framework: Framework) -> Any:
        app = import_site(framework, tmp_path, "package", "__name__", monkeypatch)
        return app.instance_path.replace(framework.__name__, "F")

    assert same(ask) == str(tmp_path / "var" / "site_F-instance")


@pytest.mark.parametrize("path", ["relative", "./here", ""])
def test_a_relative_instance_path(path: str) -> None:
    """An instance path has to be absolute."""

    def ask(framework: Framework) -> Any:
        with pytest.raises(ValueError) as error:
            framework.Flask("site_of_parity", root_path="/nowhere", instance_path=path)
        return str(error.value)[:53]

    same(ask)


MODES = [
    *[("open_resource", mode, {}) for mode in ("r", "rt", "rb", "w", "rb+", "a")],
    *[("open_instance_resource", mode, {}) for mode in ("r", "rb", "w", "wb", "a", "r+", "x")],
    ("open_resource", "r", {"encoding": "latin-1"}),
    ("open_resource", "rb", {"encoding": "latin-1"}),
    ("open_instance_resource", "r", {"encoding": "latin-1"}),
    ("open_instance_resource", "w", {"encoding": "latin-1"}),
    ("open_instance_resource", "rb", {"encoding": "latin-1"}),
]


@pytest.mark.parametrize("of", ["app", "blueprint"])
@pytest.mark.parametrize(("method", "mode", "options"), MODES)
def test_opened_files(
    method: str, mode: str, options: dict[str, str], of: str, tmp_path: Path
) -> None:
    """Files of both folders are opened, in every mode and encoding, or refused as by Flask."""

    def ask(framework: Framework) -> Any:
        folder = tmp_path / framework.__name__
        (folder / "instance").mkdir(parents=True)
        for path in (folder / "file.txt", folder / "instance" / "file.txt"):
            path.write_bytes("é\r\nü".encode())
        owner = (
            framework.Flask("s", root_path=str(folder), instance_path=str(folder / "instance"))
            if of == "app"
            else framework.Blueprint("b", "s", root_path=str(folder))
        )
        try:
            with getattr(owner, method)("file.txt", mode, **options) as file:
                if "r" in mode:
                    return file.encoding if "b" not in mode else None, file.read()
                file.write(b"\xe9" if "b" in mode else "é")
            return (folder / "instance" / "file.txt").read_bytes()
        except Exception as error:
            return type(error).__name__, str(error).replace(framework.__name__, "F")

    same(ask)
