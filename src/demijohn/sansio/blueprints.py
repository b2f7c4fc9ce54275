"""Flask's path to the blueprint without a server: `demijohn.framework.blueprints`."""

from ..framework.blueprints import Blueprint as Blueprint
from ..framework.blueprints import BlueprintSetupState as BlueprintSetupState
from ..framework.blueprints import DeferredSetupFunction as DeferredSetupFunction
from ..framework.scaffold import Scaffold as Scaffold
from ..framework.scaffold import T_after_request as T_after_request
from ..framework.scaffold import T_before_request as T_before_request
from ..framework.scaffold import T_error_handler as T_error_handler
from ..framework.scaffold import T_teardown as T_teardown
from ..framework.scaffold import T_template_context_processor as T_template_context_processor
from ..framework.scaffold import T_template_filter as T_template_filter
from ..framework.scaffold import T_template_global as T_template_global
from ..framework.scaffold import T_template_test as T_template_test
from ..framework.scaffold import T_url_defaults as T_url_defaults
from ..framework.scaffold import T_url_value_preprocessor as T_url_value_preprocessor
from ..framework.scaffold import setupmethod as setupmethod

__all__ = ("Blueprint", "BlueprintSetupState")
