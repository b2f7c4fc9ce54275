"""`python -m demijohn` and the console script `demijohn`: both run the program in demijohn.cli."""

from __future__ import annotations

from demijohn.cli.groups import cli


def main() -> None:
    """Run the command line with this process's arguments; exits when done."""
    cli.main()


if __name__ == "__main__":
    main()
