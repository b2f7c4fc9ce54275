"""A pytest plugin: `-p demijohn.pytest_alias` runs a suite written for Flask on this package."""

from . import install_as_flask

install_as_flask()
