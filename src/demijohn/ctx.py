"""Flask's path to the contexts; they live in `demijohn.framework`."""

from .framework.app_contexts import AppContext as AppContext
from .framework.app_contexts import _AppCtxGlobals as _AppCtxGlobals
from .framework.children import copy_current_request_context as copy_current_request_context
from .framework.contexts import RequestContext as RequestContext
from .framework.helpers import after_this_request as after_this_request
from .framework.helpers import has_app_context as has_app_context
from .framework.helpers import has_request_context as has_request_context
from .framework.scaffold import F as F
from .framework.signals import appcontext_popped as appcontext_popped
from .framework.signals import appcontext_pushed as appcontext_pushed
from .globals import _cv_app as _cv_app
from .globals import _cv_request as _cv_request

__all__ = (
    "AppContext",
    "RequestContext",
    "after_this_request",
    "copy_current_request_context",
    "has_app_context",
    "has_request_context",
)
