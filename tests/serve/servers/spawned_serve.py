"""`demijohn` where processes are spawned, as on macOS and from Python 3.14 on, and not forked."""

from __future__ import annotations

import multiprocessing

from demijohn.__main__ import main

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
