"""The soak runner finds its parts, and its growth part fails on a framework that leaves garbage."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random

import pytest
from machine import faults
from machine.invariants import INVARIANTS

from soak import SoakFailure, growth, isolation, mutants
from soak.__main__ import parts
from tools import proof


def test_every_part_keeps_the_contract() -> None:
    """Each module found has a describing line, a duration that fits its limit, and `run`."""
    assert "growth" in parts()
    for name in parts():
        part = import_module(f"soak.{name}")
        assert part.__doc__
        assert 0 < part.SECONDS <= 480
        assert callable(part.run)


def test_growth_notices_cyclic_garbage() -> None:
    """Flask 3.1.3 leaves cyclic garbage after a request, and the growth part says so."""
    with pytest.raises(SoakFailure, match="cyclic garbage") as caught:
        growth.run(seed=1, seconds=0.1, subject="flask")
    assert "not found" in str(caught.value)


def test_growth_notices_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage that the first look misses still shows as growth over many requests."""
    monkeypatch.setattr(growth, "garbage", lambda *arguments: Counter[str]())
    monkeypatch.setattr(growth, "BATCH", 100)
    with pytest.raises(SoakFailure, match=r"memory grew|more objects live"):
        growth.run(seed=1, seconds=0.1, subject="flask")


def test_growth_notices_a_wrong_answer() -> None:
    """A request that gets another status than it must is a failure, not a figure."""
    app = growth.build(import_module("flask"))
    with pytest.raises(SoakFailure, match="expected 201"):
        growth.call(app, growth.kinds()["text"][1], 201)


@pytest.mark.parametrize("patch", mutants.patches(), ids=lambda patch: patch.stem)
def test_a_mutants_patch_applies(patch: Path) -> None:
    """Each patch under `tests/mutants` applies to the source and names an invariant."""
    assert mutants.invariant(patch) in INVARIANTS
    applied = mutants.apply(patch, proof.ROOT, "--check")
    assert applied.returncode == 0, applied.stdout


def test_every_invariant_has_a_mutant() -> None:
    """Each invariant of the machine has a patch that breaks it."""
    assert sorted(map(mutants.invariant, mutants.patches())) == sorted(INVARIANTS)


def test_a_harmless_mutant_fails_the_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch that breaks nothing is no mutant, nor is one that does not apply."""
    monkeypatch.setattr(mutants, "EXAMPLES", 2)
    monkeypatch.setattr(mutants, "ATTEMPTS", 1)
    file = "src/demijohn/version.py"
    lines = (proof.ROOT / file).read_text().splitlines()
    change = f"--- a/{file}\n+++ b/{file}\n@@ -1,2 +1,3 @@\n {lines[0]}\n+\n {lines[1]}\n"
    patch = tmp_path / "08_harmless.patch"
    patch.write_text(f"Invariant: 8\nNothing changes.\n\n{change}")
    with pytest.raises(SoakFailure, match="no program said 'invariant 8"):
        mutants.kill(patch, Random(1))
    patch.write_text(patch.read_text().replace(lines[0], "another line"))
    with pytest.raises(SoakFailure, match="does not apply"):
        mutants.kill(patch, Random(1))


def test_fifty_thousand_requests_leave_nothing() -> None:
    """Requests with errors, streams, resources, callbacks and children leave nothing behind."""
    figures = growth.run(seed=1, seconds=0, requests=50_000)
    assert figures["requests"] == 50_000


def test_each_sees_its_own() -> None:
    """Over threads, greenlets, tasks and streams, no check of isolation is wrong."""
    figures = isolation.run(seed=1, seconds=0, checks=100_000)
    assert figures["wrong"] == 0


def test_isolation_notices_what_flask_does() -> None:
    """The same on Flask 3.1.3, whose streams hold a context over their steps, is found wrong."""
    with pytest.raises(SoakFailure, match="checks wrong"):
        isolation.run(seed=1, seconds=0, subject="flask", checks=100_000)


@pytest.mark.leaves_behind
def test_isolation_notices_a_planted_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that run in the Context of the code that steps them are found out."""
    faults.request_in_its_callers_context(monkeypatch)
    with pytest.raises(SoakFailure, match="checks wrong"):
        isolation.run(seed=1, seconds=0, checks=100_000)
