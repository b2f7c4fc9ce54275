"""Flask's path to blueprints; they live in `demijohn.application` and `demijohn.framework`."""

from .application import Blueprint as Blueprint
from .framework.blueprints import BlueprintSetupState as BlueprintSetupState

__all__ = ("Blueprint", "BlueprintSetupState")
