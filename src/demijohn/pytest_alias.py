"""A pytest plugin: `-p demijohn.pytest_alias` runs a suite written for Flask on this package.

Processes that the suite starts take this package for Flask too. `DEMIJOHN_AS_FLASK=0` turns the
plugin off, so that one set of options serves for both.
"""

from .compat.launch import stand_in_everywhere, wanted

if wanted(default=True):
    stand_in_everywhere()
