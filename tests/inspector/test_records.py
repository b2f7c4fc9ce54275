"""Records of contexts: in JSON's form and back, and as text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demijohn.inspector.records import (
    ContextRecord,
    HeldRecord,
    Snapshot,
    age_text,
    snapshot_from,
)
from demijohn.inspector.text import can_draw, tree

held = st.builds(HeldRecord)
contexts = st.recursive(
    st.builds(ContextRecord, held=st.lists(held, max_size=2).map(tuple), children=st.just(())),
    lambda below: st.builds(
        ContextRecord,
        held=st.just(()),
        children=st.lists(below, max_size=3).map(tuple),
    ),
    max_leaves=6,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, finite)


@settings(max_examples=30)
@given(st.builds(Snapshot, contexts=st.lists(contexts, max_size=3).map(tuple)))
def test_json_and_back(snapshot: Snapshot) -> None:
    """What JSON's form is read to is what it was made of; its text has a line for each part."""
    assert snapshot_from(json.loads(json.dumps(snapshot.plain()))) == snapshot
    every = [one for top in snapshot.contexts for one in top.walk()]
    assert snapshot.count == len(every)
    lines = list(tree(snapshot))
    wanted = sum(2 + bool(one.begun_at) + len(one.held) for one in every) or 1
    assert len(lines) == wanted
    assert all(line.isprintable() for line in lines)


def example() -> Snapshot:
    """A request that holds a resource, with two contexts below it."""
    plain = ContextRecord(
        number=2, app="site", kind="app context", method=None, path=None, endpoint=None, age=0.25,
        work="thread worker", state="current", outcome="ok", begun_at="site.py:7 work",
    )  # fmt: skip
    request = ContextRecord(
        number=1, app="site", kind="request", method="GET", path="/a\x1b[31m", endpoint="a", age=75,
        work="thread main", state="streaming", outcome="handled", begun_at="",
        held=(HeldRecord("connection", "view", 3.14, "site.py:5 a", "main"),),
        children=(plain, plain),
    )  # fmt: skip
    return Snapshot(taken="now", pid=1, contexts=(request,))


def test_text_is_a_tree() -> None:
    """Children stand under their parents, and control characters of a path do not get through."""
    assert list(tree(example())) == [
        "request GET /a\N{REPLACEMENT CHARACTER}[31m  1 min 15 s  streaming, handled so far",
        "│  site, endpoint a, thread main",
        "│  holds connection (view)  3.1 s  opened at site.py:5 a, thread main",
        "├─ app context  0.2 s  current, ok so far",
        "│     site, thread worker",
        "│     begun at site.py:7 work",
        "└─ app context  0.2 s  current, ok so far",
        "      site, thread worker",
        "      begun at site.py:7 work",
    ]
    assert list(tree(Snapshot(taken="now", pid=1))) == ["No live contexts."]


def test_text_in_ascii() -> None:
    """Where the terminal cannot show lines, the tree is drawn without."""
    lines = list(tree(example(), drawn=False))
    assert lines[3:5] == ["|- app context  0.2 s  current, ok so far", "|     site, thread worker"]
    assert [can_draw(name) for name in ("utf-8", "ascii", None, "no such")] == [
        True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.99, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90061, "25 h 1 min"),
    ],
)
def test_age_text(seconds: float, text: str) -> None:
    """Ages are in the two largest units that fit."""
    assert age_text(seconds) == text
