"""The table of measured figures in README.md, made from `docs/proof/bench.json`.

`make bench ARGS=--proof` rewrites both; `python -m tools.readme` fails when they differ, so a
figure that nobody measured cannot stay.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tools import proof

README = proof.ROOT / "README.md"
BENCH = proof.PROOF / "bench.json"
BEGIN, END = "<!-- figures: written by `make bench ARGS=--proof` -->", "<!-- end of figures -->"
TITLES = {
    "hello": "`/` returns a text",
    "param": "`/u/<int:id>?q=` returns JSON",
    "echo": "POST of JSON returns it",
    "hooks": "before and after hooks, `g`, a resource closed at the end, JSON",
}


def table(bench: dict[str, Any] | None) -> str:
    """Return the table for these figures, or a line that says that there are none."""
    if bench is None:
        return "No figures are recorded yet: `make bench` measures them on your machine."
    requests = bench["figures"]["requests"]
    lines = [
        "| processor time a request, µs | Demijohn | Flask 3.1.3 | Falcon 4.4 | against Flask |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, title in TITLES.items():
        times = requests[name]["microseconds"]
        cells = [f"{times[label]['median']:.1f}" for label in ("demijohn", "flask", "falcon")]
        faster = 1 / requests[name]["ratio"]["flask"]
        lines.append(f"| {title} | {' | '.join(cells)} | {faster:.1f} times faster |")
    machine = bench["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['python']}"
    lines += ["", f"`make bench` on {where}; commit {bench['commit']}, {bench['date'][:10]}."]
    return "\n".join(lines)


def rewritten(text: str, figures: str) -> str:
    """Return README's text with `figures` between the markers. Raises ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the markers {BEGIN} and {END}")
    return f"{before}{begin}\n{figures}\n{end}{after}"


def current() -> str:
    """Return what README.md should be."""
    bench = json.loads(BENCH.read_text()) if BENCH.exists() else None
    return rewritten(README.read_text(), table(bench))


def write() -> None:
    """Bring README.md up to date."""
    README.write_text(current())


def main() -> int:
    """Fail when README.md and the recorded figures differ."""
    if current() != README.read_text():
        print("README.md does not show docs/proof/bench.json: run `make bench ARGS=--proof`.")
        return 1
    print("README.md shows the recorded figures.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
