"""What the documents show works, and README's figures are the recorded ones."""

from __future__ import annotations

import itertools
import re
import types
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from demijohn.context.lifecycle import TABLE
from tools import lifecycle, readme

ROOT = Path(__file__).resolve().parent.parent
BENCH: dict[str, Any] = {
    "commit": "abc",
    "date": "2026-01-02T03:04:05+00:00",
    "machine": {"processor": "P", "cores": 2, "python": "CPython 3.11.7"},
    "figures": {
        "requests": {
            name: {
                "microseconds": {
                    label: {"median": median}
                    for label, median in (("demijohn", 5.0), ("flask", 50.0), ("falcon", 6.0))
                },
                "ratio": {"flask": 0.1},
            }
            for name in readme.TITLES
        }
    },
}


def test_the_application_in_the_readme_works() -> None:
    """README's whole application answers as a reader expects."""
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    module = types.ModuleType("hello")
    exec(compile(source, "hello.py", "exec"), module.__dict__)
    client = module.app.test_client()
    assert client.get("/?user=ada").get_json() == {"hello": "ada"}
    assert client.get("/").get_json() == {"hello": "world"}


CODE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def prose(document: Path) -> str:
    """The text of a document without its code."""
    return CODE.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """What its headings are linked by."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_what_documents_link_to_exists() -> None:
    """A relative link in a document leads to a file or folder of this repository, and to a heading
    that is there."""
    documents = [ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), ROOT.glob("examples/*/*.md")]
    for document in itertools.chain.from_iterable(documents):
        for file, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", prose(document)):
            target = document.parent / file if file else document
            assert target.exists(), f"{document.name} links to {file}"
            assert not anchor or anchor in anchors(target), f"{document.name}: {file}#{anchor}"


def test_the_readme_shows_the_recorded_figures() -> None:
    """README's table is made from docs/proof/bench.json and nothing else."""
    assert readme.README.read_text() == readme.current()


def test_figures_replace_figures() -> None:
    """Writing the table twice gives what writing it once gives, and it holds each workload."""
    text = f"a\n{readme.BEGIN}\nold\n{readme.END}\nz"
    once = readme.rewritten(text, readme.table(BENCH))
    assert once == readme.rewritten(once, readme.table(BENCH))
    assert once.count("10.0 times faster") == len(readme.TITLES)
    assert once.startswith("a\n")
    assert once.endswith("\nz")
    assert "old" not in once


def test_a_readme_without_markers_is_refused() -> None:
    """Figures have a place in README or the check fails."""
    with pytest.raises(ValueError, match="markers"):
        readme.rewritten("no markers", "figures")


def test_the_drawn_life_cycle_is_the_tables() -> None:
    """docs/lifecycle.svg is made from the table, has a title and says each transition in words."""
    assert lifecycle.DRAWING.read_text() == lifecycle.drawing()
    svg = ET.fromstring(lifecycle.DRAWING.read_text())
    texts = {child.tag.rpartition("}")[2]: child.text or "" for child in svg}
    assert texts["title"]
    for (state, _), after in TABLE.items():
        assert f"From {state.name} to {after.name}: " in texts["desc"]
    assert len(svg.findall("{*}path")) == len(TABLE)


def test_a_changed_table_makes_the_drawing_stale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A control: an arrow that leads elsewhere, or one more or less, fails the check."""
    assert lifecycle.main([]) == 0
    transition = next(iter(TABLE))
    with monkeypatch.context() as patch:
        patch.setitem(TABLE, transition, lifecycle.State.ENDED)
        assert lifecycle.main([]) == 1
    with monkeypatch.context() as patch:
        patch.delitem(TABLE, transition)
        with pytest.raises(ValueError, match="does not draw"):
            lifecycle.main([])
    assert "--write" in capsys.readouterr().out
