"""Servers: every fault of docs/servers.md under gunicorn's threads and greenlets, 50 times each."""

from __future__ import annotations

from soak import _servers

SECONDS = _servers.SECONDS


def run(seed: int, seconds: float) -> dict[str, object]:
    """Run the cells of these rows; raise `SoakFailure` for one that does not hold."""
    return _servers.run(seed, seconds, "gunicorn, gthread worker", "gunicorn, gevent worker")
