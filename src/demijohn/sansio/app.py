"""Flask's path to the application without a server: `demijohn.framework.app_setup`.

The names that are not in `__all__` are here because they are in Flask's module.
"""

from ..framework.app_contexts import _AppCtxGlobals as _AppCtxGlobals
from ..framework.app_setup import AppSetup as App
from ..framework.app_setup import T_shell_context_processor as T_shell_context_processor
from ..framework.config import Config as Config
from ..framework.config import ConfigAttribute as ConfigAttribute
from ..framework.config import get_debug_flag as get_debug_flag
from ..framework.logging import create_logger as create_logger
from ..framework.paths import find_package as find_package
from ..framework.scaffold import Scaffold as Scaffold
from ..framework.scaffold import T_teardown as T_teardown
from ..framework.scaffold import T_template_filter as T_template_filter
from ..framework.scaffold import T_template_global as T_template_global
from ..framework.scaffold import T_template_test as T_template_test
from ..framework.scaffold import setupmethod as setupmethod
from ..framework.templates import DispatchingJinjaLoader as DispatchingJinjaLoader
from ..framework.templates import _default_template_ctx_processor as _default_template_ctx_processor
from ..http.json_provider import DefaultJSONProvider as DefaultJSONProvider
from ..http.json_provider import JSONProvider as JSONProvider
from ..http.templating import Environment as Environment
from .scaffold import _endpoint_from_view_func as _endpoint_from_view_func

__all__ = ("App",)
