"""Servers: every fault of docs/servers.md under Granian by its own command, 50 times each."""

from __future__ import annotations

from soak import _servers

SECONDS = _servers.SECONDS


def run(seed: int, seconds: float) -> dict[str, object]:
    """Run the cells of these rows; raise `SoakFailure` for one that does not hold."""
    return _servers.run(seed, seconds, "Granian, ASGI")
