"""Flask's path to the application class; it lives in `demijohn.application`."""

from .application import Demijohn as Demijohn
from .application import Demijohn as Flask

__all__ = ("Demijohn", "Flask")
