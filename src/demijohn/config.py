"""Flask's path to the configuration; it lives in `demijohn.framework.config`."""

from .framework.config import Config as Config
from .framework.config import ConfigAttribute as ConfigAttribute
from .framework.config import T as T

__all__ = ("Config", "ConfigAttribute")
