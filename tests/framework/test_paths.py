"""Where applications live on disk, compared with Flask's answers for the same modules."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import flask.helpers
import flask.sansio.scaffold
import pytest
from flask import Flask

from demijohn.framework.paths import auto_instance_path, find_package, get_root_path


def same(ours: Callable[[str], object], theirs: Callable[[str], object], name: str) -> object:
    """Assert that both answer alike, or raise the same error; return the answer or the type."""
    results: list[object] = []
    for function in (ours, theirs):
        try:
            results.append(function(name))
        except Exception as error:
            results.append(type(error))
    assert results[0] == results[1]
    return results[0]


def root_of(name: str) -> object:
    return same(get_root_path, flask.helpers.get_root_path, name)


def package_of(name: str) -> object:
    return same(find_package, flask.sansio.scaffold.find_package, name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]
    importlib.invalidate_caches()


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize(
    ("name", "root"),
    [("mod_a", ""), ("pkg_a", "pkg_a"), ("pkg_a.sub", "pkg_a"), ("pkg_a.deep", "pkg_a/deep")],
)
def test_module_and_package(site: Path, name: str, root: str, imported: bool) -> None:
    """A module's root is its folder, a package's is itself, imported or not."""
    write(site, "mod_a.py", "pkg_a/__init__.py", "pkg_a/sub.py", "pkg_a/deep/__init__.py")
    if imported:
        importlib.import_module(name)
    assert root_of(name) == str(site / root).rstrip("/")
    assert package_of(name) == (None, str(site))


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize(
    "name", ["space", "space.pkg", "space.mod", "space.inner", "space.inner.pkg"]
)
def test_namespace_package(site: Path, name: str, imported: bool) -> None:
    """A namespace package with one portion, and what lies in it, are found as by Flask."""
    write(site, "space/pkg/__init__.py", "space/mod.py", "space/inner/pkg/__init__.py")
    if imported:
        importlib.import_module(name)
    root_of(name)
    assert package_of(name) == (None, str(site))


@pytest.mark.parametrize("portion", ["one", "two"])
def test_namespace_of_two_portions(site: Path, portion: str) -> None:
    """Of a namespace package's portions, the one with the named package counts."""
    write(site, "one/space/pkg_one/__init__.py", "two/space/pkg_two/__init__.py")
    sys.path[:0] = [str(site / "one"), str(site / "two")]
    assert package_of(f"space.pkg_{portion}") == (None, str(site / portion))
    assert root_of(f"space.pkg_{portion}") == str(site / portion / "space" / f"pkg_{portion}")


def test_namespace_package_itself_with_two_portions(site: Path) -> None:
    """For a namespace package with several portions the first counts, where Flask fails."""
    write(site, "one/space/a.py", "two/space/b.py")
    sys.path[:0] = [str(site / "one"), str(site / "two")]
    assert find_package("space") == (None, str(site / "one"))
    with pytest.raises(StopIteration):
        flask.sansio.scaffold.find_package("space")


def test_namespace_package_not_imported(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root of a namespace package not imported yet is the working directory, as in Flask, and
    asking does not import it."""
    write(site, "space/mod.py")
    monkeypatch.chdir(site.parent)
    assert get_root_path("space") == flask.helpers.get_root_path("space") == str(site.parent)
    assert "space" not in sys.modules


def test_imported_namespace_package_has_no_root(site: Path) -> None:
    """The root of an imported namespace package is refused, with the remedy."""
    write(site, "space/mod.py")
    importlib.import_module("space")
    with pytest.raises(RuntimeError, match=r"No root path can be found.*'space'.*root_path"):
        get_root_path("space")


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("name", ["zmod", "zpkg", "zpkg.sub"])
def test_zipped(site: Path, name: str, imported: bool) -> None:
    """What is imported from an archive has its root in that archive."""
    archive = site / "app.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for member in ("zmod.py", "zpkg/__init__.py", "zpkg/sub.py"):
            file.writestr(member, "")
    sys.path.insert(0, str(archive))
    if imported:
        importlib.import_module(name)
    assert root_of(name) == str(archive / ("" if name == "zmod" else "zpkg"))
    assert package_of(name) == (None, str(archive))


@pytest.mark.parametrize("filename", [None, "there/main.py"])
def test_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, filename: str | None) -> None:
    """`__main__` is where its file is, or in the working directory if it has none."""
    monkeypatch.chdir(tmp_path)
    main = ModuleType("__main__")
    if filename is not None:
        main.__file__ = filename
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert root_of("__main__") == str(tmp_path / "there" if filename else tmp_path)
    assert package_of("__main__") == (None, str(tmp_path))


def test_module_whose_file_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module without spec and with the file None counts as one without a file."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("nofile")
    module.__file__ = None
    monkeypatch.setitem(sys.modules, "nofile", module)
    assert root_of("nofile") == str(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "no_such_module",
        "no_such_module.sub",
        "json.no_such",
        "",
        ".",
        ".rel",
        "a..b",
        "sys",
        "builtins",
        "zipimport",
    ],
)
def test_unusual_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """Unknown, malformed, built-in and frozen names give what they give in Flask."""
    monkeypatch.chdir(tmp_path)
    root_of(name)
    package_of(name)


class BareLoader(importlib.abc.Loader):
    """A loader that cannot tell a file; the module that it makes may."""

    def __init__(self, filename: str | None) -> None:
        self.filename = filename

    def exec_module(self, module: ModuleType) -> None:
        if self.filename is not None:
            module.__file__ = self.filename


class BareFinder(importlib.abc.MetaPathFinder):
    def __init__(self, **files: str | None) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.files:
            return None
        return importlib.machinery.ModuleSpec(fullname, BareLoader(self.files[fullname]))


def test_loader_without_get_filename(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that cannot tell the file has the module imported, which may know or not."""
    finder = BareFinder(hooked=str(site / "hooked.py"), fileless=None)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    assert "hooked" not in sys.modules
    assert root_of("hooked") == str(site)
    assert root_of("fileless") is RuntimeError


LAYOUTS = [
    ("venv/lib/python3.11/site-packages", "venv"),
    ("venv/Lib/site-packages", "venv"),
    ("venv/LIB/python3/Site-Packages", "venv"),
    ("venv/site-packages", "venv"),
    ("venv/lib64/python3.11/site-packages", "venv/lib64/python3.11"),
    ("venv/lib/python3.11/dist-packages", None),
    ("src", None),
]


@pytest.mark.parametrize(("layout", "prefix"), LAYOUTS)
@pytest.mark.parametrize(
    "module", ["installed_mod.py", "installed_pkg/__init__.py", "ins/pkg/__init__.py"]
)
def test_install_layouts(site: Path, layout: str, prefix: str | None, module: str) -> None:
    """A package in some site-packages has the prefix around it; elsewhere it has none."""
    folder = site / layout
    write(folder, module)
    sys.path.insert(0, str(folder))
    name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    expected = None if prefix is None else str(site / prefix)
    assert package_of(name) == (expected, str(folder))


@pytest.mark.parametrize("below", [True, False])
def test_system_prefix(site: Path, monkeypatch: pytest.MonkeyPatch, below: bool) -> None:
    """What lies under `sys.prefix` is installed there, but not in a folder of a like name."""
    write(site, "usr/lib/mod_p.py", "usr-other/mod_p.py")
    sys.path.insert(0, str(site / ("usr/lib" if below else "usr-other")))
    monkeypatch.setattr(sys, "prefix", str(site / "usr"))
    found = package_of("mod_p")
    assert found == (
        (str(site / "usr"), str(site / "usr/lib")) if below else (None, str(site / "usr-other"))
    )


@pytest.mark.parametrize("layout", [layout for layout, _ in LAYOUTS])
def test_instance_path(site: Path, layout: str) -> None:
    """The instance folder is where Flask puts it."""
    folder = site / layout
    write(folder, "inst_pkg/__init__.py")
    sys.path.insert(0, str(folder))
    theirs = Flask("inst_pkg").instance_path
    assert auto_instance_path("inst_pkg", "inst_pkg") == theirs
    assert os.path.isabs(theirs)
