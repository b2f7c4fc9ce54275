"""Flask's path to the application without a server: `demijohn.framework.app_setup`."""

from ..framework.app_setup import AppSetup as App

__all__ = ("App",)
