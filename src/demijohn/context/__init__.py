"""The context core: units of work on the standard library alone."""
