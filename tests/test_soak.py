"""The soak runner finds its parts, and its growth part fails on a framework that leaves garbage."""

from __future__ import annotations

from collections import Counter
from importlib import import_module

import pytest

from soak import SoakFailure, growth
from soak.__main__ import parts


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
