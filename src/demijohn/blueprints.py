"""Flask's path to blueprints; they live in `demijohn.application` and `demijohn.framework`."""

from .application import Blueprint as Blueprint
from .cli.groups import AppGroup as AppGroup
from .framework.blueprints import Blueprint as SansioBlueprint
from .framework.blueprints import BlueprintSetupState as BlueprintSetupState
from .framework.helpers import send_from_directory as send_from_directory
from .globals import current_app as current_app

__all__ = ("Blueprint", "BlueprintSetupState", "SansioBlueprint")
