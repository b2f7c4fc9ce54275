"""Servers: how soon a client that leaves is noticed, and health among 500 idle streams."""

from __future__ import annotations

from soak import _servers

SECONDS = 480.0


def run(seed: int, seconds: float) -> dict[str, object]:
    """Time the cells one at a time; raise `SoakFailure` for what takes longer than it may."""
    return _servers.run_alone(
        seed,
        seconds,
        columns={"F9": 25, "F25": 10},
        limits={"F9 async": 100.0, "F25 health": 50.0},
    )
