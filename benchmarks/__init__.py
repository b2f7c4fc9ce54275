"""Timing against Flask and Falcon: the same work, the same calls, rounds interleaved in one run."""
