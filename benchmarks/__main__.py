"""`make bench`: time this package, Flask, Falcon and a bare WSGI callable on the same work.

Prints microseconds a request and ratios. `--check` exits with 1 when a limit is missed. With
`--subject flask` Flask stands in for this package, which tries the harness itself: its ratios come
out near 1.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import judge, report
from benchmarks.driver import Field, Times
from tools import proof, readme


def check(field: Field, times: Times, options: argparse.Namespace) -> int:
    """Print the limits, measuring those that are missed again; return the exit status."""
    open_limits = judge.limits()
    print("\nlimits")
    for attempt in range(1, judge.ATTEMPTS + 1):
        missing = judge.missed(times, open_limits)
        for limit in open_limits:
            if limit not in missing or attempt == judge.ATTEMPTS:
                word = "MISSED" if limit in missing else "kept"
                value = f"{limit.value(times):.3g}{limit.unit}"
                print(f"  {word:<7}{limit.name:<32}{value:>9}   at most {limit.most:g}{limit.unit}")
        open_limits = missing
        if not missing or attempt == judge.ATTEMPTS:
            break
        print(f"  measuring again: {', '.join(limit.name for limit in missing)}")
        times = field.measure(judge.groups(missing), options.rounds, options.seconds)
    return 1 if open_limits else 0


def tell(text: str) -> None:
    """Show progress on a terminal, and nothing in a log."""
    if sys.stderr.isatty():
        print(f"\r{text:<40}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a limit is missed")
    parser.add_argument("--subject", default=judge.SUBJECT, help="framework to judge (demijohn)")
    parser.add_argument("--rounds", type=int, default=25, help="rounds of each thing (25)")
    parser.add_argument("--seconds", type=float, default=0.03, help="a subject's round (0.03)")
    parser.add_argument(
        "--proof", action="store_true", help="write docs/proof/bench.json and README's table"
    )
    options = parser.parse_args()
    peers = {"flask": "flask", "falcon": "falcon", "bare": "bare"}
    frameworks = {judge.SUBJECT: options.subject, **peers}
    print(report.heading(frameworks), flush=True)
    with Field(frameworks) as field:
        everything = judge.groups(judge.limits())
        times = field.measure(everything, options.rounds, options.seconds, tell)
        tell("")
        print(f"\n{report.requests_table(times)}\n\n{report.micro_table(times)}", flush=True)
        if options.proof and options.subject == judge.SUBJECT:
            proof.record("bench", "make bench", report.figures(times, options.rounds))
            readme.write()
        return check(field, times, options) if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
