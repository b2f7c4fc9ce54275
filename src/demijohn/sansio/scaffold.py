"""Flask's path to what application and blueprint share: `demijohn.framework.scaffold`."""

from ..framework.paths import find_package as find_package
from ..framework.paths import get_root_path as get_root_path
from ..framework.registry import endpoint_from_view_func as _endpoint_from_view_func
from ..framework.scaffold import F as F
from ..framework.scaffold import Scaffold as Scaffold
from ..framework.scaffold import T_after_request as T_after_request
from ..framework.scaffold import T_before_request as T_before_request
from ..framework.scaffold import T_error_handler as T_error_handler
from ..framework.scaffold import T_route as T_route
from ..framework.scaffold import T_teardown as T_teardown
from ..framework.scaffold import T_template_context_processor as T_template_context_processor
from ..framework.scaffold import T_url_defaults as T_url_defaults
from ..framework.scaffold import T_url_value_preprocessor as T_url_value_preprocessor
from ..framework.scaffold import setupmethod as setupmethod

__all__ = ("Scaffold", "_endpoint_from_view_func", "find_package", "setupmethod")
