"""Flask's path to logging; it lives in `demijohn.framework.logging`."""

from .framework.logging import create_logger as create_logger
from .framework.logging import default_handler as default_handler
from .framework.logging import has_level_handler as has_level_handler
from .framework.logging import wsgi_errors_stream as wsgi_errors_stream
from .globals import request as request

__all__ = ("create_logger", "default_handler", "has_level_handler", "wsgi_errors_stream")
