"""Flask's path to the errors of debug mode; they live in `demijohn.http.debughelpers`."""

from .http.debughelpers import *  # noqa: F403
