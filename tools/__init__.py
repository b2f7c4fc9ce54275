"""Scripts of this repository: checks, figures, the lock files. Not part of the package."""
