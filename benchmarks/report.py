"""The tables that `make bench` prints and the figures that it writes."""

from __future__ import annotations

from importlib.util import find_spec
from statistics import median

from benchmarks.driver import Times
from benchmarks.judge import SUBJECT, above_plain, ratio
from benchmarks.micro import READS
from benchmarks.workloads import WORKLOADS
from tools import proof

PACKAGES = ("demijohn", "flask", "falcon", "werkzeug")


def heading(frameworks: dict[str, str]) -> str:
    """Return machine, versions and commit as lines."""
    where = proof.machine()
    versions = ", ".join(f"{name} {number}" for name, number in proof.versions(*PACKAGES).items())
    lines = [
        f"machine   {where['processor']}, {where['cores']} cores, {where['system']}",
        f"versions  {where['python']}, {versions}; Falcon is {falcon_build()}",
        f"commit    {proof.commit()}",
    ]
    if frameworks[SUBJECT] != SUBJECT:
        lines.append(f"NOTE      {frameworks[SUBJECT]} stands in for {SUBJECT}: a trial run")
    return "\n".join(lines)


def falcon_build() -> str:
    """Return how much of the installed Falcon is compiled: its app, its helpers or nothing."""
    import falcon.app

    if not str(falcon.app.__file__).endswith(".py"):
        return "compiled"
    return "compiled in its helpers" if find_spec("falcon.cyutil.uri") else "pure Python"


def requests_table(times: Times) -> str:
    """Return microseconds a request and the ratios, a row a workload: median over rounds (best)."""
    labels = [label for label in (SUBJECT, "flask", "falcon", "bare") if label in times["hello"]]
    peers = [peer for peer in ("flask", "falcon") if peer in labels and peer != SUBJECT]
    head = f"{'processor µs a request: median (best)':<40}" + "".join(f"{x:>16}" for x in labels)
    head += "".join(f"{'/ ' + peer:>10}" for peer in peers)
    lines = [head]
    for load in WORKLOADS:
        cells = ""
        for label in labels:
            own = times[load.name][label]
            cells += f"{median(own) / 1e3:>9.2f} {'(%.2f)' % (min(own) / 1e3):>6}"
        cells += "".join(f"{ratio(times, load.name, SUBJECT, peer):>10.3f}" for peer in peers)
        lines.append(f"{load.name + ': ' + load.title:<40}" + cells)
    return "\n".join(lines)


def micro_table(times: Times) -> str:
    """Return nanoseconds of the small things for the subject and Flask."""
    lines = [f"{'processor ns: median':<40}{SUBJECT:>16}{'flask':>16}{'/ flask':>10}"]
    own, flask = (median(times["app_context"][label]) for label in (SUBJECT, "flask"))
    share = ratio(times, "app_context", SUBJECT, "flask")
    lines.append(f"{'with app.app_context(): pass':<40}{own:>16.0f}{flask:>16.0f}{share:>10.3f}")
    for read in READS:
        own, flask = (median(times[read][label]) for label in (SUBJECT, "flask"))
        share = ratio(times, read, SUBJECT, "flask")
        lines.append(f"{'read ' + read:<40}{own:>16.1f}{flask:>16.1f}{share:>10.3f}")
        own, flask = (above_plain(times, read, label) for label in (SUBJECT, "flask"))
        lines.append(f"{'  above the plain read':<40}{own:>16.1f}{flask:>16.1f}")
    return "\n".join(lines)


def figures(times: Times, rounds: int) -> dict[str, object]:
    """Return what is written to `docs/proof/bench.json`."""
    loads = {
        load.name: {
            "microseconds": {
                label: {"median": _us(median(own)), "best": _us(min(own))}
                for label, own in times[load.name].items()
            },
            "ratio": {
                peer: round(ratio(times, load.name, SUBJECT, peer), 4)
                for peer in times[load.name]
                if peer != SUBJECT
            },
        }
        for load in WORKLOADS
    }
    reads = {
        read: {
            label: {"ns": round(median(own), 1), "above plain": _ns(times, read, label)}
            for label, own in times[read].items()
        }
        for read in READS
    }
    context = {label: round(median(own)) for label, own in times["app_context"].items()}
    share = round(ratio(times, "app_context", SUBJECT, "flask"), 4)
    return {
        "versions": proof.versions(*PACKAGES) | {"falcon build": falcon_build()},
        "rounds": rounds,
        "requests": loads,
        "app_context": {"ns": context, "ratio": {"flask": share}},
        "proxy reads": reads,
    }


def _us(nanoseconds: float) -> float:
    return round(nanoseconds / 1e3, 3)


def _ns(times: Times, read: str, label: str) -> float:
    return round(above_plain(times, read, label), 1)
