"""Flask's path to what application and blueprint share: `demijohn.framework.scaffold`."""

from ..framework.paths import find_package as find_package
from ..framework.scaffold import Scaffold as Scaffold
from ..framework.scaffold import setupmethod as setupmethod

__all__ = ("Scaffold", "find_package", "setupmethod")
