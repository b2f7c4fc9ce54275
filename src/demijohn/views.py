"""Flask's path to class-based views; they live in `demijohn.framework.views`."""

from .framework.scaffold import F as F
from .framework.views import MethodView as MethodView
from .framework.views import View as View
from .framework.views import http_method_funcs as http_method_funcs
from .globals import current_app as current_app
from .globals import request as request

__all__ = ("MethodView", "View", "http_method_funcs")
