"""Write the table of docs/servers.md: `python -m tools.servers`, after its cells have changed.

The table is `tests/serve/asgi_servers`, where every cell is a test.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "servers.md"
TABLE = "<!-- Below: written by `python -m tools.servers`. -->\n\n"


def main() -> None:
    """Put the table as it is tested into the page."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "serve")]
    from asgi_servers.table import page

    head = PAGE.read_text().partition(TABLE)[0]
    PAGE.write_text(f"{head}{TABLE}{page()}")


if __name__ == "__main__":
    main()
