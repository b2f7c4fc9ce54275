"""Flask's path to the blueprint without a server: `demijohn.framework.blueprints`."""

from ..framework.blueprints import Blueprint as Blueprint
from ..framework.blueprints import BlueprintSetupState as BlueprintSetupState

__all__ = ("Blueprint", "BlueprintSetupState")
