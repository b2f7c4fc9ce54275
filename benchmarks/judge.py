"""What the times mean: medians, ratios taken round by round, and the limits that must hold.

Noise: times are processor time, so waiting for a busy machine does not count. A ratio is the median
over rounds of the two neighbours' quotient, so a slow moment of the machine that hits both counts
for neither. A limit that is missed is measured again, `ATTEMPTS` times in all, and holds when one
attempt keeps it: a disturbance passes, a real slowdown misses every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.driver import Times
from benchmarks.micro import READS, plain
from benchmarks.workloads import WORKLOADS

ATTEMPTS = 3
SUBJECT = "demijohn"
REQUEST_LIMIT = 1 / 8
APP_CONTEXT_LIMIT = 0.4
PROXY_LIMIT_NS = 60.0


def ratio(times: Times, thing: str, subject: str, peer: str) -> float:
    """Return the median over rounds of subject's time divided by peer's."""
    pairs = zip(times[thing][subject], times[thing][peer], strict=True)
    return median(own / other for own, other in pairs)


def above_plain(times: Times, read: str, subject: str) -> float:
    """Return by how many nanoseconds a proxy's read is slower than the plain one of its round."""
    pairs = zip(times[read][subject], times[plain(read)][subject], strict=True)
    return median(proxied - direct for proxied, direct in pairs)


@dataclass(frozen=True)
class Limit:
    """One thing that must hold: a value that may not exceed `most`."""

    name: str
    things: tuple[str, ...]
    most: float
    unit: str

    def value(self, times: Times) -> float:
        """Return the subject's value: a ratio to Flask, or nanoseconds above a plain read."""
        if self.unit == "ns":
            return above_plain(times, self.things[0], SUBJECT)
        return ratio(times, self.things[0], SUBJECT, "flask")

    def holds(self, times: Times) -> bool:
        """Tell whether the value is within the limit."""
        return self.value(times) <= self.most


def limits() -> list[Limit]:
    """Return all limits, in the order of the tables."""
    found = [Limit(f"{load.name} / Flask", (load.name,), REQUEST_LIMIT, "x") for load in WORKLOADS]
    found.append(Limit("app_context / Flask", ("app_context",), APP_CONTEXT_LIMIT, "x"))
    for read in READS:
        found.append(Limit(f"{read} above plain", (read, plain(read)), PROXY_LIMIT_NS, "ns"))
    return found


def groups(among: Sequence[Limit]) -> list[tuple[str, ...]]:
    """Return what must be timed for these limits, each limit's things to be timed side by side."""
    return list(dict.fromkeys(limit.things for limit in among))


def missed(times: Times, among: Sequence[Limit]) -> list[Limit]:
    """Return the limits that these times do not keep."""
    return [limit for limit in among if not limit.holds(times)]
