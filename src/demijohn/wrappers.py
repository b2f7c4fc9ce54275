"""Flask's path to request and response; they live in `demijohn.framework.wrappers`."""

from werkzeug.wrappers import Request as RequestBase
from werkzeug.wrappers import Response as ResponseBase

from . import json as json
from .framework.helpers import _split_blueprint_path as _split_blueprint_path
from .framework.wrappers import Request as Request
from .framework.wrappers import Response as Response
from .globals import current_app as current_app

__all__ = ("Request", "RequestBase", "Response", "ResponseBase")
