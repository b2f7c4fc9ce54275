"""`python -m demijohn` and the console script `demijohn`: both run the same program."""

from __future__ import annotations

from demijohn.compat.launch import main as main

if __name__ == "__main__":
    main()
