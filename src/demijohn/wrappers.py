"""Flask's path to request and response; they live in `demijohn.framework.wrappers`."""

from .framework.wrappers import Request as Request
from .framework.wrappers import Response as Response

__all__ = ("Request", "Response")
