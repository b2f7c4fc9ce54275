"""Flask's path to class-based views; they live in `demijohn.framework.views`."""

from .framework.views import MethodView as MethodView
from .framework.views import View as View
from .framework.views import http_method_funcs as http_method_funcs

__all__ = ("MethodView", "View", "http_method_funcs")
