"""Flask's path to the application class; it lives in `demijohn.application`.

The names that are not in `__all__` are here because they are in Flask's module.
"""

from werkzeug.wrappers import Response as BaseResponse

from . import cli as cli
from .application import Demijohn as Demijohn
from .application import Demijohn as Flask
from .framework.app_contexts import AppContext as AppContext
from .framework.app_setup import AppSetup as App
from .framework.app_setup import T_shell_context_processor as T_shell_context_processor
from .framework.config import get_debug_flag as get_debug_flag
from .framework.config import get_load_dotenv as get_load_dotenv
from .framework.contexts import RequestContext as RequestContext
from .framework.helpers import get_flashed_messages as get_flashed_messages
from .framework.helpers import send_from_directory as send_from_directory
from .framework.scaffold import T_teardown as T_teardown
from .framework.scaffold import T_template_filter as T_template_filter
from .framework.scaffold import T_template_global as T_template_global
from .framework.scaffold import T_template_test as T_template_test
from .framework.signals import appcontext_tearing_down as appcontext_tearing_down
from .framework.signals import got_request_exception as got_request_exception
from .framework.signals import request_finished as request_finished
from .framework.signals import request_started as request_started
from .framework.signals import request_tearing_down as request_tearing_down
from .framework.wrappers import Request as Request
from .framework.wrappers import Response as Response
from .globals import _cv_app as _cv_app
from .globals import _cv_request as _cv_request
from .globals import current_app as current_app
from .globals import g as g
from .globals import request as request
from .globals import request_ctx as request_ctx
from .globals import session as session
from .http.sessions import SecureCookieSessionInterface as SecureCookieSessionInterface
from .http.sessions import SessionInterface as SessionInterface
from .http.templating import Environment as Environment

__all__ = ("App", "BaseResponse", "Demijohn", "Flask")
