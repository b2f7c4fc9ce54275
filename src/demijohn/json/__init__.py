"""Flask's path to JSON; the functions live in `demijohn.framework.json`."""

from ..framework.json import dump as dump
from ..framework.json import dumps as dumps
from ..framework.json import jsonify as jsonify
from ..framework.json import load as load
from ..framework.json import loads as loads
from . import provider as provider
from . import tag as tag

__all__ = ("dump", "dumps", "jsonify", "load", "loads")
