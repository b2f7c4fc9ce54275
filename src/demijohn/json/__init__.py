"""Flask's path to JSON; the functions live in `demijohn.framework.json`."""

from ..framework.helpers import jsonify as jsonify
from ..framework.json import dump as dump
from ..framework.json import dumps as dumps
from ..framework.json import load as load
from ..framework.json import loads as loads
from ..globals import current_app as current_app
from ..http.json_provider import _default as _default
from . import provider as provider
from . import tag as tag

__all__ = ("dump", "dumps", "jsonify", "load", "loads")
